package sqlsink_test

import (
	"database/sql"
	"testing"

	"millrace/internal/record"
	"millrace/sinkers/sqlsink"
)

// TestSQLiteBesideOthers: a reader neither waits for the sink nor holds it up, and sees
// the rows of one moment; while somebody else writes, the sink waits.
func TestSQLiteBesideOthers(t *testing.T) {
	tg := newSQLiteTarget(t)
	tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b blob, n int)")
	k, err := start(t, upserts(tg, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	db := tg.(*sqliteFile).open(t)
	defer db.Close()
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	do := func(q string) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	rows := func(want int) {
		t.Helper()
		var n sql.NullInt64
		if err := other.QueryRowContext(t.Context(), "select count(*) from t").Scan(&n); err != nil || n.Int64 != int64(want) {
			t.Fatalf("%d rows (%v), want %d", n.Int64, err, want)
		}
	}
	batch := func(id int) *record.Batch {
		b := &record.Batch{}
		flat(t, b, id, map[string]any{"a": "x"})
		return b
	}
	do("begin")
	rows(0)
	if err := k.Put(t.Context(), batch(1)); err != nil {
		t.Fatal("beside a reader:", err)
	}
	rows(0)
	do("commit")
	rows(1)

	do("begin immediate")
	done, second := make(chan error, 1), batch(2)
	go func() { done <- k.Put(t.Context(), second) }()
	do("insert into t (id, a) values (3, 'y')")
	do("commit")
	if err := <-done; err != nil {
		t.Fatal("behind a writer:", err)
	}
	rows(3)
}

// TestSQLiteMilliseconds: Aiven's and Confluent's sinks keep moments as milliseconds, to
// the end of the year 9999.
func TestSQLiteMilliseconds(t *testing.T) {
	tg := newSQLiteTarget(t)
	logical := func(typ record.Type, name string) *record.Schema {
		return &record.Schema{Type: typ, Optional: true, Name: "org.apache.kafka.connect.data." + name, Version: 1}
	}
	row := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "id", Schema: record.PlainInt32}, {Name: "d", Schema: logical(record.Int32, "Date")},
		{Name: "t", Schema: logical(record.Int32, "Time")}, {Name: "ts", Schema: logical(record.Int64, "Timestamp")}}}
	props := tg.props()
	props["connector.class"] = sqlsink.AivenClass
	props["pk.mode"], props["insert.mode"], props["auto.create"], props["table.name.format"] = "record_key", "upsert", "true", "t"
	k, err := start(t, props)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	b := &record.Batch{}
	for i, v := range []map[string]any{{"d": 2932896, "t": 86399999, "ts": int64(253402300799999)}, {"d": -1, "t": 0, "ts": int64(-1)}} {
		flatOf(t, b, i, row, v)
	}
	if err := k.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := asJSON(tg.read(t)["t"].Rows); got != `[["0","253402214400000","86399999","253402300799999"],["1","-86400000","0","-1"]]` {
		t.Errorf("got %s", got)
	}
}
