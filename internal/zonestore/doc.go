// Package zonestore owns the file that keeps what must outlive a restart and
// stands in no zone file: the verdicts of the checks, the commands that operators
// gave, and of zones their contents, the changes that led to them, and how far
// those that came by transfer are from their primaries.
//
// The file is a bbolt database of these buckets, each value a blob (see seal):
//
//	meta      layout, zones        the layout's version; how many zones are kept
//	verdicts  all                  every verdict
//	state     all                  every command in force
//	zones     apex                 what leads to the rest of a zone (see head)
//	contents  generation, number   256 KiB of records each (see packer)
//	changes   generation, number   a change, of 256 KiB a blob (see entry)
//	timers    apex                 the timers of a zone
//
// So there is no key a record and no bucket a zone. Contents are written under a
// generation to which nothing leads, in transactions of 4 MiB, the last of which
// makes the zone lead there. What a process leaves there that dies is dropped when
// the file is opened. Changes come behind those that are kept; those that wait
// while the disk is busy share the next transaction. Changes stay when the zone is
// compacted, for transfers and for history, until the limits cut them off.
//
// Invariant: what is read is what was written by one whole transaction, the last
// one that was reported as done, or the one after it if the process died in
// between. What breaks it is found by checksums of our own and by a walk over
// the pages that bbolt, which trusts its file, is not asked to do (see verify).
// A file that fails is moved aside to NAME.corrupt-TIME, and never served from;
// what is intact of it is taken over into a new one. Contents and changes are
// looked at when they are read: a zone whose are damaged is an error, ErrDamaged,
// until it is kept anew or forgotten. Any failure to write leaves the file as it
// was.
//
// # Layouts
//
// The version is MAJOR.MINOR, now 1.1. A release opens every file of a major
// version that it knows, whatever the minor. So that one release back can always
// be returned to:
//
//   - What may be left alone raises the minor: a new bucket, a new key, fields at
//     the end of an entry. Older releases keep what they don't know: they leave
//     buckets and keys alone, and write the trailing fields of commands and of what
//     leads to zones back. Of verdicts they drop them, since they judge anew, and
//     of timers, since they ask anew. They never lower the minor.
//   - Everything else raises the major. A release that reads a new major must
//     have been out before one writes it. What is newer is refused, and left as
//     it is.
//   - 1.1 added all about zones.
//   - The bucket meta, its key layout, and how that is sealed never change.
package zonestore
