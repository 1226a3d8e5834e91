package sqlsink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-sql-driver/mysql"
)

// mysqlTarget is the connection of one task to MySQL or MariaDB. Rows go as
// literals of multi-row statements: one round trip, no parameters to box.
type mysqlTarget struct {
	cfg   *config
	log   *slog.Logger
	spell *mySpell
	conf  *mysql.Config
	db    *sql.DB
	conn  *sql.Conn

	rowAlias bool // INSERT … AS new ON DUPLICATE KEY, instead of VALUES()
	packet   int  // max_allowed_packet
	enc      myEncoder
	buf      []byte
}

func newMySQL(c *config, log *slog.Logger) (_ *mysqlTarget, err error) {
	u := c.url
	conf := mysql.NewConfig()
	conf.User, conf.Passwd = c.user, c.password
	if conf.User == "" {
		conf.User = u.param("user")
	}
	if conf.Passwd == "" {
		conf.Passwd = u.param("password")
	}
	conf.Net, conf.Addr, conf.DBName = "tcp", u.hosts[0], u.database
	conf.Timeout = 10 * time.Second
	if n, err := strconv.Atoi(u.param("connectTimeout")); err == nil && n > 0 {
		conf.Timeout = time.Duration(n) * time.Millisecond
	}
	conf.ReadTimeout, conf.WriteTimeout = answerTimeout, answerTimeout
	if n, err := strconv.Atoi(u.param("socketTimeout")); err == nil && n > 0 {
		conf.ReadTimeout, conf.WriteTimeout = time.Duration(n)*time.Millisecond, time.Duration(n)*time.Millisecond
	}
	if conf.Params, err = sessionVariables(u.param("sessionVariables")); err != nil {
		return nil, err
	}
	conf.Params["time_zone"] = "'+00:00'" // values are bound in UTC
	conf.ClientFoundRows = true           // an update that changes nothing has still found its row
	conf.Collation = "utf8mb4_general_ci"
	conf.Logger = quiet{}
	tc, err := myTLS(u)
	if err != nil {
		return nil, err
	}
	conf.TLS = tc
	if tc != nil && u.param("sslMode") == "" && !strings.EqualFold(u.param("useSSL"), "true") {
		conf.AllowFallbackToPlaintext = true
	}
	return &mysqlTarget{cfg: c, log: log, conf: conf, spell: &mySpell{keepCase: c.quote || c.plain, plain: c.plain, maria: u.dialect == dialectMariaDB}}, nil
}

// quiet drops the driver's own log lines; its errors come back to the caller.
type quiet struct{}

func (quiet) Print(...any) {}

// myTLS reads the TLS parameters of MySQL's and MariaDB's JDBC drivers. MySQL's
// default is to encrypt when the server can, without checking its certificate.
func myTLS(u *jdbcURL) (*tls.Config, error) {
	mode := strings.ToUpper(strings.ReplaceAll(u.param("sslMode"), "-", "_"))
	if mode == "" {
		switch {
		case strings.EqualFold(u.param("useSSL"), "false"):
			mode = "DISABLED"
		case strings.EqualFold(u.param("verifyServerCertificate"), "true"):
			mode = "VERIFY_CA"
		case u.dialect == dialectMariaDB && u.param("useSSL", "requireSSL") == "":
			mode = "DISABLED"
		}
	}
	host, _, _ := strings.Cut(u.hosts[0], ":")
	switch mode {
	case "DISABLED", "DISABLE":
		return nil, nil
	case "", "PREFERRED", "REQUIRED", "TRUST":
		return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil
	}
	tc := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if file := strings.TrimPrefix(u.param("serverSslCert"), "file:"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read serverSslCert of connection.url: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("serverSslCert of connection.url, %s, holds no PEM certificate", file)
		}
	}
	return tc, nil
}

