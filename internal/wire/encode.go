package wire

// Response is what an encoder has to know beside the Reply.
type Response struct {
	// Limit is the most octets that the message may have: for UDP what the
	// client and the server take, for TCP 65535.
	Limit int
	// UDPSize is the payload that the server's OPT offers, in octets.
	UDPSize uint16
	// NSID is sent when asked for (RFC 5001), if not empty.
	NSID []byte
	// Keepalive is the idle time that is granted over TCP when asked for, in
	// units of 100 ms (RFC 7828 3.1).
	Keepalive uint16
	// Pad is to which multiple of octets messages are filled up for clients that
	// ask for that (RFC 7830 4, RFC 8467 4.1); 0 where nothing is encrypted.
	Pad int
}

// UDPLimit is the most octets that an answer to q may have over UDP, where
// most is the server's own limit (RFC 6891 6.2.3 to 6.2.5).
func UDPLimit(q *Query, most int) int {
	if !q.EDNS.Present {
		return MinUDPSize
	}
	return min(int(q.EDNS.Size), most)
}

// Append encodes r as the answer to q, which was parsed from req, into
// out[:0], and returns the message. out needs a capacity of x.Limit at least;
// if it has less, that is the limit. Whole RRsets are left out if they do not
// fit (RFC 2181 9), with TC if something is missing that the client must have.
func (e *Encoder) Append(out, req []byte, q *Query, r *Reply, x *Response) []byte {
	e.begin(out, req, q, x.Limit)
	opt, tsig := e.reserve(req, q, r, x)
	e.max -= opt + tsig

	tc := r.TC
	var count [3]int
	sets := [3][]Set{r.Answer, r.Authority, r.Additional}
	for section := 0; section < 2 && !tc; section++ {
		for i := range sets[section] {
			n := e.set(&sets[section][i], r.Class)
			if n < 0 {
				tc = true
				break
			}
			count[section] += n
		}
	}
	lost := false
	for i := range r.Additional {
		if tc {
			break
		}
		s := &r.Additional[i]
		if lost && s.Type == TypeRRSIG {
			continue // It stands behind what it signs, which is missing.
		}
		n := e.set(s, r.Class)
		if lost = n < 0; lost {
			tc = i < r.Required
			continue
		}
		count[2] += n
	}
	e.max += opt + tsig
	if opt > 0 {
		e.opt(q, r, x, opt)
		e.pad(q, x, opt, tsig)
		count[2]++
	}
	if tsig > 0 {
		e.tsigError(req, q, r.TSIGError)
		count[2]++
	}
	e.header(q, r, tc, count)
	return e.msg
}

// begin copies the question, which fits into any limit: a header, a name and
// four octets are less than 512.
func (e *Encoder) begin(out, req []byte, q *Query, limit int) {
	e.msg, e.req, e.q = out[:0], req, q
	e.max = min(limit, cap(out))
	e.forget()
	e.msg = append(e.msg, req[:HeaderLen]...)
	e.msg = append(e.msg, req[HeaderLen:HeaderLen+q.QuestionLen]...)
}

// reserve returns how many octets OPT and TSIG will take. What is least worth
// is left out if they don't fit: the error's text, the NSID, then the TSIG.
func (e *Encoder) reserve(req []byte, q *Query, r *Reply, x *Response) (opt, tsig int) {
	opt = optLen(q, r, x)
	free := e.max - len(e.msg)
	if opt > free {
		r.HasEDE = false
		opt = optLen(q, r, x)
	}
	if opt > free {
		q.EDNS.NSID = false
		opt = optLen(q, r, x)
	}
	if r.TSIGError != 0 {
		tsig = tsigErrorLen(req, q)
	}
	if opt+tsig > free {
		tsig = 0
	}
	return opt, tsig
}

func (e *Encoder) header(q *Query, r *Reply, tc bool, count [3]int) {
	flags := uint16(flagQR) | uint16(q.Opcode)<<11 | uint16(r.Rcode)&15
	if q.RD {
		flags |= flagRD
	}
	if r.AA {
		flags |= flagAA
	}
	if tc {
		flags |= flagTC
	}
	put16(e.msg, 2, flags)
	questions := uint16(0)
	if q.QuestionLen > 0 {
		questions = 1
	}
	put16(e.msg, 4, questions)
	put16(e.msg, 6, uint16(count[0]))
	put16(e.msg, 8, uint16(count[1]))
	put16(e.msg, 10, uint16(count[2]))
}

