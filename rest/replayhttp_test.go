package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/capture/filestream"
	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/metrics"
	"millrace/internal/testkit"
	"millrace/internal/transform"
	"millrace/internal/worker"
	"millrace/rest"
	"millrace/sinkers/filesink"
)

// testWorker is a distributed worker on an in-memory Kafka.
type testWorker struct {
	srv        *httptest.Server
	client     *kgo.Client
	bootstrap  string
	advertised string
	stop       func()
}

func startWorker(t *testing.T) *testWorker {
	t.Helper()
	return startWorkerOn(t, newKafka(t))
}

// newKafka starts an in-memory Kafka and returns its address.
func newKafka(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// startWorkerOn starts a worker with a REST server that others can call.
func startWorkerOn(t *testing.T, boot string, more ...worker.Plugin) *testWorker {
	t.Helper()
	return startWorkerWith(t, boot, nil, more...)
}

// startWorkerWith is startWorkerOn with further worker properties.
func startWorkerWith(t *testing.T, boot string, extra map[string]string, more ...worker.Plugin) *testWorker {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	srv := httptest.NewUnstartedServer(nil)
	port := srv.Listener.Addr().String()[len("127.0.0.1:"):]
	json := "org.apache.kafka.connect.json.JsonConverter"
	log := testkit.Log(t)
	props := map[string]string{"bootstrap.servers": boot, "group.id": "g", "key.converter": json, "value.converter": json,
		"config.storage.topic": "connect-configs", "offset.storage.topic": "connect-offsets", "status.storage.topic": "connect-status",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1", "offset.flush.interval.ms": "500", "heartbeat.interval.ms": "100",
		"listeners": "http://127.0.0.1:" + port, "rest.advertised.host.name": "127.0.0.1", "rest.advertised.port": port}
	maps.Copy(props, extra)
	cfg, err := worker.NewConfig(props, log)
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(cfg, worker.NewRegistry(append(plugins(), more...)), metrics.New(), worker.NewLoggers(&slog.LevelVar{}), log)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = rest.New(rest.Backend{Reader: w, Writer: w, Runner: w, OffsetKeeper: w, Catalog: w, Admin: w, Group: w, Fencer: w, Viewer: w}, rest.Options{Version: worker.ConnectVersion, Commit: worker.ConnectCommit, Log: log})
	srv.Start()
	stop := sync.OnceFunc(func() {
		srv.Close()
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &testWorker{srv: srv, client: cl, bootstrap: boot, advertised: "127.0.0.1:" + port, stop: stop}
}

// plugins is what the conversations name, as cmd/millrace lists it.
func plugins() []worker.Plugin {
	out := []worker.Plugin{
		{Class: filestream.Class, Kind: worker.KindSource, Def: filestream.Def(), TaskClass: filestream.TaskClass, CheckOffset: filestream.CheckOffset,
			NewSource: func(e worker.TaskEnv) (worker.Source, error) { return filestream.NewSource(e.Props, e.Log) }},
		{Class: filesink.Class, Kind: worker.KindSink, Def: filesink.Def(), TaskClass: filesink.TaskClass,
			NewSink: func(e worker.TaskEnv) (worker.Sink, error) { return filesink.New(e.Props, e.Log) }},
	}
	for _, k := range []worker.Kind{worker.KindConverter, worker.KindHeaderConverter} {
		out = append(out, worker.Plugin{Class: "org.apache.kafka.connect.json.JsonConverter", Kind: k, Def: convert.JSONDef(), NewConverter: convert.NewJSON, NewHeaderConverter: convert.NewJSONHeader},
			worker.Plugin{Class: "org.apache.kafka.connect.storage.StringConverter", Kind: k, Def: convert.StringDef(), NewConverter: convert.NewString, NewHeaderConverter: convert.NewStringHeader})
	}
	out = append(out, worker.Plugin{Class: "org.apache.kafka.connect.storage.SimpleHeaderConverter", Kind: worker.KindHeaderConverter, Def: &configdef.Def{}, NewHeaderConverter: convert.NewSimpleHeader})
	for _, p := range transform.Plugins() {
		k := worker.KindTransformation
		if p.NewPredicate != nil {
			k = worker.KindPredicate
		}
		out = append(out, worker.Plugin{Class: p.Class, Kind: k, Def: p.Def, NewTransform: p.NewStep, NewPredicate: p.NewPredicate})
	}
	return out
}

// call sends a request, again until the answer is the awaited one.
func (k *talk) call(raw map[string]any, method string) *recorded {
	s := k.fill(raw).(map[string]any)
	path := s[method].(string)
	if q, ok := s["query"].(map[string]any); ok {
		path += "?" + query(q)
	}
	var body []byte
	if r, ok := s["raw"].(string); ok {
		body = []byte(r)
	} else if b, ok := s["body"]; ok {
		body, _ = json.Marshal(b)
	}
	until, _ := s["until"].(map[string]any)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got, ans := k.send(method, path, body, s)
		hit := true
		for p, want := range until {
			have := look(ans, p)
			if p == "http" {
				have = float64(got.Status)
			}
			hit = hit && oneOf(have, want)
		}
		if hit && (got.Status != 409 || s["conflict"] == true) {
			got.Body = k.walk(k.view(s, ans), "")
			got.Step = method + " " + k.text(path)
			return got
		}
		if time.Now().After(end) {
			k.t.Fatalf("%s %s: never %v: %d %v", method, path, until, got.Status, ans)
		}
	}
}

func query(q map[string]any) string {
	v := url.Values{}
	for name, x := range q {
		if l, ok := x.([]any); ok {
			for _, e := range l {
				v.Add(name, fmt.Sprint(e))
			}
			continue
		}
		v.Add(name, fmt.Sprint(x))
	}
	return v.Encode()
}

var title = regexp.MustCompile(`<title>(.*?)</title>`)

func (k *talk) send(method, path string, body []byte, s map[string]any) (*recorded, any) {
	req, err := http.NewRequestWithContext(k.t.Context(), method, k.w.srv.URL, bytes.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	req.URL.Opaque = path // as it is, wrong escapes too
	if strings.HasPrefix(path, "//") {
		req.URL.Opaque = k.w.srv.URL + path
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, v := range asMap(s["headers"]) {
		req.Header.Del(name)
		if v != nil {
			req.Header.Set(name, fmt.Sprint(v))
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		k.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		k.t.Fatal(err)
	}
	got := &recorded{Status: res.StatusCode, Headers: map[string]string{}}
	for _, h := range []string{"Content-Type", "Location", "Allow"} {
		if v := res.Header.Get(h); v != "" {
			got.Headers[h] = k.text(v)
		}
	}
	if a := got.Headers["Allow"]; a != "" {
		l := strings.Split(strings.ReplaceAll(a, " ", ""), ",")
		sort.Strings(l)
		got.Headers["Allow"] = strings.Join(l, ", ")
	}
	var ans any
	if len(text) > 0 && json.Unmarshal(text, &ans) != nil {
		ans = map[string]any{"text": string(text)}
		if bytes.Contains(text, []byte("<html")) {
			ans = map[string]any{"html": []any{title.FindStringSubmatch(string(text))[1]}}
		}
	}
	return got, ans
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

// view reduces an answer to what the case compares.
func (k *talk) view(s map[string]any, body any) any {
	for p, rx := range asMap(s["only"]) {
		re := regexp.MustCompile(rx.(string))
		if p == "." {
			body = keep(body, re)
		}
	}
	m := asMap(body)
	if s["view"] != "errors" || m["configs"] == nil {
		return body
	}
	out := map[string]any{"name": m["name"], "error_count": m["error_count"], "groups": m["groups"]}
	errs, undefined, valueless, shown := map[string]any{}, []any{}, []any{}, []any{}
	configs := m["configs"].([]any)
	for _, c := range configs {
		e := asMap(c)
		v, d := asMap(e["value"]), asMap(e["definition"])
		name := v["name"]
		if v == nil {
			name = d["name"]
			valueless = append(valueless, name)
		} else if l, _ := v["errors"].([]any); len(l) > 0 {
			errs[name.(string)] = map[string]any{"value": v["value"], "errors": l}
		}
		if d == nil {
			undefined = append(undefined, name)
		}
		if rx, ok := s["show"].(string); ok && regexp.MustCompile(rx).MatchString(name.(string)) {
			shown = append(shown, c)
		}
	}
	out["properties"], out["errors"], out["undefined"], out["valueless"] = float64(len(configs)), errs, undefined, valueless
	if s["show"] != nil {
		out["shown"] = shown
	}
	return out
}

func keep(v any, re *regexp.Regexp) any {
	switch x := v.(type) {
	case []any:
		out := []any{}
		for _, e := range x {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(e)
			// The recorder matched against Python's JSON, with a space behind colons
			// and letters outside ASCII escaped.
			if re.MatchString(strings.ReplaceAll(b.String(), `":"`, `": "`)) {
				out = append(out, e)
			}
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for n, e := range x {
			if re.MatchString(n) {
				out[n] = e
			}
		}
		return out
	}
	return v
}

var pathPart = regexp.MustCompile(`'[^']*'|[^.\[\]]+`)

// look follows a path such as tasks[0].state; # is a length.
func look(v any, path string) any {
	for _, p := range pathPart.FindAllString(path, -1) {
		p = strings.Trim(p, "'")
		switch x := v.(type) {
		case []any:
			if p == "#" {
				return float64(len(x))
			}
			i, err := strconv.Atoi(p)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		case map[string]any:
			if p == "#" {
				return float64(len(x))
			}
			v = x[p]
		default:
			return nil
		}
	}
	return v
}

func oneOf(have, want any) bool {
	if l, ok := want.([]any); ok {
		for _, w := range l {
			if oneOf(have, w) {
				return true
			}
		}
		return false
	}
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	return reflect.DeepEqual(have, want)
}

// compare lists the differences of a step.
func compare(s map[string]any, want, got *recorded) []string {
	d := &differ{}
	for p := range asMap(s["ignore"]) {
		d.ignore = append(d.ignore, wild(p))
	}
	if l, ok := s["unordered"].([]any); ok {
		for _, p := range l {
			d.unordered = append(d.unordered, wild(p.(string)))
		}
	}
	d.diff(float64(want.Status), float64(got.Status), "status")
	wh, gh := map[string]any{}, map[string]any{}
	for k, v := range want.Headers {
		wh[k] = v
	}
	for k, v := range got.Headers {
		gh[k] = v
	}
	d.diff(wh, gh, "headers")
	d.diff(undocumented(want.Body), got.Body, "")
	return d.out
}

func undocumented(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, y := range x {
			if k == "trace" {
				if s, ok := y.(string); ok {
					y, _, _ = strings.Cut(s, "\n")
				}
			}
			if k != "documentation" {
				out[k] = undocumented(y)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = undocumented(x[i])
		}
		return out
	}
	return v
}

func wild(p string) *regexp.Regexp {
	parts := strings.Split(p, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
}

type differ struct {
	ignore, unordered []*regexp.Regexp
	out               []string
}

func matchAny(rs []*regexp.Regexp, s string) bool {
	for _, r := range rs {
		if r.MatchString(s) {
			return true
		}
	}
	return false
}

func label(v any, i int) string {
	m := asMap(v)
	if n, ok := m["name"].(string); ok {
		return n
	}
	if n, ok := asMap(m["value"])["name"].(string); ok {
		return n
	}
	if n, ok := m["class"].(string); ok {
		return n
	}
	return strconv.Itoa(i)
}

func (d *differ) diff(want, got any, at string) {
	if matchAny(d.ignore, at) {
		return
	}
	wm, ok1 := want.(map[string]any)
	gm, ok2 := got.(map[string]any)
	if ok1 && ok2 {
		d.maps(wm, gm, at)
		return
	}
	wl, ok1 := want.([]any)
	gl, ok2 := got.([]any)
	if ok1 && ok2 {
		if matchAny(d.unordered, at) {
			wl, gl = sortedList(wl), sortedList(gl)
		}
		if len(wl) != len(gl) {
			d.out = append(d.out, fmt.Sprintf("%s: %d items recorded, got %d: %v", at, len(wl), len(gl), gl))
		}
		for i := range min(len(wl), len(gl)) {
			d.diff(wl[i], gl[i], at+"["+label(wl[i], i)+"]")
		}
		return
	}
	if !reflect.DeepEqual(want, got) {
		d.out = append(d.out, fmt.Sprintf("%s: recorded %#v, got %#v", at, want, got))
	}
}

func (d *differ) maps(want, got map[string]any, at string) {
	names := map[string]bool{}
	for k := range want {
		names[k] = true
	}
	for k := range got {
		names[k] = true
	}
	for k := range names {
		p := k
		if at != "" {
			p = at + "." + k
		}
		if matchAny(d.ignore, p) {
			continue
		}
		w, ok1 := want[k]
		g, ok2 := got[k]
		if ok1 != ok2 {
			d.out = append(d.out, fmt.Sprintf("%s: recorded %v (%v), got %v (%v)", p, w, ok1, g, ok2))
			continue
		}
		d.diff(w, g, p)
	}
}

func sortedList(l []any) []any {
	out := append([]any{}, l...)
	key := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	sort.Slice(out, func(i, j int) bool { return key(out[i]) < key(out[j]) })
	return out
}
