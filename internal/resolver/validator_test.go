package resolver_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// validator judges a reply as a validating resolver does that knows the zone's
// key: by RFC 4035 5 and RFC 5155 8, and by nothing but what the reply holds.
type validator struct {
	zone   *plainZone
	key    *dns.DNSKEY
	r      *dns.Msg
	proofs map[string]int // which proofs were needed

	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
}

func (v *validator) validate() error {
	for _, rr := range v.r.Ns {
		switch rr := rr.(type) {
		case *dns.NSEC:
			v.nsec = append(v.nsec, rr)
		case *dns.NSEC3:
			v.nsec3 = append(v.nsec3, rr)
		}
	}
	q := v.r.Question[0]
	if !dns.IsSubDomain(v.zone.apex, q.Name) {
		return nil
	}
	if q.Qtype != dns.TypeRRSIG && q.Qtype != dns.TypeANY {
		if err := v.signatures(v.r.Answer, true); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	if err := v.signatures(v.r.Ns, true); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	if err := v.signatures(v.r.Extra, false); err != nil {
		return fmt.Errorf("additional: %w", err)
	}
	return v.end(v.target(q.Name, q.Qtype), q.Qtype)
}

// signatures checks that all RRsets of a section verify. In the answer and the
// authority all must be signed, but for NS of a delegation and CNAMEs that a
// DNAME makes (RFC 4035 5.3, RFC 6672 5.3.1).
func (v *validator) signatures(section []dns.RR, must bool) error {
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == dns.TypeRRSIG || h.Rrtype == dns.TypeOPT || !dns.IsSubDomain(v.zone.apex, h.Name) {
			continue
		}
		var set []dns.RR
		for _, other := range only(section, h.Rrtype) {
			if strings.EqualFold(other.Header().Name, h.Name) {
				set = append(set, other)
			}
		}
		verified, err := v.verified(section, set)
		switch {
		case err != nil:
			return err
		case verified:
		case h.Rrtype == dns.TypeNS && !strings.EqualFold(h.Name, v.zone.apex):
		case h.Rrtype == dns.TypeCNAME && v.synthesised(section, rr.(*dns.CNAME)):
		case must:
			return fmt.Errorf("%v is not signed", rr)
		}
	}
	return nil
}

// verified reports whether a section has a good signature of a set. An
// expansion of a wildcard has to be proved.
func (v *validator) verified(section, set []dns.RR) (bool, error) {
	h := set[0].Header()
	for _, rr := range section {
		sig, ok := rr.(*dns.RRSIG)
		if !ok || sig.TypeCovered != h.Rrtype || !strings.EqualFold(sig.Hdr.Name, h.Name) {
			continue
		}
		if sig.Hdr.Ttl != h.Ttl {
			return false, fmt.Errorf("TTL of %v is not %d (RFC 4034 3)", sig, h.Ttl)
		}
		if err := sig.Verify(v.key, set); err != nil {
			return false, fmt.Errorf("%v: %w", sig, err)
		}
		labels := dns.CountLabel(h.Name)
		if int(sig.Labels) < labels && !strings.HasPrefix(h.Name, "*.") {
			next := up(h.Name, labels-int(sig.Labels)-1)
			if !v.covered(h.Name, next) {
				return false, fmt.Errorf("%s was expanded from a wildcard, and nothing proves that it may", h.Name)
			}
			v.proofs["expansion"]++
		}
		return true, nil
	}
	return false, nil
}

// synthesised reports whether a CNAME follows from a DNAME of the section.
func (v *validator) synthesised(section []dns.RR, c *dns.CNAME) bool {
	for _, rr := range only(section, dns.TypeDNAME) {
		d := rr.(*dns.DNAME)
		if !dns.IsSubDomain(d.Hdr.Name, c.Hdr.Name) {
			continue
		}
		l := dns.SplitDomainName(c.Hdr.Name)
		to := strings.Join(l[:len(l)-dns.CountLabel(d.Hdr.Name)], ".") + "."
		if d.Target != "." {
			to += d.Target
		}
		if strings.EqualFold(to, c.Target) {
			return true
		}
	}
	return false
}

