// Package refresh keeps the copies of a secondary's zones fresh: it decides
// when which primary is asked for what, and when a copy has expired (RFC 1034
// 4.3.5, RFC 1996, RFC 1982, RFC 7314). It reads no messages and serves no
// zones: it is handed functions that do.
//
// All zones share one heap of what is due, a bounded number of attempts under
// way, and a queue a primary; no zone has a goroutine of its own. A primary
// that does not answer is left alone for a growing while, in which its zones
// wait or ask their other primaries, so that no number of zones of a dead
// primary, and no zone that goes wrong, delays the zones of others.
//
// Invariant: of one zone, at most one attempt is under way; Install, Revive and
// Expire of one zone never run at the same time; Expire is called once when a
// copy expires, and then not again before the copy was confirmed or replaced.
package refresh
