package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"geodns/internal/steer/record"
)

// postgresQuery asks for three things: whether the server replays another's log,
// whether it is read-only otherwise, and how far it is behind in seconds. A
// replica that has replayed all that it received is not behind, but only while
// it receives; else what counts is the age of the last transaction.
const postgresQuery = `SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only'),
CASE WHEN NOT pg_is_in_recovery() THEN 0
WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN 0
ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END`

// postgres logs in and asks for role and lag.
func (r *attempt) postgres() (string, error) {
	e, err := r.login()
	if err != nil {
		return "", err
	}
	cfg, err := r.postgresConfig(e)
	if err != nil {
		return "", err
	}
	c, err := pgconn.ConnectConfig(r.ctx, cfg)
	if err != nil {
		return "", r.postgresFailed("logging in", err)
	}
	defer c.Close(context.Background())
	results, err := c.Exec(r.ctx, postgresQuery).ReadAll()
	if err != nil {
		return "", r.postgresFailed("asking for the role", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 3 {
		return "", errors.New("the answer to the question for the role makes no sense")
	}
	row := results[0].Rows[0]
	reason, err := r.postgresRole(string(row[0]), string(row[1]), string(row[2]))
	if err != nil {
		return "", err
	}
	r.settle()
	return reason, nil
}

// postgresConfig is built on an explicit text for all that the library would
// else take from the environment of this process.
func (r *attempt) postgresConfig(e *Entry) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 port=1 user=x password=x dbname=x sslmode=disable passfile='' sslcert='' sslkey='' sslrootcert='' target_session_attrs=any connect_timeout=0")
	if err != nil {
		return nil, local("PG* variables in this server's environment: %v", err)
	}
	cfg.Host, cfg.Port = r.t.Addr.String(), r.c.Port
	cfg.User, cfg.Password, cfg.Database = e.User, e.Password, e.Database
	if cfg.Database == "" {
		cfg.Database = e.User
	}
	cfg.RuntimeParams = map[string]string{"application_name": userAgent}
	cfg.Fallbacks = nil
	cfg.TLSConfig = r.loginTLS(e)
	cfg.RequireAuth = ""
	if e.TLS == TLSOff {
		// A password in plain text would be read by whoever listens, or by
		// whoever stands at the address.
		cfg.RequireAuth = "!password"
	}
	cfg.MaxProtocolMessageBodyLen = maxPacket
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{cfg.Host}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return r.dial(budgetLogin) }
	return cfg, nil
}

func (r *attempt) postgresFailed(doing string, err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return fmt.Errorf("error %s while %s: %s", said.Code, doing, said.Message)
	}
	if c := r.connection(); c != nil && c.broken() != nil {
		return r.library(doing, c.broken())
	}
	out := r.library(doing, err)
	// The library puts the user, the database and the address before its text.
	if _, text, ok := strings.Cut(out.Error(), "("+r.t.Addr.String()+"): "); ok {
		return errors.New(text)
	}
	return out
}

// postgresRole judges the three answers.
func (r *attempt) postgresRole(recovery, readOnly, behind string) (string, error) {
	r.res.Role = record.RoleWritable
	if recovery != "f" || readOnly != "off" {
		r.res.Role = record.RoleReplica
	}
	if err := r.wantRole(); err != nil {
		return "", err
	}
	if recovery == "f" || r.c.Lag == 0 {
		return r.roleText(), nil
	}
	seconds, err := strconv.ParseFloat(behind, 64)
	if err != nil || seconds != seconds || seconds > 1e9 {
		return "", errors.New("the replica has replayed nothing yet: its lag is not known")
	}
	return r.lagText(time.Duration(max(seconds, 0) * float64(time.Second)).Round(time.Millisecond))
}
