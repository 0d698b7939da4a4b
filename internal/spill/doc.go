// Package spill owns how much of their clients full sites and nodes take: it
// compares the answers that named each with its capacity, every ten seconds, and
// makes of that a share.
//
// Invariant: judging is arithmetic without clock or I/O (Judge). A share only
// ever says who comes first: who is passed over by all is served all the same, so
// that no share can turn anybody away.
package spill
