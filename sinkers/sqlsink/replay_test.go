package sqlsink_test

import (
	"errors"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// TestWhatAFailureLeaves: the rows in front of the record that stops the task are those
// that Debezium's sink writes, which takes 500 records at a time; whole ones of these are
// done for good. Recorded with its 3.6.0 as 500 rows and the offset 500.
func TestWhatAFailureLeaves(t *testing.T) {
	for _, c := range []struct {
		name       string
		more       map[string]string
		bad, batch int
		rows, done int
	}{
		{name: "in the second poll", bad: 600, batch: 700, rows: 500, done: 500},
		{name: "in the first poll", bad: 300, batch: 400},
		{name: "smaller polls", more: map[string]string{"consumer.override.max.poll.records": "100"}, bad: 350, batch: 400, rows: 300, done: 300},
		{name: "smaller batches", more: map[string]string{"batch.size": "10"}, bad: 305, batch: 400, rows: 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tg := newSQLiteTarget(t)
			tg.exec(t, "create table t(id int primary key, a varchar(40) not null, b blob, n int check (n < 1000))")
			k, err := start(t, upserts(tg, c.more))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Stop() }()
			b := &record.Batch{}
			for i := range c.batch {
				n := i % 1000
				if i == c.bad {
					n = 1000
				}
				flat(t, b, i, map[string]any{"a": "x", "n": n})
			}
			var bad *errs.RecordError
			if err := k.Put(t.Context(), b); !errors.As(err, &bad) {
				t.Fatalf("want a refused record, got %v", err)
			}
			if bad.Bad[0].Index != c.bad || bad.Done != c.done {
				t.Errorf("record %d was refused and %d are done, want %d and %d", bad.Bad[0].Index, bad.Done, c.bad, c.done)
			}
			if rows := tg.read(t)["t"].Rows; len(rows) != c.rows {
				t.Errorf("%d rows are there, want %d", len(rows), c.rows)
			}
		})
	}
}

// TestFailureInOneOfTwoTables: two tables are filled, and one of them refuses its row.
// Tables are written in the order in which they came.
func TestFailureInOneOfTwoTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		bad    string
		t1, t2 int
	}{{"first", "t1", 0, 0}, {"second", "t2", 1, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tg := newSQLiteTarget(t)
			tg.exec(t, "create table server1_t1(id int primary key, a varchar(40) not null, b blob, n int check (n < 1000))")
			tg.exec(t, "create table server1_t2(id int primary key, a varchar(40) not null, b blob, n int check (n < 1000))")
			k, err := start(t, upserts(tg, map[string]string{"collection.name.format": "${topic}"}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Stop() }()
			one, two := &record.Topic{Name: "server1.t1"}, &record.Topic{Name: "server1.t2"}
			warm, b := &record.Batch{}, &record.Batch{}
			add := func(b *record.Batch, topic *record.Topic, id, n int) {
				flat(t, b, id, map[string]any{"a": "x", "n": n})
				r := &b.Records[len(b.Records)-1]
				r.Topic, r.Origin.Topic = topic, topic
			}
			add(warm, one, 100, 1) // the tables are known from here on
			add(warm, two, 100, 1)
			if err := k.Put(t.Context(), warm); err != nil {
				t.Fatal(err)
			}
			for i, topic := range []*record.Topic{one, two} {
				n := 1
				if topic.Name == "server1."+c.bad {
					n = 1000
				}
				add(b, topic, i, n)
			}
			var bad *errs.RecordError
			if err := k.Put(t.Context(), b); !errors.As(err, &bad) {
				t.Fatalf("want a refused record, got %v", err)
			}
			tables := tg.read(t)
			if a, b := len(tables["server1_t1"].Rows)-1, len(tables["server1_t2"].Rows)-1; a != c.t1 || b != c.t2 {
				t.Errorf("%d and %d rows are there, want %d and %d", a, b, c.t1, c.t2)
			}
		})
	}
}

// TestFlushLeavesNoTemporaryTable: who lists a database's tables after a commit finds the
// ones that were asked for, and a large batch after that works as the first did.
func TestFlushLeavesNoTemporaryTable(t *testing.T) {
	tg := newPostgresTarget(t)
	p := upserts(tg, map[string]string{"schema.evolution": "basic"})
	k, err := start(t, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	for round := range 3 {
		b := &record.Batch{}
		for i := range 3000 { // more than one lane
			flat(t, b, i, map[string]any{"a": "x", "n": round})
		}
		if err := k.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := k.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		pg := tg.(*postgresTarget).db.Connect(t)
		var temporary, rows int
		if err := pg.QueryRow(t.Context(), "select (select count(*) from pg_class where relkind = 'r' and relpersistence = 't'), (select count(*) from t where n = $1)", round).Scan(&temporary, &rows); err != nil {
			t.Fatal(err)
		}
		if temporary != 0 || rows != 3000 {
			t.Errorf("round %d: %d temporary tables and %d rows, want 0 and 3000", round, temporary, rows)
		}
	}
}
