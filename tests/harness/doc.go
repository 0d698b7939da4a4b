// Package harness owns what the black-box scenarios are made of: it starts a
// server (geodns, or Knot, NSD or BIND to prove an expectation), asks it over
// the network with dig and with raw messages, and compares the replies with
// what a scenario expects.
//
// Invariant: every process that is started is ended by its own id before the
// test ends, and every reply is compared in one normal form (Reply), however it
// was obtained.
package harness
