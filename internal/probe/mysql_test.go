package probe

import (
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"geodns/internal/steer/record"
)

const (
	mysqlNonce    = "abcdefghijklmnopqrst"
	mysqlPassword = "correct horse"
	clientSSL     = 0x800
)

// mysqlPacket is a packet of the MySQL protocol.
func mysqlPacket(seq byte, payload []byte) []byte {
	return append([]byte{byte(len(payload)), byte(len(payload) >> 8), byte(len(payload) >> 16), seq}, payload...)
}

// mysqlGreeting is a handshake of protocol 10, for mysql_native_password.
func mysqlGreeting() []byte {
	b := []byte("\x0a8.0.40-test\x00\x01\x00\x00\x00" + mysqlNonce[:8] + "\x00")
	const caps = 0x1 | 0x8 | 0x200 | clientSSL | 0x2000 | 0x8000 | 0x80000
	b = binary.LittleEndian.AppendUint16(b, caps&0xffff)
	b = append(b, 45, 2, 0)
	b = binary.LittleEndian.AppendUint16(b, caps>>16)
	b = append(b, 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, mysqlNonce[8:]+"\x00mysql_native_password\x00"...)
	return mysqlPacket(0, b)
}

// mysqlServer lets in one password, and answers statements by a table of
// results: lines of values, the first being the columns'.
type mysqlServer struct {
	results map[string][]string
	tls     *tls.Config
	quit    chan string
}

func (s *mysqlServer) handle(c net.Conn) {
	c.Write(mysqlGreeting())
	// Nothing must be read ahead: TLS may follow.
	seq, login, err := mysqlRead(c)
	if err != nil {
		return
	}
	if s.tls != nil && binary.LittleEndian.Uint16(login)&clientSSL != 0 {
		tc := tls.Server(c, s.tls)
		defer tc.Close()
		c = tc
		if seq, login, err = mysqlRead(c); err != nil {
			return
		}
	}
	if !bytes.Contains(login, mysqlScramble(mysqlPassword)) {
		c.Write(mysqlError(seq+1, 1045, "Access denied for user"))
		return
	}
	c.Write(mysqlPacket(seq+1, []byte{0, 0, 0, 2, 0, 0, 0}))
	for {
		seq, cmd, err := mysqlRead(c)
		switch {
		case err != nil || len(cmd) == 0:
			return
		case cmd[0] == 1:
			if s.quit != nil {
				s.quit <- "quit"
			}
			return
		case cmd[0] != 3:
			c.Write(mysqlError(seq+1, 1047, "Unknown command"))
			continue
		}
		c.Write(s.answer(seq+1, string(cmd[1:])))
	}
}

func (s *mysqlServer) answer(seq byte, query string) []byte {
	for part, lines := range s.results {
		if strings.Contains(query, part) {
			return mysqlRows(seq, lines)
		}
	}
	return mysqlError(seq, mysqlSyntax, "You have an error in your SQL syntax")
}

func mysqlRead(br io.Reader) (seq byte, payload []byte, err error) {
	var h [4]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, int(h[0])|int(h[1])<<8|int(h[2])<<16)
	_, err = io.ReadFull(br, payload)
	return h[3], payload, err
}

// mysqlScramble is the proof of mysql_native_password.
func mysqlScramble(password string) []byte {
	one := sha1.Sum([]byte(password))
	two := sha1.Sum(one[:])
	proof := sha1.Sum(append([]byte(mysqlNonce), two[:]...))
	for i := range proof {
		proof[i] ^= one[i]
	}
	return proof[:]
}

func mysqlError(seq byte, code uint16, text string) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0xff}, code)
	return mysqlPacket(seq, append(b, "#42000"+text...))
}

func mysqlString(b []byte, s string) []byte {
	if s == "NULL" {
		return append(b, 0xfb)
	}
	return append(append(b, byte(len(s))), s...)
}

// mysqlRows is a result set in the text protocol.
func mysqlRows(seq byte, lines []string) (out []byte) {
	send := func(p []byte) {
		out = append(out, mysqlPacket(seq, p)...)
		seq++
	}
	columns := strings.Fields(lines[0])
	send([]byte{byte(len(columns))})
	for _, name := range columns {
		var b []byte
		for _, s := range []string{"def", "", "", "", name, name} {
			b = mysqlString(b, s)
		}
		send(append(b, 0x0c, 45, 0, 255, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0))
	}
	send([]byte{0xfe, 0, 0, 2, 0})
	for _, l := range lines[1:] {
		var b []byte
		for _, v := range strings.Fields(l) {
			b = mysqlString(b, v)
		}
		send(b)
	}
	send([]byte{0xfe, 0, 0, 2, 0})
	return out
}

var (
	mysqlWritable = []string{"Variable_name Value", "innodb_read_only OFF", "read_only OFF"}
	mysqlReadOnly = []string{"Variable_name Value", "innodb_read_only OFF", "read_only ON"}
	mysqlInnoDB   = []string{"Variable_name Value", "innodb_read_only ON", "read_only OFF"}
)

