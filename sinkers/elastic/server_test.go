package elastic

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// onServers runs a test on the servers that MILLRACE_TEST_ELASTICSEARCH and
// MILLRACE_TEST_OPENSEARCH name (URLs); scripts/check-sinks starts them.
func onServers(t *testing.T, f func(t *testing.T, s *server)) {
	found := false
	for name, begin := range map[string]func(map[string]string, *slog.Logger) (*Sink, error){"ELASTICSEARCH": NewConfluent, "OPENSEARCH": NewOpenSearch} {
		if url := os.Getenv("MILLRACE_TEST_" + name); url != "" {
			found = true
			t.Run(name, func(t *testing.T) {
				f(t, &server{t: t, url: url, begin: begin, open: name == "OPENSEARCH", prefix: "millrace" + strings.ToLower(rand.Text()[:8])})
			})
		}
	}
	if !found {
		t.Skip("MILLRACE_TEST_ELASTICSEARCH and MILLRACE_TEST_OPENSEARCH are not set; scripts/check-sinks starts the servers")
	}
}

type server struct {
	t      *testing.T
	url    string
	begin  func(map[string]string, *slog.Logger) (*Sink, error)
	open   bool // OpenSearch with Aiven's options, not Elasticsearch with Confluent's
	prefix string
}

// sink starts a task; options are given as "key=value".
func (s *server) sink(options ...string) *Sink {
	s.t.Helper()
	props := map[string]string{"connection.url": s.url, "schema.ignore": "true", "behavior.on.null.values": "delete"}
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		props[k] = v
	}
	x, err := s.begin(props, slog.New(slog.DiscardHandler))
	if err == nil {
		err = x.Start(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = x.Stop() })
	return x
}

// call asks the server for something and returns the answer as JSON.
func (s *server) call(method, path, body string) map[string]any {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&out)
	// A new index answers 503 to searches for a moment; small builds cannot delete all they make.
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusServiceUnavailable && method != http.MethodDelete {
		s.t.Fatalf("%s %s: %d %v", method, path, resp.StatusCode, out)
	}
	return out
}

// docs are an index's documents by id.
func (s *server) docs(index string) map[string]string {
	s.t.Helper()
	s.call("POST", "/"+index+"/_refresh", "")
	out := map[string]string{}
	hits, _ := s.call("POST", "/"+index+"/_search?size=1000", "")["hits"].(map[string]any)
	list, _ := hits["hits"].([]any)
	for _, h := range list {
		h := h.(map[string]any)
		text, err := json.Marshal(h["_source"])
		if err != nil {
			s.t.Fatal(err)
		}
		out[h["_id"].(string)] = string(text)
		if r, ok := h["_routing"]; ok {
			out[h["_id"].(string)] += fmt.Sprintf(" by %v", r)
		}
	}
	return out
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// at makes a batch of documents n under ids of a topic, from an offset on; n below
// 0 is a tombstone.
func at(topic string, offset int64, ids string, from int) *record.Batch {
	b, tp := &record.Batch{}, &record.Topic{Name: topic}
	for i, id := range strings.Fields(ids) {
		n := from + i
		if id, found := strings.CutPrefix(id, "-"); found {
			add(b, id, -1)
		} else {
			add(b, id, n)
		}
		r := &b.Records[i]
		r.Topic, r.Offset, r.Timestamp = tp, offset+int64(i), 1767225600000
		r.Origin = record.Origin{Topic: tp, Offset: r.Offset}
	}
	return b
}

func put(t *testing.T, s *Sink, b *record.Batch) {
	t.Helper()
	if err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestTopicMadeAnew: a topic that is deleted and made again counts its offsets from
// 0; its updates and deletes are written all the same, also by a task that is
// started again later, while records that come twice change nothing.
func TestTopicMadeAnew(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		topic := s.prefix + "-anew"
		defer s.call("DELETE", "/"+topic, "")
		one := s.sink()
		one.Anew(topic, 0)
		put(t, one, at(topic, 0, "a b c", 0))
		put(t, one, at(topic, 5000, "a b c d", 100))
		same(t, "first life", s.docs(topic), map[string]string{"a": `{"n":100}`, "b": `{"n":101}`, "c": `{"n":102}`, "d": `{"n":103}`})
		if m := fmt.Sprint(s.call("GET", "/"+topic+"/_mapping", "")); strings.Contains(m, eraKey) {
			t.Errorf("an index that is new holds an era: %s", m)
		}
		put(t, s.sink(), at(topic, 2, "a", 9)) // read again after a crash: older
		same(t, "read again", s.docs(topic), map[string]string{"a": `{"n":100}`, "b": `{"n":101}`, "c": `{"n":102}`, "d": `{"n":103}`})

		two := s.sink()
		two.Anew(topic, 0)
		put(t, two, at(topic, 0, "a", 200))
		put(t, s.sink(), at(topic, 1, "b -c", 201)) // started again: no partition is new to it
		same(t, "second life", s.docs(topic), map[string]string{"a": `{"n":200}`, "b": `{"n":201}`, "d": `{"n":103}`})
		put(t, s.sink(), at(topic, 0, "b", 200))
		same(t, "second life, read again", s.docs(topic), map[string]string{"a": `{"n":200}`, "b": `{"n":201}`, "d": `{"n":103}`})

		// A partition that is added holds keys that another one held before.
		three := s.sink()
		three.Anew(topic, 7)
		b := at(topic, 0, "a", 300)
		b.Records[0].Origin.Partition = 7
		put(t, three, b)
		same(t, "another partition", s.docs(topic), map[string]string{"a": `{"n":300}`, "b": `{"n":201}`, "d": `{"n":103}`})
	})
}

