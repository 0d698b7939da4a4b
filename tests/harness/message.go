package harness

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpWait bounds how long a reply may take.
	udpWait = 5 * time.Second
	// afterWait is how long a reply may come after the reply to a question
	// that was sent after it. The server reads both from one socket, in order.
	afterWait = 50 * time.Millisecond
	// sentinelWait is how long nothing may come before that question is sent.
	sentinelWait = 20 * time.Millisecond
)

// message is a raw request in the making.
type message struct {
	id        uint16
	flags     uint16
	counts    [4]uint16
	fixed     [4]bool // counts that a header line sets
	body      []byte
	questions []dns.Question
	cut       int // octets to send; -1: all
	tcp       bool
}

// assemble makes a message of a scenario's lines; the README lists them.
func assemble(lines []string) (*message, error) {
	m := &message{id: uint16(rand.Uint32()), cut: -1}
	for _, l := range lines {
		word, rest, _ := strings.Cut(l, " ")
		if err := m.line(word, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("%q: %w", l, err)
		}
	}
	return m, nil
}

func (m *message) line(word, rest string) error {
	switch word {
	case "over":
		m.tcp = rest == "tcp"
		return nil
	case "header":
		return m.header(strings.Fields(rest))
	case "question":
		return m.question(strings.Fields(rest))
	case sectionAnswer:
		return m.record(1, rest)
	case sectionAuthority:
		return m.record(2, rest)
	case sectionAdditional:
		return m.record(3, rest)
	case "opt":
		return m.opt(strings.Fields(rest))
	case "tsig":
		return m.tsig(strings.Fields(rest))
	case "octets":
		b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		m.body = append(m.body, b...)
		return err
	case "echo":
		// The question that octets stand for, as the reply has to echo it.
		return m.echo(strings.Fields(rest))
	case "cut":
		n, err := strconv.Atoi(rest)
		m.cut = n
		return err
	}
	return errors.New("not a line of a message")
}

// header sets flags=0x.., opcode=N and counts: qd=, an=, ns=, ar=.
func (m *message) header(words []string) error {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		v, err := strconv.ParseUint(value, 0, 16)
		if err != nil {
			return err
		}
		switch key {
		case "flags":
			m.flags |= uint16(v)
		case "opcode":
			m.flags |= uint16(v) << 11
		default:
			i := strings.Index("qdannsar", key) / 2
			if len(key) != 2 || i < 0 {
				return fmt.Errorf("no field of the header: %s", key)
			}
			m.counts[i], m.fixed[i] = uint16(v), true
		}
	}
	return nil
}

func (m *message) count(section int) {
	if !m.fixed[section] {
		m.counts[section]++
	}
}

// echo notes a question without writing it.
func (m *message) echo(words []string) error {
	if len(words) < 2 {
		return errors.New("a question takes NAME TYPE [CLASS]")
	}
	q := dns.Question{Name: words[0], Qclass: dns.ClassINET}
	var err error
	if q.Qtype, err = typeNumber(words[1]); err != nil {
		return err
	}
	if len(words) > 2 {
		if q.Qclass, err = classNumber(words[2]); err != nil {
			return err
		}
	}
	m.questions = append(m.questions, q)
	return nil
}

func (m *message) question(words []string) error {
	if err := m.echo(words); err != nil {
		return err
	}
	q := m.questions[len(m.questions)-1]
	if err := m.name(q.Name); err != nil {
		return err
	}
	m.body = binary.BigEndian.AppendUint16(m.body, q.Qtype)
	m.body = binary.BigEndian.AppendUint16(m.body, q.Qclass)
	m.count(0)
	return nil
}

func (m *message) name(text string) error {
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(text, buf, 0, nil, false)
	m.body = append(m.body, buf[:n]...)
	return err
}

