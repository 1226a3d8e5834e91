package sqlsink_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/sinkers/sqlsink"
)

// sqliteFile is a SQLite target of one test.
type sqliteFile struct{ path string }

func newSQLiteTarget(t *testing.T) caseTarget {
	return &sqliteFile{path: filepath.Join(t.TempDir(), "target.db")}
}

func (s *sqliteFile) vars(x string) string { return strings.ReplaceAll(x, "{prefix}", "server1") }

func (s *sqliteFile) props() map[string]string {
	return map[string]string{"connector.class": sqlsink.Class, "connection.url": "jdbc:sqlite:" + s.path}
}

func (s *sqliteFile) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *sqliteFile) exec(t *testing.T, q string) {
	t.Helper()
	if _, err := s.open(t).ExecContext(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

func (s *sqliteFile) read(t *testing.T) map[string]tableState {
	t.Helper()
	db := s.open(t)
	names := texts(t, db, "select name from sqlite_master where type = 'table' order by 1")
	out := map[string]tableState{}
	for _, n := range names {
		st := tableState{PK: []string{}, Rows: [][]any{}}
		for _, r := range texts(t, db, "select name from pragma_table_info('"+n[0].(string)+"') where pk > 0 order by pk") {
			st.PK = append(st.PK, r[0].(string))
		}
		order := "1"
		if len(st.PK) > 0 {
			order = strings.Join(st.PK, ", ")
		}
		st.Rows = texts(t, db, "select * from "+n[0].(string)+" order by "+order)
		out[n[0].(string)] = st
	}
	return out
}

// texts reads a query with every value as text.
func texts(t *testing.T, db *sql.DB, q string) [][]any {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := [][]any{}
	for rows.Next() {
		vals, ptrs := make([]sql.NullString, len(cols)), make([]any, len(cols))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		row := make([]any, len(cols))
		for i, v := range vals {
			if v.Valid {
				row[i] = v.String
			}
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSQLite plays PostgreSQL's cases into SQLite, which Debezium's sink has no
// dialect for: the rows must be the same.
func TestSQLite(t *testing.T) {
	for _, name := range []string{"pg-envelope-crud", "pg-upsert-key", "pg-upsert-key-fields", "pg-upsert-only-key-columns", "pg-delete-flat", "pg-delete-key-change",
		"pg-delete-insert-mode", "pg-evolve-interleaved", "pg-reduction-buffer", "pg-two-topics", "pg-upsert-kafka-key-replay", "pg-upsert-header",
		"pg-src-keyed-flow", "pg-update-mode", "pg-insert-replay-duplicates", "pg-topics-regex", "pg-src-network", "pg-evolve-add-columns", "pg-evolve-drop-required", "pg-evolve-required-column",
		"pg-key-grows", "pg-table-dropped", "pg-column-added-outside", "pg-keyless-insert-delete", "pg-none-missing-table", "pg-none-missing-column", "pg-nested-struct", "pg-schemaless", "pg-op-unknown",
		"pg-validate-only", "pg-insert-duplicate-key", "pg-delete-flat-null-with-schema", "pg-null-key-in-mid", "pg-field-include", "pg-mixed-case-quoted", "pg-config-delete-no-key"} {
		t.Run(name, func(t *testing.T) {
			c := loadCase(t, name)
			tg := newSQLiteTarget(t)
			if c.Setup != "" {
				for _, q := range strings.Split(c.Setup, ";") {
					tg.exec(t, q)
				}
			}
			state, err := play(t, name, c, tg)
			want, got := expected(t, name), tg.read(t)
			if state != want.Tasks[0] {
				t.Fatal(state, err)
			}
			for n, w := range want.Target.Tables {
				if asJSON(w.Rows) != asJSON(got[n].Rows) || !reflect.DeepEqual(w.PK, got[n].PK) {
					t.Errorf("%s:\nwant %v %s\ngot  %v %s", n, w.PK, asJSON(w.Rows), got[n].PK, asJSON(got[n].Rows))
				}
			}
		})
	}
}

func targets(t *testing.T, f func(t *testing.T, tg caseTarget)) {
	t.Run("postgres", func(t *testing.T) { f(t, newPostgresTarget(t)) })
	t.Run("mysql", func(t *testing.T) { f(t, newMySQLTarget(t, "mysql", testkit.MySQL(t))) })
	t.Run("mariadb", func(t *testing.T) { f(t, newMySQLTarget(t, "mariadb", testkit.MariaDB(t))) })
	t.Run("sqlite", func(t *testing.T) { f(t, newSQLiteTarget(t)) })
}

func upserts(tg caseTarget, more map[string]string) map[string]string {
	p := tg.props()
	p["insert.mode"], p["primary.key.mode"], p["collection.name.format"], p["delete.enabled"] = "upsert", "record_key", "t", "true"
	for k, v := range more {
		p[k] = v
	}
	return p
}

var (
	keySchema = &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}}}
	rowSchema = &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "a", Schema: record.PlainString}, {Name: "b", Schema: record.OptionalBytes}, {Name: "n", Schema: record.OptionalInt32}}}
	theTopic  = &record.Topic{Name: "server1.t"}
)