func (t *mysqlTarget) open(ctx context.Context) error {
	t.close()
	connector, err := mysql.NewConnector(t.conf)
	if err != nil {
		return &dbError{what: "configure the connection to " + t.conf.Addr, err: err}
	}
	t.db = sql.OpenDB(connector)
	t.db.SetMaxOpenConns(1)
	if t.conn, err = t.db.Conn(ctx); err != nil {
		return myError("connect to "+t.cfg.url.dialect+" at "+t.conf.Addr+", database "+t.conf.DBName, err)
	}
	var version, mode, binlog string
	if err := t.conn.QueryRowContext(ctx, "SELECT VERSION(), @@sql_mode, @@max_allowed_packet, @@binlog_format").Scan(&version, &mode, &t.packet, &binlog); err != nil {
		return myError("read the server's version", err)
	}
	if t.cfg.lanes > 1 && !strings.EqualFold(binlog, "STATEMENT") {
		// Without it InnoDB locks the gaps between keys as well, and two lanes that
		// write neighbouring keys would end in deadlocks.
		if err := t.exec(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
			return err
		}
	}
	if t.cfg.url.dialect == dialectMySQL && !strings.Contains(mode, "STRICT_TRANS_TABLES") {
		// As the JDBC driver does: a server that is not strict would cut texts and numbers to what fits.
		if err := t.exec(ctx, "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"); err != nil {
			return err
		}
	}
	t.spell.rawSlash = strings.Contains(mode, "NO_BACKSLASH_ESCAPES")
	t.spell.maria = strings.Contains(strings.ToLower(version), "mariadb")
	t.rowAlias = !t.spell.maria && atLeastVersion(version, 8, 0, 20)
	t.spell.noVector = !atLeastVersion(version, 9, 0, 0) || t.spell.maria && !atLeastVersion(version, 11, 7, 0)
	t.enc.spell = t.spell
	return nil
}

func atLeastVersion(v string, want ...int) bool {
	parts := strings.FieldsFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	for i, w := range want {
		if i >= len(parts) {
			return false
		}
		if n, _ := strconv.Atoi(parts[i]); n != w {
			return n > w
		}
	}
	return true
}

func (t *mysqlTarget) close() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
	if t.db != nil {
		t.db.Close()
		t.db = nil
	}
}

func (t *mysqlTarget) ready(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	return t.open(ctx)
}

func (t *mysqlTarget) exec(ctx context.Context, q string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	_, err := t.conn.ExecContext(ctx, q)
	return t.note(short(q), err)
}

// note classifies an error and drops a connection that is gone.
func (t *mysqlTarget) note(what string, err error) error {
	if err == nil {
		return nil
	}
	err = myError(what, err)
	if classOf(err) == errLost {
		t.close()
	}
	return err
}

func short(q string) string {
	if len(q) > 200 {
		return q[:200] + "…"
	}
	return q
}

func (t *mysqlTarget) describe(ctx context.Context, tab *table) (*tableInfo, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	where, args := "DATABASE()", []any{tab.ident}
	if tab.schema != "" {
		where, args = "?", []any{tab.schema, tab.ident}
	}
	rows, err := t.conn.QueryContext(ctx, "SELECT column_name, column_type, is_nullable = 'NO', column_default IS NOT NULL OR extra LIKE '%auto_increment%', extra LIKE '%GENERATED%' AND extra NOT LIKE '%DEFAULT_GENERATED%' FROM information_schema.columns WHERE table_schema = "+where+" AND table_name = ? ORDER BY ordinal_position", args...)
	if err != nil {
		return nil, t.note("read the catalog", err)
	}
	defer rows.Close()
	info := &tableInfo{cols: map[string]*colInfo{}}
	for rows.Next() {
		c := &colInfo{}
		if err := rows.Scan(&c.name, &c.typ, &c.notNull, &c.hasDefault, &c.generated); err != nil {
			return nil, t.note("read the catalog", err)
		}
		info.cols[strings.ToLower(c.name)] = c
	}
	if err := rows.Err(); err != nil {
		return nil, t.note("read the catalog", err)
	}
	if len(info.cols) == 0 {
		return nil, nil
	}
	return info, t.solo(ctx, where, args, info)
}

