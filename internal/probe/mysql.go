package probe

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"geodns/internal/steer/record"
)

// maxPacket bounds a packet of a MySQL server in octets: the library makes room
// for as many as a packet's header announces, up to 16 MiB.
const maxPacket = 64 << 10

// The errors of servers that don't know a statement.
const mysqlSyntax = 1064

// mysql logs in and asks for role and lag. A bare connection would count
// against max_connect_errors, and a node that takes none would look well.
func (r *attempt) mysql() (string, error) {
	e, err := r.login()
	if err != nil {
		return "", err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = e.User, e.Password, e.Database
	cfg.Net, cfg.Addr = "tcp", r.addrPort().String()
	cfg.TLS = r.loginTLS(e)
	cfg.Logger = &mysql.NopLogger{}
	cfg.MaxAllowedPacket = maxPacket
	cfg.CheckConnLiveness = false
	cfg.ConnectionAttributes = "program_name:" + userAgent
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		c, err := r.dial(budgetLogin)
		if err != nil {
			return nil, err
		}
		return &packets{Conn: c, tls: cfg.TLS != nil}, nil
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return "", local("the entry %q in geodns.yaml: %v", r.c.Use, err)
	}
	c, err := connector.Connect(r.ctx)
	if err != nil {
		return "", r.mysqlFailed("logging in", err)
	}
	defer c.Close()
	s := &sqlSession{r: r, q: c.(driver.QueryerContext)}
	reason, err := s.check()
	if err != nil {
		return "", err
	}
	r.settle()
	return reason, nil
}

// loginTLS is how the login is protected; nil: not at all.
func (r *attempt) loginTLS(e *Entry) *tls.Config {
	if e.TLS == TLSOff {
		return nil
	}
	name := e.TLSName
	if name == "" {
		name = r.t.Addr.WithZone("").String()
	}
	return &tls.Config{ServerName: name, InsecureSkipVerify: e.TLS != TLSVerified, RootCAs: r.t.Roots, VerifyConnection: r.certificate}
}

func (r *attempt) mysqlFailed(doing string, err error) error {
	var said *mysql.MySQLError
	if errors.As(err, &said) {
		return fmt.Errorf("error %d while %s: %s", said.Number, doing, said.Message)
	}
	// The library hides what happened to the connection.
	if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) {
		if c := r.connection(); c != nil && c.broken() != nil {
			err = c.broken()
		}
	}
	return r.library(doing, err)
}

// sqlSession asks a MySQL server.
type sqlSession struct {
	r *attempt
	q driver.QueryerContext
}

func (s *sqlSession) check() (string, error) {
	vars, err := s.rows("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'innodb_read_only')")
	if err != nil {
		return "", s.r.mysqlFailed("asking for read_only", err)
	}
	s.r.res.Role = record.RoleWritable
	for _, row := range vars {
		// MariaDB has more values than ON and OFF: all of them forbid something.
		if v := strings.ToUpper(row["Value"]); v != "OFF" && v != "0" && v != "" {
			s.r.res.Role = record.RoleReplica
		}
	}
	if err := s.r.wantRole(); err != nil || s.r.c.Lag == 0 || s.r.res.Role == record.RoleWritable {
		return s.r.roleText(), err
	}
	return s.lag()
}

// lag compares how far the replica is behind.
func (s *sqlSession) lag() (string, error) {
	rows, err := s.rows("SHOW REPLICA STATUS")
	var said *mysql.MySQLError
	if errors.As(err, &said) && said.Number == mysqlSyntax {
		// Before MySQL 8.0.22 and MariaDB 10.5.1.
		rows, err = s.rows("SHOW SLAVE STATUS")
	}
	if err != nil {
		return "", s.r.mysqlFailed("asking for the lag", err)
	}
	if len(rows) == 0 {
		if s.r.c.Role == record.RoleReplica {
			return "", errors.New("it is read-only, but replicates from nowhere")
		}
		return s.r.roleText(), nil
	}
	var most time.Duration
	for _, row := range rows {
		text, ok := row["Seconds_Behind_Source"]
		if !ok {
			text = row["Seconds_Behind_Master"]
		}
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			// NULL: one of the two threads does not run.
			return "", errors.New("replication has stopped")
		}
		most = max(most, time.Duration(seconds)*time.Second)
	}
	return s.r.lagText(most)
}

// wantRole fails if the database is not what the check wants.
func (r *attempt) wantRole() error {
	switch {
	case r.c.Role == record.RoleWritable && r.res.Role != record.RoleWritable:
		return errors.New("it is read-only, and the check wants role=writable")
	case r.c.Role == record.RoleReplica && r.res.Role != record.RoleReplica:
		return errors.New("it is writable, and the check wants role=replica")
	}
	return nil
}

func (r *attempt) roleText() string {
	if r.res.Role == record.RoleReplica {
		return "logged in, read-only"
	}
	return "logged in, writable"
}

func (r *attempt) lagText(lag time.Duration) (string, error) {
	if r.c.Lag > 0 && lag > r.c.Lag {
		return "", fmt.Errorf("the replica is %s behind, and the check allows lag=%s", lag, r.c.Lag)
	}
	return fmt.Sprintf("%s, %s behind", r.roleText(), lag), nil
}

// rows runs a statement. The octets of a result are bounded by the connection's
// budget.
func (s *sqlSession) rows(query string) (out []map[string]string, err error) {
	rows, err := s.q.QueryContext(s.r.ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := rows.Columns()
	values := make([]driver.Value, len(names))
	for {
		err := rows.Next(values)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, v := range values {
			switch v := v.(type) {
			case []byte:
				row[names[i]] = string(v)
			case nil:
			default:
				row[names[i]] = fmt.Sprint(v)
			}
		}
		out = append(out, row)
	}
}

// packets is a connection that ends when the server announces a packet longer
// than any that it has reason to send. With TLS that holds for the packets
// before it.
type packets struct {
	net.Conn
	tls    bool
	header [4]byte
	have   int // octets of the header
	body   int // octets of the packet that are still to come
}

func (p *packets) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.tls && p.have < 0 {
		return n, err
	}
	for rest := b[:n]; len(rest) > 0; {
		if p.body > 0 {
			skip := min(p.body, len(rest))
			p.body -= skip
			rest = rest[skip:]
			continue
		}
		p.header[p.have] = rest[0]
		rest = rest[1:]
		if p.have++; p.have < len(p.header) {
			continue
		}
		p.have = 0
		p.body = int(p.header[0]) | int(p.header[1])<<8 | int(p.header[2])<<16
		if p.body > maxPacket {
			return 0, fmt.Errorf("a packet of %d octets was announced: this is no MySQL server", p.body)
		}
	}
	return n, err
}

// Write notes when the plain text ends: with the first packet that the client
// sends, its wish for TLS.
func (p *packets) Write(b []byte) (int, error) {
	if p.tls {
		p.have = -1
	}
	return p.Conn.Write(b)
}
