// Package zonestore owns the file that keeps what must outlive a restart and
// stands in no zone file: the verdicts of the checks, and the commands that
// operators gave.
//
// The file is a bbolt database of these buckets, each key a blob (see seal):
//
//	meta      layout   the layout's version
//	verdicts  all      every verdict
//	state     all      every command in force
//
// Snapshots and journals of zones get buckets of their own beside these, with
// few large blobs in each: no key a record, no bucket a zone.
//
// Invariant: what is read is what was written by one whole transaction, the last
// one that was reported as done, or the one after it if the process died in
// between. What breaks it is found by checksums of our own and by a walk over
// the pages that bbolt, which trusts its file, is not asked to do (see verify);
// a file that fails is moved aside to NAME.corrupt-TIME, and never served from.
// Any failure to write leaves the file as it was.
//
// # Layouts
//
// The version is MAJOR.MINOR, now 1.0. A release opens every file of a major
// version that it knows, whatever the minor. So that one release back can always
// be returned to:
//
//   - What may be left alone raises the minor: a new bucket, a new key, fields at
//     the end of an entry. Older releases keep what they don't know: they leave
//     buckets and keys alone, and write the commands' trailing fields back. Of
//     verdicts they drop them, since they judge anew. They never lower the
//     minor.
//   - Everything else raises the major. A release that reads a new major must
//     have been out before one writes it. What is newer is refused, and left as
//     it is.
//   - The bucket meta, its key layout, and how that is sealed never change.
package zonestore
