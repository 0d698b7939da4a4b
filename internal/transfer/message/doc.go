// Package message takes apart messages that carry records: what primaries
// answer (RFC 5936, RFC 1995) and what dynamic updates ask for (RFC 2136).
//
// It owns the form of records on the wire: compressed names (RFC 1035 4.1.4,
// RFC 3597 4) and the fields of which the RDATA of each type consists. What a
// message means is for others to say.
//
// Invariant: nobody who sends a message is trusted. Whatever it holds, reading it
// takes time and memory in proportion to its length, and ends; a record that is
// handed out has an owner and, by Data, RDATA that anybody can read without the
// message.
package message
