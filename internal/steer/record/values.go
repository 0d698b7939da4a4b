package record

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"geodns/internal/wire"
)

// What the values of several records have in common. Each reader notes what is
// wrong and reports whether the value may be used.

const day = 24 * time.Hour

// number reads a decimal number from low to high.
func (p *parser) number(t *Tag, low, high uint64) (uint64, bool) {
	n, err := strconv.ParseUint(t.Value, 10, 64)
	if err == nil && digit(t.Value[0]) && n >= low && n <= high {
		return n, true
	}
	p.bad(t, fmt.Sprintf("%s=%s is not a number from %d to %d", t.Key, quote(t.Value), low, high), "write a whole number, without sign and unit")
	return 0, false
}

// word reads one of a few words, of any case.
func (p *parser) word(t *Tag, words ...string) (string, bool) {
	for _, w := range words {
		if strings.EqualFold(t.Value, w) {
			return w, true
		}
	}
	values := strings.Join(words, ", ")
	remedy := "the values are " + values
	if len(words) == 1 {
		remedy = "the only value is " + values
	}
	if near := nearest(t.Value, words); near != "" {
		remedy = "did you mean " + near + "? The values are " + values
	}
	p.bad(t, t.Key+"="+quote(t.Value)+" is not known", remedy)
	return "", false
}

func (p *parser) yes(t *Tag) bool {
	w, _ := p.word(t, "yes", "no")
	return w == "yes"
}

// units of durations, the ones that end like others first.
var units = []struct {
	name string
	d    time.Duration
}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", day}}

// readDuration reads a whole number and a unit.
func readDuration(s string) (time.Duration, bool) {
	for _, u := range units {
		head, ok := strings.CutSuffix(s, u.name)
		if !ok || head == "" || !digit(head[0]) {
			continue
		}
		n, err := strconv.ParseUint(head, 10, 40)
		if err != nil || n > uint64(1000*day/u.d) {
			return 0, false
		}
		return time.Duration(n) * u.d, true
	}
	return 0, false
}

