package sqlsink_test

import (
	"strings"
	"testing"

	"millrace/internal/record"
	"millrace/internal/testkit"
)

// schemaOf is a row of a key and one column.
func schemaOf(c *record.Schema) *record.Schema {
	return &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "c", Schema: c}}}
}

func sourceType(s *record.Schema, typ, length string) *record.Schema {
	c := &record.Schema{Type: s.Type, Optional: s.Optional, Name: s.Name, Version: s.Version,
		Params: append(append([]record.Param{}, s.Params...), record.Param{Key: "__debezium.source.column.type", Value: typ})}
	if length != "" {
		c.Params = append(c.Params, record.Param{Key: "__debezium.source.column.length", Value: length})
	}
	return c
}

// TestColumnTypesAsDebezium: types and defaults that Debezium's sink was seen to make.
func TestColumnTypesAsDebezium(t *testing.T) {
	decimal := &record.Schema{Type: record.Bytes, Optional: true, Name: "org.apache.kafka.connect.data.Decimal", Version: 1, Params: []record.Param{{Key: "scale", Value: "0"}}}
	def := func(typ record.Type, d *record.Datum) *record.Schema {
		return &record.Schema{Type: typ, Optional: true, Default: d}
	}
	for _, c := range []struct {
		target, want string
		schema       *record.Schema
		value        any
	}{
		{"mysql", "bigint unsigned", sourceType(decimal, "BIGINT UNSIGNED", "20"), []byte{1}},
		{"mysql", "varbinary(4)", sourceType(record.OptionalBytes, "BINARY", "4"), []byte{1}},
		{"postgres", "bigint '-7'::integer", def(record.Int64, record.MustDatum(record.OptionalInt64, -7)), 1},
		{"postgres", "smallint 3", def(record.Int16, record.MustDatum(record.OptionalInt16, 3)), 1},
		{"postgres", "double precision 1.5", def(record.Float64, record.MustDatum(record.OptionalFloat64, 1.5)), 1.5},
		{"postgres", `text 'a\b''c'::text`, def(record.String, record.MustDatum(record.OptionalString, `a\b'c`)), "x"},
		{"postgres", `bytea '\x00ff'::bytea`, def(record.Bytes, record.MustDatum(record.OptionalBytes, []byte{0, 255})), []byte{1}},
	} {
		t.Run(c.target+" "+c.want, func(t *testing.T) {
			var tg caseTarget
			if c.target == "mysql" {
				tg = newMySQLTarget(t, "mysql", testkit.MySQL(t))
			} else {
				tg = newPostgresTarget(t)
			}
			k, err := start(t, upserts(tg, map[string]string{"schema.evolution": "basic"}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Stop() }()
			b := &record.Batch{}
			flatOf(t, b, 1, schemaOf(c.schema), map[string]any{"c": c.value})
			if err := k.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			col := tg.read(t)["t"].Columns[1]
			got := col[1].(string)
			if d, ok := col[3].(string); ok {
				got += " " + d
			}
			if strings.TrimSpace(got) != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestTableNameNeedsItsSource: a table name that the record does not give is refused,
// and a tombstone, which has no source block, is left to the delete before it.
func TestTableNameNeedsItsSource(t *testing.T) {
	tg := newSQLiteTarget(t)
	k, err := start(t, upserts(tg, map[string]string{"schema.evolution": "basic", "collection.name.format": "x_${source.table}"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	flat(t, b, 1, nil)
	if err := k.Put(t.Context(), b); err != nil {
		t.Errorf("a tombstone gives %v", err)
	}
	flat(t, b, 2, map[string]any{"a": "x"})
	if err := k.Put(t.Context(), b); err == nil || !strings.Contains(err.Error(), "source.table") {
		t.Errorf("a flattened record gives %v", err)
	}
	if got := tg.read(t); len(got) != 0 {
		t.Errorf("tables were made: %v", got)
	}
}

// TestSessionVariables: what a JDBC URL sets for the session holds, and a server that is
// not strict cuts nothing (recorded with Debezium's sink and MySQL's driver).
func TestSessionVariables(t *testing.T) {
	for _, c := range []struct {
		dialect string
		want    string // of a text too long for its column under sql_mode=''; "": refused
	}{{"mysql", ""}, {"mariadb", "abcde"}} {
		t.Run(c.dialect, func(t *testing.T) {
			var tg caseTarget
			if c.dialect == "mysql" {
				tg = newMySQLTarget(t, c.dialect, testkit.MySQL(t))
			} else {
				tg = newMySQLTarget(t, c.dialect, testkit.MariaDB(t))
			}
			tg.exec(t, "create table p(id int primary key); create table t(id int primary key, a varchar(5) not null, b blob, n int, foreign key (id) references p(id))")
			p := upserts(tg, nil)
			p["connection.url"] += "?useSSL=false&sessionVariables=foreign_key_checks=0,sql_mode=''"
			k, err := start(t, p)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Stop() }()
			b := &record.Batch{}
			flat(t, b, 1, map[string]any{"a": "x"})
			if err := k.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b = &record.Batch{}
			flat(t, b, 2, map[string]any{"a": "abcdefgh"})
			err = k.Put(t.Context(), b)
			rows := tg.read(t)["t"].Rows
			if c.want == "" && (err == nil || len(rows) != 1) {
				t.Errorf("a text that does not fit: %v, rows %s", err, asJSON(rows))
			}
			if c.want != "" && (err != nil || len(rows) != 2 || rows[1][1] != c.want) {
				t.Errorf("%v, rows %s, want %s", err, asJSON(rows), c.want)
			}
		})
	}
}
