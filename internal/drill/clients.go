package drill

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"geodns/internal/geo/place"
	"geodns/internal/steer"
)

// Client stands for the clients of a place in a forecast.
type Client struct {
	// Prefix is one network there: who asks with it as client subnet is answered
	// as forecast.
	Prefix  string `json:"prefix"`
	Country string `json:"country"` // ISO 3166-1; "": not known
	City    string `json:"city,omitempty"`
	// Weight is for how much of all it stands: of the world's IPv4 addresses
	// whose country is known, or of the questions of a log; they add up to 1.
	Weight float64 `json:"weight"`
	// Questions is how many of a log it has.
	Questions uint64 `json:"questions,omitempty"`

	at steer.Client
}

// These bound for how many places a forecast is made.
const (
	placesPerCountry = 4
	maxOwn           = 256 // of the operator's own networks
	minPrefix        = 24  // the shortest prefix that stands for a place
)

// area is what the table has of one place.
type area struct {
	number    uint32
	addresses uint64
	first     uint32 // of its widest prefix
	bits      uint8
}

// world are clients of every country that the geography knows: each country is
// stood for by the places that have most of its addresses, each of the
// operator's own networks by itself. The last one is of unknown place.
func worldClients(t *place.Table) []Client {
	if t == nil {
		return nil
	}
	var list []Client
	for _, country := range byCountry(t, areas(t)) {
		sum, chosen := uint64(0), uint64(0)
		for _, a := range country {
			sum += a.addresses
		}
		country = best(t, country)
		for _, a := range country {
			chosen += a.addresses
		}
		for _, a := range country {
			c := a.client(t)
			if c.Country != "" {
				c.Weight = float64(a.addresses) / float64(chosen) * float64(sum)
			}
			list = append(list, c)
		}
	}
	normalise(list)
	return list
}

// areas walks through all IPv4 addresses, prefix by prefix.
func areas(t *place.Table) []area {
	v := t.ByPlace()
	list := make([]area, t.Len())
	for at := uint64(0); at < 1<<32; {
		number, bits := v.Find4(uint32(at))
		size := uint64(1) << (32 - bits)
		a := &list[number]
		if a.addresses == 0 || bits < a.bits {
			a.first, a.bits = uint32(at), bits
		}
		a.number = number
		a.addresses += size
		at += size
	}
	return slices.DeleteFunc(list, func(a area) bool { return a.addresses == 0 })
}

// byCountry puts the areas of one country together, in the order of the codes,
// what is of no country last.
func byCountry(t *place.Table, all []area) (out [][]area) {
	codes := map[string][]area{}
	for _, a := range all {
		p := t.Place(a.number)
		codes[p.Country] = append(codes[p.Country], a)
	}
	var order []string
	for code := range codes {
		order = append(order, code)
	}
	slices.SortFunc(order, func(a, b string) int {
		if (a == "") != (b == "") {
			return cmp.Compare(len(b), len(a))
		}
		return cmp.Compare(a, b)
	})
	for _, code := range order {
		out = append(out, codes[code])
	}
	return out
}

// best are those of a country's areas that stand for it.
func best(t *place.Table, list []area) (out []area) {
	slices.SortFunc(list, func(a, b area) int {
		return cmp.Or(cmp.Compare(b.addresses, a.addresses), cmp.Compare(a.number, b.number))
	})
	own, others := 0, 0
	for _, a := range list {
		if t.Place(a.number).Source == place.Networks {
			if own++; own <= maxOwn {
				out = append(out, a)
			}
		} else if others++; others <= placesPerCountry {
			out = append(out, a)
		}
	}
	return out
}

func (a *area) client(t *place.Table) Client {
	p := t.Place(a.number)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a.first)
	addr := netip.AddrFrom4(b)
	return Client{
		Prefix: netip.PrefixFrom(addr, int(max(a.bits, minPrefix))).String(), Country: p.Country, City: p.City, at: clientOf(addr),
	}
}

// normalise makes the weights add up to 1.
func normalise(list []Client) {
	sum := 0.0
	for i := range list {
		sum += list[i].Weight
	}
	for i := range list {
		if sum > 0 {
			list[i].Weight /= sum
		}
	}
}

// clientOf is an address as steering takes it.
func clientOf(a netip.Addr) steer.Client {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return steer.Client{V4: true, Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return steer.Client{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}
