// Package zonefile reads master files (RFC 1035 5): text becomes records in
// wire form, each with the place that it stands at, and every mistake becomes
// a Finding with its place and a remedy; reading goes on behind a mistake.
//
// It owns the text side of DNS data: names, types and records to text and
// back. It knows nothing of zones: whether a record may stand beside another is
// for the caller to say.
//
// There are two roads from an entry to RDATA. The types whose RDATA is a plain
// sequence of fields (shapes.go) go straight to wire without allocation; all
// others that github.com/miekg/dns knows are handed to it, one normalised entry
// at a time. A fuzz target holds that both roads agree.
//
// Invariant: memory is bounded by the longest entry (1 MiB), not by the file;
// no input makes Parse panic or loop; a record that is handed over is complete
// and valid for its type; whatever cannot be read is reported, never skipped in
// silence (but for records that inherit an owner that could not be read, which
// is reported once, where the owner stands).
package zonefile