// flat appends a flat record; a nil row is a tombstone.
func flat(t *testing.T, b *record.Batch, id int, row map[string]any) {
	t.Helper()
	flatOf(t, b, id, rowSchema, row)
}

// flatOf is flat with another schema of the row, which has the field id too.
func flatOf(t *testing.T, b *record.Batch, id int, schema *record.Schema, row map[string]any) {
	t.Helper()
	r := b.Append()
	r.Topic, r.Origin = theTopic, record.Origin{Topic: theTopic, Offset: int64(len(b.Records))}
	var err error
	r.KeySchema = keySchema
	if r.Key, err = record.FromGo(b, keySchema, map[string]any{"id": id}); err != nil {
		t.Fatal(err)
	}
	if row == nil {
		return
	}
	row["id"], r.ValueSchema = id, schema
	if r.Value, err = record.FromGo(b, schema, row); err != nil {
		t.Fatal(err)
	}
}

const placeholder = "__debezium_unavailable_value"

// TestUnchangedValuesStay: a placeholder never replaces what is stored, also where
// the column may not be null, and in one batch with whole rows and deletes.
func TestUnchangedValuesStay(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		blob := "blob"
		if _, ok := tg.(*postgresTarget); ok {
			blob = "bytea"
		}
		tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b "+blob+", n int)")
		k, err := start(t, upserts(tg, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = k.Stop() }()
		b := &record.Batch{}
		flat(t, b, 1, map[string]any{"a": "one", "b": []byte("B1"), "n": 1})
		flat(t, b, 2, map[string]any{"a": "two", "b": []byte("B2"), "n": 2})
		flat(t, b, 3, map[string]any{"a": "three", "b": []byte("B3"), "n": 3})
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		b = &record.Batch{}
		flat(t, b, 1, map[string]any{"a": placeholder, "b": []byte("X1"), "n": 11})
		flat(t, b, 2, map[string]any{"a": "TWO", "b": []byte(placeholder), "n": 12})
		flat(t, b, 3, nil)
		flat(t, b, 3, map[string]any{"a": "again", "b": []byte("X3"), "n": 13})
		flat(t, b, 3, map[string]any{"a": placeholder, "b": []byte(placeholder), "n": 14})
		flat(t, b, 4, map[string]any{"a": "new", "b": []byte(placeholder), "n": 15})
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want := `[1 one X1 11] [2 TWO B2 12] [3 again X3 14] [4 new <nil> 15]`
		if got := readT(t, tg); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// readT prints table t with b as text.
func readT(t *testing.T, tg caseTarget) string {
	t.Helper()
	var rows []string
	for _, r := range tg.read(t)["t"].Rows {
		if s, ok := r[2].(string); ok {
			switch tg.(type) {
			case *postgresTarget:
				r[2] = unhex(t, s[2:])
			case *mysqlTarget:
				r[2] = unhex(t, s)
			}
		}
		rows = append(rows, fmt.Sprint(r))
	}
	return strings.Join(rows, " ")
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	var out string
	if _, err := fmt.Sscanf(s, "%x", &out); err != nil && s != "" {
		t.Fatal(err)
	}
	return out
}

// TestRefusedRowsAreFound: with errors.tolerance=all exactly the refused rows are
// reported and all others are written; without it nothing is written and the first
// refused row is named.
func TestRefusedRowsAreFound(t *testing.T) {
	targets(t, func(t *testing.T, tg caseTarget) {
		blob := "blob"
		if _, ok := tg.(*postgresTarget); ok {
			blob = "bytea"
		}
		tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b "+blob+", n int, constraint small check (n < 1000))")
		fill := func() *record.Batch {
			b := &record.Batch{}
			for i := 0; i < 600; i++ {
				n := i
				if i%250 == 99 {
					n = 1000 + i
				}
				flat(t, b, i, map[string]any{"a": "x", "n": n})
			}
			return b
		}
		for _, tolerance := range []string{"none", "all"} {
			k, err := start(t, upserts(tg, map[string]string{"errors.tolerance": tolerance}))
			if err != nil {
				t.Fatal(err)
			}
			err = k.Put(t.Context(), fill())
			var bad *errs.RecordError
			if !errors.As(err, &bad) {
				t.Fatalf("%s: %v", tolerance, err)
			}
			var at []int
			for _, x := range bad.Bad {
				at = append(at, x.Index)
			}
			want, rows := []int{99}, 0
			if tolerance == "all" {
				want, rows = []int{99, 349, 599}, 597
			}
			if !reflect.DeepEqual(at, want) || len(tg.read(t)["t"].Rows) != rows {
				t.Errorf("%s: refused %v, want %v; %d rows, want %d", tolerance, at, want, len(tg.read(t)["t"].Rows), rows)
			}
			if err := k.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestConnectionLoss: a connection that the server ended is made again, and a
// plain insert is not written twice.
func TestConnectionLoss(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, "create table t(id int, a varchar(40) not null, b bytea, n int)")
	props := p.props()
	props["collection.name.format"], props["batch.size"] = "t", "2"
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	kill := "create or replace function kill() returns trigger language plpgsql as $$ begin if new.id = 3 then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if; return new; end $$; create trigger kill before insert on t for each row execute function kill()"
	p.exec(t, kill)
	b := &record.Batch{}
	for i := 1; i <= 5; i++ {
		flat(t, b, i, map[string]any{"a": "x", "n": i})
	}
	err = k.Put(t.Context(), b)
	if !errs.Retriable(err) {
		t.Fatalf("a lost connection is not retriable: %v", err)
	}
	p.exec(t, "drop trigger kill on t")
	if err := k.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.read(t)["t"].Rows {
		got = append(got, r[0].(string))
	}
	if strings.Join(got, " ") != "1 2 3 4 5" {
		t.Errorf("rows %v", got)
	}
}

// TestUniqueValueMoves: in one batch a unique value goes from one row to another.
// The records' order allows it, whatever the statements per table do.
func TestUniqueValueMoves(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, "create table t(id int primary key, a varchar(40) unique not null, b bytea, n int); insert into t values (1, 'x'), (2, 'y')")
	k, err := start(t, upserts(p, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	flat(t, b, 1, map[string]any{"a": "free", "n": 1})
	flat(t, b, 2, map[string]any{"a": "x", "n": 2})
	flat(t, b, 1, map[string]any{"a": "y", "n": 3})
	if err := k.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := readT(t, p); got != "[1 y <nil> 3] [2 x <nil> 2]" {
		t.Errorf("got %s", got)
	}
}

func TestUnreachable(t *testing.T) {
	for url, retriable := range map[string]bool{"jdbc:postgresql://127.0.0.1:1/x": true, "jdbc:mysql://127.0.0.1:1/x": true} {
		k, err := sqlsink.New(map[string]string{"connection.url": url, "connection.username": "u"}, "c", 0, testkit.Log(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Start(context.Background()); errs.Retriable(err) != retriable {
			t.Errorf("%s: %v", url, err)
		}
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestServerHangs: a server that stops answering ends the write after the URL's
// socketTimeout, and the batch is put again.
func TestServerHangs(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, "create table t(id int primary key, a varchar(40) not null, b bytea, n int)")
	props := upserts(p, nil)
	props["connection.url"] += "?socketTimeout=1"
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	lock := p.db.Connect(t)
	if _, err := lock.Exec(t.Context(), "begin; lock table t in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	b := &record.Batch{}
	flat(t, b, 1, map[string]any{"a": "x"})
	if err := k.Put(t.Context(), b); !errs.Retriable(err) {
		t.Fatalf("a hanging server gives %v", err)
	}
	if _, err := lock.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	putUntil(t, k, b)
	if got := readT(t, p); got != "[1 x <nil> <nil>]" {
		t.Errorf("got %s", got)
	}
}

// TestLockTimeout: a lock timeout and a deadlock are retriable.
func TestLockTimeout(t *testing.T) {
	p := newPostgresTarget(t).(*postgresTarget)
	p.exec(t, "create table t(id int primary key, a varchar(40) not null, b bytea, n int); insert into t values (1, 'y')")
	props := upserts(p, map[string]string{"flush.max.retries": "1", "flush.retry.delay.ms": "1"})
	props["connection.url"] += "?options=-c%20lock_timeout%3D100ms"
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	lock := p.db.Connect(t)
	if _, err := lock.Exec(t.Context(), "begin; update t set n = 1"); err != nil {
		t.Fatal(err)
	}
	b := &record.Batch{}
	flat(t, b, 1, map[string]any{"a": "x"})
	if err := k.Put(t.Context(), b); !errs.Retriable(err) {
		t.Fatalf("a lock timeout gives %v", err)
	}
	if err := k.Put(t.Context(), b); err == nil || errs.Retriable(err) || !strings.Contains(err.Error(), "after 1 retries") {
		t.Fatalf("flush.max.retries=1 is not kept: %v", err)
	}
}
