package syncing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A full disk: updates are refused, what was served goes on being served, the log
// says why; with room again all goes on as before.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	n, r := newNetwork(t), random(t)
	m := newModel(r, "farm.example.")
	dir := n.home(1)
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	// In a mount namespace of its own, which ends with the server.
	within := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		within = append(within, "--map-root-user")
	}
	mount := fmt.Sprintf("mount -t tmpfs -o size=4m none %s && exec \"$@\"", store)
	within = append(within, "sh", "-c", mount, "sh")
	if out, err := try(t, dir, "", within[0], append(within[1:], "true")...); err != nil {
		t.Logf("left out: it needs mount namespaces, and they can't be had here (%v): %s", err, out)
		return
	}
	s := n.geodns(1, setup{zones: map[string]string{"farm.example": m.text(1)}, more: takesUpdates, within: within})
	for range 10 {
		sent(t, s, update(m.zone, m.change()))
	}
	before := has(t, s, m.zone, m.content())
	// The server's files as it sees them.
	filler := fmt.Sprintf("/proc/%d/root%s/filler", s.pid(), store)
	fill(t, filler)

	refused := 0
	for i := range 3000 {
		rr := m.record(fmt.Sprintf("full%d 300 TXT \"%0200d\"", i, i))
		rcode, err := send(s.at(), "tcp", update(m.zone, []step{{add, rr}}))
		if err != nil {
			t.Fatalf("update %d: %v\n%s", i, err, s.log())
		}
		if rcode == dns.RcodeSuccess {
			m.do(step{add, rr})
			continue
		}
		if rcode != dns.RcodeServerFailure {
			t.Errorf("an update was answered with %s", dns.RcodeToString[rcode])
		}
		if refused++; refused == 20 {
			break
		}
	}
	if refused < 20 {
		t.Fatalf("only %d updates were refused", refused)
	}
	after := has(t, s, m.zone, m.content())
	if after != nil && before != nil && after.serial < before.serial {
		t.Errorf("the serial went from %d to %d", before.serial, after.serial)
	}
	if !strings.Contains(s.log(), "no space left on device") {
		t.Errorf("the log does not say what is wrong:\n%s", s.log())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		sent(t, s, update(m.zone, m.change()))
	}
	last := has(t, s, m.zone, m.content())
	if before != nil && last != nil {
		if incremental, err := before.replay(s.at(), m.zone); err != nil || !incremental {
			t.Errorf("IXFR over the time without room: incremental=%t, %v", incremental, err)
		}
		if d := differences(last.records, before.records); d != "" {
			t.Error(d)
		}
	}
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
