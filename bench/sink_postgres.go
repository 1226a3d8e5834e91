package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"millrace/internal/testkit"
)

// sinkTable is the target: the columns of the other measurements, without defaults.
const sinkTable = `create table orders(id bigint primary key, customer_id int not null, status varchar(20) not null, amount numeric(12,2) not null, note text,
  placed_at timestamptz not null, ship_on date, qty smallint not null, weight double precision, gift boolean not null)`

// mergeOrders moves the staged rows by hand.
const mergeOrders = `insert into orders select * from stage on conflict (id) do update set customer_id=excluded.customer_id, status=excluded.status, amount=excluded.amount,
  note=excluded.note, placed_at=excluded.placed_at, ship_on=excluded.ship_on, qty=excluded.qty, weight=excluded.weight, gift=excluded.gift`

// postgresTarget is the target of the sink's measurement.
type postgresTarget struct {
	b    *bench
	db   *testkit.Database
	conn *pgx.Conn
	csv  bytes.Buffer
}

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
	t := &postgresTarget{b: b, db: db, conn: conn}
	if err := t.exec(ctx, sinkTable); err != nil {
		return err
	}
	return b.sinkSQL(ctx, t, db.Name, func(r order) {
		fmt.Fprintf(&t.csv, "%d,%d,status%d,%d.%02d,%s,%s,%s,%d,%v,%v\n", r.id, r.customer, r.status, r.cents/100, r.cents%100, r.note, r.placed+"Z", r.day, r.qty, r.weight, r.gift)
	})
}

func (t *postgresTarget) product() string { return "PostgreSQL" }

func (t *postgresTarget) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := t.conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (t *postgresTarget) count(ctx context.Context, from string) (n int64, err error) {
	err = t.conn.QueryRow(ctx, "select count(*) from "+from).Scan(&n)
	return n, err
}

func (t *postgresTarget) prepare(ctx context.Context, updates bool) error {
	if err := t.exec(ctx, "truncate orders"); err != nil {
		return err
	}
	if updates {
		q := fmt.Sprintf("insert into orders select g, 0, 'old', 0, null, now(), null, 0, null, false from generate_series(1, %d) g", t.b.n)
		if err := t.exec(ctx, q, "vacuum analyze orders"); err != nil {
			return err
		}
	}
	return t.exec(ctx, "checkpoint")
}

// byHand is COPY into a temporary table and one INSERT, in one transaction.
func (t *postgresTarget) byHand(ctx context.Context) (string, error) {
	if err := t.exec(ctx, "begin", "create temp table stage (like orders) on commit drop"); err != nil {
		return "", err
	}
	if _, err := t.conn.PgConn().CopyFrom(ctx, bytes.NewReader(t.csv.Bytes()), "copy stage from stdin csv"); err != nil {
		return "", err
	}
	return "COPY + merge", t.exec(ctx, mergeOrders, "commit")
}

func (t *postgresTarget) config() map[string]string {
	s := t.b.server
	return map[string]string{"connection.url": "jdbc:postgresql://" + s.Host + ":" + s.Port + "/" + t.db.Name, "connection.username": s.User, "connection.password": s.Password}
}
