package git

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// answerOf makes an answer to a question of zone 7 with records.
func answerOf(t *testing.T, q *question, records ...dns.RR) []byte {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(q.packed); err != nil {
		t.Fatal(err)
	}
	m.SetReply(m)
	m.Answer = records
	m.Compress = true
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// some are the addresses from..to-1 of a version.
func some(name string, version, from, to int) (list []dns.RR) {
	for i := from; i < to; i++ {
		list = append(list, &dns.A{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
			A:   net.IPv4(10, byte(version>>8), byte(version), byte(i)),
		})
	}
	return list
}

// The checker takes what is right, and nothing else.
func TestChecker(t *testing.T) {
	questions := questionsOf(7)
	set, both, host := &questions[1], &questions[2], &questions[4+5]
	name := both.name + zoneName(7)
	good := answerOf(t, both, some(name, 300, 0, inBoth)...)
	rcode := func(reply []byte, code byte) []byte {
		reply = append([]byte(nil), reply...)
		reply[3] = reply[3]&0xf0 | code
		return reply
	}
	truncated := append([]byte(nil), good...)
	truncated[2] |= 2
	cut := append([]byte(nil), good[:len(good)-20]...)
	miscounted := append([]byte(nil), good...)
	binary.BigEndian.PutUint16(miscounted[6:], inBoth-1)

	for _, tt := range []struct {
		what  string
		q     *question
		reply []byte
		want  string // the version, or a part of the error
	}{
		{"good", both, good, "300"},
		{"reversed", both, answerOf(t, both, append(some(name, 300, 20, 40), some(name, 300, 0, 20)...)...), "300"},
		{"host", host, answerOf(t, host, some(host.name+zoneName(7), 9, 5, 6)...), "9"},
		{"refused", both, rcode(answerOf(t, both), dns.RcodeRefused), "0"},
		{"zone and include of two versions", both, answerOf(t, both, append(some(name, 300, 0, 20), some(name, 301, 20, 40)...)...), "versions 300 and 301 in one answer"},
		{"the last record of another version", both, answerOf(t, both, append(some(name, 300, 0, 39), some(name, 556, 39, 40)...)...), "versions 300 and 556"},
		{"half a file", set, answerOf(t, set, some(set.name+zoneName(7), 300, 0, 20)...), "20 records, want 40"},
		{"one twice", both, answerOf(t, both, append(some(name, 300, 0, 39), some(name, 300, 38, 39)...)...), "unexpected address"},
		{"another host's", host, answerOf(t, host, some(host.name+zoneName(7), 9, 6, 7)...), "unexpected address"},
		{"none", both, answerOf(t, both), "0 records"},
		{"failed", both, rcode(good, dns.RcodeServerFailure), "SERVFAIL"},
		{"no such name", both, rcode(answerOf(t, both), dns.RcodeNameError), "NXDOMAIN"},
		{"another question", both, answerOf(t, set, some(name, 300, 0, inBoth)...), "another question"},
		{"truncated", both, truncated, "truncated"},
		{"cut", both, cut, "a record is cut"},
		{"miscounted", both, miscounted, "39 records"},
		{"a question", both, both.packed, "not a reply"},
		{"nothing", both, nil, "not a reply"},
	} {
		version, err := tt.q.check(tt.reply)
		got := fmt.Sprint(version)
		if err != nil {
			got = err.Error()
		}
		if (err == nil) != (tt.want[0] < 'A' && !strings.Contains(tt.want, "records")) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

// A SOA's version is its refresh.
func TestCheckerSOA(t *testing.T) {
	q := &questionsOf(7)[0]
	soa, err := dns.NewRR("z7.test. 5 SOA ns1.z7.test. hostmaster.z7.test. 1 1234 600 604800 60")
	if err != nil {
		t.Fatal(err)
	}
	if version, err := q.check(answerOf(t, q, soa)); version != 1234 || err != nil {
		t.Errorf("version %d, %v", version, err)
	}
}

// Versions may be missed, and come back if git brings them back, but never
// otherwise.
func TestObserver(t *testing.T) {
	h := &history{}
	for _, v := range []int{1, 2, 3, 2, 4, 4} {
		h.add(&versions{7: v})
	}
	for _, tt := range []struct {
		seen []int
		good bool
	}{
		{[]int{1, 1, 2, 3, 2, 4, 4}, true},
		{[]int{2, 3, 3, 4}, true},
		{[]int{2, 2, 4}, true},
		{[]int{4}, true},
		{[]int{3, 2, 3}, false},
		{[]int{2, 1}, false},
		{[]int{4, 2}, false},
		{[]int{5}, false},
		{[]int{absent}, false},
	} {
		o, good := &observer{h: h}, true
		for _, v := range tt.seen {
			good = good && o.see(7, v) == nil
		}
		if good != tt.good {
			t.Errorf("%v: taken: %v, want %v", tt.seen, good, tt.good)
		}
	}
}

// The test notices a work tree that is not what it believes: everything else
// rests on that.
func TestVerify(t *testing.T) {
	const env = "GEODNS_TEST_VERIFY"
	if os.Getenv(env) != "" {
		r := newRepository(t, random(t), 3, 1)
		r.now[3]++
		r.verify()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestVerify$")
	cmd.Env = append(os.Environ(), env+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "zones/z3.test.zone is not what it should be") &&
		!strings.Contains(string(out), "zones/inc/z3.txt is not what it should be") {
		t.Errorf("%v: %s", err, out)
	}
}
