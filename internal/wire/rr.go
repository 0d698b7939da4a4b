package wire

// RR is one resource record of class IN as zones, changesets and transfers
// hand it around. Its slices belong to whoever made it; who keeps an RR copies
// them.
type RR struct {
	Owner []byte // wire form, lower case
	Type  Type
	TTL   uint32 // seconds
	Data  []byte // RDATA in wire form, names uncompressed and in the case they came in
}

// MaxTTL is the largest TTL (RFC 2181 8: the top bit means 0), in seconds.
const MaxTTL = 1<<31 - 1

// NextRecord takes a packed RRset apart. A packed RRset has each record's RDATA
// behind its length as 16 bits, big endian.
//
// It returns the first RDATA and the rest; ok is false at the end.
func NextRecord(records []byte) (data, rest []byte, ok bool) {
	if len(records) < 2 {
		return nil, nil, false
	}
	end := 2 + (int(records[0])<<8 | int(records[1]))
	if end > len(records) {
		return nil, nil, false
	}
	return records[2:end], records[end:], true
}

// AppendRecord packs one RDATA behind others.
func AppendRecord(records, data []byte) []byte {
	records = append(records, byte(len(data)>>8), byte(len(data)))
	return append(records, data...)
}

// Covered is the type that an RRSIG's (or SIG's) RDATA covers (RFC 4034
// 3.1.1), 0 for RDATA that is too short.
func Covered(data []byte) Type {
	if len(data) < 2 {
		return 0
	}
	return Type(data[0])<<8 | Type(data[1])
}