func TestMySQL(t *testing.T) {
	tests := []struct {
		name, check string
		results     map[string][]string
		ok          bool
		says        string
		role        record.Role
	}{
		{"writable", "", map[string][]string{"read_only": mysqlWritable}, true, "logged in, writable", record.RoleWritable},
		{"read-only", "", map[string][]string{"read_only": mysqlReadOnly}, true, "logged in, read-only", record.RoleReplica},
		{"read-only below", "; role=writable", map[string][]string{"read_only": mysqlInnoDB}, false, "read-only, and the check wants role=writable", record.RoleReplica},
		{"wants writable", "; role=writable", map[string][]string{"read_only": mysqlWritable}, true, "writable", record.RoleWritable},
		{"wants writable, is not", "; role=writable", map[string][]string{"read_only": mysqlReadOnly}, false, "wants role=writable", record.RoleReplica},
		{"wants a replica, is not", "; role=replica", map[string][]string{"read_only": mysqlWritable}, false, "wants role=replica", record.RoleWritable},
		{"MariaDB 12", "; role=writable", map[string][]string{"read_only": {"Variable_name Value", "read_only NO_LOCK_NO_ADMIN"}}, false, "read-only", record.RoleReplica},
		{"lag", "; role=replica; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "REPLICA STATUS": {"Seconds_Behind_Source X", "7 x"}}, true, "7s behind", record.RoleReplica},
		{"too much lag", "; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "REPLICA STATUS": {"Seconds_Behind_Source", "11"}}, false, "11s behind, and the check allows lag=10s", record.RoleReplica},
		{"lag of an old server", "; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "SLAVE STATUS": {"Seconds_Behind_Master", "3"}}, true, "3s behind", record.RoleReplica},
		{"lag of two sources", "; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "REPLICA STATUS": {"Seconds_Behind_Source", "3", "12"}}, false, "12s behind", record.RoleReplica},
		{"stopped", "; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "REPLICA STATUS": {"Seconds_Behind_Source", "NULL"}}, false, "replication has stopped", record.RoleReplica},
		{"replicates from nowhere", "; role=replica; lag=10s", map[string][]string{"read_only": mysqlReadOnly, "REPLICA STATUS": {"Seconds_Behind_Source"}}, false, "replicates from nowhere", record.RoleReplica},
		{"a lag that a primary has not", "; lag=10s", map[string][]string{"read_only": mysqlWritable}, true, "writable", record.RoleWritable},
		{"no right to ask", "", nil, false, "error 1064 while asking for read_only", record.RoleAny},
	}
	for _, at := range loopbacks(t) {
		for _, tt := range tests {
			s := &mysqlServer{results: tt.results}
			to := target(t, serve(t, at, s.handle), "type=mysql; use=db"+tt.check)
			to.Entry = &Entry{Name: "db", User: "probe", Password: mysqlPassword}
			res := ask(t, to, plenty)
			if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) || res.Role != tt.role {
				t.Errorf("%s: %+v", tt.name, res)
			}
		}
	}
}

func TestMySQLLogin(t *testing.T) {
	a := newAuthority(t)
	s := &mysqlServer{results: map[string][]string{"read_only": mysqlWritable}, tls: a.config(t, 24*time.Hour*30+time.Hour), quit: make(chan string, 9)}
	ap := serve(t, loopback4, s.handle)
	try := func(e *Entry) Result {
		to := target(t, ap, "type=mysql; use=db")
		to.Entry, to.Roots = e, a.roots
		return ask(t, to, plenty)
	}
	wantFail(t, try(&Entry{User: "probe", Password: "wrong"}), "error 1045 while logging in: Access denied")
	res := try(&Entry{User: "probe", Password: mysqlPassword, TLS: TLSOn})
	wantOK(t, res, "logged in")
	if res.CertDays != 30 {
		t.Errorf("the certificate lasts for %d days", res.CertDays)
	}
	wantOK(t, try(&Entry{User: "probe", Password: mysqlPassword, TLS: TLSVerified, TLSName: "www.example"}), "logged in")
	wantFail(t, try(&Entry{User: "probe", Password: mysqlPassword, TLS: TLSVerified}), "certificate")
	for range 2 {
		if got := await(t, s.quit); got != "quit" {
			t.Error(got)
		}
	}
	// A server that can't do TLS does not get the password.
	plain := &mysqlServer{results: s.results}
	ap = serve(t, loopback4, func(c net.Conn) {
		plain.handle(c)
	})
	if res := try(&Entry{User: "probe", Password: mysqlPassword, TLS: TLSOn}); res.OK {
		t.Errorf("%+v", res)
	}
}

// A packet that would need much room is refused before there is any.
func TestMySQLPackets(t *testing.T) {
	ap := serve(t, loopback4, func(c net.Conn) {
		c.Write([]byte("\xff\xff\xff\x00"))
		block(c)
	})
	for _, mode := range []TLS{TLSOff, TLSOn} {
		to := target(t, ap, "type=mysql; use=db")
		to.Entry = &Entry{User: "probe", TLS: mode}
		res := ask(t, to, plenty)
		wantFail(t, res, "")
		if strings.Contains(res.Reason, "timeout") {
			t.Error(res.Reason)
		}
	}
}
