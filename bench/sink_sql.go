package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// sinkTable is the target: the columns of the other measurements, without defaults.
const sinkTable = `create table orders(id bigint primary key, customer_id int not null, status varchar(20) not null, amount numeric(12,2) not null, note text,
  placed_at timestamptz not null, ship_on date, qty smallint not null, weight double precision, gift boolean not null)`

// mergeOrders moves the staged rows by hand.
const mergeOrders = `insert into orders select * from stage on conflict (id) do update set customer_id=excluded.customer_id, status=excluded.status, amount=excluded.amount,
  note=excluded.note, placed_at=excluded.placed_at, ship_on=excluded.ship_on, qty=excluded.qty, weight=excluded.weight, gift=excluded.gift`

// sinkKey and sinkValue are the schemas of JsonConverter, as Debezium's flattened records carry them.
const (
	sinkKey   = `{"type":"struct","name":"server1.public.orders.Key","optional":false,"fields":[{"type":"int64","optional":false,"field":"id"}]}`
	sinkValue = `{"type":"struct","name":"server1.public.orders.Value","optional":false,"fields":[{"type":"int64","optional":false,"field":"id"},
{"type":"int32","optional":false,"field":"customer_id"},{"type":"string","optional":false,"field":"status"},
{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"amount"},
{"type":"string","optional":true,"field":"note"},{"type":"string","optional":false,"name":"io.debezium.time.ZonedTimestamp","version":1,"field":"placed_at"},
{"type":"int32","optional":true,"name":"io.debezium.time.Date","version":1,"field":"ship_on"},{"type":"int16","optional":false,"field":"qty"},
{"type":"double","optional":true,"field":"weight"},{"type":"boolean","optional":false,"field":"gift"}]}`
)

// sinkPostgres upserts the same rows into PostgreSQL by COPY and one INSERT … ON
// CONFLICT by hand, and by a sink connector from Kafka: first into an empty table,
// then over the rows that are there.
func (b *bench) sinkPostgres(ctx context.Context) (err error) {
	db, err := testkit.CreateDatabase(ctx, b.server, testkit.Name("bench"))
	if err != nil {
		return err
	}
	clean := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, db.Drop(clean), testkit.DeleteTopics(clean, b.kafka, db.Name)) }()
	conn, err := pgx.Connect(ctx, db.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(clean) }()
	if _, err := conn.Exec(ctx, sinkTable); err != nil {
		return err
	}
	var csv bytes.Buffer
	b.logf("sink: writing %d records", b.n)
	if err := b.fillTopic(ctx, db.Name+".orders", &csv); err != nil {
		return err
	}
	for _, updates := range []bool{false, true} {
		hand, err := b.mergeByHand(ctx, conn, csv.Bytes(), updates)
		if err != nil {
			return err
		}
		if err := b.sinkOnce(ctx, db, conn, updates, hand); err != nil {
			return err
		}
	}
	return nil
}

// fillTopic makes a topic of one partition with b.n flat rows, and the same as CSV.
func (b *bench) fillTopic(ctx context.Context, topic string, csv *bytes.Buffer) error {
	if _, err := b.adm.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	var key, value bytes.Buffer
	if err := errors.Join(json.Compact(&key, []byte(sinkKey)), json.Compact(&value, []byte(sinkValue))); err != nil {
		return err
	}
	var failed error
	for g := 1; g <= b.n; g++ {
		cents := int64(125 * g)
		amount := base64.StdEncoding.EncodeToString([]byte{byte(cents >> 32), byte(cents >> 24), byte(cents >> 16), byte(cents >> 8), byte(cents)})
		day := 20454 + g%365
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d}}`, key.Bytes(), g),
			Value: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d,"customer_id":%d,"status":"status%d","amount":%q,"note":"a note of some length about order %d","placed_at":"2026-01-01T%02d:00:00.123456Z","ship_on":%d,"qty":%d,"weight":%v,"gift":%v}}`,
				value.Bytes(), g, g%5000, g%7, amount, g, g%24, day, g%100, float64(g)/3, g%2 == 0)}
		b.cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil && failed == nil {
				failed = err
			}
		})
		fmt.Fprintf(csv, "%d,%d,status%d,%d.%02d,a note of some length about order %d,2026-01-01T%02d:00:00.123456Z,%s,%d,%v,%v\n",
			g, g%5000, g%7, cents/100, cents%100, g, g%24, time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly), g%100, float64(g)/3, g%2 == 0)
	}
	if err := b.cl.Flush(ctx); err != nil {
		return err
	}
	return failed // promises run one after the other, all before Flush returns
}

