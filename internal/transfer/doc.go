// Package transfer owns who may have, announce and change a zone, and hands each
// exchange to what answers it: transfers to transfer/send, NOTIFY to
// transfer/refresh, UPDATE to update.
//
// Invariant: nothing of a zone is told, taken or changed before it is known who
// asks, and that he may. Rules never change; new ones replace them as a whole.
package transfer
