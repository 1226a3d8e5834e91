package sqlsink_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/sinkers/sqlsink"
)

// onPurpose names the cases that end differently from the recording, and why.
var onPurpose = map[string]string{
	"pg-decimal-scale-zero":     "a decimal of scale 0 is numeric(38,0), not numeric(38,-1), which rounds",
	"pg-connect-logical":        "the same",
	"pg-debezium-data":          "a decimal of variable scale is numeric, not double precision",
	"pg-src-numbers":            "the same",
	"my-debezium-data":          "a decimal of variable scale is decimal(65,30), not double",
	"my-src-numbers":            "the same",
	"pg-delete-first-no-table":  "a tombstone before there is a table deletes nothing and goes on",
	"pg-dlq-bad-row":            "a refused row goes to the dead letter queue, the others are written",
	"pg-sces-bad-row":           "the same",
	"pg-primitive-key-named":    "a primitive key works as documented",
	"pg-reserved-word-unquoted": "identifiers are always quoted, in the database's default case",
	"pg-quote-in-name":          "quotes in names are escaped",
	"my-backtick-in-name":       "the same",
	"pg-src-point":              "a point is written into the native type",
	"pg-src-arrays":             "numeric arrays with precision work",
	"pg-src-temporal":           "24:00:00 is a legal time",
	"pg-src-temporal-midnight":  "the same",
	"pg-src-temporal-infinity":  "a timestamp's infinity is stored as infinity",
	"pg-unnest-duplicate-key":   "one key twice in a batch ends as the last one says",
	"pg-delete-record-value":    "delete.enabled works with record_value keys, from `before`",
	"my-debezium-temporal":      "a time with zone is time(6) in UTC instead of an invalid type",
	"my-src-temporal":           "the same; then 1900-01-01 is refused by MySQL's timestamp",
	"my-src-temporal-infinity":  "infinity is the end of MySQL's range",
	"my-src-bits":               "an unsized bit string is text",
	"my-src-arrays":             "arrays are json",
	"pg-long-column":            "a name that PostgreSQL cuts off is cut off",
	"pg-hstore":                 "a map with a null and quotes is an hstore",
}

// elsewhere names cases that need the runner (converter errors, transforms); the
// replay against the daemon covers them.
var elsewhere = map[string]bool{
	"pg-insert-flat":   true, // its 3.4028235e38 is a text to the recording's YAML reader
	"pg-dlq-converter": true, "pg-tolerance-all-converter": true, "pg-tolerance-none-converter": true,
	"pg-naming-smts": true, "pg-router": true, "pg-unwrap": true, "pg-unwrap-rewrite": true, "pg-src-unwrap-no-schema-evolution": true,
}

type tableState struct {
	Columns [][]any  `json:"columns"`
	PK      []string `json:"pk"`
	Rows    [][]any  `json:"rows"`
}

type expectation struct {
	Tasks  []string `json:"tasks"`
	Target struct {
		Tables map[string]tableState `json:"tables"`
	} `json:"target"`
}

func TestOraclePostgres(t *testing.T) { runCases(t, "postgres", newPostgresTarget) }

func TestOracleMySQL(t *testing.T) {
	runCases(t, "mysql", func(t *testing.T) caseTarget { return newMySQLTarget(t, "mysql", testkit.MySQL(t)) })
}

func TestOracleMariaDB(t *testing.T) {
	runCases(t, "mariadb", func(t *testing.T) caseTarget { return newMySQLTarget(t, "mariadb", testkit.MariaDB(t)) })
}

// caseTarget is a fresh database of one case.
type caseTarget interface {
	exec(t *testing.T, sql string)
	read(t *testing.T) map[string]tableState
	props() map[string]string
	vars(s string) string
}

