// Package zonemd owns the digest of a whole zone (RFC 8976): it computes it,
// makes the ZONEMD record that carries it, and verifies the one that a zone has.
//
// Invariant: a digest depends on the zone's records alone, never on the order in
// which they came, on the case of names that DNS compares without case, or on
// how the zone lies in memory. Nothing here changes a zone, does I/O, or knows
// whether a zone's signatures are valid: without DNSSEC a digest that matches
// shows that nothing was damaged on the way, not who made the zone (RFC 8976 6.1).
//
// A digest covers all that is in the zone, records below _state, _steer and the
// like included: a copy of the zone that lacks some of them no longer matches.
package zonemd
