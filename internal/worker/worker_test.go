package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/emit"
	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/store"
	"millrace/internal/testkit"
)

// oddSource is a source task that does what its connector's "do" says.
type oddSource struct {
	do       string
	tries    *atomic.Int32
	released chan struct{}
}

func (s *oddSource) Partition() []byte { return []byte(`{"p":1}`) }

func (s *oddSource) Run(ctx context.Context, _ []byte, out *emit.Pipeline, started func()) error {
	started()
	switch s.do {
	case "panic":
		panic("odd")
	case "fail":
		return &errs.Error{Java: errs.DebeziumException, Msg: "the log is gone", Hint: "take a new snapshot", Cause: errors.New("no such file")}
	case "flaky":
		if s.tries.Add(1) == 1 {
			return &errs.Error{Java: errs.RetriableException, Msg: "not now", Retriable: true}
		}
	case "hang":
		<-s.released // a task that does not heed its context
	}
	<-ctx.Done()
	return out.Drain(context.WithoutCancel(ctx))
}

func oddPlugins(released chan struct{}) []Plugin {
	json, tries := "org.apache.kafka.connect.json.JsonConverter", &atomic.Int32{}
	return []Plugin{
		{Class: "test.OddConnector", Kind: KindSource, Version: "1.2", TaskClass: "test.OddTask",
			Def: &configdef.Def{Options: []configdef.Option{{Name: "do", Type: configdef.String}, {Name: "pass", Type: configdef.Password}}},
			NewSource: func(e TaskEnv) (Source, error) {
				if e.Props["do"] == "refuse" {
					return nil, &errs.Error{Java: errs.ConfigException, Msg: "refused"}
				}
				return &oddSource{e.Props["do"], tries, released}, nil
			}},
		{Class: json, Kind: KindConverter, Def: convert.JSONDef(), NewConverter: convert.NewJSON},
		{Class: "org.apache.kafka.connect.storage.SimpleHeaderConverter", Kind: KindHeaderConverter, Def: &configdef.Def{}, NewHeaderConverter: convert.NewSimpleHeader},
	}
}

func oddWorker(t *testing.T, log *slog.Logger, more map[string]string) *Worker {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	props := map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "key.converter": "JsonConverter", "value.converter": "JsonConverter",
		"offset.storage.file.filename": t.TempDir() + "/offsets", "task.shutdown.graceful.timeout.ms": "300", "listeners": "http://127.0.0.1:8083"}
	for k, v := range more {
		props[k] = v
	}
	cfg, err := NewConfig(props, log)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	w := New(cfg, NewRegistry(oddPlugins(released)), metrics.New(), NewLoggers(&slog.LevelVar{}), log)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(released)
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func odd(do string) *store.Map {
	m := store.NewOrdered()
	m.Put("connector.class", "test.OddConnector")
	m.Put("do", do)
	return m
}

func put(t *testing.T, w *Worker, name string, m *store.Map) {
	t.Helper()
	m.Put("name", name)
	if _, _, err := w.Put(t.Context(), name, m); err != nil {
		t.Fatal(err)
	}
}

// state waits for a state of task 0.
func state(t *testing.T, w *Worker, name, want string) *TaskStatusInfo {
	t.Helper()
	var st *TaskStatusInfo
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, err := w.TaskStatus(name, 0); err == nil {
			if st = s; st.State == want {
				return st
			}
		}
	}
	t.Fatalf("%s: task 0 never %s: %+v", name, want, st)
	return nil
}

func TestAFailureHarmsNobodyElse(t *testing.T) {
	w := oddWorker(t, testkit.Log(t), nil)
	put(t, w, "good", odd("run"))
	state(t, w, "good", store.StateRunning)
	for do, trace := range map[string]string{
		"panic":  "org.apache.kafka.connect.errors.ConnectException: internal error: odd",
		"fail":   "io.debezium.DebeziumException: the log is gone\n\t... take a new snapshot\nCaused by: ",
		"refuse": "org.apache.kafka.common.config.ConfigException: refused",
	} {
		put(t, w, do, odd(do))
		if st := state(t, w, do, store.StateFailed); !strings.HasPrefix(st.Trace, trace) {
			t.Errorf("%s: trace %q, want it to begin with %q", do, st.Trace, trace)
		}
		if c, err := w.Status(do); err != nil || c.Connector.State != store.StateRunning {
			t.Errorf("%s: connector %+v, %v; its task's failure is not its own", do, c, err)
		}
	}
	state(t, w, "good", store.StateRunning)
	// A task that does not stop holds up nobody but its own connector, and that no
	// longer than the graceful timeout and the cut.
	put(t, w, "hang", odd("hang"))
	state(t, w, "hang", store.StateRunning)
	if err := w.SetTarget(t.Context(), "hang", store.Paused); err != nil {
		t.Fatal(err)
	}
	if err := w.SetTarget(t.Context(), "good", store.Paused); err != nil {
		t.Fatal(err)
	}
	state(t, w, "good", store.StatePaused) // although the other one hangs
	state(t, w, "hang", store.StatePaused) // it was given up; nobody has released it
}

