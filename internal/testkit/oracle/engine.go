package oracle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql" // the driver of the cases' own statements

	"millrace/internal/testkit"
)

// engine is the database server that a case runs on, with the database of one run.
type engine interface {
	// create makes the database with its table of markers, one row in it.
	create(ctx context.Context) error
	// exec runs a script in one session, each statement by itself.
	exec(ctx context.Context, script string) error
	// drop removes what the run made.
	drop(ctx context.Context) error
	// config is the part of a connector's config that names server and database.
	config() map[string]string
	// markers is the table of markers, with its schema or database.
	markers() string
}

// engine makes the engine that a case asks for.
func (d *Driver) engine(c *Case, run Run) (engine, error) {
	at, ok := d.Servers[c.Engine]
	if !ok {
		return nil, fmt.Errorf("no server for engine %q", c.Engine)
	}
	if c.Engine == "postgres" {
		return &onPostgres{server: at, run: run}, nil
	}
	return &onMySQL{server: at, run: run, bootstrap: d.Kafka, mariadb: c.Engine == "mariadb"}, nil
}

type onPostgres struct {
	server testkit.Endpoint
	run    Run
	db     *testkit.Database
}

func (e *onPostgres) create(ctx context.Context) (err error) {
	if e.db, err = testkit.CreateDatabase(ctx, e.server, e.run.DB); err != nil {
		return err
	}
	if err = e.exec(ctx, "create table zz_sentinel(id serial primary key, mark text);\ninsert into zz_sentinel(mark) values ('zz-setup');"); err != nil {
		return errors.Join(err, e.db.Drop(ctx))
	}
	return nil
}

func (e *onPostgres) exec(ctx context.Context, script string) error {
	return execSQL(ctx, e.db.URL, script)
}

func (e *onPostgres) drop(ctx context.Context) error { return e.db.Drop(ctx) }

func (e *onPostgres) markers() string { return "public.zz_sentinel" }

func (e *onPostgres) config() map[string]string {
	c := map[string]string{
		"connector.class":   "io.debezium.connector.postgresql.PostgresConnector",
		"database.hostname": e.server.Host, "database.port": e.server.Port, "database.user": e.server.User, "database.password": "postgres",
		"database.dbname": e.run.DB, "plugin.name": "pgoutput", "slot.name": e.run.Slot, "publication.name": e.run.Slot,
	}
	if e.server.Password != "" {
		c["database.password"] = e.server.Password
	}
	return c
}

// onMySQL is a database on MySQL or MariaDB.
type onMySQL struct {
	server    testkit.Endpoint
	run       Run
	bootstrap string
	mariadb   bool
}

// open connects without a database when db is "".
func (e *onMySQL) open(db string) (*sql.DB, error) {
	return sql.Open("mysql", e.server.User+":"+e.server.Password+"@tcp("+net.JoinHostPort(e.server.Host, e.server.Port)+")/"+db+"?charset=utf8mb4")
}

func (e *onMySQL) session(ctx context.Context, db string, statements ...string) (err error) {
	pool, err := e.open(db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", cut(s), err)
		}
	}
	return nil
}

func (e *onMySQL) create(ctx context.Context) error {
	if err := e.session(ctx, "", "create database "+e.run.DB+" character set utf8mb4"); err != nil {
		return err
	}
	return e.exec(ctx, "create table zz_sentinel(id int auto_increment primary key, mark varchar(40)); insert into zz_sentinel(mark) values ('zz-setup')")
}

func (e *onMySQL) exec(ctx context.Context, script string) error {
	return e.session(ctx, e.run.DB, splitMySQL(script)...)
}

// drop removes every database whose name holds the run's: cases make more.
func (e *onMySQL) drop(ctx context.Context) (err error) {
	pool, err := e.open("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	names, err := e.databases(ctx, pool)
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, err := pool.ExecContext(ctx, "DROP DATABASE `"+strings.ReplaceAll(n, "`", "``")+"`"); err != nil {
			return err
		}
	}
	return nil
}

// databases lists the run's databases.
func (e *onMySQL) databases(ctx context.Context, pool *sql.DB) (names []string, err error) {
	rows, err := pool.QueryContext(ctx, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%"+e.run.DB[1:]+"%'")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, rows.Err()
}

func (e *onMySQL) markers() string { return e.run.DB + ".zz_sentinel" }

func (e *onMySQL) config() map[string]string {
	class := "io.debezium.connector.mysql.MySqlConnector"
	if e.mariadb {
		class = "io.debezium.connector.mariadb.MariaDbConnector"
	}
	id, _ := strconv.ParseUint(e.run.Prefix[1:], 16, 64) // the driver made it
	return map[string]string{
		"connector.class": class, "database.hostname": e.server.Host, "database.port": e.server.Port,
		"database.user": e.server.User, "database.password": e.server.Password, "database.server.id": strconv.FormatUint(100000+id%800000, 10),
		"database.include.list": e.run.DB, "schema.history.internal.kafka.bootstrap.servers": e.bootstrap,
		"schema.history.internal.kafka.topic": "history." + e.run.Prefix, "include.schema.changes": "false",
	}
}

// splitMySQL cuts a script into statements as the mysql client does: at semicolons
// outside of quotes and comments, or at what a line "delimiter X" says. A comment is
// followed by a blank, and sql_mode says whether backslashes escape.
func splitMySQL(s string) []string {
	var out []string
	var sb strings.Builder
	end, escapes := ";", true
	flush := func() {
		text := strings.TrimSpace(sb.String())
		sb.Reset()
		if text == "" {
			return
		}
		out = append(out, text)
		if strings.Contains(strings.ToLower(text), "sql_mode") {
			escapes = !strings.Contains(strings.ToUpper(text), "NO_BACKSLASH_ESCAPES")
		}
	}
	for i := 0; i < len(s); {
		rest, from := s[i:], i
		switch c := s[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = quoted(s, i, c != '`' && escapes)
		case strings.HasPrefix(rest, "-- ") || strings.HasPrefix(rest, "--\n") || c == '#':
			i = after(s, i, "\n")
		case strings.HasPrefix(rest, "/*"):
			i = after(s, i, "*/")
			sb.WriteString(s[from:i])
			if i < len(s) && !strings.ContainsRune(" \t\n", rune(s[i])) {
				sb.WriteByte(' ')
			}
			continue
		case strings.HasPrefix(rest, end):
			flush()
			i += len(end)
			continue
		case strings.TrimSpace(sb.String()) == "" && len(rest) > 10 && strings.EqualFold(rest[:10], "delimiter "):
			i = after(s, i, "\n")
			end = strings.TrimSpace(s[from+10 : i])
			continue
		default:
			i++
		}
		sb.WriteString(s[from:i])
	}
	flush()
	return out
}