// target follows the aliases of the answer. It returns "" if the question is
// answered, or can't be within the zone.
func (v *validator) target(name string, t uint16) string {
	been := map[string]bool{}
	for !been[strings.ToLower(name)] && dns.IsSubDomain(v.zone.apex, name) {
		been[strings.ToLower(name)] = true
		next := ""
		for _, rr := range v.r.Answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if rr.Header().Rrtype == t || t == dns.TypeANY {
				v.proofs["answer"]++
				return ""
			}
			if c, ok := rr.(*dns.CNAME); ok {
				next = c.Target
			}
		}
		if next == "" {
			return name
		}
		name = next
	}
	return ""
}

// end checks what is said of the last name.
func (v *validator) end(name string, t uint16) error {
	switch {
	case name == "" || v.r.Rcode == dns.RcodeYXDomain:
		return nil
	case v.r.Rcode == dns.RcodeNameError:
		return v.nameError(name)
	case len(only(v.r.Ns, dns.TypeSOA)) > 0:
		return v.noData(name, t)
	}
	for _, rr := range only(v.r.Ns, dns.TypeNS) {
		return v.referral(rr.Header().Name)
	}
	if len(v.r.Answer) > mostAliases {
		return nil
	}
	return errors.New("neither an answer, nor a denial, nor a referral")
}

// covered reports whether something denies that name exists: an NSEC the name
// itself, an NSEC3 the next closer name.
func (v *validator) covered(name, next string) bool {
	for _, n := range v.nsec {
		if covers(n, name) {
			return true
		}
	}
	return slices.ContainsFunc(v.nsec3, func(n *dns.NSEC3) bool { return n.Cover(next) })
}

// covers reports whether an NSEC denies a name (RFC 4034 4.1.1): it stands
// before the name, and the next owner behind; the last one leads to the apex.
// What stands at a cut or DNAME says nothing of names below (RFC 6840 4.1, 4.3).
func covers(n *dns.NSEC, name string) bool {
	owner, next := sortKey(n.Hdr.Name), sortKey(n.NextDomain)
	key := sortKey(name)
	if slices.Compare(owner, key) >= 0 || slices.Compare(owner, next) < 0 && slices.Compare(key, next) >= 0 {
		return false
	}
	if dns.IsSubDomain(n.Hdr.Name, name) && (cutBits(n.TypeBitMap) || slices.Contains(n.TypeBitMap, dns.TypeDNAME)) {
		return false
	}
	return true
}

// cutBits reports whether types are those of the parent's side of a cut.
func cutBits(types []uint16) bool {
	return slices.Contains(types, dns.TypeNS) && !slices.Contains(types, dns.TypeSOA)
}

// sortKey is a name as RFC 4034 6.1 compares it: its labels from the right, as
// octets in lower case.
func sortKey(name string) (key []string) {
	wire := make([]byte, 300)
	if _, err := dns.PackDomainName(strings.ToLower(name), wire, 0, nil, false); err != nil {
		return nil
	}
	for i := 0; wire[i] != 0; i += 1 + int(wire[i]) {
		key = append(key, string(wire[i+1:i+1+int(wire[i])]))
	}
	slices.Reverse(key)
	return key
}

func (v *validator) signedByNSEC3() bool { return len(v.nsec3) > 0 }

// nameError is RFC 4035 5.4 and RFC 5155 8.4.
func (v *validator) nameError(name string) error {
	v.proofs["name error"]++
	if v.signedByNSEC3() {
		encloser, optOut, err := v.encloser(name)
		if err != nil {
			return err
		}
		// An ENT above insecure delegations only has no NSEC3 with opt-out. If
		// there is a wildcard beside it, nobody can prove that it doesn't
		// stand for the names below the ENT.
		if star := wildcardOf(encloser); !v.covered("", star) && !(optOut && v.zone.exists(star)) {
			return fmt.Errorf("nothing denies %s", star)
		}
		return nil
	}
	encloser, ok := v.enclosed(name)
	if !ok {
		return fmt.Errorf("nothing denies %s", name)
	}
	if star := wildcardOf(encloser); !v.covered(star, "") {
		return fmt.Errorf("nothing denies %s", star)
	}
	return nil
}

// enclosed returns the closest encloser that the NSEC shows which covers name.
func (v *validator) enclosed(name string) (encloser string, ok bool) {
	for _, n := range v.nsec {
		if covers(n, name) {
			common := max(dns.CompareDomainName(name, n.Hdr.Name), dns.CompareDomainName(name, n.NextDomain))
			return up(name, dns.CountLabel(name)-common), true
		}
	}
	return "", false
}

