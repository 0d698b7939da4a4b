// Package catalog owns what a catalog zone says (RFC 9432): it reads which zones
// a catalog lists, tells two versions apart, and makes the catalog of a list of
// zones. Which zones are served, and what becomes of their data, is the callers'
// business.
//
// Invariant: a catalog that breaks a rule of the RFC is read as nothing at all,
// never as a shorter list, since zones that are missing from a list get deleted.
// What is made for a list does not depend on the order of the list, and a zone
// that stays a member keeps its label for ever: a new label would tell all
// secondaries to throw the zone's data away (RFC 9432 5.4).
package catalog
