package resolver_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"geodns/internal/geo"
	"geodns/internal/geo/builtin"
	"geodns/internal/geo/country"
	geoplace "geodns/internal/geo/place"
	"geodns/internal/resolver"
	"geodns/internal/steer"
)

// benchWorld is the world that geodns carries, or the database that
// GEODNS_BENCH_MMDB names.
func benchWorld(b *testing.B) *steer.Rankings {
	b.Helper()
	table, err := geo.Load(geo.Options{
		Database: os.Getenv("GEODNS_BENCH_MMDB"), BuiltIn: builtin.World, Centre: country.Centre, Continent: country.Continent,
	})
	if err != nil {
		b.Fatal(err)
	}
	four, six := table.Ranges()
	b.Logf("%d ranges of IPv4, %d of IPv6", four, six)
	return steer.NewRankings(func() *geoplace.Table { return table })
}

// steeredRun answers questions for one name, from a network each that stands in
// turn at the end of the one request, as packets come into one buffer.
type steeredRun struct {
	path     *path
	req      []byte
	networks [1 << 14][3]byte
	at       int
}

func newSteeredRun(b *testing.B, p *path, name string) *steeredRun {
	b.Helper()
	req, err := ecs(name+".example.", dns.TypeA, 0, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	r := &steeredRun{path: p, req: req}
	random := rand.New(rand.NewPCG(5, 6))
	for i := range r.networks {
		// One of those that are given to anybody.
		r.networks[i] = [3]byte{byte(1 + random.IntN(222)), byte(random.Uint32()), byte(random.Uint32())}
	}
	return r
}

// block is how many answers are timed together.
const block = 2048

// once answers a block of questions, and says how long one took, in
// nanoseconds.
func (r *steeredRun) once(b *testing.B) float64 {
	start := time.Now()
	for range block {
		copy(r.req[len(r.req)-3:], r.networks[r.at%len(r.networks)][:])
		if len(r.path.answer(r.req, resolver.Asked{Draw: uint64(r.at)})) < 60 {
			b.Fatal("no answer")
		}
		r.at++
	}
	return float64(time.Since(start)) / block
}

// compareRuns answers by both in turn, so that what else the machine does slows
// them alike, and reports the medians, and how many times slower the second is.
func compareRuns(b *testing.B, one, other *steeredRun) {
	var ones, others []float64
	for b.Loop() {
		ones, others = append(ones, one.once(b)), append(others, other.once(b))
	}
	slices.Sort(ones)
	slices.Sort(others)
	x, y := ones[len(ones)/2], others[len(others)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(x, "ns-one")
	b.ReportMetric(y, "ns-other")
	b.ReportMetric(y/x, "times")
}

// BenchmarkSteeredOverPlain compares steered answers (the other) with plain
// ones (the one) of the same shape: as many records, and ECS in question and
// answer, from the packed request to the packed reply. The limit is 1.3 times.
func BenchmarkSteeredOverPlain(b *testing.B) {
	k := benchWorld(b)
	for _, sites := range []int{2, 4, 40, 200} {
		p := newSteeredPath(b, benchZone(b, sites), k)
		for _, name := range []string{"near", "all", "weighted", "sticky", "first"} {
			b.Run(fmt.Sprintf("%s-%d", name, sites), func(b *testing.B) {
				compareRuns(b, newSteeredRun(b, p, "plain"), newSteeredRun(b, p, name))
			})
		}
	}
}

// BenchmarkManySites compares 200 sites (the other) with two (the one). The
// limit is 1.1 times.
func BenchmarkManySites(b *testing.B) {
	k := benchWorld(b)
	few, many := newSteeredPath(b, benchZone(b, 2), k), newSteeredPath(b, benchZone(b, 200), k)
	for _, name := range []string{"near", "first"} {
		b.Run(name, func(b *testing.B) { compareRuns(b, newSteeredRun(b, few, name), newSteeredRun(b, many, name)) })
	}
}

// benchZone has two nodes a site; each answer has two records.
func benchZone(b *testing.B, sites int) *plainZone {
	var t strings.Builder
	for i := range sites {
		fmt.Fprintf(&t, "s%d._site TXT \"v=site1; net=10.%d.0.0/16; at=%d,%d\"\n", i, i, i*83%160-80, i*47%360-180)
		for _, name := range []string{"near", "all", "weighted", "sticky", "first"} {
			fmt.Fprintf(&t, "%s A 10.%d.0.1\n%s A 10.%d.0.2\n", name, i, name, i)
		}
	}
	t.WriteString(`plain A 10.0.0.1
plain A 10.0.0.2
near._steer TXT "v=steer1; policy=nearest; default=s0"
all._steer TXT "v=steer1; answers=2"
weighted._steer TXT "v=steer1; pick=weighted; weight=3@s1; answers=2"
sticky._steer TXT "v=steer1; policy=nearest; pick=sticky; default=s0"
first._steer TXT "v=steer1; policy=failover; order=s1,s0"
`)
	return parsed(b, "example.", t.String())
}
