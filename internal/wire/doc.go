// Package wire owns the DNS message on the wire: it parses questions and EDNS
// (RFC 1035, RFC 6891), describes what is to be answered (Set, Reply), and
// encodes and truncates replies.
//
// Invariant: nothing here allocates once a Query, a Reply and an Encoder
// exist, no function keeps a slice that it was given beyond the message at
// hand, and no input of any kind can make it read or write outside the slices
// that it was handed.
//
// Names are byte slices in uncompressed wire form (length-prefixed labels up
// to and including the root's zero octet), at most 255 octets.
package wire
