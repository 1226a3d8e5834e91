package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

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

// sqlTarget is a database whose table orders is written.
type sqlTarget interface {
	// product is the database's name.
	product() string
	// count counts the rows of "table where condition".
	count(ctx context.Context, from string) (int64, error)
	// prepare empties the table, or fills it with rows of status old that every upsert changes.
	prepare(ctx context.Context, updates bool) error
	// byHand writes the rows of the topic as fast as one connection does, and says how.
	byHand(ctx context.Context) (how string, err error)
	// config is what a connector needs to reach the database.
	config() map[string]string
}

// sinkSQL upserts the same rows by hand and by a sink connector from Kafka: first into
// an empty table, then over the rows that are there. name begins the names of its topics.
func (b *bench) sinkSQL(ctx context.Context, t sqlTarget, name string, each func(order)) error {
	b.logf("sink: writing %d records", b.n)
	if err := b.fillTopic(ctx, name+".orders", each); err != nil {
		return err
	}
	for _, updates := range []bool{false, true} {
		if err := t.prepare(ctx, updates); err != nil {
			return err
		}
		began := time.Now()
		how, err := t.byHand(ctx)
		if err != nil {
			return err
		}
		hand := time.Since(began)
		b.logf("sink: %s by hand %.2f s", how, hand.Seconds())
		if err := t.prepare(ctx, updates); err != nil {
			return err
		}
		if err := b.sinkOnce(ctx, t, name, updates, how, hand); err != nil {
			return err
		}
	}
	return nil
}

// order is a row of the sinks' measurements.
type order struct {
	id, customer, status, qty int
	cents                     int64
	note, placed, day         string // placed is UTC without its Z
	weight                    float64
	gift                      bool
}

// fillTopic makes a topic of one partition with b.n flat rows, and tells each to row.
func (b *bench) fillTopic(ctx context.Context, topic string, each func(order)) error {
	if _, err := b.adm.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	var key, value bytes.Buffer
	if err := errors.Join(json.Compact(&key, []byte(sinkKey)), json.Compact(&value, []byte(sinkValue))); err != nil {
		return err
	}
	var failed error
	for g := 1; g <= b.n; g++ {
		epoch := 20454 + g%365
		o := order{id: g, customer: g % 5000, status: g % 7, qty: g % 100, cents: int64(125 * g), note: fmt.Sprintf("a note of some length about order %d", g),
			placed: fmt.Sprintf("2026-01-01T%02d:00:00.123456", g%24), day: time.Unix(int64(epoch)*86400, 0).UTC().Format(time.DateOnly), weight: float64(g) / 3, gift: g%2 == 0}
		c := o.cents
		amount := base64.StdEncoding.EncodeToString([]byte{byte(c >> 32), byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)})
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d}}`, key.Bytes(), g),
			Value: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d,"customer_id":%d,"status":"status%d","amount":%q,"note":%q,"placed_at":"%sZ","ship_on":%d,"qty":%d,"weight":%v,"gift":%v}}`,
				value.Bytes(), g, o.customer, o.status, amount, o.note, o.placed, epoch, o.qty, o.weight, o.gift)}
		b.cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil && failed == nil {
				failed = err
			}
		})
		each(o)
	}
	if err := b.cl.Flush(ctx); err != nil {
		return err
	}
	return failed // promises run one after the other, all before Flush returns
}

// sinkOnce lets a connector in a process of its own do it.
func (b *bench) sinkOnce(ctx context.Context, t sqlTarget, tag string, updates bool, how string, limit time.Duration) (err error) {
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	name, what := tag+"_new", "upserts, all new"
	if updates {
		name, what = tag+"_old", "upserts, all updates"
	}
	config := map[string]string{"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": "1", "topics": tag + ".orders",
		"insert.mode": "upsert", "primary.key.mode": "record_key", "collection.name.format": "orders",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
	maps.Copy(config, t.config())
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": config}, nil); err != nil {
		return err
	}
	first, last, err := b.arriveRows(ctx, t)
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
		what:  "sink into " + t.product() + ", " + thousands(int64(b.n)) + " " + what + ", JSON with schemas",
		value: thousands(int64(float64(b.n)/took.Seconds())) + " rows/s", limit: thousands(int64(float64(b.n)/limit.Seconds())) + "/s (" + how + ")",
		share: fmt.Sprintf("%.0f %%", 100*limit.Seconds()/took.Seconds()), cpu: fmt.Sprintf("%.1f µs", cpu), rss: fmt.Sprintf("%.0f MiB", rss),
	})
	b.logf("sink: %s %.2f s, first rows after %.2f s, %.2f µs CPU per row, %.0f MiB", what, took.Seconds(), first.Sub(began).Seconds(), cpu, rss)
	return d.Do(ctx, http.MethodDelete, "/connectors/"+name, nil, nil)
}

// arriveRows waits until the table holds the last rows and all of them.
func (b *bench) arriveRows(ctx context.Context, t sqlTarget) (first, last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		at := fmt.Sprintf("orders where id = %d and status <> 'old'", b.n)
		if first.IsZero() {
			at = "orders where id = 1 and status <> 'old'"
		}
		n, err := t.count(ctx, at)
		switch {
		case err != nil:
			return first, last, err
		case n == 0:
			time.Sleep(10 * time.Millisecond) // the server announces nothing
		case first.IsZero():
			first = time.Now()
		default:
			last = time.Now()
			if n, err := t.count(ctx, "orders where status <> 'old'"); err != nil || n == int64(b.n) {
				return first, last, err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
