package build

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// delegated reads a line of a registry's statistics, in the format that the
// five share ("RIR Statistics Exchange Format"):
//
//	registry|cc|type|start|value|date|status[|opaque-id[|extensions...]]
//
// ahead of which stand a version line and a summary of each type.
func (r *reader) delegated(line string) {
	if strings.HasPrefix(line, "#") {
		return
	}
	var buf [12]field
	f := split(line, '|', buf[:])
	switch {
	case len(f) > 5 && f[5].text == "summary":
	case len(f) < 7:
		r.bad(1, "%d fields, and registry|cc|type|start|value|date|status are 7; is this a delegated-extended file?", len(f))
	case f[0].text != "" && f[0].text[0] >= '0' && f[0].text[0] <= '9':
		r.version(f)
	default:
		r.delegation(f)
	}
}

// version reads the first line:
// version|registry|serial|records|startdate|enddate|UTCoffset.
func (r *reader) version(f []field) {
	if at, err := time.Parse("20060102", f[5].text); err == nil {
		r.date = at
	}
}

func (r *reader) delegation(f []field) {
	code, kind, start, value, status := f[1], f[2], f[3], f[4], f[6]
	switch status.text {
	case "allocated", "assigned":
	case "available", "reserved": // nobody's
		return
	default:
		r.bad(status.column, "the status %q is not known; it is allocated, assigned, available or reserved", clip(status.text))
		return
	}
	switch kind.text {
	case "asn":
		return
	case "ipv4", "ipv6":
	default:
		r.bad(kind.column, "the type %q is not known; it is asn, ipv4 or ipv6", clip(kind.text))
		return
	}
	a, err := netip.ParseAddr(start.text)
	if err != nil || a.Is4() != (kind.text == "ipv4") || a.Is4In6() || a.Zone() != "" {
		r.bad(start.column, "%q is no address of %s", clip(start.text), kind.text)
		return
	}
	first, last, ok := r.extent(a, start, value)
	if !ok {
		return
	}
	if p, ok := r.registered(code); ok {
		r.add(first, last, a.Is4(), p)
	}
}

// extent reckons the last address: the value is a number of addresses in IPv4,
// which need not be a power of two, and a prefix length in IPv6.
func (r *reader) extent(a netip.Addr, start, value field) (first, last addr, ok bool) {
	n, err := strconv.ParseUint(value.text, 10, 64)
	first = fromIP(a)
	if a.Is4() {
		if err != nil || n == 0 || n > 1<<32 || first.lo+n-1 > math.MaxUint32 {
			r.bad(value.column, "%q is no number of addresses from %s on; it goes from 1 to %d", clip(value.text), a, 1<<32-first.lo)
			return first, last, false
		}
		return first, addr{0, first.lo + n - 1}, true
	}
	if err != nil || n == 0 || n > 128 {
		r.bad(value.column, "%q is no prefix length of IPv6; it goes from 1 to 128", clip(value.text))
		return first, last, false
	}
	p, ok := r.prefix(field{start.text + "/" + value.text, start.column})
	if !ok {
		return first, last, false
	}
	return first, lastOf(p), true
}

// tor reads a line of Tor's geoip, "start,end,CC" with addresses as decimal
// numbers, or of geoip6, with addresses of IPv6.
func (r *reader) tor(line string) {
	if comment, ok := strings.CutPrefix(line, "#"); ok {
		// The head that the IPFire Location Database has put there.
		if text, ok := strings.CutPrefix(strings.TrimSpace(comment), "Generated:"); ok {
			if at, err := time.Parse(time.RFC1123, strings.TrimSpace(text)); err == nil {
				r.date = at.UTC()
			}
		}
		return
	}
	var buf [4]field
	f := split(line, ',', buf[:])
	if len(f) != 3 {
		r.bad(1, "%d fields instead of start,end,country; is this a geoip or geoip6 file of Tor?", len(f))
		return
	}
	four := !strings.Contains(f[0].text, ":")
	first, ok := r.torAddr(f[0], four)
	if !ok {
		return
	}
	last, ok := r.torAddr(f[1], four)
	if !ok {
		return
	}
	if last.less(first) {
		r.bad(f[1].column, "the range ends before it begins; exchange start and end")
		return
	}
	if p, ok := r.registered(f[2]); ok {
		r.add(first, last, four, p)
	}
}

func (r *reader) torAddr(f field, four bool) (addr, bool) {
	if four {
		n, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil {
			r.bad(f.column, "%q is no IPv4 address as a number from 0 to 4294967295", clip(f.text))
		}
		return addr{0, n}, err == nil
	}
	a, err := netip.ParseAddr(f.text)
	if err != nil || !a.Is6() || a.Zone() != "" || a.Is4In6() || fromIP(a).less(lowest6) {
		r.bad(f.column, "%q is no address of IPv6 that a host can have", clip(f.text))
		return addr{}, false
	}
	return fromIP(a), true
}
