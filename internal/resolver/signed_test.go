package resolver_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/internal/resolver"
)

// signing is a way to sign a zone, as arguments of dnssec-signzone.
type signing struct {
	name string
	args []string
}

var signings = []signing{
	{"nsec", nil},
	{"nsec3", []string{"-3", "-"}},
	{"nsec3-salted", []string{"-3", "a1b2c3", "-H", "5"}},
	{"nsec3-opt-out", []string{"-3", "-", "-A"}},
}

// signedZone is a zone with what dnssec-signzone made of it.
type signedZone struct {
	plain  *plainZone // for the oracle: without what only denies
	served *plainZone
	key    *dns.DNSKEY
}

// sign has BIND's tool sign a zone. The validity of signatures is no matter
// here.
func sign(t *testing.T, z *plainZone, how signing) *signedZone {
	t.Helper()
	dir := t.TempDir()
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: z.apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("K%s+%03d+%05d", z.apex, key.Algorithm, key.KeyTag())
	write(t, filepath.Join(dir, name+".key"), key.String()+"\n")
	write(t, filepath.Join(dir, name+".private"), key.PrivateKeyString(private))
	write(t, filepath.Join(dir, "zone"), z.text()+key.String()+"\n")
	args := append([]string{"-z", "-P", "-q", "-O", "full", "-o", z.apex, "-s", "20200101000000", "-e", "20370101000000", "-f", "signed"}, how.args...)
	cmd := exec.Command(command(t, "dnssec-signzone"), append(args, "zone", name)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dnssec-signzone: %v\n%s\n%s", err, out, z.text())
	}
	s := &signedZone{plain: &plainZone{apex: z.apex, signed: true}, served: &plainZone{apex: z.apex}, key: key}
	s.read(t, filepath.Join(dir, "signed"))
	return s
}

func (s *signedZone) read(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p := dns.NewZoneParser(f, "", file)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rr = normal(t, rr)
		s.served.rrs = append(s.served.rrs, rr)
		sig, _ := rr.(*dns.RRSIG)
		if rr.Header().Rrtype != dns.TypeNSEC3 && (sig == nil || sig.TypeCovered != dns.TypeNSEC3) {
			s.plain.rrs = append(s.plain.rrs, rr)
		}
	}
	if p.Err() != nil || len(only(s.served.rrs, dns.TypeRRSIG)) == 0 {
		t.Fatalf("%s: %d records, %v", file, len(s.served.rrs), p.Err())
	}
}

// signable are zones that can be signed: nobody can sign what a wildcard
// delegates.
func signable(n int) (zones []*plainZone) {
	for _, z := range peerZones()[:n] {
		z.rrs = slices.DeleteFunc(z.rrs, func(rr dns.RR) bool {
			t := rr.Header().Rrtype
			lonely := t == dns.TypeDS && len(z.at(rr.Header().Name, dns.TypeNS)) == 0
			return t == dns.TypeNS && strings.HasPrefix(rr.Header().Name, "*.") || lonely
		})
		zones = append(zones, z)
	}
	return zones
}

// TestSigned asks signed zones with DO: the reply is what the oracle says, and
// convinces a validator.
func TestSigned(t *testing.T) {
	for _, how := range signings {
		t.Run(how.name, func(t *testing.T) {
			proofs := map[string]int{}
			for i, z := range signable(8) {
				s := sign(t, z, how)
				p := newPath(t, s.served)
				o := &oracle{zones: []*plainZone{s.plain}, most: mostAliases}
				questions := peerQuestion(z)
				for j := range 250 {
					compareSigned(t, s, p, o, withDO(questions.Example(1000*i+j)), proofs)
				}
			}
			for _, kind := range []string{"answer", "expansion", "name error", "no data", "wildcard no data", "secure referral", "insecure referral"} {
				if proofs[kind] == 0 {
					t.Errorf("no question needed the proof %q: %v", kind, proofs)
				}
			}
		})
	}
}

// withDO is a question that wants proofs.
func withDO(m *dns.Msg) *dns.Msg {
	m.IsEdns0().SetDo()
	return m
}

func compareSigned(t *testing.T, s *signedZone, p *path, o *oracle, m *dns.Msg, proofs map[string]int) {
	q := m.Question[0]
	e := o.ask(asked{name: q.Name, typ: q.Qtype, class: q.Qclass, do: true})
	r, _ := p.ask(t, m, resolver.Asked{TCP: true})
	bare := &dns.Msg{MsgHdr: r.MsgHdr, Answer: r.Answer, Ns: without(r.Ns, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3), Extra: without(r.Extra, dns.TypeRRSIG)}
	if q.Qtype != dns.TypeRRSIG && q.Qtype != dns.TypeANY {
		bare.Answer = without(r.Answer, dns.TypeRRSIG)
	} else {
		// Signatures of what was answered on the way are there too.
		e.answer, bare.Answer = without(e.answer, dns.TypeRRSIG), without(r.Answer, dns.TypeRRSIG)
	}
	if what := differs(bare, e); what != "" {
		t.Fatalf("%s differs: %v\nwant %q %q %q", what, r, lines(e.answer), lines(e.authority), lines(e.additional))
	}
	v := &validator{zone: s.plain, key: s.key, r: r, proofs: proofs}
	if err := v.validate(); err != nil {
		t.Fatalf("%v\n%v", err, r)
	}
}

func without(rrs []dns.RR, types ...uint16) []dns.RR {
	return slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return slices.Contains(types, rr.Header().Rrtype) })
}

// TestSignedPeers compares the proofs with those of Knot. (NSD's don't always
// prove that there is no wildcard: it gives the NSEC of the name before "*",
// though that name's own children stand in between.)
func TestSignedPeers(t *testing.T) {
	for _, how := range signings {
		t.Run(how.name, func(t *testing.T) {
			var zones []*plainZone
			for _, z := range signable(8) {
				zones = append(zones, sign(t, z, how).served)
			}
			ours := newPath(t, zones...)
			p := startPeer(t, knot, zones)
			compared := 0
			for i, z := range signable(8) {
				questions := peerQuestion(z)
				for j := range 150 {
					compared += compareProofs(t, ours, p, withDO(questions.Example(1000*i+j)))
				}
			}
			if compared < 400 {
				t.Errorf("only %d denials were compared", compared)
			}
		})
	}
}

// compareProofs compares the denials where the replies say the same, and
// returns how many those were.
func compareProofs(t *testing.T, ours *path, p *peer, m *dns.Msg) int {
	theirs, err := p.ask(m)
	if err != nil {
		t.Fatalf("%v: %v\n%s", m.Question[0], err, p.log)
	}
	r, _ := ours.ask(t, m, resolver.Asked{TCP: true})
	denials := func(m *dns.Msg) []string {
		return lines(append(only(m.Ns, dns.TypeNSEC), only(m.Ns, dns.TypeNSEC3)...))
	}
	// Knot gives up, with an empty reply, below ENTs that opt-out leaves without
	// an NSEC3.
	if r.Rcode != theirs.Rcode || r.Authoritative != theirs.Authoritative || !slices.Equal(lines(r.Answer), lines(theirs.Answer)) {
		return 0
	}
	if !slices.Equal(denials(r), denials(theirs)) {
		t.Errorf("the proofs differ:\nours %v\ntheirs %v", r, theirs)
	}
	return len(denials(r))
}
