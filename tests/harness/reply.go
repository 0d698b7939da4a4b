package harness

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The sections of a reply, in the words of a scenario.
const (
	sectionAnswer     = "answer"
	sectionAuthority  = "authority"
	sectionAdditional = "additional"
)

// ourUDPSize is the payload size that an expected OPT names if it says nothing
// else.
const ourUDPSize = "1232"

// Reply is the normal form of a reply. Records are text, "owner TTL [class]
// type RDATA" with the class left out when it is IN, names in lower case.
type Reply struct {
	// Drop: nothing came.
	Drop bool
	// Rcode is "NOERROR" and so on.
	Rcode string
	// Flags holds aa, tc, rd, ra, ad, cd and z, those that are set.
	Flags []string
	// Question holds "name class type", with the name's case as it came.
	Question []string
	// Records holds the records by section, sorted.
	Records map[string][]string
	// EDNS says what the OPT holds, a word each ("size=1232", "nsid=x"); nil
	// if there is none.
	EDNS []string
	// TSIG is "key ERROR" if there is a TSIG.
	TSIG string
	// Octets is the length of the message.
	Octets int
}

// String is the reply in the notation of a scenario.
func (r *Reply) String() string {
	if r.Drop {
		return "drop\n"
	}
	var b strings.Builder
	b.WriteString(strings.Join(append([]string{r.Rcode}, r.Flags...), " "))
	if len(r.Question) != 1 {
		fmt.Fprintf(&b, " q%d", len(r.Question))
	}
	b.WriteByte('\n')
	for _, s := range []string{sectionAnswer, sectionAuthority, sectionAdditional} {
		for _, rr := range r.Records[s] {
			fmt.Fprintf(&b, "%s %s\n", s, rr)
		}
	}
	if r.EDNS != nil {
		words := slices.DeleteFunc(slices.Clone(r.EDNS), func(w string) bool { return w == "size="+ourUDPSize })
		b.WriteString(strings.Join(append([]string{"edns"}, words...), " ") + "\n")
	}
	if r.TSIG != "" {
		b.WriteString("tsig " + r.TSIG + "\n")
	}
	return b.String()
}

// foldedTypes are the types whose RDATA is all names and numbers, so that its
// case says nothing.
func foldedType(t string) bool {
	switch t {
	case "A", "AAAA", "NS", "CNAME", "DNAME", "SOA", "PTR", "MX", "SRV", "MB", "MD", "MF", "MG", "MR", "MINFO", "DS", "SVCB", "HTTPS", "NSEC":
		return true
	}
	return false
}

// normalRecord brings a record's text to the normal form.
func normalRecord(text string) (string, error) {
	f := fields(text)
	if len(f) < 3 {
		return "", fmt.Errorf("%q is no record: it takes owner, TTL, type and RDATA", text)
	}
	f[0] = strings.ToLower(f[0])
	if f[2] == "IN" {
		f = slices.Delete(f, 2, 3)
	}
	if len(f) > 3 && foldedType(f[2]) {
		for i := 3; i < len(f); i++ {
			f[i] = strings.ToLower(f[i])
		}
	}
	if f[2] == "RRSIG" && len(f) > 6 {
		// Type covered, algorithm and labels say which signature it is; the rest
		// would only make scenarios hard to read.
		f = f[:6]
	}
	return strings.Join(f, " "), nil
}

// fields splits at blanks that are not within quotes.
func fields(text string) []string {
	var out []string
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range []byte(text) {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			if b.Len() > 0 {
				out = append(out, b.String())
				b.Reset()
			}
			continue
		}
		b.WriteByte(c)
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}

// replyOf brings a raw message to the normal form. Every octet of it has to
// make sense.
func replyOf(raw []byte) (*Reply, error) {
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		return nil, fmt.Errorf("the reply is malformed: %w: % x", err, raw)
	}
	r := &Reply{Records: map[string][]string{}, Octets: len(raw)}
	r.Flags = flagsOf(raw)
	for _, q := range m.Question {
		r.Question = append(r.Question, questionText(q))
	}
	rcode := m.Rcode
	for s, rrs := range map[string][]dns.RR{sectionAnswer: m.Answer, sectionAuthority: m.Ns, sectionAdditional: m.Extra} {
		for _, rr := range rrs {
			switch rr := rr.(type) {
			case *dns.OPT:
				if s != sectionAdditional || r.EDNS != nil {
					return nil, fmt.Errorf("the reply has an OPT too many, or in its %s section", s)
				}
				r.EDNS = ednsOf(rr)
			case *dns.TSIG:
				r.TSIG = rr.Hdr.Name + " " + tsigError(rr.Error)
			default:
				text, err := normalRecord(rr.String())
				if err != nil {
					return nil, err
				}
				r.Records[s] = append(r.Records[s], text)
			}
		}
		slices.Sort(r.Records[s])
	}
	r.Rcode = rcodeText(rcode)
	return r, nil
}

func rcodeText(rcode int) string {
	switch rcode {
	case dns.RcodeBadVers:
		return "BADVERS"
	case dns.RcodeNotImplemented:
		return "NOTIMP"
	}
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

func tsigError(e uint16) string {
	switch e {
	case dns.RcodeBadSig:
		return "BADSIG"
	case dns.RcodeBadKey:
		return "BADKEY"
	case dns.RcodeBadTime:
		return "BADTIME"
	}
	return fmt.Sprint(e)
}

func questionText(q dns.Question) string {
	return q.Name + " " + dns.Class(q.Qclass).String() + " " + dns.Type(q.Qtype).String()
}

// flagsOf names the flags of a header (RFC 1035 4.1.1, RFC 4035 3).
func flagsOf(raw []byte) []string {
	bits := int(raw[2])<<8 | int(raw[3])
	var out []string
	for _, f := range []struct {
		bit  int
		name string
	}{{10, "aa"}, {9, "tc"}, {8, "rd"}, {7, "ra"}, {6, "z"}, {5, "ad"}, {4, "cd"}} {
		if bits>>f.bit&1 != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

// ednsOf describes an OPT, a word each.
func ednsOf(o *dns.OPT) []string {
	out := []string{fmt.Sprintf("size=%d", o.UDPSize())}
	if o.Version() != 0 {
		out = append(out, fmt.Sprintf("version=%d", o.Version()))
	}
	if o.Do() {
		out = append(out, "do")
	}
	if z := o.Hdr.Ttl & 0x7fff; z != 0 {
		out = append(out, fmt.Sprintf("flags=%#x", z))
	}
	for _, opt := range o.Option {
		switch opt := opt.(type) {
		case *dns.EDNS0_NSID:
			out = append(out, "nsid="+hexText(opt.Nsid))
		case *dns.EDNS0_SUBNET:
			out = append(out, fmt.Sprintf("ecs=%s/%d/%d", subnetAddress(opt), opt.SourceNetmask, opt.SourceScope))
		case *dns.EDNS0_EDE:
			out = append(out, fmt.Sprintf("ede=%d", opt.InfoCode))
		case *dns.EDNS0_TCP_KEEPALIVE:
			out = append(out, fmt.Sprintf("keepalive=%d", opt.Timeout))
		default:
			out = append(out, fmt.Sprintf("option%d", opt.Option()))
		}
	}
	return out
}

func subnetAddress(o *dns.EDNS0_SUBNET) string {
	if o.Family == 0 {
		return "0"
	}
	return o.Address.String()
}