// old fills the table with rows that every upsert changes.
func (b *bench) old(ctx context.Context, conn *pgx.Conn, updates bool) error {
	q := "truncate orders"
	if updates {
		q += fmt.Sprintf("; insert into orders select g, 0, 'old', 0, null, now(), null, 0, null, false from generate_series(1, %d) g; vacuum analyze orders", b.n)
	}
	for _, q := range bytes.Split([]byte(q), []byte("; ")) {
		if _, err := conn.Exec(ctx, string(q)); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "checkpoint")
	return err
}

// mergeByHand is the limit: COPY into a temporary table and one INSERT, in one transaction.
func (b *bench) mergeByHand(ctx context.Context, conn *pgx.Conn, csv []byte, updates bool) (time.Duration, error) {
	if err := b.old(ctx, conn, updates); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := conn.Exec(ctx, "begin; create temp table stage (like orders) on commit drop"); err != nil {
		return 0, err
	}
	if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(csv), "copy stage from stdin csv"); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, mergeOrders); err != nil {
		return 0, err
	}
	_, err := conn.Exec(ctx, "commit")
	took := time.Since(began)
	b.logf("sink: COPY and merge by hand %.2f s", took.Seconds())
	return took, err
}

// sinkOnce lets a connector in a process of its own do it.
func (b *bench) sinkOnce(ctx context.Context, db *testkit.Database, conn *pgx.Conn, updates bool, limit time.Duration) (err error) {
	if err := b.old(ctx, conn, updates); err != nil {
		return err
	}
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	name, what := db.Name+"_new", "upserts, all new"
	if updates {
		name, what = db.Name+"_old", "upserts, all updates"
	}
	config := map[string]string{"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": "1", "topics": db.Name + ".orders",
		"connection.url": "jdbc:postgresql://" + b.server.Host + ":" + b.server.Port + "/" + db.Name, "connection.username": b.server.User, "connection.password": b.server.Password,
		"insert.mode": "upsert", "primary.key.mode": "record_key", "collection.name.format": "orders",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": config}, nil); err != nil {
		return err
	}
	first, last, err := b.arriveRows(ctx, conn)
	if err != nil {
		return err
	}
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	rss, err := peakMiB(d.PID())
	if err != nil {
		return err
	}
	took := last.Sub(began)
	cpu := float64((cpu1 - cpu0).Microseconds()) / float64(b.n)
	b.report.rows = append(b.report.rows, row{
		what:  "sink, " + thousands(int64(b.n)) + " " + what + ", JSON with schemas",
		value: thousands(int64(float64(b.n)/took.Seconds())) + " rows/s", limit: thousands(int64(float64(b.n)/limit.Seconds())) + "/s (COPY + merge)",
		share: fmt.Sprintf("%.0f %%", 100*limit.Seconds()/took.Seconds()), cpu: fmt.Sprintf("%.1f µs", cpu), rss: fmt.Sprintf("%.0f MiB", rss),
	})
	b.logf("sink: %s %.2f s, first rows after %.2f s, %.2f µs CPU per row, %.0f MiB", what, took.Seconds(), first.Sub(began).Seconds(), cpu, rss)
	return d.Do(ctx, http.MethodDelete, "/connectors/"+name, nil, nil)
}

// arriveRows waits until the table holds the last rows and all of them.
func (b *bench) arriveRows(ctx context.Context, conn *pgx.Conn) (first, last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		var begun, ended bool
		if err := conn.QueryRow(ctx, "select exists (select from orders where id = 1 and status <> 'old'), exists (select from orders where id = $1 and status <> 'old')", b.n).Scan(&begun, &ended); err != nil {
			return first, last, err
		}
		if begun && first.IsZero() {
			first = time.Now()
		}
		if ended {
			at, n := time.Now(), 0
			if err := conn.QueryRow(ctx, "select count(*) from orders where status <> 'old'").Scan(&n); err != nil || n == b.n {
				return first, at, err
			}
		}
		time.Sleep(10 * time.Millisecond) // the server announces nothing
	}
}
