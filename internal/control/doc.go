// Package control owns the control socket: a Unix socket on which the commands
// of the program (reload, status, zone ..) talk to the server that runs, in
// JSON over HTTP/1.1, and the client for it. docs/control.md describes the
// protocol for others.
//
// Invariant: there is at most one server a socket. Who may open the socket may
// command the server, so its mode is the only permission there is: its owner
// and group, from the moment that it exists.
package control