// set appends a Set and returns how many records it had, or -1 if it does not
// fit: then nothing of it remains.
func (e *Encoder) set(s *Set, class uint16) int {
	start := len(e.msg)
	n := 0
	if s.Pick != nil {
		for _, i := range s.Pick {
			data := nthRecord(s.Type, s.Records, int(i))
			if !e.record(s, class, data) {
				return e.undo(start)
			}
			n++
		}
		return n
	}
	first := skipRecords(s.Records, s.First)
	for half := 0; half < 2; half++ {
		records := s.Records[first:]
		if half == 1 {
			records = s.Records[:first]
		}
		for len(records) > 0 {
			data, rest, ok := NextRecord(records)
			if !ok {
				break
			}
			if !e.record(s, class, data) {
				return e.undo(start)
			}
			records = rest
			n++
		}
	}
	return n
}

// undo takes back what was written from start on. Names may have been entered
// that are no more: all are forgotten, which costs a few octets in a message
// that is full anyway.
func (e *Encoder) undo(start int) int {
	e.msg = e.msg[:start]
	e.forget()
	return -1
}

// skipRecords is the offset of record n in a packed RRset.
func skipRecords(records []byte, n int) int {
	at := 0
	for ; n > 0 && at+2 <= len(records); n-- {
		at += 2 + int(be16(records, at))
	}
	if at > len(records) {
		return 0
	}
	return at
}

// nthRecord is the RDATA of record n. Addresses are all of one length, so that
// theirs is found by a multiplication.
func nthRecord(t Type, records []byte, n int) []byte {
	var size int
	switch t {
	case TypeA:
		size = 2 + 4
	case TypeAAAA:
		size = 2 + 16
	default:
		data, _, _ := NextRecord(records[skipRecords(records, n):])
		return data
	}
	if at := n * size; at+size <= len(records) {
		return records[at+2 : at+size]
	}
	return nil
}

// record appends one record. It reports false if it does not fit.
func (e *Encoder) record(s *Set, class uint16, data []byte) bool {
	if s.Owner == nil {
		// The question's name stands at a known place.
		if len(e.msg)+2 > e.max {
			return false
		}
		e.msg = append(e.msg, 0xc0, HeaderLen)
	} else if !e.name(s.Owner) {
		return false
	}
	return e.body(s, class, data)
}

// body appends what follows the owner.
func (e *Encoder) body(s *Set, class uint16, data []byte) bool {
	if len(e.msg)+10 > e.max {
		return false
	}
	e.msg = append(e.msg,
		byte(s.Type>>8), byte(s.Type), byte(class>>8), byte(class),
		byte(s.TTL>>24), byte(s.TTL>>16), byte(s.TTL>>8), byte(s.TTL),
		byte(len(data)>>8), byte(len(data)))
	names, at := Compressible(s.Type)
	if names == 0 {
		return e.plain(data)
	}
	length := len(e.msg) - 2
	if at > len(data) || !e.plain(data[:at]) {
		return false
	}
	for ; names > 0; names-- {
		n := NameLen(data[at:])
		if n == 0 || !e.name(data[at:at+n]) {
			return false
		}
		at += n
	}
	if !e.plain(data[at:]) {
		return false
	}
	put16(e.msg, length, uint16(len(e.msg)-length-2))
	return true
}

// Compressible returns how many names a type's RDATA has that may be
// compressed, and where the first begins: those of RFC 1035 only (RFC 3597 4).
func Compressible(t Type) (names, at int) {
	switch t {
	case TypeNS, TypeMD, TypeMF, TypeCNAME, TypeMB, TypeMG, TypeMR, TypePTR:
		return 1, 0
	case TypeMX:
		return 1, 2
	case TypeSOA, TypeMINFO:
		return 2, 0
	}
	return 0, 0
}

// optLen is the length of the OPT record of the reply, 0 for none.
func optLen(q *Query, r *Reply, x *Response) int {
	e := &q.EDNS
	if !e.Present {
		return 0
	}
	n := 11
	if e.NSID && len(x.NSID) > 0 {
		n += 4 + len(x.NSID)
	}
	if e.ECS.Present {
		n += 8 + int(e.ECS.Source+7)/8
	}
	if e.Keepalive {
		n += 6
	}
	if e.Version && r.HasVersion {
		n += 10
	}
	if r.HasEDE {
		n += 6 + len(r.EDEText)
	}
	return n
}

