// Package probe owns how a target is asked whether it is well: one file a
// protocol, what a probe may cost, the connections that are held open between
// probes, and when each target is probed.
//
// Invariant: a probe ends with its context, whatever the target does, and costs
// a bounded amount of memory: every read has a limit. What a target says
// reaches the outside only as one printable line of bounded length. Nothing
// here decides what a node's state is: that is judged elsewhere.
package probe
