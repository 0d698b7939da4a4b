package probe

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"geodns/internal/steer/record"
)

// postgresServer lets in one password, asked for in a way, and answers every
// query with one row.
type postgresServer struct {
	row  []string // "NULL" stands for it
	auth string   // "", "password" or "none"
	tls  *tls.Config
	err  *pgproto3.ErrorResponse
	quit chan string
}

func (s *postgresServer) handle(c net.Conn) {
	b := pgproto3.NewBackend(c, c)
	msg, err := b.ReceiveStartupMessage()
	if err != nil {
		return
	}
	if _, ok := msg.(*pgproto3.SSLRequest); ok {
		if s.tls == nil {
			c.Write([]byte("N"))
			return
		}
		c.Write([]byte("S"))
		tc := tls.Server(c, s.tls)
		defer tc.Close()
		b = pgproto3.NewBackend(tc, tc)
		if _, err = b.ReceiveStartupMessage(); err != nil {
			return
		}
	}
	if s.auth == "password" {
		b.Send(&pgproto3.AuthenticationCleartextPassword{})
		b.Flush()
		if m, err := b.Receive(); err != nil || m.(*pgproto3.PasswordMessage).Password != "p" {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})
			b.Flush()
			return
		}
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	for {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.Terminate:
			if s.quit != nil {
				s.quit <- "quit"
			}
			return
		case *pgproto3.Query:
			s.answer(b)
		}
	}
}

func (s *postgresServer) answer(b *pgproto3.Backend) {
	if s.err != nil {
		b.Send(s.err)
	} else {
		row := &pgproto3.DataRow{}
		fields := &pgproto3.RowDescription{}
		for _, v := range s.row {
			fields.Fields = append(fields.Fields, pgproto3.FieldDescription{Name: []byte("c"), DataTypeOID: 25})
			if v == "NULL" {
				row.Values = append(row.Values, nil)
			} else {
				row.Values = append(row.Values, []byte(v))
			}
		}
		b.Send(fields)
		b.Send(row)
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	b.Flush()
}

func TestPostgres(t *testing.T) {
	tests := []struct {
		name, check string
		row         []string
		ok          bool
		says        string
		role        record.Role
	}{
		{"primary", "", []string{"f", "off", "0"}, true, "logged in, writable", record.RoleWritable},
		{"primary is wanted", "; role=writable", []string{"f", "off", "0"}, true, "writable", record.RoleWritable},
		{"read-only by its settings", "; role=writable", []string{"f", "on", "0"}, false, "read-only", record.RoleReplica},
		{"replica", "; role=writable", []string{"t", "off", "0"}, false, "read-only, and the check wants role=writable", record.RoleReplica},
		{"replica is wanted", "; role=replica", []string{"f", "off", "0"}, false, "writable, and the check wants role=replica", record.RoleWritable},
		{"lag", "; role=replica; lag=10s", []string{"t", "off", "3.5"}, true, "3.5s behind", record.RoleReplica},
		{"too much lag", "; lag=10s", []string{"t", "off", "12.25"}, false, "12.25s behind, and the check allows lag=10s", record.RoleReplica},
		{"lag unknown", "; lag=10s", []string{"t", "off", "NULL"}, false, "lag is not known", record.RoleReplica},
		{"lag odd", "; lag=10s", []string{"t", "off", "NaN"}, false, "lag is not known", record.RoleReplica},
		{"clock behind", "; lag=10s", []string{"t", "off", "-2"}, true, "0s behind", record.RoleReplica},
		{"nonsense", "", []string{"t"}, false, "makes no sense", record.RoleAny},
	}
	for _, at := range loopbacks(t) {
		for _, tt := range tests {
			s := &postgresServer{row: tt.row}
			to := target(t, serve(t, at, s.handle), "type=postgres; use=db"+tt.check)
			to.Entry = &Entry{Name: "db", User: "probe", Password: "p"}
			res := ask(t, to, plenty)
			if res.OK != tt.ok || !strings.Contains(res.Reason, tt.says) || res.Role != tt.role {
				t.Errorf("%s: %+v", tt.name, res)
			}
		}
	}
}

func TestPostgresLogin(t *testing.T) {
	a := newAuthority(t)
	row := []string{"f", "off", "0"}
	try := func(s *postgresServer, e *Entry) Result {
		to := target(t, serve(t, loopback4, s.handle), "type=postgres; use=db")
		to.Entry, to.Roots = e, a.roots
		return ask(t, to, plenty)
	}
	secret := "a very secret password"
	// In plain text no password is sent in plain text.
	got := make(chan string, 1)
	res := try(&postgresServer{row: row, auth: "password", quit: got}, &Entry{User: "probe", Password: "p"})
	wantFail(t, res, "auth")
	s := &postgresServer{row: row, auth: "password", tls: a.config(t, 48*time.Hour), quit: make(chan string, 9)}
	wantOK(t, try(s, &Entry{User: "probe", Password: "p", TLS: TLSVerified, TLSName: "www.example"}), "writable")
	if q := await(t, s.quit); q != "quit" {
		t.Error(q)
	}
	res = try(s, &Entry{User: "probe", Password: secret, TLS: TLSOn})
	wantFail(t, res, "error 28P01 while logging in: password authentication failed")
	if strings.Contains(res.Reason, secret) {
		t.Error(res.Reason)
	}
	wantFail(t, try(s, &Entry{User: "probe", Password: "p", TLS: TLSVerified, TLSName: "other.example"}), "other.example")
	wantFail(t, try(&postgresServer{row: row}, &Entry{User: "probe", Password: "p", TLS: TLSOn}), "refused TLS")
	denied := &postgresServer{err: &pgproto3.ErrorResponse{Severity: "ERROR", Code: "57P03", Message: "starting up"}}
	wantFail(t, try(denied, &Entry{User: "probe"}), "error 57P03 while asking for the role: starting up")
}

// What this server's environment says of other databases does not matter.
func TestPostgresEnvironment(t *testing.T) {
	for k, v := range map[string]string{
		"PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "other", "PGPASSWORD": "other", "PGSSLMODE": "verify-full",
		"PGOPTIONS": "-c x=y", "PGTARGETSESSIONATTRS": "standby", "PGAPPNAME": "other", "PGPASSFILE": "/nonexistent",
	} {
		t.Setenv(k, v)
	}
	s := &postgresServer{row: []string{"f", "off", "0"}}
	to := target(t, serve(t, loopback4, s.handle), "type=postgres; use=db")
	to.Entry = &Entry{User: "probe", Password: "p"}
	wantOK(t, ask(t, to, plenty), "writable")
}
