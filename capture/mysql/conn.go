package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	driver "github.com/go-sql-driver/mysql"

	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// tlsConfig is what database.ssl.* say; nil: no TLS. preferred means to try.
func (c *Conn) tlsConfig() (conf *tls.Config, try bool, err error) {
	if c.SSL == "disabled" {
		return nil, false, nil
	}
	conf = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // preferred and required encrypt without checking, as the real connector does
	if len(c.Truststore) > 0 {
		x, problems := kafkaconf.TLS(c.Truststore)
		if len(problems) > 0 {
			return nil, false, errors.New(strings.ReplaceAll(problems[0].Text, "ssl.", "database.ssl."))
		}
		if x != nil {
			conf.Certificates, conf.RootCAs = x.Certificates, x.RootCAs
		}
	}
	switch c.SSL {
	case "verify_identity":
		conf.InsecureSkipVerify, conf.ServerName = false, c.Host
	case "verify_ca":
		roots := conf.RootCAs
		conf.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	}
	return conf, c.SSL == "preferred", nil
}

// netTimeouts sets binlog.net.write.timeout and binlog.net.read.timeout on the
// connection that reads the log.
func (c *Conn) netTimeouts(x *client.Conn) error {
	for _, v := range []struct {
		name    string
		seconds int64
	}{{"net_write_timeout", c.NetWrite}, {"net_read_timeout", c.NetRead}} {
		if v.seconds <= 0 {
			continue
		}
		if _, err := x.Execute(fmt.Sprintf("SET SESSION %s = %d", v.name, v.seconds)); err != nil {
			return fmt.Errorf("set %s: %w", v.name, err)
		}
	}
	return nil
}

// open makes a pool of ordinary connections. Sessions run in UTC and in utf8mb4,
// with a sql_mode that lets every stored value be read.
func (c *Conn) open(ctx context.Context) (*sql.DB, error) {
	conf := driver.NewConfig()
	conf.Net, conf.Addr = "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	conf.User, conf.Passwd = c.User, c.Password
	conf.Timeout = c.ConnectTimeout
	conf.ReadTimeout = c.QueryTimeout // how long the server may be silent over a statement
	conf.InterpolateParams = true
	conf.AllowNativePasswords, conf.AllowCleartextPasswords = true, false
	conf.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "''"}
	if err := conf.Apply(driver.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	t, try, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	if t != nil {
		conf.TLS, conf.AllowFallbackToPlaintext = t, try
	}
	connector, err := driver.NewConnector(conf)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(8)
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("connect to %s: %w", conf.Addr, err)
	}
	return db, nil
}

// session takes one connection for itself and runs the initial statements on it.
func (c *Conn) session(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	s, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	for _, q := range c.InitialStatements {
		if _, err := s.ExecContext(ctx, q); err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("run database.initial.statements: %w", err)
		}
	}
	return s, nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query reads a whole result as texts by lower-case column name.
func query(ctx context.Context, q querier, text string, args ...any) ([]map[string]string, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []map[string]string
	for rows.Next() {
		vals := make([]sql.NullString, len(names))
		ptrs := make([]any, len(names))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		m := make(map[string]string, len(names))
		for i, n := range names {
			m[strings.ToLower(n)] = vals[i].String
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

func quote(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// Numbers of server errors that pass by themselves.
var passing = map[uint16]bool{1040: true, 1053: true, 1077: true, 1152: true, 1158: true, 1159: true, 1160: true, 1161: true, 1184: true, 1203: true, 1205: true, 1213: true, 1412: true, // a table changed under a view: the snapshot goes on, or begins anew

	1317: true, 1927: true, 3169: true, // the statement or its connection was killed
	2002: true, 2003: true, 2006: true, 2013: true, 3032: true}

// retriable reports whether the same attempt may succeed later.
func retriable(err error) bool {
	if errs.Retriable(err) {
		return true
	}
	var my *driver.MySQLError
	if errors.As(err, &my) {
		return passing[my.Number]
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, driver.ErrInvalidConn) || isConnectionText(err)
}

func isConnectionText(err error) bool {
	s := err.Error()
	for _, x := range []string{"connection was bad", "connection reset", "broken pipe", "EOF", "closed network connection", "invalid connection", "connection refused"} {
		if strings.Contains(s, x) {
			return true
		}
	}
	return false
}

// fault makes a final error: what happened, and what to do about it.
func fault(cause error, hint, format string, args ...any) error {
	return &errs.Error{Java: errs.DebeziumException, Msg: fmt.Sprintf(format, args...), Hint: hint, Cause: cause}
}

func closing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
