package failover

import (
	"database/sql"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/miekg/dns"
)

// database is a MariaDB: a node with a role.
type database struct {
	*node
	admin *sql.DB
}

// emptyDatabase makes the files of a new one.
func emptyDatabase(t *testing.T, dir string) {
	t.Helper()
	run(t, "mariadb-install-db", "--no-defaults", "--datadir="+dir, "--user="+userName(), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M",
		"--tmpdir="+t.TempDir()) // two at once get in each other's way in /tmp
}

// userName is whom the database is to run as: it refuses root, unless told.
func userName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

// database starts one at an address, with a copy of files. It takes writes.
func (c *cluster) database(addr netip.Addr, files string) *database {
	c.t.Helper()
	return c.databaseAt(addr, files, nil)
}

// databaseAt starts one at a site; nil: on this machine.
func (c *cluster) databaseAt(addr netip.Addr, files string, at *site) *database {
	c.t.Helper()
	dir, err := os.MkdirTemp("", "gdmy") // the path of a Unix socket is short
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	run(c.t, "cp", "-r", files, filepath.Join(dir, "data"))
	users := write(c.t, dir, "users.sql", "CREATE USER IF NOT EXISTS geodns@'%' IDENTIFIED BY 'secret';\n")
	socket := filepath.Join(dir, "socket")
	d := &database{node: &node{t: c.t, addr: addr, port: c.port, at: at, cmd: command{name: "mariadbd", args: []string{
		"--no-defaults", "--user=" + userName(), "--datadir=" + filepath.Join(dir, "data"), "--socket=" + socket, "--pid-file=" + filepath.Join(dir, "pid"),
		"--bind-address=" + addr.String(), fmt.Sprintf("--port=%d", c.port), "--init-file=" + users,
		"--skip-name-resolve", "--performance-schema=OFF", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M",
	}}}}
	d.boot()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", socket
	cfg.Logger = &mysql.NopLogger{} // that a connection broke is no surprise here
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	d.admin = sql.OpenDB(connector)
	c.t.Cleanup(func() { _ = d.admin.Close() })
	return d
}

// readOnly makes the database take writes, or none, and returns when it was so.
func (d *database) readOnly(yes bool) time.Time {
	d.t.Helper()
	// The connection may be one of before a crash, and a database that starts
	// opens its port before it listens on its socket.
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err = d.admin.Exec(fmt.Sprintf("SET GLOBAL read_only = %t", yes)); err == nil {
			return time.Now()
		}
	}
	d.t.Fatal(err)
	return time.Time{}
}

// Cluster 8: two databases, of which one takes writes. There is never more than
// one address in an answer; the one that takes writes is answered; and as long
// as none does, or both do, it stays as it was.
func TestWriters(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	files := filepath.Join(t.TempDir(), "empty")
	emptyDatabase(t, files)
	one, two := c.database(c.addr(10), files), c.database(c.addr(20), files)
	two.readOnly(true)
	c.zone(`
db 30 A ADDR.10
db 30 A ADDR.20
one._node TXT "v=node1; addr=ADDR.10"
two._node TXT "v=node1; addr=ADDR.20"
db._check TXT "v=check1; type=mysql; port=PORT; use=db; role=writable; every=200ms; timeout=200ms; fall=2; rise=1"
db._steer TXT "v=steer1; policy=failover; order=one,two; failback=manual; check=db"
`)
	c.config = "checks: {db: {user: geodns, password: secret}}\n"
	c.serve()
	w := c.watch("db", dns.TypeA, "")
	begin := time.Now()
	isOne, isTwo := only(one.addr), only(two.addr)
	// turns are the times since which somebody else is to be answered; what was
	// right before may be answered until the promise is over.
	type turn struct {
		from  time.Time
		right netip.Addr
		why   string
	}
	turns := []turn{{begin, one.addr, "the first one alone takes writes"}}
	becomes := func(from time.Time, right netip.Addr, why string) {
		turns = append(turns, turn{from, right, why})
	}
	// unchanged looks for a while whether what is answered stays.
	unchanged := func(why string, is func(*sighting) bool) {
		w.stays(promise+250*time.Millisecond, func(s *sighting) string {
			if !is(s) {
				return why
			}
			return ""
		})
	}
	w.until("names the first one", begin, isOne)

	one.kill()
	unchanged("the writer is dead and there is no other: what was answered is held", isOne)
	at := two.readOnly(false)
	becomes(at, two.addr, "the second one has been promoted")
	w.until("names the second one, which has been promoted", at, isTwo)

	one.boot()
	unchanged("the old writer has returned and takes writes, too: what was answered is held", isTwo)
	one.readOnly(true)
	unchanged("the old writer has become read-only", isTwo)
	two.readOnly(true)
	unchanged("nobody takes writes: what was answered is held", isTwo)
	at = one.readOnly(false)
	becomes(at, one.addr, "the first one alone takes writes again")
	w.until("names the first one, the only one that takes writes", at, isOne)
	two.freeze()
	unchanged("the reader hangs", isOne)
	two.thaw()

	for _, alarm := range []string{
		"no node says that it takes writes: what was answered is held",
		"several nodes say that they take writes: what was answered is held",
		"one node takes writes again: the alarm ended",
	} {
		if !strings.Contains(c.server.Log(), alarm) {
			t.Errorf("the log does not say: %s", alarm)
		}
	}
	w.judge(nil, 0)
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) != 1 {
			return "there is not exactly one address"
		}
		return ""
	})
	within := addNoise(t, fall*every+200*time.Millisecond+100*time.Millisecond)
	for i, x := range turns {
		for _, s := range w.sightings() {
			over := i+1 < len(turns) && !s.got.Before(turns[i+1].from)
			if s.asked.Sub(x.from) > within && !over && !s.has(x.right) {
				t.Errorf("%v after that, %s is answered although %s", s.asked.Sub(x.from), s.String(), x.why)
				break
			}
		}
	}
}

