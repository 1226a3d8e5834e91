package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fleet is two workers of one group. Requests go to either of them, so that those of
// the leader are forwarded by the other.
type fleet struct {
	a, b *testWorker
	turn int
	dir  string
}

func newFleet(t *testing.T) *fleet {
	boot := newKafka(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secrets.properties"), []byte("topic=from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	extra := map[string]string{"config.providers": "file", "config.providers.file.class": "FileConfigProvider"}
	return &fleet{a: startWorkerWith(t, boot, extra), b: startWorkerWith(t, boot, extra), dir: dir}
}

// answer is what a request got.
type answer struct {
	code int
	head http.Header
	text string
	json any
}

// do sends a request to one worker after the other; what is refused with 409 is tried
// again, as all clients do.
func (f *fleet) do(t *testing.T, method, path, body string) answer {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		f.turn++
		a := f.once(t, []*testWorker{f.a, f.b}[f.turn%2], method, path, body)
		if a.code != http.StatusConflict || look(a.json, "message") == nil || strings.Contains(a.text, "already exists") || time.Now().After(end) {
			return a
		}
	}
}

func (f *fleet) once(t *testing.T, w *testWorker, method, path, body string) answer {
	t.Helper()
	code, head, text := send(t, w, method, path, body)
	a := answer{code: code, head: head, text: string(text)}
	_ = json.Unmarshal(text, &a.json)
	if a.code >= 400 { // behaviour 10
		if look(a.json, "message") == nil || look(a.json, "error_code") != float64(a.code) {
			t.Errorf("%s %s: %d %s lacks message or error_code", method, path, a.code, text)
		}
	}
	return a
}

// want does a request and looks at its status.
func (f *fleet) want(t *testing.T, code int, method, path, body string) answer {
	t.Helper()
	a := f.do(t, method, path, body)
	if a.code != code {
		t.Fatalf("%s %s: %d %s, want %d", method, path, a.code, a.text, code)
	}
	return a
}

// until repeats a GET until it is as wanted.
func (f *fleet) until(t *testing.T, path string, ok func(answer) bool) answer {
	t.Helper()
	var a answer
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a = f.do(t, "GET", path, ""); ok(a) {
			return a
		}
	}
	t.Fatalf("GET %s stays %d %s", path, a.code, a.text)
	return a
}

func (f *fleet) state(t *testing.T, name, connector, task string) answer {
	t.Helper()
	return f.until(t, "/connectors/"+name+"/status", func(a answer) bool {
		return look(a.json, "connector.state") == connector && (task == "" && look(a.json, "tasks.#") == 0.0 || task != "" && look(a.json, "tasks[0].state") == task)
	})
}

// source is the config of a file source.
func (f *fleet) source(t *testing.T, name string, more ...string) string {
	t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.WriteFile(file, []byte("line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"connector.class":"FileStreamSource","tasks.max":"1","file":%q,"topic":"${file:%s/secrets.properties:topic}"%s}`, file, f.dir, strings.Join(more, ""))
}

// history is all values of a key of the status topic.
func history(t *testing.T, w *testWorker, key string) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(ctx, "connect-status")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup("connect-status", 0)
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"connect-status": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for next := int64(0); next < end.Offset; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; string(r.Key) == key {
				out = append(out, string(r.Value))
			}
		})
	}
	return out
}

// The calls that the clients of Kafka Connect make (kcctl, Strimzi, Terraform, Redpanda
// Console, AKHQ, Kafka Connect UI, Debezium UI), by what they rely on. Number 10, that
// every error has a message and its code, is looked at in each answer; 25, CORS and
// basic authentication across workers, is TestSecuredWorkers of cmd/millrace.
func TestWhatClientsRelyOn(t *testing.T) {
	f := newFleet(t)
	f.creation(t)
	f.life(t)
	f.offsets(t)
	f.catalog(t)
	f.ends(t)
}