func TestPauseStopAndDelete(t *testing.T) {
	w := oddWorker(t, testkit.Log(t), nil)
	put(t, w, "c", odd("run"))
	state(t, w, "c", store.StateRunning)
	for range 3 {
		if err := w.SetTarget(t.Context(), "c", store.Paused); err != nil {
			t.Fatal(err)
		}
		state(t, w, "c", store.StatePaused)
		if err := w.SetTarget(t.Context(), "c", store.Started); err != nil {
			t.Fatal(err)
		}
		state(t, w, "c", store.StateRunning)
	}
	if err := w.StopConnector(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	await(t, "no tasks", func() bool {
		s, err := w.Status("c")
		return err == nil && s.Connector.State == store.StateStopped && len(s.Tasks) == 0
	})
	if err := w.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	await(t, "no status", func() bool { _, err := w.Status("c"); return err != nil })
	await(t, "no supervisor", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.sups) == 0 })

	// A worker that ran tasks of a connector which another one deletes keeps no series of it.
	w.metrics.Task("elsewhere", "0").Records.Inc()
	w.send("elsewhere", func(context.Context, *supervisor) {})
	await(t, "no series", func() bool {
		all, err := w.metrics.Registry.Gather()
		return err == nil && !strings.Contains(fmt.Sprint(all), "elsewhere")
	})
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// Secrets of config providers and password options appear in no log line, reply
// or stored config.
func TestSecretsStayInside(t *testing.T) {
	t.Setenv("ODD_SECRET", "hunter2")
	var logged lockedWriter
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := oddWorker(t, log, map[string]string{"config.providers": "env", "config.providers.env.class": envProvider})
	m := odd("run")
	m.Put("pass", "${env:ODD_SECRET}")
	put(t, w, "c", m)
	state(t, w, "c", store.StateRunning)
	infos, err := w.ValidateConfig(t.Context(), "OddConnector", m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range infos.Configs {
		if c.Value != nil && c.Value.Value != nil && strings.Contains(*c.Value.Value, "hunter2") {
			t.Errorf("validate shows the secret in %s", c.Value.Name)
		}
	}
	tasks, err := w.TaskInfos("c")
	if err != nil || len(tasks) != 1 || tasks[0].Config.Value("pass") != "${env:ODD_SECRET}" {
		t.Errorf("task config %v, %v; want the placeholder", tasks, err)
	}
	bad := store.NewOrdered()
	bad.Put("database.password", "hunter2")
	if _, _, err := w.Put(t.Context(), "x", bad); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v shows a password, or there is none", err)
	}
	if strings.Contains(logged.String(), "hunter2") {
		t.Error("the log shows the secret")
	}
}

// Settings of a connector that nothing reads are named in the log once, without
// their values, and nothing fails.
func TestUnknownConnectorSettings(t *testing.T) {
	var logged lockedWriter
	w := oddWorker(t, slog.New(slog.NewTextHandler(&logged, nil)), nil)
	m := odd("run")
	for _, name := range []string{"schema.enable", "type.name", "errors.log.enable", "key.converter", "key.converter.schemas.enable", "producer.override.linger.ms"} {
		m.Put(name, map[string]string{"errors.log.enable": "false", "key.converter": "org.apache.kafka.connect.json.JsonConverter", "producer.override.linger.ms": "5", "key.converter.schemas.enable": "false"}[name])
	}
	m.Put("schema.enable", "hunter2")
	put(t, w, "c", m)
	state(t, w, "c", store.StateRunning)
	if text := logged.String(); strings.Count(text, "have no effect") != 1 || !strings.Contains(text, `settings="schema.enable, type.name"`) || strings.Contains(text, "hunter2") {
		t.Errorf("logged %s", text)
	}
}

func TestUnknownWorkerSettings(t *testing.T) {
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, nil))
	base := map[string]string{"bootstrap.servers": "b:1", "key.converter": "J", "value.converter": "J", "offset.storage.file.filename": "x", "listeners": "http://h:1"}
	with := func(k, v string) map[string]string {
		m := maps.Clone(base)
		m[k] = v
		return m
	}
	if _, err := NewConfig(with("no.such.setting", "secret"), log); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "no.such.setting") || strings.Contains(logged.String(), "secret") {
		t.Errorf("logged %q: the name must be there, the value must not", logged.String())
	}
	for k, v := range map[string]string{"listeners": "https://:8443", "rest.extension.classes": "a.B", "admin.listeners": "tcp://:9", "exactly.once.source.support": "enabled", "response.http.headers.config": "remove X", "config.providers": "x", "offset.flush.interval.ms": "soon"} {
		if _, err := NewConfig(with(k, v), log); err == nil {
			t.Errorf("%s=%s was accepted", k, v)
		}
	}
}

// lockedWriter lets one read what several goroutines log.
type lockedWriter struct {
	mu sync.Mutex
	sb strings.Builder
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sb.Write(p)
}

func (l *lockedWriter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sb.String()
}
