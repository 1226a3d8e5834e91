package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/worker"
)

// sampleLimit is how long it may take to get an event.
const sampleLimit = 20 * time.Second

// sample is an event as a source would write it.
type sample struct {
	Topic string          `json:"topic"`
	Key   json.RawMessage `json:"key"`
	Value json.RawMessage `json:"value"`
}

// sampleEvent reads one row of the first captured table as the connector would, with
// its transforms: in a worker of its own, into a Kafka in this process. It changes
// nothing in the database, and nothing of it goes into the real Kafka. The converters
// are JSON's, so that no schema is registered. No error and nil: no row is there.
func sampleEvent(ctx context.Context, cfg *worker.Config, config *store.Map, topics []string) (_ *sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	c, err := sampleConfig(config.Strings(), topics)
	if c == nil || err != nil {
		return nil, err
	}
	own, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
	if err != nil {
		return nil, fmt.Errorf("start a Kafka in this process: %w", err)
	}
	defer own.Close()
	dir, err := os.MkdirTemp("", "millrace-sample")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	quiet := slog.New(slog.DiscardHandler)
	boot := own.ListenAddrs()[0]
	wc, err := worker.NewConfig(ownProps(cfg, boot, dir), quiet)
	if err != nil {
		return nil, err
	}
	w := worker.New(wc, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(&slog.LevelVar{}), quiet)
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Stop()) }()
	const name = "sample"
	if _, _, err := w.Put(ctx, name, c); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot), kgo.ConsumeRegex(), kgo.ConsumeTopics("^[^_].*"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(200*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return awaitSample(ctx, w, cl, name, c.Value("topic.prefix"))
}

// awaitSample waits for the first event, or for the end of the connector's reading.
func awaitSample(ctx context.Context, w *worker.Worker, cl *kgo.Client, name, prefix string) (*sample, error) {
	for {
		poll, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
		fetches := cl.PollFetches(poll)
		cancel()
		for _, r := range fetches.Records() {
			if len(r.Value) > 0 && r.Topic != prefix { // that is the topic of schema changes
				return &sample{Topic: r.Topic, Key: raw(r.Key), Value: raw(r.Value)}, nil
			}
		}
		if st, err := w.TaskStatus(name, 0); err == nil && st.State == string(store.StateFailed) {
			text, _, _ := strings.Cut(st.Trace, "\n")
			return nil, errors.New(text)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no event came within %s: the table is empty, or reading takes long", sampleLimit)
		}
	}
}

func raw(b []byte) json.RawMessage {
	if !json.Valid(b) {
		b, _ = json.Marshal(string(b))
	}
	return b
}

// sampleConfig is the connector's config for one row of one table; nil where that
// cannot be had.
func sampleConfig(props map[string]string, topics []string) (*store.Map, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	table := strings.TrimPrefix(topics[0], props["topic.prefix"]+".")
	space, short, ok := strings.Cut(table, ".")
	if !ok || strings.Contains(short, ".") || table == topics[0] {
		return nil, nil
	}
	m, err := snapshotConfig(props)
	if err != nil {
		return nil, err
	}
	out := m.Strings()
	quote := `"`
	if !strings.Contains(props["connector.class"], ".postgresql.") {
		quote = "`"
		out["snapshot.locking.mode"] = "none"
	}
	delete(out, "notification.enabled.channels")
	delete(out, "notification.sink.topic.name")
	out["key.converter.schemas.enable"], out["value.converter.schemas.enable"] = "false", "false"
	out["snapshot.include.collection.list"] = regexp.QuoteMeta(table)
	out["snapshot.select.statement.overrides"] = table
	out["snapshot.select.statement.overrides."+table] = "SELECT * FROM " + quote + space + quote + "." + quote + short + quote + " LIMIT 1"
	out["name"] = "sample"
	return store.FromStrings(out), nil
}
