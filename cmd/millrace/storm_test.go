package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/store"
)

// TestSinkStorm: while records come, the number of tasks changes, so that partitions
// move, and the database ends the sink's connections in mid-transaction. In the end
// each key is what its last record says, no task has failed, and verify agrees.
func TestSinkStorm(t *testing.T) {
	t.Parallel()
	to := chainPostgres(t)
	to.exec(t, "create table storm (id int primary key, round int not null, v text)")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "storm"), kfake.AllowAutoTopicCreation(), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	boot, dir := cluster.ListenAddrs()[0], t.TempDir()
	w := chainWorker(t, boot, dir)
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.DefaultProduceTopic("storm"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	config := map[string]string{"name": "storm", "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": "storm", "insert.mode": "upsert", "delete.enabled": "true",
		"primary.key.mode": "record_key", "flush.retry.delay.ms": "20", "consumer.override.fetch.max.wait.ms": "50", "consumer.override.heartbeat.interval.ms": "200", "consumer.override.max.poll.records": "3000"}
	maps.Copy(config, to.sink)
	rnd := rand.New(rand.NewPCG(7, 7))
	want := map[int]int{}
	schema := func(fields string) string { return `{"type":"struct","fields":[` + fields + `]}` }
	id := `{"type":"int32","field":"id"}`
	for round := 1; round <= 12; round++ {
		config["tasks.max"] = strconv.Itoa(1 + round%4)
		if _, _, err := w.Put(t.Context(), "storm", store.FromStrings(config)); err != nil {
			t.Fatal(err)
		}
		var recs []*kgo.Record
		for range 6000 {
			k := rnd.IntN(3000)
			r := &kgo.Record{Key: fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d}}`, schema(id), k)}
			if rnd.IntN(6) > 0 {
				r.Value = fmt.Appendf(nil, `{"schema":%s,"payload":{"id":%d,"round":%d,"v":"text"}}`, schema(id+`,{"type":"int32","field":"round"},{"type":"string","optional":true,"field":"v"}`), k, round)
				want[k] = round
			} else {
				delete(want, k)
			}
			recs = append(recs, r)
		}
		half := len(recs) / 2
		for _, part := range [][]*kgo.Record{recs[:half], recs[half:]} {
			if err := cl.ProduceSync(t.Context(), part...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			for range 4 { // at some place of a batch
				to.exec(t, "select pg_sleep(0.02)")
				to.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'millrace'")
			}
		}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "storm.json")
	writeFile(t, file, string(text))
	eventually(t, func() error {
		var out, errOut bytes.Buffer
		if code := realMain(t.Context(), []string{"verify", "--kafka", boot, "--wait", "1s", "--rounds", "1", file}, &out, &errOut); code != 0 {
			return fmt.Errorf("verify: %s%s; task: %s", out.String(), errOut.String(), trace(w, "storm"))
		}
		return nil
	})
	rows, err := to.db.QueryContext(t.Context(), "select id, round from storm")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[int]int{}
	for rows.Next() {
		var k, round int
		if err := rows.Scan(&k, &round); err != nil {
			t.Fatal(err)
		}
		got[k] = round
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d rows, want %d, or some are old", len(got), len(want))
	}
	for task := range 1 + 12%4 {
		if st, err := w.TaskStatus("storm", task); err != nil || st.State != "RUNNING" {
			t.Errorf("task %d: %v %v", task, st, err)
		}
	}
	if err := w.Delete(t.Context(), "storm"); err != nil {
		t.Error(err)
	}
}