// durationText is the shortest text that readDuration reads as d, which must be
// whole milliseconds.
func durationText(d time.Duration) string {
	for i := len(units) - 1; i > 0; i-- {
		if d%units[i].d == 0 {
			return strconv.FormatInt(int64(d/units[i].d), 10) + units[i].name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// duration reads a duration from low to high.
func (p *parser) duration(t *Tag, low, high time.Duration) (time.Duration, bool) {
	d, ok := readDuration(strings.ToLower(t.Value))
	if ok && d >= low && d <= high {
		return d, true
	}
	if ok {
		p.bad(t, fmt.Sprintf("%s=%s is not from %s to %s", t.Key, t.Value, durationText(low), durationText(high)), "choose a duration in this range")
		return 0, false
	}
	remedy := "write a whole number and its unit: 200ms, 5s, 1m, 2h or 1d"
	if _, err := strconv.ParseUint(t.Value, 10, 32); err == nil {
		remedy = "add the unit, as in " + t.Key + "=" + t.Value + "s"
	}
	p.bad(t, t.Key+"="+quote(t.Value)+" is not a duration", remedy)
	return 0, false
}

// readAddr reads an address that a node may have, or says what is wrong.
func readAddr(s string) (a netip.Addr, text, remedy string) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return a, quote(s) + " is not an address", "write an IPv4 or IPv6 address, as in 192.0.2.1 or 2001:db8::1"
	case a.Zone() != "":
		return a, "the address " + quote(s) + " has a zone", "remove it from the % on"
	case a.Is4In6():
		return a, quote(s) + " is an IPv4 address in IPv6 form", "write " + a.Unmap().String()
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return a, a.String() + " is not the address of a machine", "write a unicast address"
	}
	return a, "", ""
}

func (p *parser) addr(key string, it item) (netip.Addr, bool) {
	a, text, remedy := readAddr(it.text)
	if text != "" {
		p.fail(it.at, key, text, remedy)
	}
	return a, text == ""
}

// prefix reads a network whose host bits are zero.
func (p *parser) prefix(t *Tag) (netip.Prefix, bool) {
	n, err := netip.ParsePrefix(t.Value)
	if err == nil && n == n.Masked() && !n.Addr().Is4In6() {
		return n, true
	}
	a, addrErr := netip.ParseAddr(t.Value)
	switch {
	case err == nil && n.Addr().Is4In6():
		p.bad(t, quote(t.Value)+" is an IPv4 prefix in IPv6 form", "write it as an IPv4 prefix")
	case err == nil:
		p.bad(t, fmt.Sprintf("%s has bits set beyond its length", t.Value), "write "+n.Masked().String())
	case addrErr == nil && a.Zone() == "":
		p.bad(t, quote(t.Value)+" has no prefix length", "write "+netip.PrefixFrom(a, a.BitLen()).String()+" for this one address")
	default:
		p.bad(t, quote(t.Value)+" is not a prefix", "write an address and a length, as in 192.0.2.0/24 or 2001:db8::/32")
	}
	return n, false
}

// label reads the label of a site, node or check: one label, in lower case.
func (p *parser) label(key string, it item) (string, bool) {
	s := strings.ToLower(it.text)
	ok := s != "" && len(s) <= wire.MaxLabel
	for _, c := range []byte(s) {
		ok = ok && (letter(c) || digit(c) || c == '-' || c == '_')
	}
	switch {
	case ok:
		return s, true
	case s == "":
		p.fail(it.at, key, "a name is missing in "+key+"=", "remove the comma that is too much, or write the name")
	default:
		p.fail(it.at, key, quote(it.text)+" is not the name of a site, node or check", "write the one label that stands before _site, _node or _check, of letters, digits, - and _")
	}
	return "", false
}

// step reads the label of a site or node, or an address.
func (p *parser) step(key string, it item) (string, bool) {
	if !looksLikeAddr(it.text) {
		return p.label(key, it)
	}
	a, ok := p.addr(key, it)
	return a.String(), ok
}

// looksLikeAddr reports whether text is meant as an address: no label has a
// colon, and nothing but an address has only digits and dots.
func looksLikeAddr(s string) bool {
	return strings.Contains(s, ":") || strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == ""
}

// labels reads a list without repetitions.
func (p *parser) labels(t *Tag, read func(string, item) (string, bool)) []string {
	var out []string
	seen := map[string]bool{}
	for _, it := range t.items() {
		s, ok := read(t.Key, it)
		switch {
		case !ok:
		case seen[s]:
			p.twice(it.at, t.Key, s+" stands twice in "+t.Key+"=", "keep one of them")
		default:
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// text255 reads text that is matched or shown as it is.
func (p *parser) text255(t *Tag) (string, bool) {
	if len(t.Value) <= 255 {
		return t.Value, true
	}
	p.bad(t, fmt.Sprintf("%s= has %d octets", t.Key, len(t.Value)), "shorten it to 255")
	return "", false
}

// country reads an ISO 3166-1 code. That no country has it yet is no error:
// the list changes, and databases have codes of their own.
func (p *parser) country(key string, it item) (string, bool) {
	c := strings.ToUpper(it.text)
	if len(c) != 2 || !letter(c[0]) || !letter(c[1]) {
		p.fail(it.at, key, quote(it.text)+" is not the code of a country", "write the two letters of ISO 3166-1, as in US")
		return "", false
	}
	if !isCountry(c) {
		remedy := "correct it, if it is not a code that your database has"
		if c == "UK" {
			remedy = "write GB for the United Kingdom"
		}
		p.add(true, RuleCountry, it.at, key, "no country has the code "+c, remedy)
	}
	return c, true
}

// isCountry reports whether a code is in ISO 3166-1, or used like one.
func isCountry(c string) bool {
	const codes = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZ" +
		"DEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJP" +
		"KEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOM" +
		"PAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZ" +
		"UAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZWXK"
	for i := 0; i < len(codes); i += 2 {
		if codes[i:i+2] == c {
			return true
		}
	}
	return false
}

// nearest is the word that key was probably meant to be: at most two edits
// away, and less than half of it; "" if there is none.
func nearest(key string, words []string) string {
	best, edits := "", 3
	for _, w := range words {
		if len(key) > 32 {
			break
		}
		if n := distance(strings.ToLower(key), strings.ToLower(w)); n < edits && 2*n < len(w)+1 && 2*n < len(key)+1 {
			best, edits = w, n
		}
	}
	return best
}

// distance counts the insertions, removals, replacements and swaps of
// neighbours that make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
