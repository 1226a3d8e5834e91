package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millrace/internal/metrics"
	"millrace/rest/ui"
)

// The load of BenchmarkPage.
const (
	loadConnectors = 200
	loadTables     = 10 // of each connector
	loadSeconds    = 30
)

// loadAPI answers as a worker with many connectors does.
type loadAPI struct {
	config map[string]string
	set    *metrics.Set
}

func (a *loadAPI) name(i int) string { return fmt.Sprintf("connector-%03d", i) }

func (a *loadAPI) status(i int) map[string]any {
	s := map[string]any{"state": "RUNNING", "worker_id": "worker:8083"}
	task := map[string]any{"id": 0, "state": "RUNNING", "worker_id": "worker:8083"}
	if i == 7 {
		task["state"], task["trace"] = "FAILED", "org.apache.kafka.connect.errors.ConnectException: it failed\n\t... Mend it"
	}
	return map[string]any{"name": a.name(i), "type": "source", "connector": s, "tasks": []any{task}}
}

// ServeHTTP implements http.Handler.
func (a *loadAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var out any
	switch {
	case r.URL.Path == "/metrics":
		promhttp.HandlerFor(a.set.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
		return
	case r.URL.Path == "/":
		out = map[string]string{"version": "4.3.1"}
	case r.URL.Path == "/connectors":
		all := map[string]any{}
		for i := range loadConnectors {
			x := map[string]any{}
			if strings.Contains(r.URL.RawQuery, "status") {
				x["status"] = a.status(i)
			}
			if strings.Contains(r.URL.RawQuery, "info") {
				x["info"] = map[string]any{"name": a.name(i), "type": "source", "config": a.config}
			}
			all[a.name(i)] = x
		}
		out = all
	case len(parts) == 3 && parts[2] == "status":
		out = a.status(1)
	case len(parts) == 3 && parts[2] == "config":
		out = a.config
	case len(parts) == 3 && parts[2] == "offsets":
		out = map[string]any{"offsets": []any{}}
	case len(parts) == 3 && parts[2] == "log":
		out = []any{}
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

// fill makes the series that so many tasks have; move lets them count.
func (a *loadAPI) fill() (move func()) {
	type task struct {
		*metrics.Task
		place  *metrics.Place
		tables []string
		at     uint64
	}
	var all []*task
	for i := range loadConnectors {
		t := &task{Task: a.set.Task(a.name(i), "0"), at: 1 << 30}
		t.Describe(metrics.Info{Kind: metrics.Source, Plugin: "postgres", Server: a.name(i)})
		t.Running(true)
		t.place = t.SourcePlace()
		t.SnapshotBegins(loadTables)
		for j := range loadTables {
			name := fmt.Sprintf("public.table_%02d", j)
			t.SnapshotTable(name, 1000, 0)
			t.SnapshotRows(name).Add(1000)
			t.SnapshotTableDone(name)
			t.tables = append(t.tables, name)
		}
		t.SnapshotEnds(metrics.SnapshotCompleted)
		all = append(all, t)
	}
	return func() {
		for i, t := range all {
			n := uint64(i%17 + 1)
			t.Records.Add(float64(n))
			t.Lag.Observe(float64(i%9+1) / 1000)
			for j, name := range t.tables {
				if j%3 == i%3 {
					t.Topic(a.name(i) + "." + name).Add(n)
				}
			}
			t.at += n * 300
			t.place.Set(time.Now(), t.at, metrics.Reached{Stage: metrics.StageRead, At: t.at}, metrics.Reached{Stage: metrics.StageAcknowledged, At: t.at - n}, metrics.Reached{Stage: metrics.StageConfirmed, At: t.at - 9*n})
			t.place.Keep(metrics.Kept{Bytes: 1 << 20, Budget: 1 << 30, Left: 1<<30 - 1<<20})
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPage measures the page with 200 connectors and 2,000 tables: what it costs
// the worker while the overview, or a connector, is open and everything moves, and
// what a browser needs to show it. In one command:
//
//	eval "$(scripts/browser)"; go test ./rest/ui/browser -run '^$' -bench Page -benchtime 1x
func BenchmarkPage(b *testing.B) {
	config := map[string]string{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "connector-001"}
	for i := range 60 {
		config[fmt.Sprintf("some.setting.number.%d", i)] = "a value of some length"
	}
	a := &loadAPI{config: config, set: metrics.New()}
	move := a.fill()
	page := ui.New(ui.Options{API: a, Metrics: a.set.Registry, Log: slog.New(slog.DiscardHandler)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: page.Before(a), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(ln) }()
	defer func() { _ = srv.Close() }()
	ctx := b.Context()
	go page.Run(ctx)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			move()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	base := "http://" + ln.Addr().String()
	spend := func(path string) float64 {
		if path != "" {
			resp, err := http.Get(base + path) //nolint:noctx // ended by the server
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
		}
		before, began := cpu(), time.Now()
		time.Sleep(loadSeconds * time.Second)
		return 100 * float64(cpu()-before) / float64(time.Since(began))
	}
	for b.Loop() {
		idle := spend("")
		b.ReportMetric(idle, "%cpu-closed")
		b.ReportMetric(spend("/ui/live/overview")-idle, "%cpu-overview-open")
		b.ReportMetric(spend("/ui/live/connectors/connector-001")-idle, "%cpu-connector-open")
		b.ReportMetric(0, "ns/op")
		browse(b, base)
	}
}

// browse has a browser open the pages.
func browse(b *testing.B, base string) {
	if os.Getenv("MILLRACE_TEST_BROWSER") == "" {
		b.Log("without a browser: eval \"$(scripts/browser)\" names one")
		return
	}
	settings, err := json.Marshal(map[string]string{"url": base, "readOnly": base, "browser": os.Getenv("MILLRACE_TEST_BROWSER"), "modules": os.Getenv("MILLRACE_TEST_NODE_MODULES"), "shots": os.Getenv("MILLRACE_TEST_SHOTS")})
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "node", "load.mjs", string(settings))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var v float64
		var unit string
		if _, err := fmt.Sscanf(line, "%f %s", &v, &unit); err == nil {
			b.ReportMetric(v, unit)
		} else {
			b.Log(line)
		}
	}
}
