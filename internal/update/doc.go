// Package update owns dynamic updates (RFC 2136): whether a message is well
// formed, whether its prerequisites hold, what it does to a zone, whether somebody
// may do that, and in which order, and how many at once, they are handed on to be
// kept.
//
// Invariant: Parse and Do are pure. They neither read a clock nor change what they
// are given; the same message makes the same changes of the same version. An update
// is done as a whole or not at all, and NOERROR is told of it only once it is kept.
package update