func (f *fleet) creation(t *testing.T) {
	t.Run("1 root", func(t *testing.T) {
		if a := f.want(t, 200, "GET", "/", ""); look(a.json, "version") == nil || look(a.json, "kafka_cluster_id") == nil || a.head.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s", a.head, a.text)
		}
	})
	t.Run("2 names", func(t *testing.T) {
		if a := f.want(t, 200, "GET", "/connectors", ""); a.text != "[]" {
			t.Error(a.text)
		}
	})
	t.Run("4 created and readable, 5 twice", func(t *testing.T) {
		body := `{"name":"one","config":` + f.source(t, "one") + `}`
		if a := f.want(t, 201, "POST", "/connectors", body); !strings.HasSuffix(a.head.Get("Location"), "/connectors/one") || look(a.json, "config.name") != "one" {
			t.Errorf("%v %s", a.head, a.text)
		}
		f.want(t, 200, "GET", "/connectors/one", "")
		if a := f.want(t, 409, "POST", "/connectors", body); look(a.json, "message") != "Connector one already exists" {
			t.Error(a.text)
		}
	})
	t.Run("6 PUT creates and updates", func(t *testing.T) {
		f.want(t, 201, "PUT", "/connectors/two/config", f.source(t, "two"))
		if a := f.want(t, 200, "PUT", "/connectors/two/config", f.source(t, "two", `,"batch.size":"7"`)); look(a.json, "config.'batch.size'") != "7" {
			t.Error(a.text)
		}
	})
	t.Run("3 expansions", func(t *testing.T) {
		f.state(t, "one", "RUNNING", "RUNNING")
		a := f.state(t, "two", "RUNNING", "RUNNING")
		if look(a.json, "tasks[0].id") != 0.0 || look(a.json, "tasks[0].worker_id") == nil || look(a.json, "type") != "source" { // 13
			t.Error(a.text)
		}
		a = f.want(t, 200, "GET", "/connectors?expand=info&expand=status", "")
		for _, p := range []string{"one.info.config.name", "two.info.type", "one.status.connector.worker_id"} {
			if look(a.json, p) == nil {
				t.Errorf("no %s in %s", p, a.text)
			}
		}
		if look(a.json, "two.status.tasks[0].state") != "RUNNING" {
			t.Error(a.text)
		}
	})
	t.Run("7 the config as it was put", func(t *testing.T) {
		var put map[string]any
		if err := json.Unmarshal([]byte(f.source(t, "one")), &put); err != nil {
			t.Fatal(err)
		}
		put["name"] = "one"
		if a := f.want(t, 200, "GET", "/connectors/one/config", ""); fmt.Sprint(a.json) != fmt.Sprint(put) {
			t.Errorf("got %s, put %v", a.text, put)
		}
	})
	t.Run("8 an equal PUT restarts no task", func(t *testing.T) {
		// Once each worker has one of the two tasks, the group moves none of them.
		f.until(t, "/connectors?expand=status", func(a answer) bool {
			one, two := look(a.json, "one.status.tasks[0].worker_id"), look(a.json, "two.status.tasks[0].worker_id")
			return one != nil && two != nil && one != two && strings.Count(a.text, `"state":"RUNNING"`) == 4
		})
		before := len(history(t, f.a, "status-task-one-0"))
		f.want(t, 200, "PUT", "/connectors/one/config", f.source(t, "one"))
		f.want(t, 202, "PUT", "/connectors/one/pause", "") // behind the update, in its queue
		f.state(t, "one", "PAUSED", "PAUSED")
		f.want(t, 202, "PUT", "/connectors/one/resume", "")
		f.state(t, "one", "RUNNING", "RUNNING")
		if all := history(t, f.a, "status-task-one-0"); len(all) != before+2 {
			t.Errorf("the task's states since the equal PUT, a pause and a resume: %s", all[before:])
		}
	})
}

