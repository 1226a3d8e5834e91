package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace/internal/metrics"
	"millrace/internal/remote"
)

// api answers as a worker does for one connector whose task has failed, and keeps
// what it was sent.
type api struct {
	standalone bool // no group of workers
	mu         sync.Mutex
	sent       []string
	user       string // needed when not ""
}

const trace = "org.apache.kafka.connect.errors.ConnectException: <b>cannot</b> reach it\nCaused by: java.net.ConnectException: refused"

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.sent = append(a.sent, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	a.mu.Unlock()
	if user, _, _ := r.BasicAuth(); user != a.user {
		http.Error(w, `{"message":"no"}`, http.StatusUnauthorized)
		return
	}
	config := `{"connector.class":"x.PgConnector","name":"a<b","database.password":"s3cret","transforms.t.api.key":"k3y","other.password":"${file:/x:y}","port":"5432"}`
	status := `{"name":"a<b","type":"source","connector":{"state":"RUNNING","worker_id":"w:1"},"tasks":[{"id":0,"state":"FAILED","worker_id":"w:1","trace":` + quote(trace) + `}]}`
	answers := map[string]string{
		"/":                       `{"version":"4.3.1","commit":"c","kafka_cluster_id":"k"}`,
		"/connectors":             `{"a<b":{"info":{"name":"a<b","type":"source","config":` + config + `},"status":` + status + `}}`,
		"/connectors/a<b/status":  status,
		"/connectors/a<b/config":  config,
		"/connectors/a<b/topics":  `{"a<b":{"topics":["t2","t1"]}}`,
		"/connectors/a<b/offsets": `{"offsets":[{"partition":{"server":"s"},"offset":{"lsn":1}}]}`,
		"/connector-plugins":      `[{"class":"x.PgConnector","type":"source","version":"1"}]`,
		"/connector-plugins/x.PgConnector/config":          `[{"name":"database.password","type":"PASSWORD","required":true,"importance":"HIGH","documentation":"d"},{"name":"port","type":"INT","default_value":"5432"}]`,
		"/connector-plugins/x.PgConnector/config/validate": `{"name":"x","error_count":1,"configs":[{"definition":{"name":"port","type":"INT"},"value":{"name":"port","value":"x","errors":["bad port","bad port"]}}]}`,
		"/connectors/a<b/topics/t1/records":                `[{"partition":0,"offset":7,"timestamp":1767225600000,"key":{"id":1},"value":{"before":{"id":1,"n":"<old>"},"after":{"id":1,"n":"new"},"op":"u"}},{"partition":0,"offset":8,"timestamp":1767225600001,"key":{"id":2},"value":null}]`,
		"/connectors/a<b/log":                              `[{"time":"2026-01-01T00:00:00Z","level":"WARN","message":"said something","details":{"error":"<i>"}}]`,
		"/connector-plugins/x.PgConnector/config/doctor":   `{"ok":false,"failed":1,"warnings":0,"findings":[{"check":"grant","subject":"<t>","state":"failed","found":"no right","sql":["GRANT x"],"do":"do so"},{"check":"tls","state":"ok","found":"fine"}],"topics":["p.<t>"],"sample":{"topic":"p.<t>","key":{"id":1},"value":{"op":"r"}}}`,
		"/worker/rebalances":                               a.rebalances(),
		"/admin/loggers":                                   `{"root":{"level":"INFO"}}`,
	}
	text, ok := answers[r.URL.Path]
	switch {
	case !ok && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error_code":404,"message":"there is no such connector"}`)
	case !ok:
		w.WriteHeader(http.StatusAccepted)
	default:
		_, _ = io.WriteString(w, text)
	}
}

func quote(s string) string {
	out, _ := json.Marshal(s)
	return string(out)
}

func (a *api) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent[len(a.sent)-1]
}