func TestDataStreams(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		topic := s.prefix + "-Events"
		options := []string{"behavior.on.null.values=ignore", "data.stream.type=logs", "data.stream.dataset=" + s.prefix + "${topic}", "data.stream.namespace=Prod"}
		name := "logs-" + s.prefix + strings.ToLower(topic) + "-prod"
		if s.open {
			options, name = []string{"data.stream.enabled=true", "data.stream.prefix=" + s.prefix + "-ds"}, s.prefix+"-ds-"+strings.ToLower(topic)
		} else {
			s.call("PUT", "/_index_template/"+s.prefix, `{"priority":300,"index_patterns":["logs-`+s.prefix+`*"],"data_stream":{}}`)
			defer s.call("DELETE", "/_index_template/"+s.prefix, "")
		}
		defer s.call("DELETE", "/_data_stream/"+name, "")
		x := s.sink(options...)
		put(t, x, at(topic, 0, "a b a", 1)) // the second a is refused: streams take new documents only
		put(t, x, at(topic, 0, "a b", 1))   // again
		same(t, "documents", s.docs(name), map[string]string{"a": `{"@timestamp":1767225600000,"n":1}`, "b": `{"@timestamp":1767225600000,"n":2}`})
	})
}

// TestStamps: what a data stream's documents have as @timestamp.
func TestStamps(t *testing.T) {
	own := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "@timestamp", Schema: record.OptionalInt64}, {Name: "at", Schema: record.OptionalString}}}
	for name, c := range map[string]struct {
		stamps stamps
		value  map[string]any
		want   string
	}{
		"record":         {stamps{}, map[string]any{"@timestamp": nil, "at": "x"}, `{"@timestamp":1767225600000,"at":"x"}`},
		"record over it": {stamps{}, map[string]any{"@timestamp": int64(5), "at": "x"}, `{"@timestamp":1767225600000,"at":"x"}`},
		"kept":           {stamps{keep: true}, map[string]any{"@timestamp": int64(5), "at": "x"}, `{"@timestamp":5,"at":"x"}`},
		"field":          {stamps{fields: []string{"nope", "at"}}, map[string]any{"@timestamp": int64(5), "at": "2026-01-01"}, `{"@timestamp":"2026-01-01","at":"2026-01-01"}`},
		"no field":       {stamps{fields: []string{"nope"}}, map[string]any{"@timestamp": int64(5), "at": "x"}, `{"@timestamp":5,"at":"x"}`},
		"number":         {stamps{fields: []string{"@timestamp"}}, map[string]any{"@timestamp": int64(5), "at": nil}, `{"@timestamp":"5","at":null}`},
	} {
		b := &record.Batch{}
		r := b.Append()
		v, err := record.FromGo(b, own, c.value)
		if err != nil {
			t.Fatal(err)
		}
		r.Value, r.ValueSchema, r.Timestamp, r.Topic = v, own, 1767225600000, topic
		s := &Sink{cfg: &config{stamps: c.stamps}, nodes: map[planKey]*node{}}
		l := &lane{}
		if l.body, err = s.node(r, &resource{}).append(l.body, b, r.Value); err != nil {
			t.Fatal(err)
		}
		if err := s.stamp(l, b, r, 0); err != nil || string(l.body) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, l.body, err, c.want)
		}
	}
}