func (f *fleet) life(t *testing.T) {
	t.Run("13 a failure shows its trace", func(t *testing.T) {
		f.want(t, 201, "PUT", "/connectors/bad/config", f.source(t, "bad", `,"value.converter":"JsonConverter","transforms":"x","transforms.x.type":"org.apache.kafka.connect.transforms.ExtractField$Value","transforms.x.field":"f"`))
		a := f.state(t, "bad", "RUNNING", "FAILED")
		if trace, _ := look(a.json, "tasks[0].trace").(string); !strings.HasPrefix(trace, "org.apache.kafka.connect.errors.ConnectException: ") {
			t.Error(a.text)
		}
		f.want(t, 204, "DELETE", "/connectors/bad", "")
	})
	t.Run("14 restart of a connector", func(t *testing.T) {
		if a := f.want(t, 202, "POST", "/connectors/one/restart?includeTasks=true&onlyFailed=false", ""); look(a.json, "connector.state") != "RESTARTING" || look(a.json, "tasks[0].state") != "RESTARTING" {
			t.Error(a.text)
		}
		f.state(t, "one", "RUNNING", "RUNNING")
		if a := f.want(t, 204, "POST", "/connectors/one/restart", ""); a.text != "" {
			t.Error(a.text)
		}
	})
	t.Run("15 restart of a task", func(t *testing.T) {
		f.want(t, 204, "POST", "/connectors/one/tasks/0/restart", "")
		f.want(t, 404, "POST", "/connectors/one/tasks/7/restart", "")
		f.state(t, "one", "RUNNING", "RUNNING")
	})
	t.Run("16 pause and resume twice", func(t *testing.T) {
		for _, x := range []struct{ verb, state string }{{"pause", "PAUSED"}, {"resume", "RUNNING"}} {
			f.want(t, 202, "PUT", "/connectors/two/"+x.verb, "")
			f.want(t, 202, "PUT", "/connectors/two/"+x.verb, "")
			f.state(t, "two", x.state, x.state)
		}
	})
	t.Run("9 while the group rebalances", func(t *testing.T) {
		c := startWorkerOn(t, f.a.bootstrap)
		for i := range 40 {
			a := f.once(t, []*testWorker{f.a, f.b, c}[i%3], "PUT", "/connectors/two/config", f.source(t, "two", fmt.Sprintf(`,"batch.size":"%d"`, i+1)))
			if a.code != 200 && a.code != 409 {
				t.Errorf("%d %s", a.code, a.text)
			}
			if i == 20 {
				c.stop()
				c = f.a
			}
		}
		f.state(t, "two", "RUNNING", "RUNNING")
	})
	t.Run("24 tasks with configs", func(t *testing.T) {
		a := f.want(t, 200, "GET", "/connectors/one/tasks", "")
		if look(a.json, "[0].id.connector") != "one" || look(a.json, "[0].config.file") == nil {
			t.Error(a.text)
		}
		if a = f.want(t, 200, "GET", "/connectors/one/tasks/0/status", ""); look(a.json, "state") != "RUNNING" {
			t.Error(a.text)
		}
	})
}

func (f *fleet) offsets(t *testing.T) {
	file := filepath.Join(f.dir, "one")
	partition := fmt.Sprintf(`{"filename":%q}`, file)
	t.Run("18 offsets of one that runs", func(t *testing.T) {
		f.until(t, "/connectors/one/offsets", func(a answer) bool { return look(a.json, "offsets[0].offset.position") == 5.0 })
		if a := f.want(t, 400, "DELETE", "/connectors/one/offsets", ""); !strings.Contains(a.text, "STOPPED state") {
			t.Error(a.text)
		}
	})
	t.Run("17 stop", func(t *testing.T) {
		f.want(t, 204, "PUT", "/connectors/one/stop", "")
		f.want(t, 204, "PUT", "/connectors/one/stop", "")
		f.state(t, "one", "STOPPED", "")
		if a := f.want(t, 200, "GET", "/connectors/one/tasks", ""); a.text != "[]" {
			t.Error(a.text)
		}
	})
	t.Run("18 offsets of one that is stopped", func(t *testing.T) {
		f.want(t, 200, "PATCH", "/connectors/one/offsets", `{"offsets":[{"partition":`+partition+`,"offset":{"position":2}}]}`)
		if a := f.want(t, 200, "GET", "/connectors/one/offsets", ""); look(a.json, "offsets[0].offset.position") != 2.0 {
			t.Error(a.text)
		}
		f.want(t, 200, "DELETE", "/connectors/one/offsets", "")
		if a := f.want(t, 200, "GET", "/connectors/one/offsets", ""); a.text != `{"offsets":[]}` {
			t.Error(a.text)
		}
		f.want(t, 202, "PUT", "/connectors/one/resume", "")
		f.state(t, "one", "RUNNING", "RUNNING")
	})
	t.Run("19 topics", func(t *testing.T) {
		f.until(t, "/connectors/two/topics", func(a answer) bool { return look(a.json, "two.topics[0]") == "from-file" })
		f.want(t, 202, "PUT", "/connectors/two/topics/reset", "")
		f.until(t, "/connectors/two/topics", func(a answer) bool { return look(a.json, "two.topics.#") == 0.0 })
	})
}