// opt appends the OPT record of n octets (RFC 6891 6.1.2).
func (e *Encoder) opt(q *Query, r *Reply, x *Response, n int) {
	do := byte(0)
	if q.EDNS.DO {
		do = 0x80
	}
	e.msg = append(e.msg, 0, 0, byte(TypeOPT), byte(x.UDPSize>>8), byte(x.UDPSize),
		byte(r.Rcode>>4), 0, do, 0, byte((n-11)>>8), byte(n-11))
	if q.EDNS.NSID && len(x.NSID) > 0 {
		e.option(optNSID, len(x.NSID))
		e.msg = append(e.msg, x.NSID...)
	}
	if c := &q.EDNS.ECS; c.Present {
		bytes := int(c.Source+7) / 8
		e.option(optECS, 4+bytes)
		scope := r.Scope
		if c.Source == 0 {
			scope = 0 // RFC 7871 7.2.1
		}
		e.msg = append(e.msg, byte(c.Family>>8), byte(c.Family), c.Source, scope)
		e.msg = append(e.msg, c.Addr[:bytes]...)
	}
	if q.EDNS.Keepalive {
		e.option(optKeepalive, 2)
		e.msg = append(e.msg, byte(x.Keepalive>>8), byte(x.Keepalive))
	}
	if q.EDNS.Version && r.HasVersion {
		// RFC 9660 2.1: LABELCOUNT, TYPE 0 (SOA-SERIAL), VERSION.
		e.option(optVersion, 6)
		v := r.ZoneSerial
		e.msg = append(e.msg, r.ZoneLabels, 0, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	if r.HasEDE {
		e.option(optEDE, 2+len(r.EDEText))
		e.msg = append(e.msg, byte(r.EDE>>8), byte(r.EDE))
		e.msg = append(e.msg, r.EDEText...)
	}
}

// pad fills the message up by an option at the end of the OPT record of opt
// octets, which stands last; tsig octets are to follow. Where there is no room for
// all of the padding there is none.
func (e *Encoder) pad(q *Query, x *Response, opt, tsig int) {
	if x.Pad <= 0 || !q.EDNS.Padding {
		return
	}
	const head = 4
	length := len(e.msg) + head + tsig
	fill := (x.Pad - length%x.Pad) % x.Pad
	if length+fill > e.max {
		return
	}
	rdlen := opt - 11 + head + fill
	at := len(e.msg) - opt + 9
	e.msg[at], e.msg[at+1] = byte(rdlen>>8), byte(rdlen)
	e.option(optPadding, fill)
	for range fill {
		e.msg = append(e.msg, 0)
	}
}

func (e *Encoder) option(code, n int) {
	e.msg = append(e.msg, byte(code>>8), byte(code), byte(n>>8), byte(n))
}

// tsigErrorLen is the length of the TSIG record that tsigError appends, 0 if
// the request's cannot be read.
func tsigErrorLen(req []byte, q *Query) int {
	name, alg := tsigNames(req, q)
	if name == nil || alg == nil {
		return 0
	}
	return len(name) + 10 + len(alg) + 16
}

// tsigNames returns the names of the key and of the algorithm of the request's
// TSIG; nil if they are compressed or malformed.
func tsigNames(req []byte, q *Query) (key, alg []byte) {
	if q.TSIG == 0 {
		return nil, nil
	}
	n := NameLen(req[q.TSIG:])
	if n == 0 {
		return nil, nil
	}
	at := q.TSIG + n + 10
	if at > len(req) {
		return nil, nil
	}
	m := NameLen(req[at:])
	// Time signed (6), fudge (2), MAC size (2), then the MAC, original ID and
	// more: the first six octets are echoed.
	if m == 0 || at+m+10 > len(req) {
		return nil, nil
	}
	return req[q.TSIG : q.TSIG+n], req[at : at+m]
}

// tsigError appends an unsigned TSIG with an error (RFC 8945 5.3.2): the key,
// the algorithm and the time of the request, no MAC.
func (e *Encoder) tsigError(req []byte, q *Query, code uint16) {
	key, alg := tsigNames(req, q)
	rdlen := len(alg) + 16
	e.msg = append(e.msg, key...)
	e.msg = append(e.msg, 0, byte(TypeTSIG), 0, byte(ClassANY), 0, 0, 0, 0, byte(rdlen>>8), byte(rdlen))
	e.msg = append(e.msg, alg...)
	at := q.TSIG + len(key) + 10 + len(alg)
	e.msg = append(e.msg, req[at:at+8]...) // time signed, fudge
	e.msg = append(e.msg, 0, 0, byte(q.ID>>8), byte(q.ID), byte(code>>8), byte(code), 0, 0)
}

func put16(b []byte, at int, v uint16) { b[at], b[at+1] = byte(v>>8), byte(v) }