func TestExistingResources(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		topic, index := s.prefix+".t", s.prefix+"-own"
		s.call("PUT", "/"+index, `{"aliases":{"`+index+`-alias":{"is_write_index":true}}}`)
		defer s.call("DELETE", "/"+index, "")
		options := []string{"topic.to.external.resource.mapping=" + topic + ":" + index + "-alias", "external.resource.usage=ALIAS_INDEX"}
		if s.open {
			options = []string{"topic.to.existing.resource.mapping=" + topic + ":" + index + "-alias", "existing.resource.type=index_alias"}
		}
		x := s.sink(append(options, "schema.ignore=false")...)
		put(t, x, at(topic, 0, "a b", 1))
		same(t, "documents", s.docs(index), map[string]string{"a": `{"n":1}`, "b": `{"n":2}`})
		want := map[bool]string{true: "n:map[type:long]", false: "n:map[type:integer]"}[s.open] // Aiven's leaves what is there to its owner
		if m := fmt.Sprint(s.call("GET", "/"+index+"/_mapping", "")); !strings.Contains(m, want) {
			t.Errorf("mapping %s", m)
		}
		err := x.Put(t.Context(), at(s.prefix+".other", 0, "a", 1))
		if err == nil || !strings.Contains(err.Error(), "is not mapped to resource") {
			t.Errorf("a topic that is not in the list: %v", err)
		}
	})
}

func TestRouting(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		if !s.open {
			t.Skip("Confluent's sink has no routing")
		}
		topic := s.prefix + "-routed"
		defer s.call("DELETE", "/"+topic, "")
		put(t, s.sink("routing.type=value", "routing.type.record.value.path=/n", "behavior.on.null.values=ignore"), at(topic, 0, "a b", 1))
		put(t, s.sink("routing.type=key"), at(topic, 5, "c d -d", 8))
		same(t, "documents", s.docs(topic), map[string]string{"a": `{"n":1} by 1`, "b": `{"n":2} by 2`, "c": `{"n":8} by c`})
		err := s.sink("routing.type=value", "routing.type.record.value.path=/none", "behavior.on.null.values=ignore", "errors.tolerance=all", "errors.deadletterqueue.topic.name=dlq").Put(t.Context(), at(topic, 9, "a", 1))
		var bad *errs.RecordError
		if !errors.As(err, &bad) {
			t.Errorf("without a routing value: %v", err)
		}
	})
}

// TestRefusedDocuments: what the mapping refuses is reported where a dead letter
// queue is, whatever the policy; the rest is written.
func TestRefusedDocuments(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		topic := s.prefix + "-strict"
		s.call("PUT", "/"+topic, `{"mappings":{"properties":{"n":{"type":"boolean"}}}}`)
		defer s.call("DELETE", "/"+topic, "")
		text := &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: "n", Schema: record.PlainString}}}
		b := at(topic, 0, "a b c", 1)
		for i, v := range []string{"true", "none of both", "false"} {
			c, err := record.FromGo(b, text, map[string]any{"n": v})
			if err != nil {
				t.Fatal(err)
			}
			b.Records[i].Value, b.Records[i].ValueSchema = c, text
		}
		for policy, reported := range map[string]bool{"fail": true, "ignore": !s.open, "warn": !s.open} { // Aiven's has a policy of its own for that
			err := s.sink("behavior.on.malformed.documents="+policy, "errors.tolerance=all", "errors.deadletterqueue.topic.name=dlq").Put(t.Context(), b)
			var bad *errs.RecordError
			if errors.As(err, &bad) != reported || reported && (len(bad.Bad) != 1 || bad.Bad[0].Index != 1) {
				t.Errorf("%s: %v", policy, err)
			}
		}
		put(t, s.sink("behavior.on.malformed.documents=ignore"), b)
		same(t, "documents", s.docs(topic), map[string]string{"a": `{"n":"true"}`, "c": `{"n":"false"}`})
	})
}
