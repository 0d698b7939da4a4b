// Package notify owns telling secondaries that a zone has changed (NOTIFY, RFC
// 1996): when to tell whom, how often to try again, and what they answered.
//
// Invariant: for a zone and a peer there is one NOTIFY under way at most, of the
// newest version; it ends by the peer's answer, or after the last attempt. A peer
// that does not answer keeps no other peer, and none of its other zones, waiting.
// There is one socket an address family and one goroutine to read it, however
// many zones and peers there are; memory grows with zones times peers.
package notify
