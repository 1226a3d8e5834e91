package sqlsink_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"millrace/internal/record"
	"millrace/internal/testkit"
	"millrace/internal/testkit/fault"
	"millrace/sinkers/sqlsink"
)

var orderRow = (&record.Interner{}).Intern(&record.Schema{Type: record.Struct, Name: "server1.public.orders.Value", Fields: []record.Field{
	{Name: "id", Schema: record.PlainInt64},
	{Name: "customer_id", Schema: record.PlainInt32},
	{Name: "status", Schema: record.PlainString},
	{Name: "amount", Schema: &record.Schema{Type: record.Bytes, Name: "org.apache.kafka.connect.data.Decimal", Version: 1, Params: []record.Param{{Key: "scale", Value: "2"}, {Key: "connect.decimal.precision", Value: "12"}}}},
	{Name: "note", Schema: record.OptionalString},
	{Name: "placed_at", Schema: &record.Schema{Type: record.String, Name: "io.debezium.time.ZonedTimestamp", Version: 1}},
	{Name: "ship_on", Schema: &record.Schema{Type: record.Int32, Name: "io.debezium.time.Date", Version: 1, Optional: true}},
	{Name: "qty", Schema: record.PlainInt16},
	{Name: "weight", Schema: record.OptionalFloat64},
	{Name: "gift", Schema: record.PlainBoolean},
}})

var orderKey = (&record.Interner{}).Intern(&record.Schema{Type: record.Struct, Name: "server1.public.orders.Key", Fields: []record.Field{{Name: "id", Schema: record.PlainInt64}}})

// orders fills a batch with n flat rows, ids from from on.
func orders(b *record.Batch, topic *record.Topic, from, n int) {
	b.Reset()
	for i := from; i < from+n; i++ {
		r := b.Append()
		r.Topic, r.Origin = topic, record.Origin{Topic: topic, Offset: int64(i)}
		r.KeySchema, r.ValueSchema = orderKey, orderRow
		r.Key = b.Alloc(record.Struct, 1)
		b.SetChild(r.Key, 0, record.Int64Cell(int64(i)))
		v := b.Alloc(record.Struct, 10)
		r.Value = v
		b.SetChild(v, 0, record.Int64Cell(int64(i)))
		b.SetChild(v, 1, record.Int32Cell(int32(i%5000)))
		b.SetChild(v, 2, b.StringCell(fmt.Sprintf("status%d", i%7)))
		b.SetChild(v, 3, b.BytesCell(record.Bytes, []byte{1, byte(i >> 8), byte(i)}))
		b.SetChild(v, 4, b.StringCell(fmt.Sprintf("a note of some length about order %d", i)))
		b.SetChild(v, 5, b.StringCell(fmt.Sprintf("2026-01-01T%02d:00:00.123456Z", i%24)))
		b.SetChild(v, 6, record.Int32Cell(int32(20454+i%365)))
		b.SetChild(v, 7, record.IntCell(record.Int16, int64(i%100)))
		b.SetChild(v, 8, record.Float64Cell(float64(i)/3))
		b.SetChild(v, 9, record.BoolCell(i%2 == 0))
	}
}

const ordersTable = `create table orders(id bigint primary key, customer_id int not null, status varchar(20) not null, amount numeric(12,2) not null, note text,
  placed_at timestamptz not null, ship_on date, qty smallint not null, weight double precision, gift boolean not null)`

// BenchmarkPostgresUpsert writes batches of new rows of 10 columns; rows/s is the
// figure to compare with COPY and merge by hand (bench/jdbcsink.py).
func BenchmarkPostgresUpsert(b *testing.B) {
	for _, n := range []int{50, 200, 500, 2000, 8000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := testkit.NewDatabase(b, "sinkbench")
			d.Exec(b, ordersTable)
			benchUpserts(b, n, map[string]string{"connection.url": "jdbc:postgresql://" + d.Host + ":" + d.Port + "/" + d.Name, "connection.username": d.User, "connection.password": d.Password})
		})
	}
}

// BenchmarkPostgresFar is the same over a network of 2 ms there and back.
func BenchmarkPostgresFar(b *testing.B) {
	for _, n := range []int{50, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := testkit.NewDatabase(b, "sinkbench")
			d.Exec(b, ordersTable)
			p := fault.New(b, d.Host+":"+d.Port)
			for _, down := range []bool{false, true} {
				p.Add(fault.Latency, down, map[string]int{"latency": 1})
			}
			benchUpserts(b, n, map[string]string{"connection.url": "jdbc:postgresql://" + p.Addr() + "/" + d.Name, "connection.username": d.User, "connection.password": d.Password})
		})
	}
}

// BenchmarkSQLiteUpsert is the same into a file.
func BenchmarkSQLiteUpsert(b *testing.B) {
	benchUpserts(b, 2000, map[string]string{"connection.url": "jdbc:sqlite:" + filepath.Join(b.TempDir(), "bench.db"), "schema.evolution": "basic"})
}

// BenchmarkMySQLUpsert is the same into MySQL.
func BenchmarkMySQLUpsert(b *testing.B) {
	at := testkit.MySQL(b)
	db, err := sql.Open("mysql", at.User+":"+at.Password+"@tcp("+at.Host+":"+at.Port+")/")
	if err != nil {
		b.Fatal(err)
	}
	name := testkit.Name("sinkbench")
	if _, err := db.ExecContext(b.Context(), "create database "+name); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_, err := db.ExecContext(context.Background(), "drop database "+name)
		if err := errors.Join(err, db.Close()); err != nil {
			b.Error(err)
		}
	}()
	for _, lanes := range []string{"1", "2"} {
		b.Run("lanes="+lanes, func(b *testing.B) {
			benchUpserts(b, 4000, map[string]string{"connection.url": "jdbc:mysql://" + at.Host + ":" + at.Port + "/" + name, "connection.username": at.User, "connection.password": at.Password,
				"schema.evolution": "basic", "write.lanes": lanes, "collection.name.format": "orders" + lanes})
		})
	}
}

func benchUpserts(b *testing.B, n int, props map[string]string) {
	props["insert.mode"], props["primary.key.mode"] = "upsert", "record_key"
	if props["collection.name.format"] == "" {
		props["collection.name.format"] = "orders"
	}
	k, err := sqlsink.New(props, "bench", 0, testkit.Log(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := k.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = k.Stop() }()
	topic, batch, from := &record.Topic{Name: "server1.public.orders"}, &record.Batch{}, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		orders(batch, topic, from, n)
		from += n
		b.StartTimer()
		if err := k.Put(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rows/s")
}
