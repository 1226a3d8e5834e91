package sqlsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgres is the connection of one task to a PostgreSQL server.
type postgres struct {
	cfg   *config
	log   *slog.Logger
	spell *pgSpell
	conf  *pgconn.Config
	conn  *pgconn.PgConn
	// anyText: stringtype=unspecified in the URL; texts go into columns of any type.
	anyText bool
	// timeout is the URL's socketTimeout, for one write.
	timeout time.Duration

	plans map[*plan]*pgPlan // of this connection
	enc   pgEncoder
	buf   []byte
	args  [][]byte
}

func newPostgres(c *config, log *slog.Logger) (*postgres, error) {
	conf, err := pgConfig(c)
	if err != nil {
		return nil, err
	}
	timeout := answerTimeout
	if seconds, err := strconv.Atoi(c.url.param("socketTimeout")); err == nil && seconds > 0 {
		timeout = time.Duration(seconds) * time.Second
	}
	return &postgres{cfg: c, log: log, conf: conf, timeout: timeout, spell: &pgSpell{keepCase: c.quote, plain: c.plain},
		anyText: strings.EqualFold(c.url.param("stringtype"), "unspecified")}, nil
}

// pgConfig turns a JDBC URL into pgconn's configuration.
func pgConfig(c *config) (*pgconn.Config, error) {
	u := c.url
	q := url.Values{}
	for from, to := range map[string]string{"sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey",
		"sslpassword": "sslpassword", "currentSchema": "search_path", "ApplicationName": "application_name", "options": "options"} {
		if v := u.param(from); v != "" {
			q.Set(to, v)
		}
	}
	if u.param("sslmode") == "" && strings.EqualFold(u.param("ssl"), "true") {
		q.Set("sslmode", "verify-full")
	}
	if t := u.param("targetServerType"); t == "primary" || t == "master" {
		q.Set("target_session_attrs", "read-write")
	}
	timeout := 10
	if n, err := strconv.Atoi(u.param("connectTimeout", "loginTimeout")); err == nil && n > 0 {
		timeout = n
	}
	q.Set("connect_timeout", strconv.Itoa(timeout))
	q.Set("timezone", "UTC")
	user, password := c.user, c.password
	if user == "" {
		user = u.param("user")
	}
	if password == "" {
		password = u.param("password")
	}
	db := u.database
	if db == "" {
		db = user
	}
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: strings.Join(u.hosts, ","), Path: "/" + db, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	conf, err := pgconn.ParseConfig(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("connection.url %s: %s", redactURL("jdbc:"+u.dialect+"://"+strings.Join(u.hosts, ",")+"/"+db), strings.ReplaceAll(err.Error(), dsn.String(), "…"))
	}
	if conf.RuntimeParams["application_name"] == "" {
		conf.RuntimeParams["application_name"] = "millrace"
	}
	return conf, nil
}

func (p *postgres) open(ctx context.Context) error {
	p.close()
	conn, err := pgconn.ConnectConfig(ctx, p.conf)
	if err != nil {
		return pgError("connect to PostgreSQL at "+strings.Join(p.cfg.url.hosts, ",")+", database "+p.conf.Database, err)
	}
	p.conn, p.plans = conn, map[*plan]*pgPlan{}
	return p.facts(ctx)
}

// facts reads where PostGIS is, and whether citext and pgvector are there.
func (p *postgres) facts(ctx context.Context) error {
	rows, err := p.query(ctx, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'postgis'")
	if err != nil {
		return err
	}
	known, err := p.query(ctx, "SELECT to_regtype('citext') IS NOT NULL, to_regtype('vector') IS NOT NULL")
	if err != nil {
		return err
	}
	p.spell.citext, p.spell.vector = string(known[0][0]) == "t", string(known[0][1]) == "t"
	p.spell.postgis = ""
	if len(rows) == 1 {
		p.spell.postgis = string(rows[0][0])
		if p.cfg.postgis != "" && p.cfg.postgis != p.spell.postgis {
			p.log.Info("PostGIS is in another schema than dialect.postgres.postgis.schema says; using the real one", "schema", p.spell.postgis)
		}
	}
	return nil
}

func (p *postgres) close() {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := p.conn.Close(ctx); err != nil {
		p.log.Debug("closing the connection", "error", err)
	}
	p.conn = nil
}

// ready makes the connection again after it was lost.
func (p *postgres) ready(ctx context.Context) error {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	return p.open(ctx)
}

func (p *postgres) query(ctx context.Context, sql string, args ...string) ([][][]byte, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	res := p.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		return nil, pgError("read the catalog", res.Err)
	}
	return res.Rows, nil
}

