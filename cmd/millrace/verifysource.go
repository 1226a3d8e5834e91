package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/worker"
	"millrace/sinkers/sqlsink"
)

// The comparison with the source's tables: the source connector reads a snapshot in a
// worker of its own, into a Kafka in this process, and from there the records go the
// way of the sink.

// verifyTopic takes the notifications that tell when the snapshot has ended.
const verifyTopic = "millrace-verify-notifications"

// verifyHeld is about how many bytes of records wait in this process at most.
const verifyHeld = 32 << 20

// converterJSON carries every Connect schema and value, without a registry.
const converterJSON = "org.apache.kafka.connect.json.JsonConverter"

// runSource compares with snapshots of the source, and with another one while
// something differs: rows may change between the two readings.
func (v *verifier) runSource(ctx context.Context, sink map[string]string) error {
	v.out.Source = v.source.name
	sink = ownConverters(sink)
	for round := 1; ; round++ {
		tables, err := sqlsink.NewVerifier(sink["connector.class"], sink, v.e.log)
		if err != nil {
			return err
		}
		reports, err := v.sourceRound(ctx, sink, tables)
		if err != nil {
			return errors.Join(err, tables.Stop())
		}
		v.merge(round, reports)
		if !v.differs() || round >= min(v.rounds, 2) {
			if v.conclude(tables); !v.out.Equal {
				v.note("what the connectors have still to bring counts as a difference here; without the source's file, verify waits for the sink (after a crash its group takes it back within session.timeout.ms, 45 s)")
			}
			return tables.Stop()
		}
		if err := errors.Join(tables.Stop(), wait(ctx, 3*time.Second)); err != nil {
			return err
		}
	}
}

// ownConverters replaces the converters and what belongs to the real Kafka.
func ownConverters(props map[string]string) map[string]string {
	out := maps.Clone(props)
	for k := range out {
		if strings.HasPrefix(k, "key.converter") || strings.HasPrefix(k, "value.converter") || strings.HasPrefix(k, "consumer.override.") || strings.HasPrefix(k, "producer.override.") {
			delete(out, k)
		}
	}
	out["key.converter"], out["value.converter"] = converterJSON, converterJSON
	return out
}

// sourceRound reads one snapshot and compares.
func (v *verifier) sourceRound(ctx context.Context, sink map[string]string, tables *sqlsink.Verifier) (reports []*sqlsink.TableReport, err error) {
	if err := tables.Start(ctx); err != nil {
		return nil, err
	}
	var held atomic.Int64
	own, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{"log.segment.bytes": "1048576"})) // a segment is given back when all of it was read
	if err != nil {
		return nil, fmt.Errorf("start a Kafka in this process: %w", err)
	}
	defer own.Close()
	own.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		own.KeepControl()
		for _, t := range r.(*kmsg.ProduceRequest).Topics {
			for _, p := range t.Partitions {
				held.Add(int64(len(p.Records)))
			}
		}
		if held.Load() > verifyHeld { // the snapshot is faster than the target: let it wait
			own.SleepControl(func() {
				for range 100 {
					if held.Load() <= verifyHeld || wait(ctx, 50*time.Millisecond) != nil {
						return
					}
				}
			})
		}
		return nil, nil, false
	})
	dir, err := os.MkdirTemp("", "millrace-verify")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	boot := own.ListenAddrs()[0]
	c, err := worker.NewConfig(ownProps(v.cfg, boot, dir), v.e.log)
	if err != nil {
		return nil, err
	}
	w := worker.New(c, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(v.e.level), v.e.log)
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	err = v.readSnapshot(ctx, w, boot, sink, tables, &held)
	if err = errors.Join(err, w.Stop()); err != nil {
		return nil, err
	}
	return tables.Compare(ctx)
}

// snapshotConfig is the source's config for one snapshot that changes nothing.
func snapshotConfig(props map[string]string) (*store.Map, error) {
	m, err := shadowConfig(props)
	if err != nil {
		return nil, err
	}
	out := ownConverters(m.Strings())
	out["snapshot.mode"] = "initial_only"
	out["producer.override.metadata.max.age.ms"] = "200" // topics come into being as it goes
	out["producer.override.compression.type"] = "lz4"    // records wait in this process's memory
	out["notification.enabled.channels"], out["notification.sink.topic.name"] = "sink", verifyTopic
	return store.FromStrings(out), nil
}

// readSnapshot runs the snapshot and reads along.
func (v *verifier) readSnapshot(ctx context.Context, w *worker.Worker, boot string, sink map[string]string, tables *sqlsink.Verifier, held *atomic.Int64) error {
	config, err := snapshotConfig(v.source.config.Strings())
	if err != nil {
		return err
	}
	r, err := w.NewReplay(v.sink.name, sink, v.e.log)
	if err != nil {
		return err
	}
	defer r.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot))
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, _, err := w.Put(ctx, v.source.name, config); err != nil {
		return err
	}
	progress := v.progress("rows of the snapshot so far")
	read := func() error {
		held.Store(0)
		_, err := r.Read(ctx, tables, nil)
		if errors.Is(err, worker.ErrNoTopics) {
			return nil
		}
		if err == nil {
			err = r.Forget(ctx)
		}
		progress(r.Records, r.Records)
		return err
	}
	for {
		done, err := v.snapshotEnded(ctx, w, cl)
		if err == nil {
			err = read()
		}
		if done && err == nil {
			err = w.Delete(ctx, v.source.name) // what is under way arrives first, and the slot goes
			if err == nil {
				err = wait(ctx, time.Second)
			}
			if err = errors.Join(err, read()); err == nil {
				v.out.Records = r.Records
			}
			return err
		}
		if err == nil {
			err = wait(ctx, 100*time.Millisecond)
		}
		if err != nil {
			return errors.Join(err, w.Delete(context.WithoutCancel(ctx), v.source.name))
		}
	}
}

// snapshotEnded looks for the last notification.
func (v *verifier) snapshotEnded(ctx context.Context, w *worker.Worker, cl *kgo.Client) (bool, error) {
	if st, err := w.TaskStatus(v.source.name, 0); err == nil && st.State == "FAILED" {
		return false, errors.New("the snapshot of the source failed: " + st.Trace)
	}
	notes, err := readAll(ctx, cl, func(topic string) bool { return topic == verifyTopic }, time.Time{})
	if err != nil {
		return false, err
	}
	for _, rec := range notes[verifyTopic] {
		if bytes.Contains(rec.Value, []byte(`"Initial Snapshot"`)) && bytes.Contains(rec.Value, []byte(`"COMPLETED"`)) {
			return true, nil
		}
	}
	return false, nil
}