// solo tells whether rows of a table constrain each other: no unique key or a second one, a
// foreign key in either direction, or a trigger.
func (t *mysqlTarget) solo(ctx context.Context, where string, args []any, info *tableInfo) error {
	in := "_schema = " + where + " AND "
	keys := "(SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics WHERE table" + in + "table_name = ? AND non_unique = 0)"
	const triggers = "EXISTS (SELECT 1 FROM information_schema.triggers WHERE event_object"
	q := "SELECT " + keys + " = 0, " + triggers + in + "event_object_table = ?), " + keys + " <> 1" +
		" OR EXISTS (SELECT 1 FROM information_schema.referential_constraints WHERE constraint" + in + "(table_name = ? OR referenced_table_name = ?))" +
		" OR " + triggers + in + "event_object_table = ?)"
	name, schema := args[len(args)-1], args[:len(args)-1]
	var all []any
	for _, names := range [][]any{{name}, {name}, {name}, {name, name}, {name}} {
		all = append(append(all, schema...), names...)
	}
	if err := t.conn.QueryRowContext(ctx, q, all...).Scan(&info.unkeyed, &info.triggers, &info.solo); err != nil {
		return t.note("read the catalog", err)
	}
	return nil
}

func (t *mysqlTarget) write(ctx context.Context, src *rows, units []*unit) error {
	if err := t.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for n, u := range units {
		if err := t.unit(ctx, src, u); err != nil {
			if t.conn != nil {
				if e := t.exec(ctx, "ROLLBACK"); e != nil {
					t.log.Debug("rolling back", "error", e)
				}
			}
			return &unitError{unit: n, err: err}
		}
	}
	return lostCommit(t.exec(ctx, "COMMIT"))
}

func (t *mysqlTarget) unit(ctx context.Context, src *rows, u *unit) error {
	p := u.plan
	cols := make([]*column, 0, len(p.cols))
	types := make([]string, 0, len(p.cols))
	for i := range p.cols {
		info := p.table.info.cols[strings.ToLower(p.cols[i].name)]
		if !info.generated {
			cols, types = append(cols, &p.cols[i]), append(types, info.typ)
		}
	}
	w := myWriter{t: t, src: src, u: u, cols: cols, types: types}
	switch {
	case u.op == unitTruncate:
		return t.exec(ctx, "TRUNCATE TABLE "+p.table.sql)
	case u.op == unitDelete:
		return w.deletes(ctx)
	case u.op == unitUpdate, p.partial && u.op == unitUpsert:
		return w.updates(ctx)
	}
	return w.inserts(ctx)
}

// send runs the statement in t.buf.
func (t *mysqlTarget) send(ctx context.Context, what string) (affected int64, err error) {
	q := unsafe.String(unsafe.SliceData(t.buf), len(t.buf))
	var res driver.Result
	err = t.conn.Raw(func(dc any) error {
		r, e := dc.(driver.ExecerContext).ExecContext(ctx, q, nil)
		res = r
		return e
	})
	if err != nil {
		return 0, t.note(what, err)
	}
	affected, err = res.RowsAffected()
	return affected, err
}

// myError classifies an error.
func myError(what string, err error) error {
	e := &dbError{what: what, err: err}
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		e.class = errLost
		return e
	}
	switch my.Number {
	case 1205, 1213, 3572, 1614,
		3, 1021, 1026, 1030, 1037, 1038, 1041, 1114, 1206, 1297: // no room on disk or in memory
		e.class = errBusy
	case 1040, 1053, 1077, 1080, 1184, 1290, 1836, 2006, 2013, 1927, 3168:
		e.class = errLost
	case 1146, 1054, 1051:
		e.class = errNoTable
	case 1044, 1045, 1049, 1142, 1143, 1227, 1251, 1370, 1698, 1862:
		e.class = errSetup
	}
	return e
}
