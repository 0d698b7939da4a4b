// Package zone owns a zone's DNS data in the form in which it is served: the
// compiled zone, its look-up, its changes and the differences between two of
// its versions. It knows nothing of steering, files or sockets.
//
// Invariant: a *Zone never changes. Apply and Builder.Finish return new
// versions that share memory with old ones; what an old version can reach is
// never written again, so that readers need no lock however long they keep it.
//
// A zone is an arena of nodes (see node.go), an index that is a hash table of
// their places (index.go), and, for signed zones, the canonical order of the
// names that hold NSEC or NSEC3 (order.go). No node points to another.
package zone
