package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
)

// handBytes is how long a statement grows that upserts by hand.
const handBytes = 1 << 20

// handTail makes an insert an upsert, as MySQL and MariaDB both read it.
const handTail = " on duplicate key update customer_id=values(customer_id), status=values(status), amount=values(amount), note=values(note), placed_at=values(placed_at)," +
	" ship_on=values(ship_on), qty=values(qty), weight=values(weight), gift=values(gift)"

// mysqlTarget is the target of the sink's measurement.
type mysqlTarget struct {
	*mysqlBench
	statements []string
	last       bytes.Buffer
}

// sinkMySQL is sinkPostgres for MySQL.
func (b *bench) sinkMySQL(ctx context.Context) error {
	return b.sinkMySQLServer(ctx, "MySQL", "MILLRACE_TEST_MYSQL")
}

// sinkMariaDB is sinkPostgres for MariaDB.
func (b *bench) sinkMariaDB(ctx context.Context) error {
	return b.sinkMySQLServer(ctx, "MariaDB", "MILLRACE_TEST_MARIADB")
}

func (b *bench) sinkMySQLServer(ctx context.Context, label, variable string) (err error) {
	m, done, err := b.openMySQL(ctx, label, variable, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	t := &mysqlTarget{mysqlBench: m}
	return b.sinkSQL(ctx, t, m.name, func(r order) {
		if t.last.Len() == 0 {
			t.last.WriteString("insert into orders (id, customer_id, status, amount, note, placed_at, ship_on, qty, weight, gift) values ")
		} else {
			t.last.WriteByte(',')
		}
		fmt.Fprintf(&t.last, "(%d,%d,'status%d',%d.%02d,'%s','%s','%s',%d,%v,%v)", r.id, r.customer, r.status, r.cents/100, r.cents%100, r.note, r.placed, r.day, r.qty, r.weight, r.gift)
		if t.last.Len() > handBytes || r.id == b.n {
			t.statements = append(t.statements, t.last.String()+handTail)
			t.last.Reset()
		}
	})
}

func (t *mysqlTarget) product() string { return t.label }

func (t *mysqlTarget) prepare(ctx context.Context, updates bool) error {
	if err := t.exec(ctx, "truncate orders"); err != nil || !updates {
		return err
	}
	return t.exec(ctx, fmt.Sprintf("insert into orders (id, customer_id, status, amount, placed_at, qty, gift) select 1 + a.i + 1000 * b.i, 0, 'old', 0, now(), 0, false from seq a, seq b where a.i + 1000 * b.i < %d", t.mysqlBench.n))
}

// byHand is multi-row upserts in one transaction over one connection.
func (t *mysqlTarget) byHand(ctx context.Context) (string, error) {
	if err := t.exec(ctx, "begin"); err != nil {
		return "", err
	}
	if err := t.exec(ctx, t.statements...); err != nil {
		return "", err
	}
	return "multi-row upserts", t.exec(ctx, "commit")
}

func (t *mysqlTarget) config() map[string]string {
	return map[string]string{"connection.url": "jdbc:mysql://" + net.JoinHostPort(t.server.Host, t.server.Port) + "/" + t.name, "connection.username": t.server.User, "connection.password": t.server.Password}
}
