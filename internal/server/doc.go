// Package server owns the sockets: UDP in batches, TCP with pipelining, and TLS
// over it, on every address that is to be listened on, the limits that protect
// them, and the workers that answer what they read. It targets Linux.
//
// Invariant: a request is answered on the socket, and from the address, that
// it was sent to, by exactly one goroutine, with buffers that belong to one
// worker. Reading, answering and sending a batch of datagrams allocates
// nothing, and nothing that a client sends or fails to read can stop a worker
// or hold memory or a connection without bound.
package server
