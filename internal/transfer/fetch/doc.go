// Package fetch asks one primary about one zone: for its serial (RFC 1034
// 4.3.5), and for the zone itself, by IXFR (RFC 1995) or AXFR (RFC 5936), over
// TCP or TLS (RFC 9103), signed (RFC 8945) where there is a key.
//
// It owns the reading of what a primary sends. When to ask, and what becomes of
// what came, is for others to say (package refresh, and who installs).
//
// Invariant: nobody on the other side is trusted. Whatever comes, it costs
// memory and time within the bounds of Options, a zone is handed out only if it
// is complete, correctly signed and keeps the rules of zones, and the copy that
// was there before is never touched. Every error says what was wrong, who sent
// it, and what can be done.
package fetch
