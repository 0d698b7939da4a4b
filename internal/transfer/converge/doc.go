// Package converge owns knowing how far the secondaries are: which version of
// each zone each peer serves, since when it lacks one, and how long versions took
// to reach it. It asks them for their SOA (RFC 1034 4.3.5), which is all that
// every secondary of whatever make will tell.
//
// Invariant: what it costs is bounded, whatever the peers do. There is one queue
// of times, and at most Workers questions are under way and Rate are begun a
// second, however many zones and peers there are. A peer that does not answer is
// asked one question at a time, with doubling pauses; it takes its own share of
// the workers, and none of another's. Memory grows with zones times peers.
package converge
