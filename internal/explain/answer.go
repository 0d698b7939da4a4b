package explain

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"geodns/internal/zonefile"
)

// decode reads an answer as whoever gets it would.
func decode(msg []byte) (Answer, error) {
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		return Answer{}, fmt.Errorf("the answer can't be read back, which is a fault of geodns: %w", err)
	}
	a := Answer{
		AA: m.Authoritative, Truncated: m.Truncated, Octets: len(msg),
		Answer: records(m.Answer), Authority: records(m.Ns), Additional: records(m.Extra),
	}
	rcode := m.Rcode
	if o := m.IsEdns0(); o != nil {
		rcode = rcode&0xf | o.ExtendedRcode()
		for _, x := range o.Option {
			if e, ok := x.(*dns.EDNS0_EDE); ok {
				a.Error = strings.TrimSuffix(fmt.Sprintf("%d (%s): %s", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode], e.ExtraText), ": ")
			}
		}
	}
	a.Rcode = dns.RcodeToString[rcode]
	return a, nil
}

func records(list []dns.RR) []RR {
	out := []RR{}
	for _, rr := range list {
		h := rr.Header()
		if h.Rrtype == dns.TypeOPT {
			continue
		}
		out = append(out, RR{
			Name: h.Name, TTL: h.Ttl, Type: zonefile.TypeString(h.Rrtype),
			Data: strings.TrimPrefix(rr.String(), h.String()),
		})
	}
	return out
}
