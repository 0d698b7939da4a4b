package send

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/wire"
)

// Names of one-letter labels, more than the table holds: all are still right,
// and what is in the table already is still pointed to.
func TestTableOfNamesFull(t *testing.T) {
	m := new(message)
	m.names.apex = []byte("\x07example\x00")
	m.begin(nil, maxMessage, 0)
	var want []string
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01234567" {
		want = append(want, strings.Repeat(string(c)+".", 100)+"example.")
		owner := []byte(strings.Repeat("\x01"+string(c), 100) + "\x07example\x00")
		if !m.add(owner, wire.TypeA, 60, []byte{192, 0, 2, 1}) {
			t.Fatal("full")
		}
	}
	if m.names.used < tableMost {
		t.Fatalf("%d labels do not fill the table", m.names.used)
	}
	m.buf[7] = byte(m.records)
	before := len(m.buf)
	if owner := []byte(strings.Repeat("\x01A", 100) + "\x07example\x00"); !m.add(owner, wire.TypeA, 60, []byte{1, 2, 3, 4}) || len(m.buf)-before != 16 {
		t.Errorf("a name that is there already takes %d octets", len(m.buf)-before)
	}
	msg := new(dns.Msg)
	if err := msg.Unpack(m.buf); err != nil {
		t.Fatal(err)
	}
	for i, rr := range msg.Answer[:len(want)] {
		if rr.Header().Name != want[i] {
			t.Fatalf("record %d is of %s", i, rr.Header().Name)
		}
	}
}

// RDATA that is not as its type says goes out as it is, whatever it is.
func TestRDATAThatIsNone(t *testing.T) {
	for _, typ := range []wire.Type{wire.TypeNS, wire.TypeMX, wire.TypeSOA} {
		for _, data := range [][]byte{{}, {1}, {0, 10}, {0, 10, 64, 1}, {0, 10, 5, 'a'}, {1, 'a', 0, 1, 'b'}, bytes.Repeat([]byte{1, 'a'}, 200)} {
			m := new(message)
			m.begin(nil, maxMessage, 0)
			if !m.add([]byte{0}, typ, 0, data) || !bytes.Equal(m.buf[wire.HeaderLen+11:], data) || int(m.buf[wire.HeaderLen+9])<<8+int(m.buf[wire.HeaderLen+10]) != len(data) {
				t.Errorf("type %d: %x becomes %x", typ, data, m.buf[wire.HeaderLen:])
			}
		}
	}
}

// One Sender serves many at once.
func TestConcurrent(t *testing.T) {
	z := hosts(t, 2000, wire.TypeMX)
	want := set(z, false)
	s := newSender(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2 {
				r := transfer(t, s, z, asked{typ: dns.TypeAXFR, signed: true})
				got, err := r.apply(nil)
				if err != nil {
					t.Error(err)
					return
				}
				same(failing{t}, got, want)
			}
		})
	}
	wg.Wait()
}

// failing is a test that another goroutine may fail.
type failing struct{ *testing.T }

func (f failing) Fatalf(format string, args ...any) { f.Errorf(format, args...) }

// Behind what a pointer can say, names are written out, and are not pointed to.
func TestBeyondPointers(t *testing.T) {
	m := new(message)
	m.names.apex = []byte("\x07example\x00")
	m.begin(nil, maxMessage, 0)
	m.limit = m.most // as if messages were filled further
	var want []wire.RR
	for i := range 4 {
		want = append(want, big(fmt.Sprintf("l%d", i), 5400))
	}
	for i := range 40 {
		owner := fmt.Sprintf("a%d.b%d.example.", i/2, i/4)
		want = append(want, record(t, owner+" 60 MX 1 x."+owner), record(t, owner+" 60 A 192.0.2.1"))
	}
	for i := range want {
		if rr := &want[i]; !m.add(rr.Owner, rr.Type, rr.TTL, rr.Data) {
			t.Fatal("full")
		}
	}
	m.buf[7] = byte(m.records)
	msg := new(dns.Msg)
	if err := msg.Unpack(m.buf); err != nil {
		t.Fatal(err)
	}
	for i, rr := range msg.Answer {
		if got := fromLibrary(t, rr); key(&got) != key(&want[i]) {
			t.Fatalf("%s became %s", key(&want[i]), key(&got))
		}
	}
}
