package updates

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Cluster 9: the sample farm.example and the sample configuration, of which only
// the way of probing is another, for ports that an ordinary user may have.

// The keys of the pools, as zones/geodns.yaml has them.
var (
	webPool = key{"web.farm.example.", dns.HmacSHA256, "d2ViIG1hY2hpbmVzIG9mIGZhcm0uZXhhbXBsZSwgMzI="}
	apiPool = key{"api.farm.example.", dns.HmacSHA256, "YXBpIG1hY2hpbmVzIG9mIGZhcm0uZXhhbXBsZSwgMzI="}
)

// machines is how many of them register at once, half of them at each site.
const machines = 100

// machine is a web server at an address of its own.
type machine struct {
	f    *farm
	addr string
	web  *http.Server
}

// farm is the machines, and the server that they register with.
type farm struct {
	*server
	t    *testing.T
	port int
	live map[string]bool // addresses of machines that are registered and live
}

// site is a prefix of addresses, and a client who is nearest to it.
type site struct{ prefix, client string }

var sites = []site{{"127.0.91.", "127.44.0.1"}, {"127.0.92.", "127.1.0.1"}} // London, New York

func newFarm(t *testing.T) *farm {
	t.Helper()
	f := &farm{t: t, port: freePort(t), live: map[string]bool{}}
	zone, config := sample(t, "farm.example.zone"), sample(t, "geodns.yaml")
	zone = replace(t, zone, `type=http; path=/healthz; every=2s; timeout=1s; fall=4`,
		fmt.Sprintf("type=http; port=%d; path=/healthz; every=500ms; timeout=400ms; fall=2", f.port))
	for _, line := range []string{"listen: [\"127.0.0.1:@PORT@\"]", "zones: zones", "store: geodns.db", `control: ""`, `http: ""`} {
		word, _, _ := strings.Cut(line, ":")
		config = replace(t, config, regexp.MustCompile("(?m)^"+word+":.*$").FindString(config), line)
	}
	config = replace(t, config, "networks.csv", write(t, sample(t, "networks.csv"), t.TempDir(), "networks.csv"))
	for _, s := range sites {
		f.start(s.prefix + "1") // which the file has
	}
	f.server = startWith(t, config+"probe-allow: [127.0.88.0/21]\n", 3*machines, map[string]string{"farm.example": zone})
	return f
}

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../zones/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replace replaces what has to be there once.
func replace(t *testing.T, text, old, young string) string {
	t.Helper()
	if old == "" || strings.Count(text, old) != 1 {
		t.Fatalf("the sample has %d times %q", strings.Count(text, old), old)
	}
	return strings.Replace(text, old, young, 1)
}

// freePort is one that nobody has at any address of the machines.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("found no free port")
	return 0
}

// start starts a machine, which does not register yet.
func (f *farm) start(addr string) *machine {
	f.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", addr, f.port))
	if err != nil {
		f.t.Fatal(err)
	}
	m := &machine{f: f, addr: addr, web: &http.Server{
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ReadHeaderTimeout: 10 * time.Second,
	}}
	go func() { _ = m.web.Serve(l) }()
	f.t.Cleanup(func() { _ = m.web.Close() })
	return m
}

// tell sends the update by which a machine comes or goes: its address in the
// pool's name, and a name of its own.
func (m *machine) tell(comes bool) error {
	var list []dns.RR
	for _, name := range []string{"www", "node" + strings.ReplaceAll(m.addr, ".", "-") + ".web"} {
		rr, err := dns.NewRR(fmt.Sprintf("%s.farm.example. 60 A %s", name, m.addr))
		if err != nil {
			return err
		}
		list = append(list, rr)
	}
	u := new(dns.Msg).SetUpdate("farm.example.")
	if comes {
		u.Insert(list)
	} else {
		u.Remove(list)
	}
	r, err := m.f.exchange(webPool, "udp", u)
	if err == nil && r.Rcode != dns.RcodeSuccess {
		err = errors.New(dns.RcodeToString[r.Rcode])
	}
	return err
}

