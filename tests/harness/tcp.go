package harness

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// tcpWait bounds every wait of a TCP script that names no time of its own.
const tcpWait = 10 * time.Second

// tcpScript is a conversation over one TCP connection at a time.
type tcpScript struct {
	addr string
	conn net.Conn
	out  []byte
	next uint16
	// open maps the ids that still wait for a reply to their question.
	open map[uint16]dns.Question
	got  map[string]int // replies by RCODE since the last expect
}

// TalkTCP runs the conversation that a file describes, a step a line; the
// README lists the steps. The error names the line.
func TalkTCP(s *Server, path, name string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	t := &tcpScript{addr: s.Addr(), open: map[uint16]dns.Question{}}
	defer t.hangUp()
	for i, l := range strings.Split(string(data), "\n") {
		l, _, _ = strings.Cut(l, "#")
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		if err := t.step(words[0], words[1:]); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, i+1, strings.TrimSpace(l), err)
		}
	}
	return nil
}

func (t *tcpScript) hangUp() {
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

func (t *tcpScript) step(word string, args []string) error {
	if t.conn == nil && word != "connect" {
		return errors.New("there is no connection: begin with connect")
	}
	switch word {
	case "connect":
		t.hangUp()
		clear(t.open)
		t.out = t.out[:0]
		var err error
		t.conn, err = net.DialTimeout("tcp", t.addr, tcpWait)
		return err
	case "put":
		return t.put(args)
	case "octets":
		b, err := hex.DecodeString(strings.Join(args, ""))
		t.out = append(t.out, b...)
		return err
	case "flush":
		return t.flush(args)
	case "expect":
		return t.expect(args)
	case "half-close":
		// The server may have closed it already, which closed is there to see.
		if err := t.conn.(*net.TCPConn).CloseWrite(); !errors.Is(err, syscall.ENOTCONN) {
			return err
		}
		return nil
	case "closed":
		return t.closed(args)
	case "wait":
		d, err := time.ParseDuration(strings.Join(args, ""))
		time.Sleep(d)
		return err
	case "hang-up":
		t.hangUp()
		return nil
	}
	return errors.New("no step of a conversation: use connect, put, octets, flush, expect, half-close, closed, wait, hang-up")
}

// put appends queries, framed, to what flush sends: put [COUNT] NAME TYPE
// [PADDING], which is the length of an unknown EDNS option to add.
func (t *tcpScript) put(args []string) error {
	count := 1
	if n, err := strconv.Atoi(args[0]); err == nil {
		count, args = n, args[1:]
	}
	if len(args) < 2 {
		return errors.New("put takes [COUNT] NAME TYPE [PADDING]")
	}
	typ, err := typeNumber(args[1])
	if err != nil {
		return err
	}
	for range count {
		t.next++
		m := new(dns.Msg)
		m.SetQuestion(args[0], typ)
		m.Id, m.RecursionDesired = t.next, false
		if len(args) > 2 {
			n, err := strconv.Atoi(args[2])
			if err != nil {
				return err
			}
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: make([]byte, n)}}
		}
		b, err := m.Pack()
		if err != nil {
			return err
		}
		t.out = append(binary.BigEndian.AppendUint16(t.out, uint16(len(b))), b...)
		t.open[m.Id] = m.Question[0]
	}
	return nil
}

// flush writes what was put, in one piece or in pieces of so many octets.
func (t *tcpScript) flush(args []string) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(tcpWait)); err != nil {
		return err
	}
	size := len(t.out)
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return fmt.Errorf("flush takes the octets a piece, not %q", args[0])
		}
		size = n
	}
	for len(t.out) > 0 {
		n := min(size, len(t.out))
		if _, err := t.conn.Write(t.out[:n]); err != nil {
			return err
		}
		t.out = t.out[n:]
		if len(t.out) > 0 {
			// So that the pieces travel in segments of their own.
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// expect reads until every question has its reply, in whatever order, and
// compares their RCODEs: expect COUNT RCODE [COUNT RCODE]...
func (t *tcpScript) expect(args []string) error {
	want := map[string]int{}
	for i := 0; i+1 < len(args); i += 2 {
		n, err := strconv.Atoi(args[i])
		if err != nil {
			return err
		}
		want[args[i+1]] = n
	}
	t.got = map[string]int{}
	if err := t.conn.SetReadDeadline(time.Now().Add(tcpWait)); err != nil {
		return err
	}
	total := 0
	for _, n := range want {
		total += n
	}
	for range total {
		if err := t.read(); err != nil {
			return fmt.Errorf("%w (got so far: %v)", err, t.got)
		}
	}
	for rcode, n := range want {
		if t.got[rcode] != n {
			return fmt.Errorf("got %v, expected %v", t.got, want)
		}
	}
	return nil
}

// read takes in one reply, which must belong to an open question.
func (t *tcpScript) read() error {
	raw, err := readFrame(t.conn)
	if err != nil {
		return err
	}
	if len(raw) < 12 {
		return fmt.Errorf("a reply of %d octets", len(raw))
	}
	id := binary.BigEndian.Uint16(raw)
	q, ok := t.open[id]
	if !ok {
		return fmt.Errorf("a reply with id %d, which belongs to no open question", id)
	}
	delete(t.open, id)
	if err := sane(raw, id, 0); err != nil {
		return err
	}
	r, err := replyOf(raw)
	if err != nil {
		return err
	}
	if len(r.Question) == 1 && r.Question[0] != questionText(q) {
		return fmt.Errorf("the reply with id %d is about %s instead of %s", id, r.Question[0], questionText(q))
	}
	t.got[r.Rcode]++
	return nil
}

// closed expects that the server closes the connection without another word:
// closed [DURATION], the most that it may take.
func (t *tcpScript) closed(args []string) error {
	within := tcpWait
	if len(args) > 0 {
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		within = d
	}
	if err := t.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	b, err := io.ReadAll(t.conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the server still held the connection after %v", within)
	}
	// A reset is as good as a close.
	if len(b) > 0 {
		return fmt.Errorf("the server sent % x before it closed", b)
	}
	return nil
}
