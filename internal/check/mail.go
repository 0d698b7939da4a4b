package check

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"geodns/internal/wire"
)

// mailNode is a name that an MX record leads to.
type mailNode struct {
	c *checker
	n nameID
}

// mailNodes looks at the addresses of a zone's mail exchangers, in whatever zone
// of the run they are: receivers of mail refuse a client whose address has no
// PTR that leads to a name with this very address (RFC 1912 2.1, RFC 8601 3).
func (t *together) mailNodes(c *checker) {
	if !t.reverse {
		return
	}
	z := c.z
	for i := range z.records {
		r := recID(i + 1)
		p := z.rec(r)
		if p.typ != wire.TypeMX || p.dropped || z.nm(p.owner).above != 0 || z.cut(p.owner) {
			continue
		}
		target := targetOf(p.typ, z.data(r))
		other := t.zoneOf(target)
		if isRoot(target) || other == nil {
			continue
		}
		k, n := other.z.resolve(target)
		node := mailNode{other, n}
		if k != exists && k != wildcard || t.mail[node] {
			continue
		}
		t.mail[node] = true
		t.mailNode(node, target)
	}
}

// mailNode looks at each address of one mail exchanger.
func (t *together) mailNode(m mailNode, name []byte) {
	z := m.c.z
	for r := z.firstOf(m.n); r != 0; r = z.rec(r).next {
		if flagOf(z.rec(r).typ) != hasAddress || z.rec(r).dropped {
			continue
		}
		if a, ok := netip.AddrFromSlice(z.data(r)); ok && !t.posted[a] {
			t.confirm(m.c, r, a, name)
		}
	}
}

// confirm looks whether an address and its PTR confirm each other.
func (t *together) confirm(c *checker, r recID, a netip.Addr, name []byte) {
	reverse := reverseOf(a)
	other := t.zoneOf(reverse)
	if other == nil || !inReverse(other.z.apex) {
		return
	}
	k, n := other.z.resolve(reverse)
	if k != missing && k != exists && k != wildcard || other.z.has(n, hasCNAME) {
		return // somebody else has it (RFC 2317)
	}
	t.posted[a] = true
	what := "mail from " + text(name) + " is refused by many: its address " + a.String()
	first := recID(0)
	if k != missing {
		first = other.z.set(n, wire.TypePTR)
	}
	if first == 0 {
		c.at(mailReverse, r, what+" has no PTR in "+other.z.file, "add one: "+text(reverse)+" PTR "+text(name))
		return
	}
	confirmed := false
	for p := first; p != 0; p = other.z.rec(p).next {
		if other.z.rec(p).typ != wire.TypePTR || other.z.rec(p).dropped {
			continue
		}
		target := other.z.data(p)
		if looksDynamic(target, a) {
			other.at(mailDynamic, p, "the PTR of the mail node "+text(name)+" leads to "+text(target)+", which has the address in it like those of dial-up clients, whose mail many refuse", "let it lead to "+text(name))
		}
		confirmed = confirmed || t.leadsTo(target, a)
	}
	if !confirmed {
		c.at(mailReverse, r, what+" has a PTR to "+text(other.z.data(first))+" in "+other.z.file+", which does not have this address", "let the PTR lead to "+text(name)+", or give that name the address")
	}
}

// leadsTo reports whether a name has an address, or is not ours to know.
func (t *together) leadsTo(name []byte, a netip.Addr) bool {
	for range 8 { // aliases, as many as resolvers follow at least
		other := t.zoneOf(name)
		if other == nil {
			return true
		}
		k, n := other.z.resolve(name)
		if k == delegated || k == redirected {
			return true
		}
		if k == missing {
			return false
		}
		if alias := other.z.set(n, wire.TypeCNAME); alias != 0 {
			name = other.z.data(alias)
			continue
		}
		for _, have := range addressesOf(other.z, n) {
			if have == a {
				return true
			}
		}
		return false
	}
	return true
}

// looksDynamic reports whether a name is made of an address, as those that
// providers give to their customers' lines.
func looksDynamic(name []byte, a netip.Addr) bool {
	host := strings.ToLower(text(name))
	if a.Is6() {
		long := a.StringExpanded()
		plain := strings.ReplaceAll(long, ":", "")
		return strings.Contains(host, plain) || strings.Contains(host, strings.ReplaceAll(long, ":", "-")) ||
			strings.Contains(host, strings.ReplaceAll(a.String(), ":", "-"))
	}
	b := a.As4()
	if strings.Contains(host, hex.EncodeToString(b[:])) {
		return true
	}
	numbers, padded := numbersOf(host)
	up, down := appendInts(nil, b[:], false), appendInts(nil, b[:], true)
	return containsRun(numbers, up) || containsRun(numbers, down) || strings.Contains(padded, pad(up)) || strings.Contains(padded, pad(down))
}

// numbersOf are the numbers of up to three digits in a text, in their order, and
// the longer ones, with blanks in between.
func numbersOf(s string) (numbers []int, long string) {
	for i := 0; i < len(s); {
		j, v := i, 0
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			if j-i < 4 {
				v = 10*v + int(s[j]-'0')
			}
			j++
		}
		switch {
		case j == i:
			j++
		case j-i <= 3:
			numbers = append(numbers, v)
		default:
			numbers = append(numbers, -1)
			long += " " + s[i:j]
		}
		i = j
	}
	return numbers, long
}

// appendInts appends octets as numbers, in their order or from the last on.
func appendInts(dst []int, b []byte, backwards bool) []int {
	for i := range b {
		if backwards {
			i = len(b) - 1 - i
		}
		dst = append(dst, int(b[i]))
	}
	return dst
}

// pad writes octets as three digits each.
func pad(octets []int) string {
	out := ""
	for _, v := range octets {
		out += string([]byte{'0' + byte(v/100), '0' + byte(v/10%10), '0' + byte(v%10)})
	}
	return out
}

// containsRun reports whether all of run stands in list, side by side.
func containsRun(list, run []int) bool {
	for i := 0; i+len(run) <= len(list); i++ {
		same := true
		for j, v := range run {
			same = same && list[i+j] == v
		}
		if same {
			return true
		}
	}
	return false
}
