//go:build java

package handover

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// TestHandOver runs one connector per database in turns: Java, millrace, Java, …;
// the first turns end in order, the others by SIGKILL. Every row that was written
// must be in the topic, in order; a row may come again where a kill or a hand-over
// rewound the position, and then all rows from there come again in order. Both
// workers must show the same config, tasks and source partitions. In every turn the
// table gets a new column, so that each worker goes on from the schema history that
// the other has written.
func TestHandOver(t *testing.T) {
	for _, name := range []string{"postgres", "mysql", "mariadb"} {
		t.Run(name, func(t *testing.T) { newRig(t, name).play(t) })
	}
}

// rig is a connector, its database, and the two workers that run it in turns.
type rig struct {
	db        database
	name, tag string
	java      *javaWorker
	other     *testkit.Daemon
	config    map[string]string
	columns   int
}

func newRig(t *testing.T, kind string) *rig {
	t.Helper()
	tag := testkit.Name("ho")
	r := &rig{tag: tag, name: "handover-" + tag, db: open(t, kind, tag)}
	testkit.DropTopics(t, tag)
	props := map[string]string{"group.id": tag, "config.storage.topic": tag + "-configs", "offset.storage.topic": tag + "-offsets", "status.storage.topic": tag + "-status"}
	r.other = testkit.NewDaemon(t, testkit.Binary(t), props)
	r.java = newJava(t, r.other.Props)
	r.config = r.db.config(tag)
	r.config["topic.prefix"], r.config["tasks.max"] = tag, "1"
	return r
}

// turn is one worker's time.
type turn struct {
	java bool
	end  syscall.Signal
}

