package zonedir

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestShrinkLimit(t *testing.T) {
	f := newFolder(t)
	const more = 3 // records of text beside the addresses
	f.write("a.test.zone", text(1, 20-more))
	f.write("small.test.zone", text(1, ShrinkFrom-1-more))
	f.changed("a.test.zone a.test. 1", "small.test.zone small.test. 1")
	f.write("a.test.zone", text(2, 10-more)) // half
	f.write("small.test.zone", text(2, 0))
	f.changed("a.test.zone a.test. 2", "small.test.zone small.test. 2")
	f.write("a.test.zone", text(3, 4-more))
	f.changed("a.test.zone a.test. kept shrink-limit")
	f.changed()
	if c := f.dir.Counts(); c.Zones != 2 || c.Broken != 1 || c.Shrunk != 1 || c.Records != 10+more || c.Loads != 4 || c.Failures != 1 {
		t.Errorf("counts are %+v", c)
	}
	st := f.dir.States()[0]
	if !st.Shrunk || st.Broken.IsZero() || st.Serial != 2 || st.Records != 10 || st.Findings != 1 ||
		st.First.Message != "the zone has lost 6 of its 10 records, more than 50 percent" || !strings.Contains(st.First.Remedy, "geodns reload --force") {
		t.Errorf("state is %+v", st)
	}
	// It is still compared with what is served.
	f.write("a.test.zone", text(4, 4-more))
	f.changed("a.test.zone a.test. kept shrink-limit")
	f.expect(ScanOptions{Names: []string{"small.test.zone"}, Force: true})
	f.expect(ScanOptions{Force: true}, "a.test.zone a.test. 4")
	f.expect(ScanOptions{Force: true})
	if c := f.dir.Counts(); c.Broken != 0 || c.Shrunk != 0 || c.Records != 4+more {
		t.Errorf("counts are %+v", c)
	}

	f.write("a.test.zone", text(5, 20-more))
	f.changed("a.test.zone a.test. 5")
	f.dir.ShrinkLimit = 80
	f.write("a.test.zone", text(6, 4-more))
	f.changed("a.test.zone a.test. 6")
	f.dir.ShrinkLimit = 0
	f.write("a.test.zone", text(7, 100))
	f.changed("a.test.zone a.test. 7")
	f.write("a.test.zone", text(8, 0))
	f.changed("a.test.zone a.test. 8")
}

// A refused file that grows again is taken.
func TestShrinkMended(t *testing.T) {
	f := newFolder(t)
	f.write("a.test.zone", text(1, 20))
	f.changed("a.test.zone a.test. 1")
	f.write("a.test.zone", text(2, 0))
	f.expect(ScanOptions{All: true}, "a.test.zone a.test. kept shrink-limit")
	f.expect(ScanOptions{All: true}, "a.test.zone a.test. kept shrink-limit")
	f.write("a.test.zone", text(3, 18))
	f.changed("a.test.zone a.test. 3")
}

func TestStates(t *testing.T) {
	f := newFolder(t)
	before := time.Now()
	f.write("a.test.zone", text(1, 1))
	f.write("b.test.zone", "$TTL 300\nnonsense\n")
	f.write("c.zone", "$ORIGIN a.test.\n"+text(1, 1))
	f.scan(ScanOptions{})
	list := f.dir.States()
	if len(list) != 3 {
		t.Fatalf("%d states: %+v", len(list), list)
	}
	a, b, c := list[0], list[1], list[2]
	if a.Zone != "a.test." || a.File != f.path("a.test.zone") || a.Serial != 1 || a.Records != 4 || a.Loaded.Before(before) || !a.Broken.IsZero() || a.Findings != 0 {
		t.Errorf("a is %+v", a)
	}
	if b.Zone != "b.test." || !b.Loaded.IsZero() || b.Broken.Before(before) || b.Findings == 0 || b.First.Message == "" {
		t.Errorf("b is %+v", b)
	}
	if c.Zone != "" || c.Broken.IsZero() || c.First.Rule != "zone-twice" {
		t.Errorf("c is %+v", c)
	}
	f.write("a.test.zone", "$TTL 300\nnonsense\n")
	f.scan(ScanOptions{})
	first := f.dir.States()[0]
	f.write("a.test.zone", "$TTL 300\n\nother nonsense\n")
	f.scan(ScanOptions{})
	second := f.dir.States()[0]
	if first.Serial != 1 || !first.Loaded.Equal(a.Loaded) || first.Broken.IsZero() || !second.Broken.Equal(first.Broken) || second.First == first.First {
		t.Errorf("states are %+v and %+v", first, second)
	}
	f.remove("b.test.zone")
	f.remove("c.zone")
	f.scan(ScanOptions{})
	if list := f.dir.States(); len(list) != 1 {
		t.Errorf("states are %+v", list)
	}
	if c := f.dir.Counts(); c.Zones != 1 || c.Broken != 1 || c.Records != 4 {
		t.Errorf("counts are %+v", c)
	}
}

// States are read while scans go on: for the race detector.
func TestStatesWhileScanning(t *testing.T) {
	f := newFolder(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if c := f.dir.Counts(); c.Zones > len(f.dir.States())+1 {
						t.Errorf("counts are %+v", c)
					}
				}
			}
		})
	}
	for i := range 20 {
		f.write("a.test.zone", text(i+1, 1))
		f.changed("a.test.zone a.test. " + itoa(i+1))
	}
	close(done)
	wg.Wait()
}
