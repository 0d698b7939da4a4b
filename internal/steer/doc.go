// Package steer owns the steering: which of an owner's records a client is
// answered, and why. It compiles the steering records of a zone to a Program,
// and chooses by it.
//
// The chain is the design's: members, not drained, live, sites (by policy and
// floor), pick, count, order. It is one pure function for those who answer and
// those who explain: of the Program, the verdicts, the client and a draw.
//
// Invariant: a Program never changes. Choosing allocates nothing, asks no clock
// and ends after a number of steps that the RRset's size bounds.
package steer