// encloser is the closest encloser proof of RFC 5155 8.3.
func (v *validator) encloser(name string) (encloser string, optOut bool, err error) {
	for i := 1; i <= dns.CountLabel(name)-dns.CountLabel(v.zone.apex); i++ {
		m := v.match(up(name, i))
		if m == nil {
			continue
		}
		if cutBits(m.TypeBitMap) || slices.Contains(m.TypeBitMap, dns.TypeDNAME) {
			return "", false, fmt.Errorf("%s is no encloser: %v", up(name, i), m)
		}
		next := up(name, i-1)
		for _, n := range v.nsec3 {
			if n.Cover(next) {
				return up(name, i), n.Flags&1 != 0, nil
			}
		}
		return "", false, fmt.Errorf("nothing covers the next closer name %s", next)
	}
	return "", false, fmt.Errorf("no encloser of %s is proved", name)
}

func (v *validator) match(name string) *dns.NSEC3 {
	for _, n := range v.nsec3 {
		if n.Match(name) {
			return n
		}
	}
	return nil
}

// lacking says what is wrong with a proof that a name lacks a type.
func lacking(types []uint16, t uint16) error {
	if slices.Contains(types, t) || slices.Contains(types, dns.TypeCNAME) {
		return fmt.Errorf("type %d or a CNAME is there: %v", t, types)
	}
	if cutBits(types) && t != dns.TypeDS {
		return fmt.Errorf("the proof of type %d stands on the wrong side of a cut: %v", t, types)
	}
	return nil
}

// noData is RFC 4035 5.4 and RFC 5155 8.5 to 8.7.
func (v *validator) noData(name string, t uint16) error {
	if v.signedByNSEC3() {
		return v.noData3(name, t)
	}
	for _, n := range v.nsec {
		if strings.EqualFold(n.Hdr.Name, name) {
			v.proofs["no data"]++
			return lacking(n.TypeBitMap, t)
		}
		if covers(n, name) && dns.IsSubDomain(name, n.NextDomain) {
			v.proofs["no data"]++ // an ENT
			return nil
		}
	}
	encloser, ok := v.enclosed(name)
	if !ok {
		return fmt.Errorf("nothing denies %s", name)
	}
	star := wildcardOf(encloser)
	for _, n := range v.nsec {
		if strings.EqualFold(n.Hdr.Name, star) {
			v.proofs["wildcard no data"]++
			return lacking(n.TypeBitMap, t)
		}
		if covers(n, star) && dns.IsSubDomain(star, n.NextDomain) {
			v.proofs["wildcard no data"]++ // an ENT
			return nil
		}
	}
	return fmt.Errorf("nothing tells what %s has", star)
}

func (v *validator) noData3(name string, t uint16) error {
	if m := v.match(name); m != nil {
		v.proofs["no data"]++
		return lacking(m.TypeBitMap, t)
	}
	encloser, optOut, err := v.encloser(name)
	if err != nil {
		return err
	}
	if m := v.match(wildcardOf(encloser)); m != nil {
		v.proofs["wildcard no data"]++
		return lacking(m.TypeBitMap, t)
	}
	if !optOut {
		return fmt.Errorf("%s may not exist, or have type %d", name, t)
	}
	v.proofs["opt-out no data"]++
	return nil
}

// referral is RFC 4035 5.2 and RFC 5155 8.9: a DS, or a proof that there is
// none.
func (v *validator) referral(cut string) error {
	if len(only(v.r.Ns, dns.TypeDS)) > 0 {
		v.proofs["secure referral"]++
		return nil
	}
	v.proofs["insecure referral"]++
	for _, n := range v.nsec {
		if strings.EqualFold(n.Hdr.Name, cut) {
			return lacking(n.TypeBitMap, dns.TypeDS)
		}
	}
	if m := v.match(cut); m != nil {
		return lacking(m.TypeBitMap, dns.TypeDS)
	}
	if !v.signedByNSEC3() {
		return fmt.Errorf("nothing tells whether %s has a DS", cut)
	}
	_, optOut, err := v.encloser(cut)
	if err == nil && !optOut {
		err = fmt.Errorf("%s is denied without opt-out", cut)
	}
	return err
}
