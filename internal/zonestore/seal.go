package zonestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A blob is sealed: four octets of CRC-32C, least significant first, over the
// names of bucket and key, a NUL after each, and the payload; then the payload.
// With the names in it, a blob that turns up elsewhere fails too.
const sealSize = 4

func seal(bucket, key string, payload []byte) []byte {
	blob := binary.LittleEndian.AppendUint32(make([]byte, 0, sealSize+len(payload)), checksum(bucket, key, payload))
	return append(blob, payload...)
}

// unseal returns the payload of a blob, which is not copied; nil is a blob that
// is not there. An error is of type damage.
func unseal(bucket, key string, blob []byte) ([]byte, error) {
	switch {
	case blob == nil:
		return nil, damagef("%s/%s is missing", bucket, keyText(key))
	case len(blob) < sealSize || binary.LittleEndian.Uint32(blob) != checksum(bucket, key, blob[sealSize:]):
		return nil, damagef("the checksum of %s/%s is wrong", bucket, keyText(key))
	}
	return blob[sealSize:], nil
}

// sealed puts the checksum into a blob that has room for it before its payload.
func sealed(bucket, key string, blob []byte) []byte {
	binary.LittleEndian.PutUint32(blob, checksum(bucket, key, blob[sealSize:]))
	return blob
}

func checksum(bucket, key string, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	names := make([]byte, 0, 320)
	names = append(append(names, bucket...), 0)
	names = append(append(names, key...), 0)
	return crc32.Update(crc32.Update(0, table, names), table, payload)
}

// keyText is a key as it is shown: some are names in wire form, or numbers.
func keyText(key string) string {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return fmt.Sprintf("%x", key)
		}
	}
	return key
}

// damage says how a file is corrupted.
type damage struct{ what string }

func (d damage) Error() string { return d.what }

func damagef(format string, args ...any) error { return damage{fmt.Sprintf(format, args...)} }

func isDamage(err error) bool {
	var d damage
	return errors.As(err, &d)
}

// Texts and entries are preceded by their length; numbers are varints, and times
// are microseconds since 1970 UTC, 0 for the zero time.

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMicro())
}

// decoder reads what was appended. After the first error everything is zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail() {
	d.rest = nil
	if d.err == nil {
		d.err = damagef("an entry ends too early")
	}
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads how many entries follow, each of which takes an octet or more.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) octet() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// octets reads a length and as many octets, which are not copied.
func (d *decoder) octets() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// octets8 reads a length of one octet, and as many octets, which are not copied.
func (d *decoder) octets8() []byte {
	n := int(d.octet())
	if n > len(d.rest) {
		d.fail()
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text() string { return string(d.octets()) }

func (d *decoder) time() time.Time {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return time.Time{}
	}
	d.rest = d.rest[n:]
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// entry reads the next entry, to be decoded by itself: what stands at its end is
// of a newer release.
func (d *decoder) entry() *decoder {
	e := &decoder{rest: d.octets()}
	if d.err != nil {
		e.fail()
	}
	return e
}
