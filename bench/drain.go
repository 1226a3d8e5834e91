package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"millrace/internal/testkit"
)

// ordersTable is the table of all measurements: ten columns of the usual types.
const ordersTable = `create table orders (
  id bigserial primary key, customer_id int not null, status varchar(20) not null, amount numeric(12,2) not null, note text,
  placed_at timestamptz not null default now(), ship_on date, qty smallint not null, weight double precision, gift boolean not null)`

// fillOrders inserts rows %d to %d.
const fillOrders = `insert into orders (customer_id, status, amount, note, placed_at, ship_on, qty, weight, gift)
  select g %% 5000, 'status' || (g %% 7), (g * 1.25)::numeric(12,2), 'a note of some length about order ' || g, now(), date '2026-01-01' + (g %% 365), g %% 100, g / 3.0, g %% 2 = 0
  from generate_series(%d, %d) g`

// load makes the workload: n inserts, n updates, n/2 deletes, in transactions of 1,000.
func load(ctx context.Context, c *pgx.Conn, n int) error {
	for i := 0; i < n; i += 1000 {
		if _, err := c.Exec(ctx, fmt.Sprintf(fillOrders, i+1, i+1000)); err != nil {
			return err
		}
	}
	for i := 0; i < n; i += 1000 {
		if _, err := c.Exec(ctx, "update orders set status = 'shipped', amount = amount + 1 where id between $1 and $2", i+2, i+1001); err != nil {
			return err
		}
	}
	for i := 0; i < n; i += 2000 {
		if _, err := c.Exec(ctx, "delete from orders where id between $1 and $2", i+2, i+1001); err != nil {
			return err
		}
	}
	return nil
}

// drain empties the same WAL by pg_recvlogical, by millrace in JSON, by millrace
// in Avro, and by pg_recvlogical again.
func (b *bench) drain(ctx context.Context) (err error) {
	db, conn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if _, err := conn.Exec(ctx, "alter table orders replica identity full"); err != nil {
		return err
	}
	var formats []*format
	for _, avro := range b.avros() {
		if avro {
			formats = append(formats, &format{name: "Avro", tag: db.Name + "_avro", avro: true})
		} else {
			formats = append(formats, &format{name: "JSON", tag: db.Name + "_json"})
		}
	}
	for _, f := range formats {
		perr := f.prepare(ctx, b, db, conn)
		if f.stop != nil {
			defer func() { err = errors.Join(err, f.stop()) }()
		}
		if perr != nil {
			return perr
		}
	}
	var warm int64
	if err := conn.QueryRow(ctx, "select count(*) from orders").Scan(&warm); err != nil {
		return err
	}
	b.logf("drain: writing %d changes", 5*b.n/2)
	if err := load(ctx, conn, b.n); err != nil {
		return err
	}
	var left int64
	if err := conn.QueryRow(ctx, "select count(*) from orders").Scan(&left); err != nil {
		return err
	}
	deletes := int64(b.n) + warm - left
	changes := 2*int64(b.n) + deletes
	raw1, err := b.recvlogical(ctx, conn, db.Name, formats[0].tag)
	if err != nil {
		return err
	}
	for _, f := range formats {
		if err := f.measure(ctx, b, changes, deletes); err != nil {
			return err
		}
	}
	raw2, err := b.recvlogical(ctx, conn, db.Name, formats[0].tag)
	if err != nil {
		return err
	}
	b.report.addDrain(changes, raw1, raw2, formats)
	return nil
}

// recvlogical drains a copy of a slot into /dev/null. A slot that has moved on
// cannot be copied from its start, so the copies are made before the drain.
func (b *bench) recvlogical(ctx context.Context, conn *pgx.Conn, db, slot string) (time.Duration, error) {
	tool, err := findTool("pg_recvlogical")
	if err != nil {
		return 0, err
	}
	first, second := slot+"_raw1", slot+"_raw2"
	var have int
	if err := conn.QueryRow(ctx, "select count(*) from pg_replication_slots where slot_name = $1", second).Scan(&have); err != nil {
		return 0, err
	}
	use := second
	if have == 0 {
		for _, s := range []string{first, second} {
			if _, err := conn.Exec(ctx, "select pg_copy_logical_replication_slot($1, $2)", slot, s); err != nil {
				return 0, err
			}
		}
		use = first
	}
	var end string
	if err := conn.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&end); err != nil {
		return 0, err
	}
	// One more commit past the end, so that the tool sees it at once.
	if _, err := conn.Exec(ctx, "select pg_logical_emit_message(true, 'bench', 'end')"); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, tool, "-h", b.server.Host, "-p", b.server.Port, "-U", b.server.User, "-d", db, "--slot", use, "--start", "-f", "/dev/null",
		"-o", "proto_version=1", "-o", "publication_names="+slot, "--endpos", end, "--no-loop")
	cmd.Env = append(cmd.Environ(), "PGPASSWORD="+b.server.Password)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	took := time.Since(began)
	_, err = conn.Exec(ctx, "select pg_drop_replication_slot($1)", use)
	b.logf("drain: pg_recvlogical %.2f s", took.Seconds())
	return took, err
}

func findTool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("%s is not on the PATH; it comes with PostgreSQL's client programs", name)
	}
	return all[len(all)-1], nil
}

// format is the drain in one format, and its result.
type format struct {
	name, tag string
	avro      bool
	d         *testkit.Daemon
	stop      func() error
	topic     string
	base      int64

	took, first time.Duration
	cpuUs       float64 // per change
	rssMiB      float64
	changes     int64
}