func (p *postgres) exec(ctx context.Context, sql string) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	if _, err := p.conn.Exec(ctx, sql).ReadAll(); err != nil {
		return pgError(sql, err)
	}
	return nil
}

// pgSolo tells whether rows of a table constrain each other: none or a second unique index,
// an exclusion, a foreign key in either direction, a trigger that is the owner's, or
// a text that is equal to another one with other bytes.
const pgSolo = `(SELECT count(*) FROM pg_index x WHERE x.indrelid = a.attrelid AND x.indisunique) <> 1
		OR EXISTS (SELECT FROM pg_constraint k WHERE k.contype IN ('f', 'x') AND a.attrelid IN (k.conrelid, k.confrelid))
		OR ` + pgTriggers + `
		OR EXISTS (SELECT FROM pg_attribute b JOIN pg_collation l ON l.oid = b.attcollation WHERE b.attrelid = a.attrelid AND to_jsonb(l)->>'collisdeterministic' = 'false')`

const pgTriggers = `EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = a.attrelid AND NOT g.tgisinternal)`

func (p *postgres) describe(ctx context.Context, t *table) (*tableInfo, error) {
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	if parts := strings.Split(t.name, "."); len(parts) > 2 && p.spell.tableName(parts[len(parts)-3]) != p.conf.Database {
		return nil, nil // a table of another database
	}
	rows, err := p.query(ctx, `SELECT a.attname, format_type(a.atttypid, NULL), a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attidentity = 'a', a.attgenerated <> '', t.typtype = 'e', `+pgSolo+`, `+pgTriggers+`
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, t.sql)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	info := &tableInfo{cols: map[string]*colInfo{}}
	yes := func(b []byte) bool { return bytes.Equal(b, []byte("t")) }
	for _, r := range rows {
		typ := string(r[1])
		if typ == "character" { // in a cast that would mean one character
			typ = "bpchar"
		}
		info.cols[string(r[0])] = &colInfo{name: string(r[0]), typ: typ, notNull: yes(r[2]), hasDefault: yes(r[3]), always: yes(r[4]), generated: yes(r[5]), enum: yes(r[6]),
			exact: typ == "text" || typ == "character varying"}
		info.solo, info.triggers = yes(r[7]), yes(r[8])
	}
	return info, nil
}

// pgError classifies an error. Network errors mean that the connection is gone.
func pgError(what string, err error) error {
	e := &dbError{what: what, err: err}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		e.class = errLost
		return e
	}
	if pg.Detail != "" {
		e.err = fmt.Errorf("%w. Detail: %s", err, pg.Detail)
	}
	if pg.Hint != "" {
		e.err = fmt.Errorf("%w. Hint: %s", e.err, pg.Hint)
	}
	switch pg.Code {
	case "40001", "40P01", "55P03", "57014":
		e.class = errBusy
	case "57P01", "57P02", "57P03", "53300", "25006":
		e.class = errLost
	case "42P01", "42703", "3F000":
		e.class = errNoTable
	case "42501", "3D000", "0P000":
		e.class = errSetup
	default:
		switch {
		case strings.HasPrefix(pg.Code, "08"), pg.Code == "25P03", strings.HasPrefix(pg.Code, "57P"):
			e.class = errLost
		case strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "58"): // no room on disk or in memory, a failing disk
			e.class = errBusy
		case strings.HasPrefix(pg.Code, "28"):
			e.class = errSetup
		}
	}
	return e
}
