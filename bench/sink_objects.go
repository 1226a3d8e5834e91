package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// sinkObjects writes a topic as Parquet files into a directory, as it would into a
// bucket: all into one file after the other, and into a thousand that are open at once.
func (b *bench) sinkObjects(ctx context.Context) (err error) {
	tag := testkit.Name("bench")
	clean := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, testkit.DeleteTopics(clean, b.kafka, tag)) }()
	b.logf("sink: writing %d records", b.n)
	if err := b.fillThousand(ctx, tag+".orders"); err != nil {
		return err
	}
	for _, m := range []struct {
		what string
		more map[string]string
	}{
		{"one open file", map[string]string{"flush.size": fmt.Sprint(b.n / 2)}},
		{"1,000 open files", map[string]string{"flush.size": fmt.Sprint(b.n / 2), "partitioner.class": "io.confluent.connect.storage.partitioner.FieldPartitioner", "partition.field.name": "customer_id"}},
	} {
		if err := b.objectsOnce(ctx, tag, m.what, m.more); err != nil {
			return err
		}
	}
	return nil
}

// fillThousand is fillTopic with customers from 0 to 999.
func (b *bench) fillThousand(ctx context.Context, topic string) error {
	if _, err := b.adm.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	var value bytes.Buffer
	if err := json.Compact(&value, []byte(sinkValue)); err != nil {
		return err
	}
	var failed error
	for g := 1; g <= b.n; g++ {
		r := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d,"customer_id":%d,"status":"status%d","amount":"BNI=","note":"a note of some length about order %d","placed_at":"2026-01-01T%02d:00:00.123456Z","ship_on":%d,"qty":%d,"weight":%v,"gift":%v}}`,
			value.Bytes(), g, g*7919%1000, g%7, g, g%24, 20454+g%365, g%100, float64(g)/3, g%2 == 0)}
		b.cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	if err := b.cl.Flush(ctx); err != nil {
		return err
	}
	return failed // promises run one after the other, all before Flush returns
}

func (b *bench) objectsOnce(ctx context.Context, tag, what string, more map[string]string) (err error) {
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	name, dir := testkit.Name(tag), filepath.Join(b.dir, testkit.Name("objects"))
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config := map[string]string{"connector.class": "io.confluent.connect.s3.S3SinkConnector", "tasks.max": "1", "topics": tag + ".orders", "store.url": "file://" + dir, "s3.bucket.name": "b",
		"storage.class": "io.confluent.connect.s3.storage.S3Storage", "format.class": "io.confluent.connect.s3.format.parquet.ParquetFormat",
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
	for k, v := range more {
		config[k] = v
	}
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": name, "config": config}, nil); err != nil {
		return err
	}
	if err := b.arriveOffset(ctx, "connect-"+name, tag+".orders"); err != nil {
		return err
	}
	took := time.Since(began)
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return err
	}
	rss, err := peakMiB(d.PID())
	if err != nil {
		return err
	}
	cpu := float64((cpu1 - cpu0).Microseconds()) / float64(b.n)
	b.report.rows = append(b.report.rows, row{
		what: "sink, " + thousands(int64(b.n)) + " records as Parquet, " + what, value: thousands(int64(float64(b.n)/took.Seconds())) + " records/s",
		limit: thousands(int64(1e6/cpu)) + "/s per core", share: "", cpu: fmt.Sprintf("%.1f µs", cpu), rss: fmt.Sprintf("%.0f MiB", rss),
	})
	b.logf("sink: Parquet, %s: %.2f s, %.2f µs CPU per record, %.0f MiB", what, took.Seconds(), cpu, rss)
	return d.Do(ctx, http.MethodDelete, "/connectors/"+name, nil, nil)
}

// arriveOffset waits until a group has committed all of a topic's one partition.
func (b *bench) arriveOffset(ctx context.Context, group, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		offsets, err := b.adm.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		if o, ok := offsets.Lookup(topic, 0); ok && o.At >= int64(b.n) {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // the broker announces nothing
	}
}
