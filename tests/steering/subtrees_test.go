package steering

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"geodns/tests/harness"
)

// zone is a random zone in two versions: with the steering subtrees, and
// without them.
type zone struct {
	name          string
	plain, hidden string   // text of what stays, and of the subtrees
	owners        []string // names below the apex that something was written for
	steered       []string
}

// pick is one of some.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomZone has names of the kinds that a subtree could have an effect on:
// wildcards, at the apex too, empty non-terminals, aliases, delegations, names
// like the steering labels.
func randomZone(r *rand.Rand, name string) *zone {
	z := &zone{name: name}
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n", name)
	put := func(owner, format string, args ...any) {
		if !slices.Contains(z.owners, owner) {
			z.owners = append(z.owners, owner)
		}
		fmt.Fprintf(&b, "%s %s\n", owner, fmt.Sprintf(format, args...))
	}
	maybe := func() bool { return r.IntN(2) == 0 }
	put("@", "MX 10 %s", pick(r, "www", "mx1", "nowhere", "a.b.c"))
	for i := range 2 + r.IntN(3) {
		put("www", "A %s.%d", pick(r, "192.0.2", "198.51.100"), i+1)
	}
	for i := range 1 + r.IntN(3) {
		put("mx1", "A 192.0.2.%d", 20+i)
	}
	put("odd", "MX 10 box._site")
	put("mail", "MX 10 mx1")
	put("mail", "MX 10 www")
	put("alias", "CNAME %s", pick(r, "www", "deep.er.ent", "a.w", "nowhere", "lon._site", "_steer"))
	put("a.b.c", "A 192.0.2.30")
	put("deep.er.ent", "TXT \"deep\"")
	if maybe() {
		put("*", "%s", pick(r, "A 192.0.2.80", "TXT \"wild\"", "CNAME www", "MX 10 mx1"))
	}
	if maybe() {
		put("*.w", "A 192.0.2.81")
	}
	if maybe() {
		put("sub", "NS ns.sub")
		put("ns.sub", "A 192.0.2.54")
	}
	if maybe() {
		put("d", "DNAME %s", pick(r, "w", "_site", "nowhere"))
	}
	// Names that are like the subtrees', and aren't.
	for _, owner := range []string{"_tcp", "_sites", "x._tcp", "_site.www", "_steer.a", "lon"} {
		if maybe() {
			put(owner, "TXT \"%s\"", owner)
		}
	}
	z.plain, z.hidden, z.steered = b.String(), subtrees(r), []string{"www", "mail"}
	return z
}

// subtrees is steering of www and mail. The check is nobody's, so that nothing
// is probed.
func subtrees(r *rand.Rand) string {
	text := `lon._site TXT "v=site1; net=192.0.2.0/24; at=51.51,-0.13"
nyc._site TXT "v=site1; net=198.51.100.0/24; at=40.71,-74.01"
*._site TXT "v=site1; net=203.0.113.0/24"
box._site A 192.0.2.99
one._node TXT "v=node1; addr=192.0.2.1"
web._check TXT "v=check1; type=tcp; port=80"
lon._state TXT "v=state1; drain; until=2001-01-01T00:00:00Z"
mail._steer TXT "v=steer1; type=MX; answers=1"
`
	return text + fmt.Sprintf("www._steer TXT \"v=steer1; %s\"\n", pick(r, "policy=nearest", "policy=all; answers=1", "policy=failover; order=lon,nyc", "pick=sticky; answers=1"))
}

// questions are names of all kinds, with a type each.
func (z *zone) questions() (out []dns.Question) {
	var names []string
	for _, o := range z.owners {
		name := strings.TrimPrefix(o+".", "@.") + z.name
		names = append(names, name, "no."+name, "a.no."+name)
		// Empty non-terminals on the way.
		for at := strings.IndexByte(o, '.'); at >= 0; at = strings.IndexByte(o, '.') {
			o = o[at+1:]
			names = append(names, o+"."+z.name, "x."+o+"."+z.name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeNS, dns.TypeSOA} {
			out = append(out, dns.Question{Name: name, Qtype: typ})
		}
	}
	return out
}

// below are questions for the subtrees themselves.
func (z *zone) below() (out []dns.Question) {
	for _, name := range []string{
		"_site", "lon._site", "x.lon._site", "nope._site", "_node", "one._node", "_check", "web._check", "_steer", "www._steer", "x._steer",
		"_state", "lon._state", "LON._Site",
	} {
		for _, typ := range []uint16{dns.TypeTXT, dns.TypeA, dns.TypeANY, dns.TypeNS} {
			out = append(out, dns.Question{Name: name + "." + z.name, Qtype: typ})
		}
	}
	return out
}

// hiddenName reports whether a name is in a subtree.
func (z *zone) hiddenName(name string) bool {
	rel, ok := strings.CutSuffix(strings.ToLower(name), "."+z.name)
	return ok && slices.Contains([]string{"_site", "_node", "_check", "_steer", "_state"}, rel[strings.LastIndexByte(rel, '.')+1:])
}

// touches reports whether a reply has anything of a name that matches.
func touches(m *dns.Msg, match func(string) bool) bool {
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if match(rr.Header().Name) {
				return true
			}
			if c, ok := rr.(*dns.CNAME); ok && match(c.Target) {
				return true
			}
		}
	}
	return match(m.Question[0].Name)
}

