package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// send sends one request of JSON and returns the status, headers and text of the answer.
func send(t *testing.T, w *testWorker, method, path, body string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, text
}

// ask sends one request and returns the status and the decoded answer.
func ask(t *testing.T, w *testWorker, method, path, body string) (int, map[string]any) {
	t.Helper()
	code, _, text := send(t, w, method, path, body)
	var out map[string]any
	_ = json.Unmarshal(text, &out) // a list or nothing: only the status counts then
	return code, out
}

// owners waits until n connectors and their tasks run, and returns on how many
// workers, and the names by worker.
func owners(t *testing.T, w *testWorker, n int, accept func(map[string][]string) bool) map[string][]string {
	t.Helper()
	var last map[string][]string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		last = map[string][]string{}
		running := 0
		_, all := ask(t, w, "GET", "/connectors?expand=status", "")
		for name, x := range all {
			if look(x, "status.connector.state") == "RUNNING" && look(x, "status.tasks.#") == 1.0 && look(x, "status.tasks[0].state") == "RUNNING" {
				running++
				id := fmt.Sprint(look(x, "status.tasks[0].worker_id"))
				last[id] = append(last[id], name)
			}
		}
		if running == n && accept(last) {
			return last
		}
	}
	t.Fatalf("never as expected: %v", last)
	return nil
}

// Workers of one group share connectors, answer for each other, and take over
// when one leaves.
func TestGroup(t *testing.T) {
	boot := newKafka(t)
	a := startWorkerOn(t, boot)
	b := startWorkerOn(t, boot)
	dir := t.TempDir()
	for i := range 5 {
		f := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(f, []byte("line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := []*testWorker{a, b}[i%2] // one of them has to forward
		code, got := ask(t, w, "PUT", fmt.Sprintf("/connectors/c%d/config", i), fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"t%d","value.converter":"StringConverter"}`, f, i))
		if code != 201 {
			t.Fatalf("create: %d %v", code, got)
		}
		if code, got := ask(t, w, "GET", fmt.Sprintf("/connectors/c%d", i), ""); code != 200 {
			t.Fatalf("not readable where it was created: %d %v", code, got)
		}
	}
	both := owners(t, a, 5, func(m map[string][]string) bool { return len(m[a.advertised]) >= 2 && len(m[b.advertised]) >= 2 })
	// Every restart reaches its task, whoever is asked.
	for _, names := range both {
		for _, w := range []*testWorker{a, b} {
			if code, got := ask(t, w, "POST", "/connectors/"+names[0]+"/tasks/0/restart", ""); code != 204 {
				t.Fatalf("restart: %d %v", code, got)
			}
		}
	}
	owners(t, b, 5, func(map[string][]string) bool { return true })
	// Unsigned requests between workers are refused.
	for _, w := range []*testWorker{a, b} {
		if code, got := ask(t, w, "POST", "/connectors/c0/tasks", "[]"); code != 400 {
			t.Fatalf("unsigned request: %d %v", code, got)
		}
	}
	a.stop()
	owners(t, b, 5, func(m map[string][]string) bool { return len(m[b.advertised]) == 5 })
	c := startWorkerOn(t, boot)
	owners(t, c, 5, func(m map[string][]string) bool { return len(m[c.advertised]) >= 2 })
	for i := range 5 {
		if code, got := ask(t, c, "DELETE", fmt.Sprintf("/connectors/c%d", i), ""); code != 204 {
			t.Fatalf("delete: %d %v", code, got)
		}
	}
}

// A worker with connect.protocol=eager pulls its group to that protocol; when it has
// gone, the others return to theirs.
func TestEagerGroup(t *testing.T) {
	boot := newKafka(t)
	a := startWorkerWith(t, boot, map[string]string{"connect.protocol": "eager"})
	b := startWorkerOn(t, boot)
	dir := t.TempDir()
	for i := range 4 {
		f := filepath.Join(dir, fmt.Sprint(i))
		appendLine(t, f, "line")
		tell(t, []*testWorker{a, b}[i%2], "PUT", fmt.Sprintf("/connectors/c%d/config", i), fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"t%d","value.converter":"StringConverter"}`, f, i))
	}
	owners(t, a, 4, func(m map[string][]string) bool { return len(m[a.advertised]) == 2 && len(m[b.advertised]) == 2 })
	if code, got := ask(t, b, "PUT", "/connectors/c0/fence", ""); code != 204 {
		t.Errorf("requests are not signed under this protocol: %d %v", code, got)
	}
	a.stop()
	owners(t, b, 4, func(m map[string][]string) bool { return len(m[b.advertised]) == 4 })
	if code, got := ask(t, b, "PUT", "/connectors/c0/fence", ""); code != 400 {
		t.Errorf("requests are signed again: %d %v", code, got)
	}
}

// rebalanced waits until a rebalance that a worker remembers is accepted, and returns it.
func rebalanced(t *testing.T, w *testWorker, accept func(r any) bool) any {
	t.Helper()
	var got map[string]any
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, got = ask(t, w, "GET", "/worker/rebalances", "")
		list, _ := got["rebalances"].([]any)
		for _, r := range list {
			if accept(r) {
				return r
			}
		}
	}
	t.Fatalf("never as expected: %v", got)
	return nil
}

// Workers remember the rebalances they took part in: the join and the leave of another
// one, and what they had to start and stop.
func TestRebalancesAreRemembered(t *testing.T) {
	boot := newKafka(t)
	a := startWorkerOn(t, boot)
	first := rebalanced(t, a, func(r any) bool { return look(r, "reason") == "this worker joined the group" })
	if look(first, "leader") != a.advertised || fmt.Sprint(look(first, "members")) != fmt.Sprint([]string{a.advertised}) {
		t.Errorf("the first rebalance: %v", first)
	}
	dir := t.TempDir()
	for i := range 2 {
		f := filepath.Join(dir, fmt.Sprint(i))
		appendLine(t, f, "line")
		tell(t, a, "PUT", fmt.Sprintf("/connectors/c%d/config", i), fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"t%d","value.converter":"StringConverter"}`, f, i))
	}
	owners(t, a, 2, func(map[string][]string) bool { return true })
	rebalanced(t, a, func(r any) bool {
		return look(r, "reason") == "connectors or tasks were added or removed" && look(r, "started.connectors.#") != 0.0
	})
	b := startWorkerOn(t, boot)
	newcomer := fmt.Sprint([]string{b.advertised})
	joined := func(r any) bool { return fmt.Sprint(look(r, "joined")) == newcomer && look(r, "members.#") == 2.0 }
	rebalanced(t, a, joined)
	rebalanced(t, b, joined) // it asks the leader
	owners(t, a, 2, func(m map[string][]string) bool { return len(m[a.advertised]) == 1 && len(m[b.advertised]) == 1 })
	rebalanced(t, a, func(r any) bool { return look(r, "stopped.tasks.#") == 1.0 })
	rebalanced(t, b, func(r any) bool { return look(r, "started.tasks.#") == 1.0 && look(r, "leader") == a.advertised })
	a.stop() // the leader leaves; the one that leads after it knows
	left := rebalanced(t, b, func(r any) bool { return fmt.Sprint(look(r, "left")) == fmt.Sprint([]string{a.advertised}) })
	if look(left, "leader") != b.advertised || !strings.Contains(fmt.Sprint(look(left, "reason")), a.advertised+" left") {
		t.Errorf("the leave: %v", left)
	}
}