func start(t *testing.T, a *api, readOnly bool) (*httptest.Server, *Server) {
	t.Helper()
	page := New(Options{API: a, Metrics: metrics.New().Registry, ReadOnly: readOnly, Version: "v1", Log: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(page.Before(a))
	t.Cleanup(srv.Close)
	return srv, page
}

func fetch(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func get(t *testing.T, base, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, r)
}

func post(t *testing.T, base, path, token string, form url.Values, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Token", token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return fetch(t, r)
}

func TestPagesAndEscapes(t *testing.T) {
	srv, _ := start(t, &api{}, false)
	for path, want := range map[string][]string{
		"/ui/":                          {"a&lt;b", "FAILED", "&lt;b&gt;cannot&lt;/b&gt; reach it", "1 failed"},
		"/ui/connectors/a%3Cb":          {"Task 0 failed", "&lt;b&gt;cannot&lt;/b&gt; reach it: refused", "{&#34;lsn&#34;:1}", "Said something: &lt;i&gt;"},
		"/ui/connectors/a%3Cb/config":   {"x.PgConnector", hidden},
		"/ui/connectors/a%3Cb/events":   {"<del>&#34;&lt;old&gt;&#34;</del> → <ins>&#34;new&#34;</ins>", "tombstone", "?topic=t1&amp;at=0%3a7"},
		"/ui/new":                       {"?class=x.PgConnector"},
		"/ui/new?class=x.PgConnector":   {`name="f.database.password"`, `type="password"`},
		"/ui/connectors/a%3Cb/doctor":   {"/ui/check/doctor/a%3Cb"},
		"/ui/cluster":                   {"w:1", "root", "w:2 left &amp; more", "2 min ago", "350 ms", "stopped 1 task (a&lt;b-1)", "left: w:2", "1: w:1", "the leader then, w:2, does not tell any more", "started 1 connector, 7 tasks (c, c-0, c-1, c-2, c-3, c-4, 2 more)"},
		"/ui/static/LICENSES.txt":       {"htmx", "uPlot"},
		"/ui/data/connectors/a%3Cb":     {"[[],[],[],[],[]]"},
		"/ui/connectors/nobody%20there": {"there is no such connector"},
	} {
		_, text := get(t, srv.URL, path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%s", path, w, text)
			}
		}
		for _, secret := range []string{"s3cret", "k3y", "<b>cannot"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
		if regexp.MustCompile(`(src|href)="(https?:)?//`).MatchString(text) {
			t.Errorf("%s asks for something from outside", path)
		}
	}
	if code, _ := get(t, srv.URL, "/ui/connectors/none"); code != http.StatusNotFound {
		t.Errorf("a connector that is not there: HTTP %d", code)
	}
}

// rebalances is a clean leave two minutes ago, and a start before it.
func (a *api) rebalances() string {
	if a.standalone {
		return `{"distributed":false,"worker_id":"w:1","rebalances":[]}`
	}
	at := time.Now().Add(-2*time.Minute - 5*time.Second).Format(time.RFC3339)
	var tasks []string
	for i := range 7 {
		tasks = append(tasks, fmt.Sprintf(`{"connector":"c","task":%d}`, i))
	}
	return `{"distributed":true,"worker_id":"w:1","rebalances":[` +
		`{"at":"` + at + `","duration_ms":350,"generation":2,"leader":"w:1","members":["w:1"],"left":["w:2"],"started":{"connectors":[],"tasks":[]},"stopped":{"connectors":[],"tasks":[{"connector":"a<b","task":1}]},"reason":"w:2 left & more"},` +
		`{"at":"` + at + `","duration_ms":10,"generation":1,"leader":"w:2","started":{"connectors":["c"],"tasks":[` + strings.Join(tasks, ",") + `]},"stopped":{"connectors":[],"tasks":[]}}]}`
}

func TestStandaloneHasNoRebalances(t *testing.T) {
	srv, _ := start(t, &api{standalone: true}, false)
	if _, text := get(t, srv.URL, "/ui/cluster"); !strings.Contains(text, "This worker is standalone") || strings.Contains(text, "ago</time>") {
		t.Errorf("the page of a standalone worker:\n%s", text)
	}
}

func TestRootIsForBrowsersOnly(t *testing.T) {
	srv, _ := start(t, &api{}, false)
	if code, text := get(t, srv.URL, "/"); code != 200 || !strings.Contains(text, "kafka_cluster_id") {
		t.Errorf("an API client gets HTTP %d %s", code, text)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	if code, _ := fetch(t, r); code != http.StatusFound {
		t.Errorf("a browser gets HTTP %d", code)
	}
}

// TestForgedRequests are refused before the API hears of them.
func TestForgedRequests(t *testing.T) {
	a := &api{}
	srv, page := start(t, a, false)
	for name, c := range map[string]struct {
		token  string
		header []string
		code   int
	}{
		"no token":     {"", nil, http.StatusForbidden},
		"wrong token":  {"x", nil, http.StatusForbidden},
		"other origin": {page.token, []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		"odd origin":   {page.token, []string{"Origin", "null"}, http.StatusForbidden},
		"own origin":   {page.token, []string{"Origin", srv.URL}, http.StatusOK},
		"right token":  {page.token, nil, http.StatusOK},
	} {
		code, _ := post(t, srv.URL, "/ui/do/connectors/a%3Cb/pause", c.token, nil, c.header...)
		if code != c.code {
			t.Errorf("%s: HTTP %d, want %d", name, code, c.code)
		}
		if reached := strings.HasPrefix(a.last(), "PUT /connectors/a%3Cb/pause"); reached != (c.code == http.StatusOK) {
			t.Errorf("%s: the API heard %q", name, a.last())
		}
		a.sent = append(a.sent, "")
	}
	if code, _ := post(t, srv.URL, "/ui/do/connectors/x/explode", page.token, nil); code != http.StatusNotFound {
		t.Errorf("an unknown action: HTTP %d", code)
	}
}

func TestReadOnly(t *testing.T) {
	a := &api{}
	srv, page := start(t, a, true)
	for _, path := range []string{"/ui/do/connectors/x/delete", "/ui/do/save", "/ui/do/loggers", "/ui/do/create", "/ui/do/snapshot/x"} {
		if code, text := post(t, srv.URL, path, page.token, url.Values{"config": {"{}"}}); code != http.StatusForbidden || !strings.Contains(text, "ui.read.only") {
			t.Errorf("%s: HTTP %d %s", path, code, text)
		}
	}
	if _, text := get(t, srv.URL, "/ui/connectors/a%3Cb"); strings.Contains(text, "/ui/do/") {
		t.Error("the page offers actions")
	}
}

func TestAuthenticationIsTheAPIs(t *testing.T) {
	srv, _ := start(t, &api{user: "ann"}, false)
	if code, _ := get(t, srv.URL, "/ui/"); code != http.StatusUnauthorized {
		t.Errorf("without a user: HTTP %d", code)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/ui/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("ann", "x")
	if code, text := fetch(t, r); code != 200 || !strings.Contains(text, "a&lt;b") {
		t.Errorf("with a user: HTTP %d", code)
	}
}

func TestSavingKeepsHiddenPasswords(t *testing.T) {
	a := &api{}
	srv, page := start(t, a, false)
	config := `{"connector.class":"x.PgConnector","name":"a<b","database.password":"` + hidden + `","port":"6543"}`
	form := url.Values{"name": {"a<b"}, "config": {config}}
	if _, text := post(t, srv.URL, "/ui/check/diff", page.token, form); !strings.Contains(text, "6543") || strings.Contains(text, "s3cret") || !strings.Contains(text, "transforms.t.api.key") {
		t.Errorf("diff: %s", text)
	}
	if _, text := post(t, srv.URL, "/ui/check/validate", page.token, form); strings.Count(text, "bad port") != 1 {
		t.Errorf("validate: %s", text)
	}
	if code, _ := post(t, srv.URL, "/ui/do/save", page.token, form); code != 200 || !strings.HasPrefix(a.last(), "PUT /connectors/a%3Cb/config ") || !strings.Contains(a.last(), `"database.password":"s3cret"`) {
		t.Errorf("save: HTTP %d, sent %s", code, a.last())
	}
	form.Set("config", `{"connector.class":"x.PgConnector","new.password":"`+hidden+`"}`)
	if _, text := post(t, srv.URL, "/ui/do/save", page.token, form); !strings.Contains(text, "write it instead of the dots") {
		t.Errorf("a password that is not there: %s", text)
	}
	form.Set("config", `{"name":"n","config":{"a":[1]}}`)
	if _, text := post(t, srv.URL, "/ui/do/save", page.token, form); !strings.Contains(text, "must be text") {
		t.Errorf("a list as value: %s", text)
	}
}

// TestPlan shows what the doctor says of a new connector, its topics and an event.
func TestPlan(t *testing.T) {
	a := &api{}
	srv, page := start(t, a, false)
	form := url.Values{"class": {"x.PgConnector"}, "f.name": {"new"}, "f.port": {""}, "more": {"a=b\n# no\nc = d"}}
	_, text := post(t, srv.URL, "/ui/check/plan", page.token, form)
	for _, want := range []string{"1 to mend", "GRANT x;", "do so", "p.&lt;t&gt;", "&#34;op&#34;: &#34;r&#34;", "/ui/do/create"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	if !strings.Contains(a.last(), `{"a":"b","c":"d","connector.class":"x.PgConnector","name":"new"}`) {
		t.Errorf("the doctor was asked about %s", a.last())
	}
	if _, text := post(t, srv.URL, "/ui/check/plan", page.token, url.Values{"class": {"x.PgConnector"}, "f.name": {"a<b"}}); !strings.Contains(text, "choose another name") {
		t.Errorf("a name that is taken: %s", text)
	}
	if _, text := post(t, srv.URL, "/ui/check/form", page.token, url.Values{"class": {"x.PgConnector"}, "f.name": {"new"}, "f.port": {"x"}}); !strings.Contains(text, `id="e-f.port" hx-swap-oob="true">bad port bad port</span>`) && !strings.Contains(text, `id="e-f.port" hx-swap-oob="true">bad port</span>`) {
		t.Errorf("the form: %s", text)
	}
}

func TestLiveViewEndsWithTheServer(t *testing.T) {
	srv, page := start(t, &api{}, false)
	resp, err := http.Get(srv.URL + "/ui/live/overview") //nolint:noctx // ended by the server
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	head := make([]byte, 21)
	if _, err := io.ReadFull(resp.Body, head); err != nil || string(head) != "event: overview-live\n" {
		t.Fatalf("%q, %v", head, err)
	}
	close(page.over)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on")
	}
}

func TestHistory(t *testing.T) {
	set := metrics.New()
	task := set.Task("c", "0")
	task.Describe(metrics.Info{Kind: metrics.Source})
	place := task.SourcePlace()
	h := newHistory()
	at := time.Unix(1000, 0)
	task.SnapshotTable("a.b", 100, 0)
	h.sample(set.Registry, at)
	for range 99 {
		task.Lag.Observe(.0015)
	}
	task.Lag.Observe(20)
	task.Records.Add(500)
	task.Topic("p.a.b").Add(50)
	task.SnapshotRows("a.b").Add(20)
	place.Set(at, 4096, metrics.Reached{Stage: metrics.StageRead, At: 4096}, metrics.Reached{Stage: metrics.StageAcknowledged, At: 3072}, metrics.Reached{Stage: metrics.StageConfirmed, At: 2048})
	place.Set(at.Add(30*time.Second), 8192, metrics.Reached{Stage: metrics.StageRead, At: 8192}, metrics.Reached{Stage: metrics.StageAcknowledged, At: 6144}, metrics.Reached{Stage: metrics.StageConfirmed, At: 2048})
	place.Keep(metrics.Kept{Bytes: 6144, Budget: 10000, Left: 2000, Expires: math.NaN()})
	h.sample(set.Registry, at.Add(5*time.Second))
	rs := h.readings("c")
	if len(rs) != 2 {
		t.Fatalf("%d readings", len(rs))
	}
	r := rs[1]
	if r.Rate != 100 || r.Behind != 6144 || r.Age != 15 || r.P50 < .001 || r.P50 > .002 || r.P99 > .0021 {
		t.Errorf("reading: %+v", r)
	}
	now, _, since := h.now("c")
	if since != 5*time.Second || !now.known() || now.topics["p.a.b"].Rate != 10 || now.tables["a.b"].Rate != 4 {
		t.Errorf("now, after %v: %+v", since, now)
	}
	if v := judgeFigures("source", now, r); v.Level != levelWarn || !strings.Contains(v.Why, "6 KiB of log for it, at most 9.77 KiB") {
		t.Errorf("verdict: %+v", v)
	}
	if p := sourcePath("io.debezium.connector.postgresql.PostgresConnector", now); len(p) != 4 || p[0].Place != "0/2000" || p[1].Behind != "at the head" || p[2].Behind != "2 KiB behind" || p[2].Age != "15 s" || p[2].Level != levelWarn {
		t.Errorf("path: %+v", p)
	}
	if k := keptOf("io.debezium.connector.postgresql.PostgresConnector", now); k == nil || k.Part != .8 || k.Level != levelWarn {
		t.Errorf("kept: %+v", k)
	}
	set.Forget("c")
	h.sample(prometheus.Gatherers{set.Registry}, at.Add(10*time.Second))
	if len(h.readings("c")) != 0 {
		t.Error("a connector that is gone is remembered")
	}
}

// TestSinkTopics: a sink's topics are summed up over its tasks, with how late their
// records were written since the last look.
func TestSinkTopics(t *testing.T) {
	set, h, at := metrics.New(), newHistory(), time.Unix(1000, 0)
	for _, task := range []string{"0", "1"} {
		x := set.Task("s", task).SinkTopic("p.a.b")
		x.Rows.Add(10)
		x.Lag.Observe(100)
	}
	h.sample(set.Registry, at)
	for _, task := range []string{"0", "1"} {
		x := set.Task("s", task).SinkTopic("p.a.b")
		x.Rows.Add(20)
		x.Lag.Observe(.5)
	}
	h.sample(set.Registry, at.Add(5*time.Second))
	now, _, _ := h.now("s")
	var d connectorData
	d.figures(now, &remote.Status{Type: "sink"}, nil)
	if len(d.Tables) != 1 || d.Tables[0].Name != "p.a.b" || d.Tables[0].Records != 60 || d.Tables[0].Rate != 8 || d.Tables[0].Lag != .5 || d.Tables[0].Again {
		t.Errorf("topics: %+v", d.Tables)
	}
	h.sample(set.Registry, at.Add(10*time.Second))
	if now, _, _ = h.now("s"); !math.IsNaN(now.topics["p.a.b"].Lag) {
		t.Errorf("nothing was written, and the lag is %v", now.topics["p.a.b"].Lag)
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(12.34), "12.3"}, {count(2345), "2.3 k"}, {count(123456), "123 k"}, {count(45e6), "45.0 M"},
		{size(512), "512 B"}, {size(1536), "1.5 KiB"}, {size(504 << 10), "504 KiB"}, {size(3 << 30), "3 GiB"},
		{millis(.0123), "12.3 ms"}, {millis(5), "5 s"}, {span(3600), "60 min"}, {span(37000), "10 h 16 min"}, {span(1e6), "12 days"}, {lsn(1<<32 + 255), "1/FF"},
		{remote.Causes(trace).Text(), "<b>cannot</b> reach it: refused"}, {shortClass("a.b.C"), "C"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	cfg := map[string]string{"b": "<&>", "name": "n", "connector.class": "c"}
	if got, want := text(cfg), fmt.Sprintf("{\n  %q: %q,\n  %q: %q,\n  %q: %q\n}", "connector.class", "c", "name", "n", "b", "<&>"); got != want {
		t.Errorf("text: %s, want %s", got, want)
	}
}
