package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/kafkaconf"
	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/worker"
)

// A shadow run: a connector that Java runs is run once more beside it, with a slot or
// server id of its own, into a Kafka in this process. Afterwards its records are
// compared with those that Java has written meanwhile.

// shadowSettle is how long records that are under way get before both sides are read.
const shadowSettle = 5 * time.Second

// shadowConfig is the config of a connector's shadow. It must not write anything:
// no snapshot, no signals (a signal table is written), no heartbeat statements.
func shadowConfig(props map[string]string) (*store.Map, error) {
	out := map[string]string{}
	for k, v := range props {
		switch {
		case strings.HasPrefix(k, "signal."), strings.HasPrefix(k, "notification."), strings.HasPrefix(k, "heartbeat."), strings.HasPrefix(k, "topic.creation."),
			strings.HasPrefix(k, "producer.override."), strings.HasPrefix(k, "admin.override."), strings.HasPrefix(k, "schema.history.internal"),
			k == "offsets.storage.topic", k == "exactly.once.support", k == "transaction.boundary":
		default:
			out[k] = v
		}
	}
	out["snapshot.mode"], out["tasks.max"] = "no_data", "1"
	switch props["connector.class"] {
	case "io.debezium.connector.postgresql.PostgresConnector":
		slot := props["slot.name"]
		if slot == "" {
			slot = "debezium"
		}
		out["slot.name"] = slot[:min(len(slot), 50)] + "_shadow" + strconv.Itoa(rand.IntN(1000))
		out["slot.drop.on.stop"], out["plugin.name"], out["publication.autocreate.mode"] = "true", "pgoutput", "disabled"
	case "io.debezium.connector.mysql.MySqlConnector", "io.debezium.connector.mariadb.MariaDbConnector":
		out["database.server.id"] = strconv.Itoa(1_000_000_000 + rand.IntN(1_000_000_000))
		out["schema.history.internal"] = "io.debezium.relational.history.MemorySchemaHistory"
	default:
		return nil, fmt.Errorf("a shadow run needs a log that several can read: Debezium's connectors of PostgreSQL, MySQL and MariaDB, not %s", props["connector.class"])
	}
	return store.FromStrings(out), nil
}

