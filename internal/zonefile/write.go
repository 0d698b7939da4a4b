package zonefile

import (
	"bufio"
	"io"
	"strconv"

	"geodns/internal/wire"
)

// Writer writes a master file that Parse reads as the same records: owners are
// relative to the origin, and left out where they are those of the line before;
// TTLs are left out where they are the file's ($TTL).
type Writer struct {
	out    *bufio.Writer
	origin []byte
	ttl    uint32
	owner  []byte // of the line before
	line   []byte
}

// NewWriter begins a file with an origin, in wire form, and the TTL, in seconds,
// that most records have. comment, if not "", is its first line.
func NewWriter(w io.Writer, origin []byte, ttl uint32, comment string) *Writer {
	f := &Writer{out: bufio.NewWriterSize(w, 64<<10), origin: origin, ttl: ttl}
	if comment != "" {
		f.line = append(append(append(f.line, "; "...), comment...), '\n')
	}
	f.line = append(wire.AppendNameText(append(f.line, "$ORIGIN "...), origin), "\n$TTL "...)
	f.line = append(strconv.AppendUint(f.line, uint64(ttl), 10), '\n')
	// The writer keeps the error until Close.
	_, _ = f.out.Write(f.line)
	return f
}

// Add writes a record, whose owner is at or below the origin. Those of one owner
// best stand together.
func (f *Writer) Add(rr *wire.RR) error {
	f.line = f.line[:0]
	if f.owner == nil || string(rr.Owner) != string(f.owner) {
		f.line = f.appendOwner(f.line, rr.Owner)
		f.owner = append(f.owner[:0], rr.Owner...)
	}
	f.line = append(f.line, '\t')
	if rr.TTL != f.ttl {
		f.line = strconv.AppendUint(f.line, uint64(rr.TTL), 10)
	}
	f.line = append(append(append(f.line, '\t'), TypeString(rr.Type)...), '\t')
	f.line = append(appendData(f.line, rr), '\n')
	_, err := f.out.Write(f.line)
	return err
}

// Close writes what is left, and tells what went wrong, if anything did.
func (f *Writer) Close() error { return f.out.Flush() }

// appendOwner appends a name relative to the origin.
func (f *Writer) appendOwner(dst, name []byte) []byte {
	rel := len(name) - len(f.origin)
	if rel == 0 {
		return append(dst, '@')
	}
	if len(f.origin) == 1 {
		return wire.AppendNameText(dst, name)
	}
	dst = wire.AppendNameText(dst, append(append(make([]byte, 0, rel+1), name[:rel]...), 0))
	return dst[:len(dst)-1] // without the dot that would make it absolute
}
