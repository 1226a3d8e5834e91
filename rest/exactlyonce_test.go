package rest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// awaitCommitted reads committed records of a topic until n have come, and whatever
// follows them at once.
func awaitCommitted(t *testing.T, boot, topic string, n int) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out []string
	for len(out) < n {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records of %s: %v", len(out), n, topic, out)
		}
		fs.EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
	}
	return out
}

func appendLine(t *testing.T, file, line string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Tasks that move between workers write every line once; the leader fences each set
// of task configs before its tasks start, and offsets may lie in a topic of the
// connector's own.
func TestExactlyOnceGroup(t *testing.T) {
	boot := newKafka(t)
	on := map[string]string{"exactly.once.source.support": "enabled"}
	a := startWorkerWith(t, boot, on)
	b := startWorkerWith(t, boot, on)
	dir := t.TempDir()
	const n = 4
	own := `,"offsets.storage.topic":"own-offsets"`
	for i := range n {
		f := filepath.Join(dir, fmt.Sprint(i))
		appendLine(t, f, "one")
		w := []*testWorker{a, b}[i%2]
		tell(t, w, "PUT", fmt.Sprintf("/connectors/x%d/config", i), fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"lines%d","value.converter":"StringConverter","exactly.once.support":"required","transaction.boundary":%q%s}`,
			f, i, []string{"poll", "interval"}[i/2], []string{own, ""}[i%2]))
	}
	owners(t, a, n, func(m map[string][]string) bool { return len(m[a.advertised]) == 2 && len(m[b.advertised]) == 2 })
	for i := range n {
		awaitCommitted(t, boot, fmt.Sprintf("lines%d", i), 1)
	}
	for _, path := range []string{"/connectors/x0/fence"} {
		if code, got := ask(t, a, "PUT", path, ""); code != 400 {
			t.Errorf("unsigned request: %d %v", code, got)
		}
	}
	if code, got := ask(t, a, "PUT", "/connectors/bad/config", `{"connector.class":"FileStreamSource","topic":"t","transaction.boundary":"connector"}`); code != 400 || !strings.Contains(fmt.Sprint(got), "connector-defined transaction boundaries") {
		t.Errorf("boundary: %d %v", code, got)
	}
	a.stop() // its tasks go on elsewhere
	owners(t, b, n, func(m map[string][]string) bool { return len(m[b.advertised]) == n })
	for i := range n {
		appendLine(t, filepath.Join(dir, fmt.Sprint(i)), "two")
	}
	for i := range n {
		if got := strings.Join(awaitCommitted(t, boot, fmt.Sprintf("lines%d", i), 2), " "); got != "one two" {
			t.Errorf("lines%d: %s", i, got)
		}
	}
	fenced := map[string]bool{}
	for _, r := range readTopic(t, b.client, "connect-configs") {
		if name, ok := strings.CutPrefix(string(r.Key), "tasks-fencing-"); ok {
			fenced[name] = string(r.Value) == `{"task-count":1}`
		}
	}
	if len(fenced) != n || !fenced["x0"] {
		t.Errorf("fencing records: %v", fenced)
	}
	inOwn := 0
	for _, r := range readTopic(t, b.client, "own-offsets") {
		if strings.HasPrefix(string(r.Key), `["x0"`) || strings.HasPrefix(string(r.Key), `["x2"`) {
			inOwn++
		}
	}
	if inOwn < 2 {
		t.Errorf("%d offsets in the connectors' own topic", inOwn)
	}
	changeOffsets(t, b, "x0")
}

// changeOffsets resets the offset of a stopped connector and starts it again.
func changeOffsets(t *testing.T, w *testWorker, name string) {
	t.Helper()
	tell(t, w, "PUT", "/connectors/"+name+"/stop", "")
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		code, got := ask(t, w, "DELETE", "/connectors/"+name+"/offsets", "")
		if code == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("reset: %d %v", code, got)
		}
	}
	if _, got := ask(t, w, "GET", "/connectors/"+name+"/offsets", ""); look(got, "offsets.#") != 0.0 {
		t.Errorf("offsets after the reset: %v", got)
	}
	tell(t, w, "PUT", "/connectors/"+name+"/resume", "")
	if got := strings.Join(awaitCommitted(t, w.bootstrap, "lines0", 4), " "); got != "one two one two" {
		t.Errorf("after the reset: %s", got)
	}
}
