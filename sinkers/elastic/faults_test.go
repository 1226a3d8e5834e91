package elastic

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// faults stands before a cluster and does to bulk requests what happens on the way
// to one: refused while busy, whole or single items, broken off before and behind
// the write.
type faults struct {
	next  http.Handler
	mu    sync.Mutex
	rng   *rand.Rand
	calls map[string]int
}

func (f *faults) roll(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(n)
}

func (f *faults) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[what]++
}

func (f *faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/_bulk" {
		f.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	forward := func(body []byte) *httptest.ResponseRecorder {
		again := r.Clone(r.Context())
		again.Header.Del("Accept-Encoding")
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		out := httptest.NewRecorder()
		f.next.ServeHTTP(out, again)
		return out
	}
	switch f.roll(8) {
	case 0:
		f.count("busy")
		w.WriteHeader([]int{429, 503, 502}[f.roll(3)])
	case 1:
		f.count("failed behind the write")
		forward(body)
		w.WriteHeader(504)
	case 2:
		f.count("broken behind the write")
		forward(body)
		panic(http.ErrAbortHandler)
	case 3, 4:
		f.count("items")
		f.some(w, body, forward)
	default:
		out := forward(body)
		w.WriteHeader(out.Code)
		_, _ = w.Write(out.Body.Bytes())
	}
}

// some hands a part of the items on and answers 429 for the others.
func (f *faults) some(w http.ResponseWriter, body []byte, forward func([]byte) *httptest.ResponseRecorder) {
	var part []byte
	var ops []string
	var taken []bool
	sc := bufio.NewScanner(bytes.NewReader(body))
	for sc.Scan() {
		action := append([]byte{}, sc.Bytes()...)
		op, _, _ := strings.Cut(strings.TrimPrefix(string(action), `{"`), `"`)
		take := f.roll(3) > 0
		ops, taken = append(ops, op), append(taken, take)
		action = append(action, '\n')
		if op != "delete" {
			sc.Scan()
			action = append(append(action, sc.Bytes()...), '\n')
		}
		if take {
			part = append(part, action...)
		}
	}
	var got struct {
		Errors bool
		Items  []json.RawMessage
	}
	if len(part) > 0 {
		if err := json.Unmarshal(forward(part).Body.Bytes(), &got); err != nil {
			w.WriteHeader(500)
			return
		}
	}
	var items []string
	for i, op := range ops {
		if taken[i] {
			items, got.Items = append(items, string(got.Items[0])), got.Items[1:]
			continue
		}
		got.Errors = true
		items = append(items, fmt.Sprintf(`{"%s":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue"}}}`, op))
	}
	_, _ = fmt.Fprintf(w, `{"errors":%t,"items":[%s]}`, got.Errors, strings.Join(items, ","))
}