func (r *rig) play(t *testing.T) {
	w := startWriter(t, r.db)
	var want any
	for i, turn := range []turn{{true, syscall.SIGTERM}, {false, syscall.SIGTERM}, {true, syscall.SIGKILL}, {false, syscall.SIGKILL}, {true, syscall.SIGTERM}} {
		began := time.Now()
		rest, who := r.start(t, turn)
		if i == 0 {
			r.do(t, rest, "PUT", "/connectors/"+r.name+"/config", r.config, nil)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		if err := r.runs(ctx, rest); err != nil {
			t.Fatalf("turn %d, %s: %v", i, who, err)
		}
		t.Logf("turn %d: %s runs the connector after %s, %d rows written", i, who, time.Since(began).Round(100*time.Millisecond), w.written())
		w.await(t, 1000)
		r.columns++
		if err := r.db.exec(ctx, fmt.Sprintf("alter table seq add column c%d int default %d", r.columns, r.columns)); err != nil {
			t.Fatal(err)
		}
		w.await(t, 1000)
		r.caughtUp(t, w.written())
		got := r.view(t, rest)
		cancel()
		if want != nil && !reflect.DeepEqual(want, got) {
			t.Errorf("turn %d: %s shows %v, the worker before it %v", i, who, got, want)
		}
		want = got
		r.finish(t, turn)
	}
	last := w.stop(t)
	r.start(t, turn{java: false})
	r.caughtUp(t, last)
	r.judge(t, last)
	if err := r.other.Do(t.Context(), "DELETE", "/connectors/"+r.name, nil, nil); err != nil {
		t.Error(err)
	}
}

func (r *rig) start(t *testing.T, u turn) (*testkit.Rest, string) {
	t.Helper()
	if u.java {
		r.java.start(t)
		return &r.java.Rest, "Java"
	}
	if _, err := r.other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &r.other.Rest, "millrace"
}

func (r *rig) finish(t *testing.T, u turn) {
	t.Helper()
	switch {
	case u.java:
		r.java.end(t, u.end)
	case u.end == syscall.SIGKILL:
		r.other.Kill()
	default:
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.other.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) do(t *testing.T, rest *testkit.Rest, method, path string, body, reply any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := rest.Do(ctx, method, path, body, reply); err != nil {
		t.Fatal(err)
	}
}

// runs waits until the worker itself runs connector and task.
func (r *rig) runs(ctx context.Context, rest *testkit.Rest) error {
	me := strings.TrimPrefix(rest.URL, "http://")
	var s struct {
		Tasks []struct {
			State    string
			WorkerID string `json:"worker_id"`
			Trace    string
		}
	}
	for {
		err := rest.Do(ctx, "GET", "/connectors/"+r.name+"/status", nil, &s)
		if err == nil && len(s.Tasks) == 1 && s.Tasks[0].WorkerID == me {
			switch s.Tasks[0].State {
			case "RUNNING":
				return nil
			case "FAILED":
				return fmt.Errorf("the task failed: %s", s.Tasks[0].Trace)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the task does not run: %+v %w", s, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// view is what a worker tells of the connector that the other must tell too.
func (r *rig) view(t *testing.T, rest *testkit.Rest) map[string]any {
	t.Helper()
	out := map[string]any{}
	var info map[string]any
	r.do(t, rest, "GET", "/connectors/"+r.name, nil, &info)
	out["config"], out["type"] = info["config"], info["type"]
	var tasks []map[string]any
	r.do(t, rest, "GET", "/connectors/"+r.name+"/tasks", nil, &tasks)
	out["tasks"] = fmt.Sprint(tasks)
	var offsets struct {
		Offsets []struct{ Partition map[string]any }
	}
	for tries := 0; tries < 60 && len(offsets.Offsets) == 0; tries++ {
		r.do(t, rest, "GET", "/connectors/"+r.name+"/offsets", nil, &offsets)
		time.Sleep(100 * time.Millisecond) // nothing tells that the first offset was stored
	}
	out["partitions"] = fmt.Sprint(offsets.Offsets)
	return out
}

// caughtUp waits until a row is in the topic.
func (r *rig) caughtUp(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(r.db.topic(r.tag)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	for {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("row %d does not arrive", n)
		}
		for it := f.RecordIter(); !it.Done(); {
			if id, _ := rowOf(it.Next()); id >= n {
				return
			}
		}
	}
}

func rowOf(k *kgo.Record) (id int, op string) {
	var v struct {
		Payload struct {
			Op    string
			After *struct{ ID int }
		}
	}
	if json.Unmarshal(k.Value, &v) != nil || v.Payload.After == nil {
		return 0, ""
	}
	return v.Payload.After.ID, v.Payload.Op
}

// judge reads the whole topic: nothing is missing, and what comes again comes again
// in order.
func (r *rig) judge(t *testing.T, last int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl := testkit.Client(t, kgo.ConsumeTopics(r.db.topic(r.tag)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	seen, prev, again, rewinds, records := map[int]bool{}, 0, 0, 0, 0
	for prev < last || !seen[last] {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the topic ends at row %d of %d", prev, last)
		}
		for it := f.RecordIter(); !it.Done(); {
			id, op := rowOf(it.Next())
			if op != "c" && op != "r" {
				continue
			}
			records++
			if id > prev+1 {
				t.Errorf("after row %d comes row %d", prev, id)
			}
			if id <= prev {
				rewinds++
			}
			if seen[id] {
				again++
			}
			seen[id], prev = true, id
		}
	}
	for id := 1; id <= last; id++ {
		if !seen[id] {
			t.Fatalf("row %d is missing", id)
		}
	}
	t.Logf("%d rows, %d records, %d came again in %d rewinds", last, records, again, rewinds)
}

// writer inserts numbered rows in transactions of one to five, as fast as about
// 300 a second.
type writer struct {
	n    chan int
	quit chan struct{}
	done chan error
	at   int
}

func startWriter(t *testing.T, db database) *writer {
	w := &writer{n: make(chan int, 1), quit: make(chan struct{}), done: make(chan error, 1)}
	w.n <- 0
	go func() { w.done <- w.run(db) }()
	t.Cleanup(func() {
		select {
		case <-w.quit:
		default:
			close(w.quit)
			<-w.done
		}
	})
	return w
}

func (w *writer) run(db database) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	n := 0
	for {
		select {
		case <-w.quit:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
		var sql []string
		for range rnd.IntN(5) + 1 {
			n++
			sql = append(sql, fmt.Sprintf("insert into seq (id, v) values (%d, 'row %d')", n, n))
		}
		if rnd.IntN(10) == 0 {
			sql = append(sql, "update other set v = v + 1")
		}
		if err := db.transaction(context.Background(), sql); err != nil {
			return err
		}
		<-w.n
		w.n <- n
	}
}

func (w *writer) written() int {
	n := <-w.n
	w.n <- n
	return n
}

// await waits until so many more rows were written.
func (w *writer) await(t *testing.T, more int) {
	t.Helper()
	for want := w.written() + more; w.written() < want; {
		select {
		case err := <-w.done:
			t.Fatalf("the writer ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the writer and says how many rows there are.
func (w *writer) stop(t *testing.T) int {
	t.Helper()
	close(w.quit)
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
	return w.written()
}
