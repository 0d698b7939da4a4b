package updates

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// nsupdate runs nsupdate with commands, and returns what it prints and whether it
// succeeded.
func (s *server) nsupdate(commands string, args ...string) (string, bool) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("nsupdate", append([]string{"-t", "20"}, args...)...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %s\nzone %s\n%s\nsend\n", host, port, apex, commands))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatalf("nsupdate (Debian: bind9-dnsutils) did not start: %v", err)
	}
	return string(out), err == nil
}

// lines repeats a line with numbers in place of #.
func lines(n int, line string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(line, "#", fmt.Sprint(i)) + "\n")
	}
	return b.String()
}

func list(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// What nsupdate does, each step on the zone as the one before left it.
func TestNsupdate(t *testing.T) {
	t.Parallel()
	s := start(t)
	keyFile := write(t, fmt.Sprintf("key %q {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n", boss.name, boss.secret), s.dir, "boss.key")
	thousand := lines(1000, "n# 60 A 192.0.2.7")
	tests := []struct {
		name       string
		args       []string // of nsupdate; nil: the key of all
		commands   string
		fails      string   // what it says, if it fails
		less, more []string // what it does, if it doesn't
	}{
		{name: "add over UDP", commands: "update add new.zone.example 60 A 192.0.2.77", more: []string{"new 60 A 192.0.2.77"}},
		{name: "add what is there", commands: "update add new.zone.example 60 A 192.0.2.77"},
		{
			name: "add over TCP, by a key file", args: []string{"-v", "-k", keyFile},
			commands: "update add new.zone.example 60 AAAA 2001:db8::77\nupdate add new.zone.example 60 TXT \"two words\" three",
			more:     []string{"new 60 AAAA 2001:db8::77", `new 60 TXT "two words" "three"`},
		},
		{name: "delete a record", commands: "update delete old.zone.example A 192.0.2.1", less: []string{"old 300 A 192.0.2.1"}},
		{name: "delete a record that is not there", commands: "update delete old.zone.example A 192.0.2.99"},
		{name: "delete an RRset (class ANY)", commands: "update delete new.zone.example AAAA", less: []string{"new 60 AAAA 2001:db8::77"}},
		{
			name: "delete a name (class ANY, type ANY)", commands: "update delete new.zone.example",
			less: []string{"new 60 A 192.0.2.77", `new 60 TXT "two words" "three"`},
		},
		{
			name: "replace", commands: "update delete old.zone.example A\nupdate add old.zone.example 30 A 203.0.113.1",
			less: []string{"old 300 A 192.0.2.2"}, more: []string{"old 30 A 203.0.113.1"},
		},
		{
			name:     "prerequisites that hold",
			commands: "prereq nxdomain free.zone.example\nprereq yxdomain old.zone.example\nprereq nxrrset old.zone.example AAAA\nprereq yxrrset old.zone.example TXT\nprereq yxrrset old.zone.example A 203.0.113.1\nupdate add free.zone.example 60 A 192.0.2.8",
			more:     []string{"free 60 A 192.0.2.8"},
		},
		{name: "nxdomain fails", commands: "prereq nxdomain free.zone.example\nupdate add a.zone.example 60 A 192.0.2.8", fails: "update failed: YXDOMAIN"},
		{name: "yxdomain fails", commands: "prereq yxdomain nobody.zone.example\nupdate add a.zone.example 60 A 192.0.2.8", fails: "update failed: NXDOMAIN"},
		{name: "nxrrset fails", commands: "prereq nxrrset old.zone.example A\nupdate add a.zone.example 60 A 192.0.2.8", fails: "update failed: YXRRSET"},
		{name: "yxrrset fails", commands: "prereq yxrrset old.zone.example AAAA\nupdate add a.zone.example 60 A 192.0.2.8", fails: "update failed: NXRRSET"},
		{
			name:     "a value is another one",
			commands: "prereq yxrrset old.zone.example A 203.0.113.2\nupdate add a.zone.example 60 A 192.0.2.8", fails: "update failed: NXRRSET",
		},
		{name: "a CNAME beside other records is passed over", commands: "update add old.zone.example 60 CNAME www.zone.example"},
		{name: "other records beside a CNAME are passed over", commands: "update add alias.zone.example 60 A 192.0.2.9"},
		{
			name: "a CNAME is replaced", commands: "update add alias.zone.example 60 CNAME old.zone.example",
			less: []string{"alias 300 CNAME www.zone.example."}, more: []string{"alias 60 CNAME old.zone.example."},
		},
		{name: "1,000 additions in one message", commands: lines(1000, "update add n#.zone.example 60 A 192.0.2.7"), more: list(thousand)},
		{name: "1,000 deletions in one message", commands: lines(1000, "update delete n#.zone.example A 192.0.2.7"), less: list(thousand)},
		{
			name: "1,000 changes, of which the last one is not granted",
			commands: lines(999, "update add n#.zone.example 60 TXT no") +
				"update add other._check.zone.example 60 TXT \"v=check1; type=tcp; port=25\"",
			fails: "update failed: REFUSED",
		},
		{name: "outside of the zone", commands: "update add www.elsewhere.example 60 A 192.0.2.9", fails: "update failed: NOTZONE"},
		{name: "no key", args: []string{}, commands: "update add a.zone.example 60 A 192.0.2.8", fails: "update failed: REFUSED"},
		{
			name: "a wrong secret", args: []string{"-y", "hmac-sha256:boss.example:" + stranger.secret},
			commands: "update add a.zone.example 60 A 192.0.2.8", fails: "NOTAUTH(BADSIG)",
		},
		{
			name: "a key that nobody knows", args: []string{"-y", "hmac-sha256:nobody.example:" + stranger.secret},
			commands: "update add a.zone.example 60 A 192.0.2.8", fails: "NOTAUTH(BADKEY)",
		},
		{name: "a key for something else", args: []string{"-y", stranger.text()}, commands: "update add a.zone.example 60 A 192.0.2.8", fails: "update failed: REFUSED"},
		{
			name: "what a key is for, by HMAC-SHA512", args: []string{"-y", certs.text()},
			commands: "update add _acme-challenge.old.zone.example 60 TXT token", more: []string{`_acme-challenge.old 60 TXT "token"`},
		},
		{name: "a name that has more than a key is for", args: []string{"-y", certs.text()}, commands: "update delete old.zone.example", fails: "update failed: REFUSED"},
		{
			name: "a name that has nothing else", args: []string{"-y", certs.text()},
			commands: "update delete _acme-challenge.old.zone.example", less: []string{`_acme-challenge.old 60 TXT "token"`},
		},
		{
			name: "steering, which is not granted", args: []string{"-y", certs.text()},
			commands: "update add www._steer.zone.example 60 TXT \"v=steer1; policy=all\"", fails: "update failed: REFUSED",
		},
		{
			name: "the last NS stays", commands: "update delete zone.example NS ns2.zone.example\nupdate delete zone.example NS ns1.zone.example",
			less: []string{"@ 300 NS ns2.zone.example."},
		},
	}
	zone := s.axfr(boss, apex)
	for _, tt := range tests {
		args := tt.args
		if args == nil {
			args = []string{"-y", boss.text()}
		}
		out, ok := s.nsupdate(tt.commands, args...)
		if ok != (tt.fails == "") || !strings.Contains(out, tt.fails) {
			t.Errorf("%s: succeeded=%t, wanted %q\n%s", tt.name, ok, tt.fails, out)
		}
		// One version for an update that does something, none for another.
		serial := zone.serial
		if len(tt.less)+len(tt.more) > 0 {
			serial++
		}
		before := t.Failed()
		if zone = s.expect(zone, serial, tt.less, tt.more); t.Failed() && !before {
			t.Fatalf("that was %q; nsupdate said:\n%s", tt.name, out)
		}
	}
}
