// Package tsig owns the signing of DNS messages with shared secrets (RFC 8945):
// the keys, what makes a signature valid, the signatures of what is answered
// (Session), and those of what is asked, with the checks of the answers
// (Exchange). It serves queries, and transfers whose answers are many messages.
//
// Invariant: it works on the octets of a message as they came or are to go,
// never on a message that was taken apart and put together again; it does not
// change what it is given to verify, and reads no clock. A Keyring never
// changes. A Session exists only for a message whose signature is right: what
// has not been verified is never signed back (RFC 8945 10). Secrets appear in
// no text that is made of these types, by whatever verb.
//
// The records are miekg/dns's. Its digest is not used: it takes a fudge or a
// time of 0 for "not set" and so refuses messages that are rightly signed,
// knows no truncated MACs and no clock but its own, writes into the message
// that it verifies, and can sign only what it has packed by itself, which need
// not fit where the message that the server made did.
package tsig