func (m *message) record(section int, text string) error {
	rr, err := dns.NewRR(text)
	if err != nil {
		return err
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	m.body = append(m.body, buf[:n]...)
	m.count(section)
	return err
}

// opt appends an OPT: owner=, in=SECTION, version=, size=, flags=, and options
// as CODE:HEX in this order, CODE*N for N zero octets; rdlen= overrules its
// length.
func (m *message) opt(words []string) error {
	owner, section := ".", 3
	var size, version, flags, rdlen uint64 = 1232, 0, 0, 1 << 16
	var options []byte
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		var err error
		switch {
		case !ok:
			options, err = appendOption(options, w)
		case key == "owner":
			owner = value
		case key == "in":
			section = map[string]int{sectionAnswer: 1, sectionAuthority: 2, sectionAdditional: 3}[value]
		case key == "version":
			version, err = strconv.ParseUint(value, 0, 8)
		case key == "size":
			size, err = strconv.ParseUint(value, 0, 16)
		case key == "flags":
			flags, err = strconv.ParseUint(value, 0, 16)
		case key == "rdlen":
			rdlen, err = strconv.ParseUint(value, 0, 16)
		default:
			err = errors.New("nothing that an OPT has")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	if rdlen == 1<<16 {
		rdlen = uint64(len(options))
	}
	if err := m.name(owner); err != nil {
		return err
	}
	for _, v := range []uint64{uint64(dns.TypeOPT), size, version, flags, rdlen} {
		m.body = binary.BigEndian.AppendUint16(m.body, uint16(v))
	}
	m.body = append(m.body, options...)
	m.count(section)
	return nil
}

// appendOption appends an EDNS option written as CODE, CODE:HEX or CODE*N.
func appendOption(b []byte, text string) ([]byte, error) {
	code, digits, _ := strings.Cut(text, ":")
	code, zeros, _ := strings.Cut(code, "*")
	c, err := strconv.ParseUint(code, 10, 16)
	if err != nil {
		return nil, err
	}
	data, err := hex.DecodeString(digits)
	if err != nil {
		return nil, err
	}
	if zeros != "" {
		n, err := strconv.ParseUint(zeros, 10, 16)
		if err != nil {
			return nil, err
		}
		data = make([]byte, n)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(c))
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...), nil
}

// tsig appends a TSIG by a key that nobody knows (RFC 8945 4.2): tsig KEY
// [class=IN] [in=SECTION]. Its signature is all zeros.
func (m *message) tsig(words []string) error {
	section, class := 3, uint16(dns.ClassANY)
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "in":
			section = map[string]int{sectionAnswer: 1, sectionAuthority: 2, sectionAdditional: 3}[value]
		case "class":
			class, err = classNumber(value)
		default:
			err = errors.New("nothing that a TSIG has")
		}
		if err != nil {
			return err
		}
	}
	t := &dns.TSIG{
		Hdr:       dns.RR_Header{Name: words[0], Rrtype: dns.TypeTSIG, Class: class},
		Algorithm: dns.HmacSHA256, TimeSigned: uint64(time.Now().Unix()), Fudge: 300,
		MACSize: 32, MAC: strings.Repeat("00", 32), OrigId: m.id,
	}
	buf := make([]byte, 512)
	n, err := dns.PackRR(t, buf, 0, nil, false)
	m.body = append(m.body, buf[:n]...)
	m.count(section)
	return err
}

// bytes is the message on the wire.
func (m *message) bytes() []byte {
	b := binary.BigEndian.AppendUint16(nil, m.id)
	b = binary.BigEndian.AppendUint16(b, m.flags)
	for _, c := range m.counts {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	b = append(b, m.body...)
	if m.cut >= 0 && m.cut < len(b) {
		b = b[:m.cut]
	}
	return b
}

// exchange sends the message and returns the reply in normal form. What every
// reply must have is checked here: the id, the opcode, QR.
func (m *message) exchange(addr string) (*Reply, error) {
	raw, err := exchangeRaw(addr, m.bytes(), m.tcp)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return &Reply{Drop: true}, nil
	}
	if err := sane(raw, m.id, m.flags); err != nil {
		return nil, err
	}
	return replyOf(raw)
}

// exchangeRaw sends a request and returns what comes, nil if nothing does.
func exchangeRaw(addr string, request []byte, tcp bool) ([]byte, error) {
	if tcp {
		return exchangeTCP(addr, request)
	}
	c, err := net.Dial("udp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	var id uint16
	if len(request) > 1 {
		id = binary.BigEndian.Uint16(request)
	}
	return awaitUDP(c, id)
}

// awaitUDP returns the reply to a request, nil if there is none. That there is
// none is known when a question that was sent after it has its reply.
func awaitUDP(c net.Conn, id uint16) ([]byte, error) {
	buf := make([]byte, dns.MaxMsgSize)
	sent, answered := false, false
	wait := sentinelWait
	for {
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		n, err := c.Read(buf)
		switch {
		case err == nil && sent && n > 1 && binary.BigEndian.Uint16(buf) == ^id:
			answered, wait = true, afterWait
		case err == nil:
			return buf[:n], nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		case answered:
			return nil, nil
		case sent:
			return nil, fmt.Errorf("no reply within %v, not even to a plain question", udpWait)
		default:
			if err := sendSentinel(c, ^id); err != nil {
				return nil, err
			}
			sent, wait = true, udpWait
		}
	}
}

// sendSentinel asks a question that every server answers.
func sendSentinel(c net.Conn, id uint16) error {
	q := new(dns.Msg)
	q.SetQuestion("sentinel.invalid.", dns.TypeA)
	q.Id = id
	b, err := q.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(b)
	return err
}

func exchangeTCP(addr string, request []byte) ([]byte, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)
	if _, err := c.Write(framed); err != nil {
		return nil, err
	}
	raw, err := readFrame(c)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return raw, err
}

// readFrame reads one message from a TCP stream (RFC 1035 4.2.2).
func readFrame(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// numbered reads TYPE123 or CLASS123 (RFC 3597 5).
func numbered(s, prefix string) (uint16, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no %s", s, strings.ToLower(prefix))
	}
	return uint16(n), nil
}