func runCases(t *testing.T, target string, fresh func(*testing.T) caseTarget) {
	files, err := filepath.Glob(filepath.Join(casesDir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", casesDir, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		c := loadCase(t, name)
		if c.Target != target || elsewhere[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := fresh(t)
			if c.Setup != "" {
				tg.exec(t, c.Setup)
			}
			state, cause := play(t, name, c, tg)
			want := expected(t, name)
			got := expectation{Tasks: []string{state}}
			got.Target.Tables = tg.read(t)
			diff := compare(want, got)
			why, known := onPurpose[name]
			switch {
			case len(diff) > 0 && !known:
				t.Errorf("%s\ncause: %v", strings.Join(diff, "\n"), cause)
			case len(diff) == 0 && known:
				t.Errorf("equal to the recording, although it should differ on purpose: %s", why)
			case known:
				t.Logf("differs on purpose (%s): %s; cause %v", why, strings.Join(diff, "; "), cause)
			}
		})
	}
}

func expected(t *testing.T, name string) (want expectation) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(casesDir, name+".expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// play runs the case and returns the task's state and what it failed of.
func play(t *testing.T, name string, c *sinkCase, tg caseTarget) (string, error) {
	t.Helper()
	props := tg.props()
	for k, v := range c.Config {
		if s, ok := v.(string); ok {
			props[k] = tg.vars(s)
		} else {
			props[k] = fmt.Sprint(v)
		}
	}
	schemas := "true"
	if props["value.converter.schemas.enable"] != "" {
		schemas = props["value.converter.schemas.enable"]
	}
	f := newFeeder(t, c, schemas)
	records := c.Records
	if c.Source != nil {
		records = captured(t, name, c)
	}
	k, err := start(t, props)
	if err != nil {
		return "FAILED", err
	}
	defer func() { _ = k.Stop() }()
	if err := put(t, k, props, f.batch(records)); err != nil {
		return "FAILED", err
	}
	for _, s := range c.Then {
		if q, ok := s["sql"].(string); ok {
			tg.exec(t, q)
		}
		if m, ok := s["rewind"].(map[string]any); ok {
			for topic, from := range m {
				f.offsets["server1."+topic] = int64(from.(int))
				records = records[from.(int):]
			}
			if err := put(t, k, props, f.batch(records)); err != nil {
				return "FAILED", err
			}
		}
		if more, ok := s["records"].([]any); ok {
			var list []map[string]any
			for _, r := range more {
				list = append(list, r.(map[string]any))
			}
			if err := put(t, k, props, f.batch(list)); err != nil {
				return "FAILED", err
			}
		}
	}
	return "RUNNING", nil
}

func start(t *testing.T, props map[string]string) (*sqlsink.Sink, error) {
	front := sqlsink.New
	switch props["connector.class"] {
	case sqlsink.AivenClass:
		front, props["connection.user"] = sqlsink.NewAiven, props["connection.username"]
	case sqlsink.ConfluentClass:
		front, props["connection.user"] = sqlsink.NewConfluent, props["connection.username"]
	}
	k, err := front(props, "sink1", 0, testkit.Log(t), nil)
	if err != nil {
		return nil, err
	}
	return k, k.Start(t.Context())
}

// put does what the runner does with refused records.
func put(t *testing.T, k *sqlsink.Sink, props map[string]string, b *record.Batch) error {
	err := k.Put(t.Context(), b)
	var bad *errs.RecordError
	if errors.As(err, &bad) && props["errors.tolerance"] == "all" {
		for _, x := range bad.Bad {
			t.Logf("dead letter %d: %v", x.Index, x.Err)
		}
		return nil
	}
	return err
}

func compare(want, got expectation) []string {
	var diff []string
	if !reflect.DeepEqual(want.Tasks, got.Tasks) {
		diff = append(diff, fmt.Sprintf("tasks: want %v, got %v", want.Tasks, got.Tasks))
	}
	seen := map[string]bool{}
	for name, w := range want.Target.Tables {
		seen[name] = true
		g, ok := got.Target.Tables[name]
		if !ok {
			diff = append(diff, "table "+name+" is missing")
			continue
		}
		for _, part := range []struct {
			what      string
			want, got any
		}{{"columns", w.Columns, g.Columns}, {"pk", w.PK, g.PK}, {"rows", w.Rows, g.Rows}} {
			if a, b := asJSON(part.want), asJSON(part.got); a != b {
				diff = append(diff, fmt.Sprintf("%s %s:\n  want %s\n  got  %s", name, part.what, clip(a), clip(b)))
			}
		}
	}
	for name := range got.Target.Tables {
		if !seen[name] {
			diff = append(diff, "table "+name+" is not expected")
		}
	}
	sort.Strings(diff)
	return diff
}

func clip(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

func asJSON(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

type postgresTarget struct{ db *testkit.Database }

func newPostgresTarget(t *testing.T) caseTarget {
	return &postgresTarget{db: testkit.NewDatabase(t, "sinkcase")}
}

func (p *postgresTarget) vars(s string) string {
	return strings.NewReplacer("{prefix}", "server1", "{db}", p.db.Name, "{endpoint}", p.db.Host+":"+p.db.Port).Replace(s)
}

func (p *postgresTarget) props() map[string]string {
	return map[string]string{"connector.class": sqlsink.Class, "connection.url": p.vars("jdbc:postgresql://{endpoint}/{db}"), "connection.username": p.db.User, "connection.password": p.db.Password}
}

func (p *postgresTarget) exec(t *testing.T, q string) { p.db.Exec(t, q) }

func (p *postgresTarget) read(t *testing.T) map[string]tableState {
	t.Helper()
	conn := p.db.Connect(t)
	if _, err := conn.Exec(t.Context(), "set timezone to 'UTC'"); err != nil {
		t.Fatal(err)
	}
	list := func(q string, args ...any) [][]any {
		rows, err := conn.Query(t.Context(), q, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var out [][]any
		for rows.Next() {
			v, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := map[string]tableState{}
	for _, r := range list("select n.nspname::text, r.relname::text, r.oid from pg_class r join pg_namespace n on n.oid=relnamespace where relkind in ('r','p') and relpersistence <> 't' and nspname not in ('pg_catalog','information_schema') order by 1,2") {
		st := tableState{PK: []string{}, Rows: [][]any{}}
		var sel, order []string
		q := func(s any) string { return `"` + strings.ReplaceAll(s.(string), `"`, `""`) + `"` }
		for i, c := range list(`select attname::text, format_type(atttypid, atttypmod), not attnotnull, pg_get_expr(adbin, adrelid) from pg_attribute
			left join pg_attrdef on adrelid=attrelid and adnum=attnum where attrelid=$1 and attnum>0 and not attisdropped order by attnum`, r[2]) {
			null := map[bool]string{true: "NULL", false: "NOT NULL"}[c[2].(bool)]
			st.Columns = append(st.Columns, []any{c[0], c[1], null, c[3]})
			sel, order = append(sel, q(c[0])+"::text"), append(order, fmt.Sprint(i+1))
		}
		var pk []string
		for _, k := range list("select attname::text from pg_index join lateral unnest(indkey) with ordinality k(n, o) on true join pg_attribute on attrelid=indrelid and attnum=n where indrelid=$1 and indisprimary order by o", r[2]) {
			st.PK, pk = append(st.PK, k[0].(string)), append(pk, q(k[0]))
		}
		if len(pk) > 0 {
			order = pk
		}
		st.Rows = append(st.Rows, list("select "+strings.Join(sel, ", ")+" from "+q(r[0])+"."+q(r[1])+" order by "+strings.Join(order, ", "))...)
		name := r[1].(string)
		if r[0] != "public" {
			name = r[0].(string) + "." + name
		}
		out[name] = st
	}
	return out
}

type mysqlTarget struct {
	dialect, name string
	at            testkit.Endpoint
	db            *sql.DB
}

func newMySQLTarget(t *testing.T, dialect string, at testkit.Endpoint) caseTarget {
	t.Helper()
	m := &mysqlTarget{dialect: dialect, name: testkit.Name("sinkcase"), at: at}
	dsn := at.User + ":" + at.Password + "@tcp(" + at.Host + ":" + at.Port + ")/"
	opts := "?multiStatements=true&charset=utf8mb4&time_zone=" + url.QueryEscape("'+00:00'")
	admin, err := sql.Open("mysql", dsn+opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "create database "+m.name+" character set utf8mb4"); err != nil {
		t.Fatal(err)
	}
	if m.db, err = sql.Open("mysql", dsn+m.name+opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), "drop database "+m.name)
		if err := errors.Join(err, m.db.Close(), admin.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *mysqlTarget) vars(s string) string {
	return strings.NewReplacer("{prefix}", "server1", "{db}", m.name, "{endpoint}", m.at.Host+":"+m.at.Port).Replace(s)
}

func (m *mysqlTarget) props() map[string]string {
	return map[string]string{"connector.class": sqlsink.Class, "connection.url": m.vars("jdbc:" + m.dialect + "://{endpoint}/{db}"), "connection.username": m.at.User, "connection.password": m.at.Password}
}

func (m *mysqlTarget) exec(t *testing.T, q string) {
	t.Helper()
	if _, err := m.db.ExecContext(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

// jsonRows reads a query of one JSON array per row.
func (m *mysqlTarget) jsonRows(t *testing.T, q string) [][]any {
	t.Helper()
	rows, err := m.db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer func() { _ = rows.Close() }()
	out := [][]any{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		var row []any
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *mysqlTarget) read(t *testing.T) map[string]tableState {
	t.Helper()
	out := map[string]tableState{}
	for _, r := range m.jsonRows(t, "select json_array(table_name) from information_schema.tables where table_schema=database() order by 1") {
		name := r[0].(string)
		st := tableState{PK: []string{}, Rows: [][]any{}}
		at := "from information_schema.columns where table_schema=database() and table_name='" + name + "' order by ordinal_position"
		var sel, pk []string
		for _, c := range m.jsonRows(t, "select json_array(column_name, column_type, is_nullable, column_default, nullif(extra, ''), data_type) "+at) {
			null := map[string]string{"YES": "NULL", "NO": "NOT NULL"}[c[2].(string)]
			col := []any{c[0], c[1], null, c[3]}
			if c[4] != nil {
				col = append(col, c[4])
			}
			st.Columns = append(st.Columns, col)
			sel = append(sel, readable(c[0].(string), c[5].(string)))
		}
		for _, k := range m.jsonRows(t, "select json_array(column_name) from information_schema.key_column_usage where table_schema=database() and table_name='"+name+"' and constraint_name='PRIMARY' order by ordinal_position") {
			st.PK, pk = append(st.PK, k[0].(string)), append(pk, "`"+k[0].(string)+"`")
		}
		order := "1"
		if len(pk) > 0 {
			order = strings.Join(pk, ", ")
		}
		st.Rows = m.jsonRows(t, "select json_array("+strings.Join(sel, ", ")+") from `"+name+"` order by "+order)
		if len(pk) == 0 {
			sort.Slice(st.Rows, func(i, j int) bool { return asJSON(st.Rows[i]) < asJSON(st.Rows[j]) })
		}
		out[name] = st
	}
	return out
}

func readable(column, typ string) string {
	n := "`" + strings.ReplaceAll(column, "`", "``") + "`"
	switch {
	case strings.Contains(typ, "blob"), strings.Contains(typ, "binary"), typ == "vector":
		return "hex(" + n + ")"
	case typ == "bit":
		return "bin(" + n + "+0)"
	case typ == "geometry", typ == "point", typ == "polygon", typ == "linestring":
		return "concat(st_srid(" + n + "), ' ', st_astext(" + n + "))"
	}
	return "cast(" + n + " as char)"
}