// shadow runs the shadow of a connector for a while and compares.
func shadow(ctx context.Context, e *env, cfg *worker.Config, name string, run time.Duration) (*shadowReport, error) {
	real := worker.New(cfg, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(e.level), e.log)
	props, err := real.StoredConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	config, err := shadowConfig(props)
	if err != nil {
		return nil, err
	}
	reader, err := real.ReaderOf(props)
	if err != nil {
		return nil, err
	}
	own, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
	if err != nil {
		return nil, fmt.Errorf("start the shadow's Kafka: %w", err)
	}
	defer own.Close()
	span, err := runShadow(ctx, e, cfg, own.ListenAddrs()[0], name, config, run)
	if err != nil {
		return nil, err
	}
	ours, err := kgo.NewClient(kgo.SeedBrokers(own.ListenAddrs()...))
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	here, err := readAll(ctx, ours, nil, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("read the shadow's records: %w", err)
	}
	kc := kafkaconf.Admin(cfg.ClusterProps())
	if err := kc.Err(); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(kc.Opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	// Topics that only Java writes to count as well, if they are of this connector.
	there, err := readAll(ctx, cl, func(topic string) bool {
		_, known := here[topic]
		return known || strings.HasPrefix(topic, props["topic.prefix"]+".")
	}, span.from)
	if err != nil {
		return nil, fmt.Errorf("read Java's records: %w", err)
	}
	// The shadow starts without rows, so what it says of the tables that are there at
	// its start has no counterpart.
	here[props["topic.prefix"]] = slices.DeleteFunc(here[props["topic.prefix"]], func(r *kgo.Record) bool { return r.Timestamp.Before(span.from) || atStart.Match(r.Value) })
	return compareShadow(ctx, name, reader, span, there, here)
}

// atStart finds the marker of a snapshot in the source block of a schema change.
var atStart = regexp.MustCompile(`"snapshot":"(true|first|last)`)

// period is when the shadow streamed.
type period struct{ from, to time.Time }

// runShadow runs the connector in a standalone worker of its own.
func runShadow(ctx context.Context, e *env, cfg *worker.Config, boot, name string, config *store.Map, run time.Duration) (span period, err error) {
	dir, err := os.MkdirTemp("", "millrace-shadow")
	if err != nil {
		return span, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	props := ownProps(cfg, boot, dir)
	for _, side := range []string{"key", "value"} {
		// A schema that Java has not registered is a difference, and no reason to register it.
		props[side+".converter.auto.register.schemas"] = "false"
		if config.Value(side+".converter") != "" {
			config.Put(side+".converter.auto.register.schemas", "false")
		}
	}
	c, err := worker.NewConfig(props, e.log)
	if err != nil {
		return span, err
	}
	w := worker.New(c, worker.NewRegistry(plugins()), metrics.New(), worker.NewLoggers(e.level), e.log)
	if err := w.Start(ctx); err != nil {
		return span, err
	}
	_, _, err = w.Put(ctx, name, config)
	if err == nil {
		span.from, err = awaitTask(ctx, w, name)
	}
	if err == nil {
		err = wait(ctx, run)
	}
	if err == nil {
		span.to, err = awaitTask(ctx, w, name) // it must still run
	}
	if err == nil {
		err = w.Delete(ctx, name) // drops the slot
	}
	if serr := w.Stop(); err == nil {
		err = serr
	}
	if err == nil {
		err = wait(ctx, shadowSettle)
	}
	return span, err
}

// ownProps are the properties of a standalone worker that stands beside cfg's: with a
// Kafka of its own and a file for offsets in dir.
func ownProps(cfg *worker.Config, boot, dir string) map[string]string {
	props := maps.Clone(cfg.Props)
	for k := range props {
		if strings.HasPrefix(k, "producer.") || strings.HasPrefix(k, "consumer.") || strings.HasPrefix(k, "admin.") || strings.HasPrefix(k, "sasl.") || strings.HasPrefix(k, "ssl.") ||
			strings.HasPrefix(k, "rest.") || strings.Contains(k, "listeners") || k == "security.protocol" || k == "group.id" || k == "exactly.once.source.support" {
			delete(props, k)
		}
	}
	props["bootstrap.servers"], props["offset.storage.file.filename"] = boot, filepath.Join(dir, "offsets")
	props["listeners"] = "http://127.0.0.1:8083" // nobody listens
	return props
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// awaitTask waits until the shadow's task runs.
func awaitTask(ctx context.Context, w *worker.Worker, name string) (time.Time, error) {
	for {
		st, err := w.TaskStatus(name, 0)
		switch {
		case err == nil && st.State == "RUNNING":
			return time.Now(), nil
		case err == nil && st.State == "FAILED":
			return time.Time{}, errors.New("the shadow failed: " + st.Trace)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return time.Time{}, fmt.Errorf("the shadow does not start: %w", err)
		}
	}
}

// readAll reads topics to their present end, from a time on.
func readAll(ctx context.Context, cl *kgo.Client, want func(string) bool, from time.Time) (map[string][]*kgo.Record, error) {
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]*kgo.Record{}
	var names []string
	for _, t := range topics.Names() {
		if want == nil || want(t) {
			names = append(names, t)
			out[t] = nil
		}
	}
	if len(names) == 0 {
		return out, nil
	}
	starts, err := adm.ListOffsetsAfterMilli(ctx, from.UnixMilli(), names...)
	if from.IsZero() {
		starts, err = adm.ListStartOffsets(ctx, names...)
	}
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	parts, left := map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
	n := 0
	ends.Each(func(o kadm.ListedOffset) {
		s, ok := starts.Lookup(o.Topic, o.Partition)
		if o.Err != nil || !ok || s.Offset < 0 || s.Offset >= o.Offset {
			return
		}
		if parts[o.Topic] == nil {
			parts[o.Topic], left[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		parts[o.Topic][o.Partition], left[o.Topic][o.Partition] = kgo.NewOffset().At(s.Offset), o.Offset
		n++
	})
	r, err := kgo.NewClient(append(cl.Opts(), kgo.ConsumePartitions(parts), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for n > 0 {
		fs := r.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fs.EachRecord(func(rec *kgo.Record) {
			end, open := left[rec.Topic][rec.Partition]
			if open && !rec.Attrs.IsControl() && rec.Offset < end {
				out[rec.Topic] = append(out[rec.Topic], rec)
			}
			if open && rec.Offset+1 >= end {
				delete(left[rec.Topic], rec.Partition)
				n--
			}
		})
	}
	return out, nil
}

// shadowReport is the outcome of a shadow run.
type shadowReport struct {
	Connector string        `json:"connector"`
	Topics    []shadowTopic `json:"topics"`
	Equal     int           `json:"equal"`
	Different int           `json:"different"`
	OnlyJava  int           `json:"only_java"`
	OnlyHere  int           `json:"only_millrace"`
}

func (r *shadowReport) print(e *env, asJSON bool) error {
	if asJSON {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		_, err = e.out.Write(append(b, '\n'))
		return err
	}
	for _, t := range r.Topics {
		fmt.Fprintf(e.out, "%s: %d equal, %d different, %d only from Java, %d only from millrace\n", t.Topic, t.Equal, t.Different, t.OnlyJava, t.OnlyHere)
		for _, x := range t.Examples {
			fmt.Fprintf(e.out, "  key %s\n    Java     %s\n    millrace %s\n", x.Key, x.Java, x.Here)
		}
	}
	_, err := fmt.Fprintf(e.out, "%s: %d equal, %d different, %d only from Java, %d only from millrace\n", r.Connector, r.Equal, r.Different, r.OnlyJava, r.OnlyHere)
	return err
}
