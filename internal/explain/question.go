package explain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/miekg/dns"

	"geodns/internal/steer"
	"geodns/internal/wire"
	"geodns/internal/zonefile"
)

// Asked is a question that can be asked.
type Asked struct {
	Name   []byte // wire form
	Type   wire.Type
	Client netip.Addr
	ECS    netip.Prefix // invalid: none
}

// Parse reads a question. ecs is a prefix, or an address; "": none. The error
// says which part is wrong, and what to write.
func Parse(name, typ, client, ecs string) (a Asked, err error) {
	if a.Name, err = zonefile.ParseName(name, []byte{0}); err != nil {
		return a, fmt.Errorf("%q is no domain name: %w", name, err)
	}
	if a.Type, err = zonefile.ParseType(typ); err != nil {
		return a, err
	}
	switch a.Type {
	case wire.TypeAXFR, wire.TypeIXFR:
		return a, errors.New(typ + " asks for a transfer, of which there is nothing to explain; ask for a record's type")
	case wire.TypeOPT, wire.TypeTSIG:
		return a, errors.New(typ + " is no type that can be asked for; ask for a record's type")
	}
	if client == "" {
		return a, errors.New("for whom? say --client ADDRESS, that of the resolver which asks")
	}
	if a.Client, err = netip.ParseAddr(client); err != nil || a.Client.Zone() != "" {
		return a, fmt.Errorf("the client %q is no address; write one such as 192.0.2.1 or 2001:db8::1, and a prefix as --ecs", client)
	}
	a.Client = a.Client.Unmap()
	if ecs == "" {
		return a, nil
	}
	a.ECS, err = parsePrefix(ecs)
	return a, err
}

// parsePrefix also takes an address, as dig +subnet does.
func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("the client subnet %q is no prefix; write one such as 192.0.2.0/24 or 2001:db8::/56", text)
}

// ParseDraw reads a draw as a Report shows it, or in decimal.
func ParseDraw(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("the draw %q is no number of 64 bits; write it as a report shows it, such as 0x0123456789abcdef", text)
	}
	return n, nil
}

// strings is the question for the Report.
func (a *Asked) strings() Question {
	q := Question{Name: wire.NameString(a.Name), Type: zonefile.TypeString(a.Type), Client: a.Client.String()}
	if a.ECS.IsValid() {
		q.ECS = a.ECS.String()
	}
	return q
}

// payload is what the question says that its sender takes by UDP, in octets:
// what most resolvers say (dnsflagday.net/2020).
const payload = 1232

// message is the question as it comes by the network.
func (a *Asked) message() ([]byte, error) {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: ".", Qtype: a.Type, Qclass: wire.ClassIN}}
	m.SetEdns0(payload, false)
	if a.ECS.IsValid() {
		e := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: wire.FamilyIPv4, SourceNetmask: uint8(a.ECS.Bits()), Address: net.IP(a.ECS.Addr().AsSlice())}
		if a.ECS.Addr().Is6() {
			e.Family = wire.FamilyIPv6
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, e)
	}
	msg, err := m.Pack()
	if err != nil {
		return nil, err
	}
	// The name goes in as it is: it needs no second reading.
	return append(append(append([]byte(nil), msg[:wire.HeaderLen]...), a.Name...), msg[wire.HeaderLen+1:]...), nil
}

// clientOf is an address as steering takes it.
func clientOf(a netip.Addr) steer.Client {
	if a.Is4() {
		b := a.As4()
		return steer.Client{V4: true, Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return steer.Client{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}
