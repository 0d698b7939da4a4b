// Package send owns what goes out when a zone is transferred: whole (AXFR, RFC
// 5936) or as the changes since the client's version (IXFR, RFC 1995). It makes
// the messages; who may have them, and the sockets, are its caller's.
//
// Invariant: what is sent is one version of a zone, whatever is published
// meanwhile. A whole zone streams from its snapshot, and no more of it than one
// message is ever held; changes come from the journal, never from comparing two
// versions, and those that are held to be condensed take bounded memory.
package send
