package elastic

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// cluster answers like Elasticsearch: it applies actions with external versions
// and is told which requests and items to turn down.
type cluster struct {
	mu     sync.Mutex
	docs   map[string]string
	vers   map[string]int64
	log    []string
	refuse func(call int, id string) int // status of an item; 0: apply it
	calls  int
	fail   int // status of whole requests, as long as failN is positive
	failN  int
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path != "/_bulk" {
		_, _ = w.Write([]byte("{}"))
		return
	}
	c.calls++
	if c.failN > 0 {
		c.failN--
		w.WriteHeader(c.fail)
		return
	}
	type action map[string]struct {
		ID      string `json:"_id"`
		Version *int64 `json:"version"`
	}
	var items []string
	bad := false
	sc := bufio.NewScanner(r.Body)
	for sc.Scan() {
		var a action
		if err := json.Unmarshal(sc.Bytes(), &a); err != nil {
			panic(err)
		}
		for op, x := range a {
			doc := ""
			if op != "delete" {
				sc.Scan()
				doc = sc.Text()
			}
			status, why := 200, ""
			if c.refuse != nil {
				status = max(status, c.refuse(c.calls, x.ID))
			}
			switch {
			case status == 429:
				why = "es_rejected_execution_exception"
			case status == 403:
				why = blockedType
			case status == 404:
				why = "index_not_found_exception"
			case status == 400:
				why = "mapper_parsing_exception"
			case x.Version != nil && *x.Version < c.vers[x.ID]:
				status, why = 409, "version_conflict_engine_exception"
			case op == "delete":
				delete(c.docs, x.ID)
			default:
				c.docs[x.ID] = doc
			}
			if why == "" {
				if x.Version != nil {
					c.vers[x.ID] = *x.Version
				}
				c.log = append(c.log, x.ID)
				items = append(items, fmt.Sprintf(`{"%s":{"status":%d}}`, op, status))
				continue
			}
			bad = true
			items = append(items, fmt.Sprintf(`{"%s":{"status":%d,"error":{"type":"%s","reason":"r"}}}`, op, status, why))
		}
	}
	_, _ = fmt.Fprintf(w, `{"errors":%t,"items":[%s]}`, bad, strings.Join(items, ","))
}

func newTestSink(t *testing.T, c *cluster, more map[string]string) *Sink {
	t.Helper()
	c.docs, c.vers = map[string]string{}, map[string]int64{}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	props := map[string]string{"connection.url": srv.URL, "schema.ignore": "true", "retry.backoff.ms": "1", "behavior.on.null.values": "delete"}
	for k, v := range more {
		props[k] = v
	}
	s, err := NewConfluent(props, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	topic = &record.Topic{Name: "t"}
	row   = &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "n", Schema: record.PlainInt32}}}
)

// add appends a document n under id; n below 0 is a tombstone.
func add(b *record.Batch, id string, n int) {
	r := b.Append()
	r.Topic, r.Offset = topic, int64(len(b.Records)-1)
	r.Origin = record.Origin{Topic: topic, Offset: r.Offset}
	r.KeySchema, r.Key = record.PlainString, b.StringCell(id)
	if n < 0 {
		return
	}
	r.ValueSchema, r.Value = row, b.Alloc(record.Struct, 1)
	b.SetChild(r.Value, 0, record.Int32Cell(int32(n)))
}

// TestBusyItems: items that are turned down with 429 are sent again by themselves,
// and each document ends as its last record says.
func TestBusyItems(t *testing.T) {
	c := &cluster{refuse: func(call int, id string) int {
		if call%2 == 1 && (id == "a" || id == "c") {
			return 429
		}
		return 0
	}}
	for _, method := range []string{"insert", "upsert"} {
		s := newTestSink(t, c, map[string]string{"write.method": method, "batch.size": "3", "max.in.flight.requests": "2"})
		b := &record.Batch{}
		for i := 0; i < 50; i++ {
			add(b, string(rune('a'+i%5)), i)
		}
		add(b, "e", -1)
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for i, id := range []string{"a", "b", "c", "d"} {
			if want := fmt.Sprintf(`{"n":%d}`, 45+i); !strings.Contains(c.docs[id], want) {
				t.Errorf("%s: %s is %s, want %s", method, id, c.docs[id], want)
			}
		}
		if _, ok := c.docs["e"]; ok {
			t.Errorf("%s: e is still there", method)
		}
	}
}

// TestRequestFails: a request without success is retriable, and the batch that is
// put again ends the same, although half of it was applied before.
func TestRequestFails(t *testing.T) {
	c := &cluster{}
	s := newTestSink(t, c, map[string]string{"batch.size": "2", "max.in.flight.requests": "1"})
	b := &record.Batch{}
	for i := 0; i < 6; i++ {
		add(b, string(rune('a'+i%2)), i)
	}
	c.fail, c.failN = 503, 1
	if err := s.Put(t.Context(), b); !errs.Retriable(err) {
		t.Fatalf("503 gives %v", err)
	}
	if err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if c.docs["a"] != `{"n":4}` || c.docs["b"] != `{"n":5}` {
		t.Errorf("documents %v", c.docs)
	}
}

// TestMalformed: a document that the mapping refuses is reported; the others are there.
func TestMalformed(t *testing.T) {
	c := &cluster{refuse: func(_ int, id string) int {
		if id == "b" {
			return 400
		}
		return 0
	}}
	s := newTestSink(t, c, map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dlq"})
	b := &record.Batch{}
	add(b, "a", 1)
	add(b, "b", 2)
	add(b, "c", 3)
	err := s.Put(t.Context(), b)
	var bad *errs.RecordError
	if !errors.As(err, &bad) || len(bad.Bad) != 1 || bad.Bad[0].Index != 1 {
		t.Fatalf("error %v", err)
	}
	if len(c.docs) != 2 {
		t.Errorf("documents %v", c.docs)
	}
}

// FuzzText: every text becomes valid JSON and comes back, invalid UTF-8 as U+FFFD.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c\n\x00", "ü中😀", "\xff\xfe", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendText(nil, []byte(s)), &back); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if utf8.ValidString(s) && back != s {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}