// prepare posts the connector, lets one change through, so that topic and offset
// exist, and stops it.
func (f *format) prepare(ctx context.Context, b *bench, db *testkit.Database, conn *pgx.Conn) (err error) {
	if f.d, f.stop, err = b.daemon(ctx); err != nil {
		return err
	}
	f.topic = f.tag + ".public.orders"
	if err := f.d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": f.tag, "config": b.config(db.Name, f.tag, f.avro, map[string]string{"snapshot.mode": "no_data"})}, nil); err != nil {
		return err
	}
	if err := waitSlot(ctx, conn, f.tag, true); err != nil {
		return err
	}
	if err := b.warm(ctx, conn, f.topic); err != nil {
		return err
	}
	if err := f.d.Do(ctx, http.MethodPut, "/connectors/"+f.tag+"/stop", nil, nil); err != nil {
		return err
	}
	if err := waitSlot(ctx, conn, f.tag, false); err != nil {
		return err
	}
	f.base = b.end(ctx, f.topic)
	// A fresh process, so that memory and CPU are the drain's alone.
	if err := f.d.Stop(ctx); err != nil {
		return err
	}
	return nil
}

// warm lets one change through. A slot counts as active while it is being
// created, and what is written then is before its start, so it may take a few.
func (b *bench) warm(ctx context.Context, conn *pgx.Conn, topic string) (err error) {
	for range 15 {
		if _, err = conn.Exec(ctx, "insert into orders (customer_id, status, amount, note, qty, gift) values (0, 'x', 0, 'warm', 0, false)"); err != nil {
			return err
		}
		if _, _, err = b.arrive(ctx, topic, 0, 1, 2*time.Second); err == nil {
			return nil
		}
	}
	return err
}

// waitSlot waits until a slot is in use or free.
func waitSlot(ctx context.Context, conn *pgx.Conn, slot string, active bool) error {
	for end := time.Now().Add(30 * time.Second); ; {
		var is bool
		err := conn.QueryRow(ctx, "select active from pg_replication_slots where slot_name = $1", slot).Scan(&is)
		if err == nil && is == active {
			return nil
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("slot %s never became active=%v", slot, active)
		}
		time.Sleep(20 * time.Millisecond) // the server announces nothing
	}
}

// measure resumes the connector in a fresh process and waits for the last record.
func (f *format) measure(ctx context.Context, b *bench, changes, deletes int64) error {
	if _, err := f.d.Start(ctx); err != nil {
		return err
	}
	if err := b.touch(); err != nil {
		return err
	}
	cpu0, err := cpuTime(f.d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f.d.Do(ctx, http.MethodPut, "/connectors/"+f.tag+"/resume", nil, nil); err != nil {
		return err
	}
	// A tombstone follows each delete. What the other formats let through first is in this WAL too.
	first, last, err := b.arrive(ctx, f.topic, f.base, f.base+changes+deletes, 5*time.Minute)
	if err != nil {
		return err
	}
	cpu1, err := cpuTime(f.d.PID())
	if err != nil {
		return err
	}
	f.took, f.first, f.changes = last.Sub(began), first.Sub(began), changes
	f.cpuUs = float64((cpu1 - cpu0).Microseconds()) / float64(changes)
	f.rssMiB, err = peakMiB(f.d.PID())
	b.logf("drain: %s %.2f s, first record after %.2f s, %.2f µs CPU per change, %.0f MiB", f.name, f.took.Seconds(), f.first.Seconds(), f.cpuUs, f.rssMiB)
	if err != nil {
		return err
	}
	return f.d.Do(ctx, http.MethodDelete, "/connectors/"+f.tag, nil, nil)
}

// snapshot reads a table of 500,000 rows by COPY and by millrace with two readers.
func (b *bench) snapshot(ctx context.Context) (err error) {
	db, conn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	rows := int64(b.n) * 5 / 2
	b.logf("snapshot: writing %d rows", rows)
	if _, err := conn.Exec(ctx, fmt.Sprintf(fillOrders, 1, rows)); err != nil {
		return err
	}
	for _, q := range []string{"vacuum analyze orders", "checkpoint"} {
		if _, err := conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	began := time.Now()
	if _, err := conn.PgConn().CopyTo(ctx, io.Discard, "copy orders to stdout"); err != nil {
		return err
	}
	cp := time.Since(began)
	for _, avro := range b.avros() {
		if err := b.snapshotOnce(ctx, db, conn, rows, avro, cp); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) snapshotOnce(ctx context.Context, db *testkit.Database, conn *pgx.Conn, rows int64, avro bool, cp time.Duration) (err error) {
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	name, tag := "JSON", db.Name+"_json"
	if avro {
		name, tag = "Avro", db.Name+"_avro"
	}
	if err := b.touch(); err != nil {
		return err
	}
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": tag, "config": b.config(db.Name, tag, avro, map[string]string{"snapshot.mode": "initial", "snapshot.max.threads": "2"})}, nil); err != nil {
		return err
	}
	_, last, err := b.arrive(ctx, tag+".public.orders", 0, rows, 5*time.Minute)
	if err != nil {
		return err
	}
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	rss, err := peakMiB(d.PID())
	took := last.Sub(began)
	b.report.addSnapshot(name, rows, took, cp, float64((cpu1-cpu0).Microseconds())/float64(rows), rss)
	b.logf("snapshot: %s %.2f s, COPY %.2f s", name, took.Seconds(), cp.Seconds())
	if err != nil {
		return err
	}
	return d.Do(ctx, http.MethodDelete, "/connectors/"+tag, nil, nil)
}