// all does something with each of many, at once.
func all[T any](list []T, do func(T) error) error {
	errs := make([]error, len(list))
	var wait sync.WaitGroup
	for i := range list {
		wait.Go(func() { errs[i] = do(list[i]) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// add starts machines at each site, from a number on, and has all of them register
// at once.
func (f *farm) add(from, each int) []*machine {
	f.t.Helper()
	var list []*machine
	for _, s := range sites {
		for i := range each {
			list = append(list, f.start(s.prefix+fmt.Sprint(from+i)))
		}
	}
	if err := all(list, func(m *machine) error { return m.tell(true) }); err != nil {
		f.t.Fatal(err)
	}
	for _, m := range list {
		f.live[m.addr] = true
	}
	return list
}

// wwwOf asks once as a client, whose answer has to be of his site, and of four
// machines at most.
func (f *farm) wwwOf(s site) ([]string, error) {
	c := &dns.Client{Timeout: 5 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(s.client)}, Timeout: 5 * time.Second}}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion("www.farm.example.", dns.TypeA), f.Addr())
	if err != nil {
		return nil, err
	}
	got := data(r, dns.TypeA)
	if r.Rcode != dns.RcodeSuccess || len(got) == 0 || len(got) > 4 {
		return nil, fmt.Errorf("the client %s is answered %v", s.client, r)
	}
	for _, a := range got {
		if !strings.HasPrefix(a, s.prefix) {
			return nil, fmt.Errorf("the client %s is led to %s", s.client, a)
		}
	}
	return got, nil
}

// answered waits until the clients of both sites are led to all machines that
// live there, and to no others.
func (f *farm) answered(when string) {
	f.t.Helper()
	for _, s := range sites {
		want := map[string]bool{s.prefix + "1": true}
		for a := range f.live {
			if strings.HasPrefix(a, s.prefix) {
				want[a] = true
			}
		}
		var got map[string]bool
		for end := time.Now().Add(30 * time.Second); !maps.Equal(got, want); {
			if time.Now().After(end) {
				f.t.Fatalf("%s: clients at %s are led to %v, not to %v", when, s.client, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			got = map[string]bool{}
			for range 5 * machines { // to miss one of 51 by chance: 10^-18
				list, err := f.wwwOf(s)
				if err != nil {
					f.t.Fatalf("%s: %v", when, err)
				}
				for _, a := range list {
					got[a] = true
				}
			}
		}
	}
}

// stored is how many addresses www has, which who may change it is told.
func (f *farm) stored() int {
	f.t.Helper()
	r := f.signed(webPool, "tcp", new(dns.Msg).SetQuestion("www.farm.example.", dns.TypeA))
	return len(data(r, dns.TypeA))
}

func (f *farm) serial() uint32 {
	f.t.Helper()
	r := f.ask("farm.example.", dns.TypeSOA)
	if soa, ok := r.Answer[0].(*dns.SOA); ok {
		return soa.Serial
	}
	f.t.Fatalf("no SOA: %v", r)
	return 0
}

// The machines register, die, are replaced, return and leave, all by themselves,
// many at once; one server, of which nothing is told, started or read anew.
func TestFarm(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	first := f.serial()
	f.answered("at first")

	list := f.add(11, machines/2)
	f.answered("100 registered at once")
	if serial := f.serial(); serial != first+machines {
		t.Errorf("%d updates led from serial %d to %d", machines, first, serial)
	}
	if n := f.stored(); n != machines+2 {
		t.Errorf("www has %d addresses, not %d", n, machines+2)
	}

	// Ten die without a word: their probes say so, the zone does not.
	dead := slices.Concat(list[:5], list[len(list)-5:])
	for _, m := range dead {
		if err := m.web.Close(); err != nil {
			t.Fatal(err)
		}
		delete(f.live, m.addr)
	}
	f.answered("ten have died")
	if n := f.stored(); n != machines+2 {
		t.Errorf("www has %d addresses after ten have died, not %d", n, machines+2)
	}

	// Others take their places, while some leave in good order.
	leaving := list[10:40]
	left := make(chan error, 1)
	go func() { left <- all(leaving, func(m *machine) error { return m.tell(false) }) }()
	f.add(101, 5)
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	for _, m := range leaving {
		delete(f.live, m.addr)
	}
	f.answered("thirty have left, ten have come")
	if n := f.stored(); n != machines+2-len(leaving)+10 {
		t.Errorf("www has %d addresses, not %d", n, machines+2-len(leaving)+10)
	}

	// The dead are started again, and need not register.
	for _, m := range dead {
		f.start(m.addr)
		f.live[m.addr] = true
	}
	f.answered("the dead have returned")
	f.poolsApart()
}

// poolsApart: no pool's key changes another pool's names, or any other ones.
func (f *farm) poolsApart() {
	f.t.Helper()
	before := f.serial()
	for _, line := range []string{"www.farm.example. 60 A 127.0.91.9", "x.web.farm.example. 60 A 127.0.91.9", "web.farm.example. 60 A 127.0.91.9", "api.farm.example. 60 TXT x", "www._steer.farm.example. 60 TXT x"} {
		rr, err := dns.NewRR(line)
		if err != nil {
			f.t.Fatal(err)
		}
		u := new(dns.Msg).SetUpdate("farm.example.")
		u.Insert([]dns.RR{rr})
		if r := f.signed(apiPool, "udp", u); r.Rcode != dns.RcodeRefused {
			f.t.Errorf("%s by the key of the pool api: %s", line, dns.RcodeToString[r.Rcode])
		}
	}
	if serial := f.serial(); serial != before {
		f.t.Errorf("refused updates led from serial %d to %d", before, serial)
	}
}
