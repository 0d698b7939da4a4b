package zonestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"geodns/internal/wire"
)

// name is the wire form of a name without escapes.
func name(text string) []byte {
	var out []byte
	for _, label := range strings.Split(strings.TrimSuffix(text, "."), ".") {
		if label != "" {
			out = append(append(out, byte(len(label))), label...)
		}
	}
	return append(out, 0)
}

func soaOf(apex []byte, serial uint32) wire.RR {
	data := binary.BigEndian.AppendUint32([]byte{0, 0}, serial)
	return wire.RR{Owner: apex, Type: wire.TypeSOA, TTL: 3600, Data: append(data, make([]byte, 16)...)}
}

// hostOf is an A record for each number.
func hostOf(apex []byte, n uint32) wire.RR {
	label := fmt.Sprintf("h%d", n)
	owner := append(append([]byte{byte(len(label))}, label...), apex...)
	return wire.RR{Owner: owner, Type: wire.TypeA, TTL: 60, Data: binary.BigEndian.AppendUint32(nil, n)}
}

// step is a change from a serial to the n-th after it, that adds an A record.
func step(apex []byte, from, n uint32) *Change {
	return &Change{
		From: from, Version: Version{Serial: from + n, At: day, Origin: FromUpdate, By: "farm."},
		Del: []wire.RR{soaOf(apex, from)},
		Add: []wire.RR{soaOf(apex, from+n), hostOf(apex, from)},
	}
}

// small is a zone of a few records.
func small(apex []byte, serial uint32) Records {
	ns := wire.RR{Owner: apex, Type: wire.TypeNS, TTL: 300, Data: name("ns1.example.")}
	return listed([]wire.RR{soaOf(apex, serial), ns})
}

// copied is a record that can be kept.
func copied(rr *wire.RR) wire.RR {
	return wire.RR{Owner: bytes.Clone(rr.Owner), Type: rr.Type, TTL: rr.TTL, Data: bytes.Clone(rr.Data)}
}

func collect(t testing.TB, each Records) (list []wire.RR) {
	t.Helper()
	must(t, each(func(rr *wire.RR) error { list = append(list, copied(rr)); return nil }))
	return list
}

func listed(list []wire.RR) Records {
	return func(yield func(*wire.RR) error) error {
		for i := range list {
			if err := yield(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

func contentOf(t testing.TB, s *Store, apex []byte, kind Kind) (c Content, list []wire.RR) {
	t.Helper()
	c, err := s.Content(apex, kind, func(rr *wire.RR) error { list = append(list, copied(rr)); return nil })
	must(t, err)
	return c, list
}

// serials are those that the journal leads through.
func serials(t testing.TB, s *Store, apex []byte, from uint32) []uint32 {
	t.Helper()
	list := []uint32{from}
	must(t, s.Journal(apex, from, func(c *Change) error { list = append(list, c.Serial); return nil }))
	return list
}

// ignore is for changes and records that don't matter.
func ignoreChange(*Change) error  { return nil }
func ignoreRecord(*wire.RR) error { return nil }

func openTemp(t testing.TB) (*Store, string) {
	t.Helper()
	var log logged
	path := filepath.Join(t.TempDir(), "geodns.db")
	s := mustOpen(t, path, &log)
	t.Cleanup(func() {
		_ = s.Close()
		if log.Len() > 0 {
			t.Errorf("logged: %s", log.String())
		}
	})
	return s, path
}

func reopen(t testing.TB, s *Store, path string) *Store {
	t.Helper()
	mustClose(t, s)
	next := mustOpen(t, path, &logged{})
	t.Cleanup(func() { _ = next.Close() })
	return next
}

// expect fails unless an error is of a kind and says something.
func expect(t testing.TB, what string, err, kind error, says string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: error %v, want %v that says %q", what, err, kind, says)
	}
}

// generationsIn counts the generations of which there are blobs, and those that
// something leads to.
func generationsIn(t testing.TB, s *Store) (there, used map[uint64]bool) {
	t.Helper()
	there, used = map[uint64]bool{}, map[uint64]bool{}
	must(t, s.view(func(tx *bolt.Tx) error {
		for _, bucket := range []string{bucketContents, bucketChanges} {
			must(t, tx.Bucket([]byte(bucket)).ForEach(func(k, _ []byte) error {
				there[binary.BigEndian.Uint64(k)] = true
				return nil
			}))
		}
		return eachHead(tx, func(_ []byte, h *head, err error) error {
			for _, gen := range h.generations() {
				used[gen] = true
			}
			return err
		})
	}))
	return there, used
}

// tidy fails if there are blobs to which nothing leads.
func tidy(t testing.TB, s *Store) {
	t.Helper()
	there, used := generationsIn(t, s)
	for gen := range there {
		if !used[gen] {
			t.Errorf("nothing leads to generation %d", gen)
		}
	}
}