// isSteered matches the names of which an answer is chosen, with the subtrees.
func (z *zone) isSteered(name string) bool {
	return slices.ContainsFunc(z.steered, func(s string) bool { return strings.EqualFold(name, s+"."+z.name) })
}

func zones(n int) (list []*zone) {
	r := rand.New(rand.NewPCG(17, 18))
	for i := range n {
		list = append(list, randomZone(r, fmt.Sprintf("z%d.test.", i)))
	}
	return list
}

// pair starts a server twice: with the subtrees in its zones, and without.
func pair(t *testing.T, on harness.Target, list []*zone, conf string) (with, without *harness.Server) {
	t.Helper()
	full, plain := map[string]string{}, map[string]string{}
	for _, z := range list {
		file := "zones/" + strings.TrimSuffix(z.name, ".") + ".zone"
		full[file], plain[file] = z.plain+z.hidden, z.plain
	}
	with, _ = serve(t, on, conf, full)
	without, _ = serve(t, on, conf, plain)
	return with, without
}

// TestSubtreesChangeNothingElse: on BIND, NSD and geodns, all answers but those
// from the subtrees are the same without them; on geodns but those that are
// steered.
func TestSubtreesChangeNothingElse(t *testing.T) {
	if err := harness.NoteSources("../.."); err != nil {
		t.Fatal(err)
	}
	list := zones(16)
	for _, kind := range []harness.Kind{harness.BIND, harness.NSD, harness.Geodns} {
		t.Run(string(kind), func(t *testing.T) {
			on, conf := target, config("")
			if kind != harness.Geodns {
				on, conf = peer(t, kind), ""
			}
			with, without := pair(t, on, list, conf)
			compared, steered := 0, 0
			for _, z := range list {
				for _, q := range z.questions() {
					a, b := ask(t, with, q.Name, q.Qtype, ""), ask(t, without, q.Name, q.Qtype, "")
					if kind != harness.Geodns && (touches(a, z.hiddenName) || touches(b, z.hiddenName)) {
						continue
					}
					if kind == harness.Geodns && touches(b, z.isSteered) {
						steered++
						continue
					}
					compared++
					if text(a) != text(b) {
						t.Errorf("%s %s differs:\nwith subtrees: %s\nwithout: %s\n%s", q.Name, dns.Type(q.Qtype), text(a), text(b), z.plain)
					}
				}
			}
			if compared < 3000 || kind == harness.Geodns && steered < 100 {
				t.Errorf("only %d answers were compared, %d steered", compared, steered)
			}
		})
	}
}

// TestSubtreesAreHidden: who has no key is told that there are no such names,
// as if there were none.
func TestSubtreesAreHidden(t *testing.T) {
	list := zones(16)
	with, without := pair(t, target, list, config(""))
	names := map[int]int{}
	for _, z := range list {
		for _, q := range z.below() {
			a, b := ask(t, with, q.Name, q.Qtype, ""), ask(t, without, q.Name, q.Qtype, "")
			names[b.Rcode]++
			if touches(b, z.isSteered) {
				continue // The wildcard leads to a steered name.
			}
			if text(a) != text(b) {
				t.Errorf("%s %s shows:\n%s\nwant:\n%s", q.Name, dns.Type(q.Qtype), text(a), text(b))
			}
		}
	}
	if names[dns.RcodeNameError] == 0 || names[dns.RcodeSuccess] == 0 {
		t.Errorf("there were no zones of both kinds, with a wildcard and without: %v", names)
	}
}

// TestKeySeesSubtrees: who may transfer the zone sees what is stored, by dig.
func TestKeySeesSubtrees(t *testing.T) {
	list := zones(2)
	s, _ := pair(t, target, list, config(""))
	z := list[0]
	dig := func(key string, args ...string) string {
		t.Helper()
		args = append([]string{"@127.0.0.1", "-p", strconv.Itoa(s.Port), "-y", "hmac-sha256:" + key, "+norec", "+tries=3"}, args...)
		out, err := exec.Command("dig", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	good := keyName + ":" + secret
	for name, want := range map[string]string{
		"lon._site": "v=site1; net=192.0.2.0/24", "one._node": "v=node1; addr=192.0.2.1", "web._check": "v=check1; type=tcp",
		"www._steer": "v=steer1; ", "lon._state": "v=state1; drain", "any._site": "v=site1; net=203.0.113.0/24",
	} {
		out := dig(good, name+"."+z.name, "TXT")
		if !strings.Contains(out, "status: NOERROR") || !strings.Contains(out, want) || strings.Contains(out, "Couldn't verify") {
			t.Errorf("with the key, %s is\n%s", name, out)
		}
	}
	if out := dig(good, "www."+z.name, "A"); strings.Count(out, "\tA\t") < strings.Count(z.plain, "\nwww A ") {
		t.Errorf("with the key, www is not what is stored:\n%s", out)
	}
	if out := dig(keyName+":"+strings.Repeat("A", 43)+"=", "lon._site."+z.name, "TXT"); !strings.Contains(out, "NOTAUTH") || strings.Contains(out, "v=site1") {
		t.Errorf("with a wrong key, lon._site is\n%s", out)
	}
}
