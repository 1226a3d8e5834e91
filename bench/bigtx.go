package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// bigRows is how many rows of about 1 KB the one large transaction has: 5 GB.
const bigRows = 5_000_000

// bigTransaction writes one transaction of many rows while the connector runs. What
// counts is the peak memory of millrace, and how long after the commit the last
// record is in Kafka. It takes three times the transaction's size on disk: table,
// log and spool; the topic is compressed.
func (b *bench) bigTransaction(ctx context.Context) (err error) {
	db, conn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	more := map[string]string{"snapshot.mode": "no_data", "producer.override.compression.type": "lz4"}
	if b.whole {
		more["slot.stream.params"] = "streaming=off"
	}
	name, avro := "JSON", b.avros()[0]
	if avro {
		name = "Avro"
	}
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": db.Name, "config": b.config(db.Name, db.Name, avro, more)}, nil); err != nil {
		return err
	}
	if err := waitSlot(ctx, conn, db.Name, true); err != nil {
		return err
	}
	topic := db.Name + ".public.orders"
	if err := b.warm(ctx, conn, topic); err != nil {
		return err
	}
	base := b.end(ctx, topic)
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	b.logf("bigtx: one transaction of %s rows", thousands(int64(b.big)))
	began := time.Now()
	if _, err := conn.Exec(ctx, fmt.Sprintf(`insert into orders (customer_id, status, amount, note, qty, gift)
		select g %% 5000, 'new', g, repeat(md5(g::text), 31), g %% 100, true from generate_series(1, %d) g`, b.big)); err != nil {
		return err
	}
	committed := time.Now()
	_, last, err := b.arrive(ctx, topic, base, base+int64(b.big), 30*time.Minute)
	if err != nil {
		return err
	}
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	rss, err := peakMiB(d.PID())
	b.logf("bigtx: %s, written in %.0f s, all in Kafka %.0f s after the commit, %.0f MiB", name, committed.Sub(began).Seconds(), last.Sub(committed).Seconds(), rss)
	b.report.addBig(name, int64(b.big), committed.Sub(began), last.Sub(committed), float64((cpu1-cpu0).Microseconds())/float64(b.big), rss)
	if err != nil {
		return err
	}
	return d.Do(ctx, http.MethodDelete, "/connectors/"+db.Name, nil, nil)
}