// crash kills the server as a power failure would.
func (c *cluster) crash() {
	c.t.Helper()
	if err := syscall.Kill(c.server.Pid(), syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	for end := time.Now().Add(patience); syscall.Kill(c.server.Pid(), 0) == nil; time.Sleep(gap) {
		if time.Now().After(end) {
			c.t.Fatal("the server does not die")
		}
	}
	time.Sleep(10 * gap) // until the harness knows
	_ = c.server.Stop()  // which says that it died
}

// A name server that comes to know databases of which none takes writes answers
// none of them; and one that crashes while the writer is dead goes on answering
// the writer, from its first answer on: it does not take the reader that is left.
func TestWritersOutliveServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.store = filepath.Join(t.TempDir(), "geodns.db")
	files := filepath.Join(t.TempDir(), "empty")
	emptyDatabase(t, files)
	one, two := c.database(c.addr(10), files), c.database(c.addr(20), files)
	one.readOnly(true)
	two.readOnly(true)
	c.zone(`
db 30 A ADDR.10
db 30 A ADDR.20
one._node TXT "v=node1; addr=ADDR.10"
two._node TXT "v=node1; addr=ADDR.20"
db._check TXT "v=check1; type=mysql; port=PORT; use=db; role=writable; every=200ms; timeout=200ms; fall=2; rise=1"
db._steer TXT "v=steer1; policy=failover; order=one,two; failback=manual; check=db"
`)
	c.config = "checks: {db: {user: geodns, password: secret}}\n"
	c.serve()
	w := c.watch("db", dns.TypeA, "")
	w.stays(promise, func(s *sighting) string {
		if s.rcode != dns.RcodeServerFailure || len(s.addrs) > 0 {
			return "no database takes writes, and none did before"
		}
		return ""
	})
	at := two.readOnly(false)
	w.until("names the second one, which has been promoted", at, only(two.addr))
	two.kill()
	time.Sleep(promise) // until that is known, and stored
	w.stop()
	c.crash()

	c.serve()
	begin := time.Now()
	w = c.watch("db", dns.TypeA, "")
	w.stays(promise, func(s *sighting) string {
		if !only(two.addr)(s) {
			return "the writer is dead, and what was answered before the crash is held"
		}
		return ""
	})
	if !strings.Contains(c.server.Log(), "no node says that it takes writes: what was answered is held") {
		t.Error("the log has no alarm")
	}
	at = one.readOnly(false)
	w.until("names the first one, which has been promoted", at, only(one.addr))
	w.always(begin, func(s *sighting) string {
		if len(s.addrs) != 1 {
			return "there is not exactly one address"
		}
		return ""
	})
	w.judge(nil, 0)
}