func (f *fleet) catalog(t *testing.T) {
	t.Run("20 plugins", func(t *testing.T) {
		a, slash := f.want(t, 200, "GET", "/connector-plugins", ""), f.want(t, 200, "GET", "/connector-plugins/", "")
		if look(a.json, "[0].class") == nil || look(a.json, "[0].type") == nil || look(a.json, "[0].version") == nil || a.text != slash.text {
			t.Error(a.text)
		}
	})
	t.Run("21 validate", func(t *testing.T) {
		a := f.want(t, 200, "PUT", "/connector-plugins/FileStreamSource/config/validate", `{"connector.class":"FileStreamSource"}`)
		if look(a.json, "error_count") == 0.0 || look(a.json, "groups[0]") != "Common" || look(a.json, "configs[0].definition.documentation") == "" || look(a.json, "configs[0].value.errors") == nil {
			t.Error(a.text)
		}
		f.want(t, 400, "POST", "/connectors", `{"name":"x","config":{"connector.class":"FileStreamSource"}}`)
	})
	t.Run("22 a plugin's options", func(t *testing.T) {
		if a := f.want(t, 200, "GET", "/connector-plugins/FileStreamSource/config", ""); look(a.json, "[0].importance") == nil {
			t.Error(a.text)
		}
		f.want(t, 404, "GET", "/connector-plugins/NoSuch/config", "")
	})
	t.Run("23 loggers", func(t *testing.T) {
		if a := f.want(t, 200, "PUT", "/admin/loggers/org.apache.kafka", `{"level":"DEBUG"}`); a.text != `["org.apache.kafka"]` {
			t.Error(a.text)
		}
		if a := f.want(t, 200, "GET", "/admin/loggers", ""); look(a.json, "root.level") == nil {
			t.Error(a.text)
		}
		f.want(t, 204, "PUT", "/admin/loggers/root?scope=cluster", `{"level":"INFO"}`)
		f.want(t, 404, "PUT", "/admin/loggers/root", `{"level":"LOUD"}`)
	})
	t.Run("25 slashes and HEAD", func(t *testing.T) {
		for _, p := range []string{"/connectors/", "/connectors/one/", "/connectors/one/status/", "/admin/loggers/"} {
			f.want(t, 200, "GET", p, "")
		}
		if a := f.want(t, 200, "HEAD", "/connectors", ""); a.text != "" {
			t.Error(a.text)
		}
	})
}

func (f *fleet) ends(t *testing.T) {
	t.Run("11 unknown names", func(t *testing.T) {
		for _, p := range []string{"", "/config", "/status", "/tasks", "/tasks/0/status", "/offsets"} {
			f.want(t, 404, "GET", "/connectors/no%20such%20n%C3%A4me"+p, "")
		}
		f.want(t, 404, "DELETE", "/connectors/nosuch", "")
	})
	t.Run("12 delete", func(t *testing.T) {
		for _, n := range []string{"one", "two"} {
			f.want(t, 204, "DELETE", "/connectors/"+n, "")
			f.until(t, "/connectors/"+n+"/status", func(a answer) bool { return a.code == 404 })
		}
		if a := f.want(t, 200, "GET", "/connectors", ""); a.text != "[]" {
			t.Error(a.text)
		}
	})
}