// underFaults puts records through faults, with crashes after which a part comes
// again, and returns what should be there in the end.
func underFaults(t *testing.T, f *faults, begin func(map[string]string, *slog.Logger) (*Sink, error), topic string, props map[string]string) map[string]string {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	all := map[string]string{"connection.url": srv.URL, "schema.ignore": "true", "retry.backoff.ms": "1", "behavior.on.null.values": "delete", "batch.size": "20", "max.in.flight.requests": "4"}
	for k, v := range props {
		all[k] = v
	}
	start := func() *Sink {
		s, err := begin(all, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, want := start(), map[string]string{}
	var ids []string
	for range 600 {
		id := fmt.Sprint("k", f.roll(40))
		if f.roll(6) == 0 {
			id = "-" + id
		}
		ids = append(ids, id)
	}
	for i, id := range ids {
		if gone, found := strings.CutPrefix(id, "-"); found {
			delete(want, gone)
		} else {
			want[id] = fmt.Sprintf(`{"n":%d}`, i)
		}
	}
	for from := 0; from < len(ids); {
		to := min(len(ids), from+1+f.roll(120))
		b := at(topic, int64(from), strings.Join(ids[from:to], " "), from)
		deadline := time.Now().Add(time.Minute)
		for err := s.Put(t.Context(), b); err != nil; err = s.Put(t.Context(), b) {
			if !errs.Retriable(err) || time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		if from = to; f.roll(4) == 0 && to < len(ids) {
			_ = s.Stop()
			s, from = start(), max(0, to-f.roll(100))
		}
	}
	_ = s.Stop()
	return want
}

// TestFaults: whatever happens on the way, each document ends as its last record says.
func TestFaults(t *testing.T) {
	for seed := range uint64(4) {
		for _, method := range []string{"insert", "upsert"} {
			c := &cluster{docs: map[string]string{}, vers: map[string]int64{}}
			f := &faults{next: c, rng: rand.New(rand.NewPCG(seed, 1)), calls: map[string]int{}}
			want := underFaults(t, f, NewConfluent, "t", map[string]string{"write.method": method})
			for id, doc := range c.docs {
				if _, inner, found := strings.Cut(doc, `"doc":`); found {
					c.docs[id] = strings.TrimSuffix(inner, "}")
				}
			}
			same(t, fmt.Sprint(method, " ", seed, " ", f.calls), c.docs, want)
		}
	}
}

func TestFaultsOnRealServers(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		for _, method := range []string{"insert", "upsert"} {
			u, err := url.Parse(s.url)
			if err != nil {
				t.Fatal(err)
			}
			topic := s.prefix + method
			f := &faults{next: httputil.NewSingleHostReverseProxy(u), rng: rand.New(rand.NewPCG(7, 1)), calls: map[string]int{}}
			want := underFaults(t, f, s.begin, topic, map[string]string{"write.method": method, "index.write.method": method})
			same(t, fmt.Sprint(method, " ", f.calls), s.docs(topic), want)
			s.call("DELETE", "/"+topic, "")
		}
	})
}

// TestHalfOpen: a connection that says nothing any more is given up, and the batch
// goes through on the next one.
func TestHalfOpen(t *testing.T) {
	c := &cluster{docs: map[string]string{}, vers: map[string]int64{}}
	silent := make(chan struct{})
	var once sync.Once
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait := false
		if r.URL.Path == "/_bulk" {
			once.Do(func() { wait = true })
		}
		if wait {
			_, _ = io.Copy(io.Discard, r.Body)
			<-silent
			return
		}
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(silent); srv.Close() })
	s, err := NewConfluent(map[string]string{"connection.url": srv.URL, "schema.ignore": "true", "max.in.flight.requests": "1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.client.http.Timeout = 200 * time.Millisecond
	b := &record.Batch{}
	add(b, "a", 1)
	if err := s.Put(t.Context(), b); !errs.Retriable(err) {
		t.Fatalf("a silent cluster gives %v", err)
	}
	s.client.http.Timeout = time.Minute
	if err := s.Put(t.Context(), b); err != nil || c.docs["a"] != `{"n":1}` {
		t.Fatalf("%v, %v", err, c.docs)
	}
}

// TestUnavailableValues: what the source could not read is not written over what is
// stored, whatever else comes for the document.
func TestUnavailableValues(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		two := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "a", Schema: record.OptionalString}, {Name: "b", Schema: record.OptionalString}}}
		const gone = "__debezium_unavailable_value"
		for _, method := range []string{"insert", "upsert"} {
			topic := s.prefix + "-toast-" + method
			b := at(topic, 0, "k k k m k", 0)
			for i, v := range [][2]any{{"a0", "b0"}, {gone, "b1"}, {gone, "b2"}, {gone, "b3"}, {"a4", gone}} {
				c, err := record.FromGo(b, two, map[string]any{"a": v[0], "b": v[1]})
				if err != nil {
					t.Fatal(err)
				}
				b.Records[i].Value, b.Records[i].ValueSchema = c, two
			}
			x := s.sink("write.method="+method, "index.write.method="+method)
			put(t, x, b)
			same(t, method, s.docs(topic), map[string]string{"k": `{"a":"a4","b":"b2"}`, "m": `{"b":"b3"}`})
			put(t, x, at(topic, 5, "k", 7)) // a whole document
			if method == "insert" {
				same(t, method, s.docs(topic), map[string]string{"k": `{"n":7}`, "m": `{"b":"b3"}`})
			}
			s.call("DELETE", "/"+topic, "")
		}
	})
}
