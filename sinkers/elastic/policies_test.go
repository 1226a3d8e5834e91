package elastic

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// TestFloats: numbers are written so that a field that begins with a whole one is
// mapped as a floating point number; recorded with Aiven's sink.
func TestFloats(t *testing.T) {
	for _, c := range []struct {
		cell record.Cell
		want string
	}{
		{record.Float64Cell(1), "1.0"}, {record.Float64Cell(-2), "-2.0"}, {record.Float64Cell(0.001), "0.001"}, {record.Float64Cell(1e22), "1.0E22"},
		{record.Float32Cell(0.1), "0.1"}, {record.Float32Cell(16777216), "1.6777216E7"},
		{record.Float64Cell(math.NaN()), `"NaN"`}, {record.Float64Cell(math.Inf(1)), `"Infinity"`}, {record.Float32Cell(float32(math.Inf(-1))), `"-Infinity"`},
	} {
		if got := string(appendFloat(nil, c.cell)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	for _, c := range []struct {
		scale  string
		double bool
		want   string
	}{{"0", true, "5.0"}, {"0", false, "5"}, {"-2", true, "500.0"}, {"2", true, "0.05"}} {
		b := &record.Batch{}
		n := compile(&record.Schema{Type: record.Bytes, Name: record.DecimalName, Params: []record.Param{{Key: "scale", Value: c.scale}}}, style{double: c.double})
		if got, err := n.append(nil, b, b.BytesCell(record.Bytes, []byte{5})); err != nil || string(got) != c.want {
			t.Errorf("scale %s: %s, %v; want %s", c.scale, got, err, c.want)
		}
	}
}

// TestPolicies: which records stop a task, are left out, or are reported; recorded
// with Aiven's sink. The second of three records is the special one.
func TestPolicies(t *testing.T) {
	const queue = " errors.tolerance=all errors.deadletterqueue.topic.name=dlq"
	noKey := func(r *record.Record) { r.Key, r.KeySchema = record.Cell{}, nil }
	structKey := func(b *record.Batch, r *record.Record) { r.KeySchema, r.Key = row, r.Value }
	for name, c := range map[string]struct {
		open     bool
		options  string
		special  string // no key, struct key, empty key, long key, no document, refused
		docs     string
		reported int
		fails    bool
	}{
		"no key":                         {true, "", "no key", "a", 0, true},
		"no key dropped":                 {true, "drop.invalid.message=true", "no key", "ac", 0, false},
		"no key, malformed ignored":      {true, "behavior.on.malformed.documents=ignore", "no key", "a", 0, true},
		"no key, queue":                  {true, queue, "no key", "ac", 1, false},
		"no key dropped, queue":          {true, "drop.invalid.message=true" + queue, "no key", "ac", 0, false},
		"no key dropped, queue, C":       {false, "drop.invalid.message=true" + queue, "no key", "ac", 1, false},
		"tolerance without queue":        {true, "errors.tolerance=all", "no key", "a", 0, true},
		"struct key":                     {true, "", "struct key", "a", 0, true},
		"empty key":                      {true, "", "empty key", "ac", 0, true},
		"empty key, malformed ignored":   {true, "behavior.on.malformed.documents=ignore", "empty key", "ac", 0, false},
		"long key, malformed ignored":    {true, "behavior.on.malformed.documents=ignore", "long key", "ac", 0, false},
		"no document":                    {true, "drop.invalid.message=true", "no document", "ac", 0, true},
		"no document, malformed ignored": {true, "behavior.on.malformed.documents=warn", "no document", "ac", 0, false},
		"no document, reported":          {true, "behavior.on.malformed.documents=report" + queue, "no document", "ac", 1, false},
		"refused":                        {true, "", "refused", "ac", 0, true},
		"refused, dropping":              {true, "drop.invalid.message=true", "refused", "ac", 0, true},
		"refused, ignored":               {true, "behavior.on.malformed.documents=ignore" + queue, "refused", "ac", 0, false},
		"refused, ignored, C":            {false, "behavior.on.malformed.documents=ignore" + queue, "refused", "ac", 1, false},
		"refused, reported":              {true, "behavior.on.malformed.documents=report errors.deadletterqueue.topic.name=dlq", "refused", "ac", 1, false},
		"refused, queue":                 {true, queue, "refused", "ac", 1, false},
	} {
		cl := &cluster{docs: map[string]string{}, vers: map[string]int64{}, refuse: func(_ int, id string) int { return map[string]int{"refused": 400}[id] }}
		srv := httptest.NewServer(cl)
		t.Cleanup(srv.Close)
		props := map[string]string{"connection.url": srv.URL, "schema.ignore": "true"}
		for _, o := range strings.Fields(c.options) {
			k, v, _ := strings.Cut(o, "=")
			props[k] = v
		}
		begin := NewConfluent
		if c.open {
			begin = NewOpenSearch
		}
		s, err := begin(props, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		b := &record.Batch{}
		add(b, "a", 1)
		add(b, map[string]string{"empty key": "", "long key": strings.Repeat("x", 513), "refused": "refused"}[c.special], 2)
		add(b, "c", 3)
		switch r := &b.Records[1]; c.special {
		case "no key":
			noKey(r)
		case "struct key":
			structKey(b, r)
		case "no document":
			r.ValueSchema, r.Value = record.PlainString, b.StringCell("text")
		}
		err = s.Put(t.Context(), b)
		var bad *errs.RecordError
		if got := 0; errors.As(err, &bad) {
			if got = len(bad.Bad); got != c.reported || bad.Bad[0].Index != 1 {
				t.Errorf("%s: reported %v", name, bad.Bad)
			}
		} else if c.reported > 0 || (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		} else if err != nil && !strings.Contains(err.Error(), "topic t, partition 0, offset 1") {
			t.Errorf("%s: the error does not name the record: %v", name, err)
		}
		got := ""
		for _, id := range []string{"a", "c"} {
			if _, found := cl.docs[id]; found {
				got += id
			}
		}
		if got != c.docs || len(cl.docs) != len(got) {
			t.Errorf("%s: documents %v", name, cl.docs)
		}
	}
	if _, err := NewOpenSearch(map[string]string{"connection.url": "x", "behavior.on.version.conflict": "report"}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "errors.deadletterqueue.topic.name") {
		t.Errorf("reports without a queue: %v", err)
	}
}

// TestTombstonesFirst: an index that a tombstone comes to first has the mapping of
// the first record with a schema all the same, and deletes reach an index that is there.
func TestTombstonesFirst(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		topic := s.prefix + "-first"
		defer s.call("DELETE", "/"+topic, "")
		put(t, s.sink("schema.ignore=false"), at(topic, 0, "-a -b", 0))
		put(t, s.sink("schema.ignore=false"), at(topic, 2, "-a a b", 0))
		put(t, s.sink("schema.ignore=false"), at(topic, 5, "-b", 0))
		same(t, "documents", s.docs(topic), map[string]string{"a": `{"n":1}`})
		if m := fmt.Sprint(s.call("GET", "/"+topic+"/_mapping", "")); !strings.Contains(m, "n:map[type:integer]") {
			t.Errorf("mapping %s", m)
		}
	})
}

// TestAivenResources: what is there already keeps its own mapping, an index that is
// not there is made by its first document, and a document whose id is in a data
// stream already goes by behavior.on.version.conflict; recorded with Aiven's sink.
func TestAivenResources(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		if !s.open {
			t.Skip("Confluent's sink has no such options")
		}
		topic, index := s.prefix+".t", s.prefix+"-own"
		options := []string{"topic.to.existing.resource.mapping=" + topic + ":" + index, "existing.resource.type=index", "schema.ignore=false"}
		s.call("PUT", "/"+index, `{"mappings":{"properties":{"n":{"type":"keyword"}}}}`)
		put(t, s.sink(options...), at(topic, 0, "a", 1))
		same(t, "own mapping", s.docs(index), map[string]string{"a": `{"n":1}`})
		s.call("DELETE", "/"+index, "")
		options[2] = "schema.ignore=true"
		put(t, s.sink(options...), at(topic, 1, "b", 2))
		same(t, "made by a document", s.docs(index), map[string]string{"b": `{"n":2}`})
		s.call("DELETE", "/"+index, "")

		stream := s.prefix + "-stream"
		defer s.call("DELETE", "/_data_stream/"+stream, "")
		options = []string{"data.stream.enabled=true", "behavior.on.version.conflict=fail", "behavior.on.null.values=delete"}
		put(t, s.sink(options...), at(stream, 0, "a", 1))
		if err := s.sink(options...).Put(t.Context(), at(stream, 1, "a", 2)); err == nil || !strings.Contains(err.Error(), "version_conflict") {
			t.Errorf("an id that is there: %v", err)
		}
		if err := s.sink(options...).Put(t.Context(), at(stream, 2, "-a", 2)); err == nil || !strings.Contains(err.Error(), "op_type of create") {
			t.Errorf("a delete: %v", err)
		}
	})
}

// TestFaultOfTheIndex: what every record would meet is no record's fault. A block is
// waited for, with its reason in the error; what was answered before is not sent
// again, nor reported twice. Errors that no waiting mends end the task.
func TestFaultOfTheIndex(t *testing.T) {
	for status, want := range map[int]string{429: "es_rejected_execution_exception", 403: "The task goes on by itself once the block is gone", 404: "index_not_found_exception"} {
		blocked := true
		c := &cluster{}
		c.refuse = func(_ int, id string) int {
			switch {
			case id == "b" && blocked:
				return status
			case id == "c":
				return 400
			}
			return 0
		}
		s := newTestSink(t, c, map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dlq", "max.in.flight.requests": "1"})
		b := &record.Batch{}
		for i, id := range []string{"a", "b", "c", "d"} {
			add(b, id, i)
		}
		err := s.Put(t.Context(), b)
		var bad *errs.RecordError
		if err == nil || errors.As(err, &bad) || errs.Retriable(err) != (status != 404) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%d: %v", status, err)
		}
		if status == 404 {
			continue
		}
		blocked = false
		if err = s.Put(t.Context(), b); !errors.As(err, &bad) || len(bad.Bad) != 1 || bad.Bad[0].Index != 2 {
			t.Fatalf("%d: %v", status, err)
		}
		if got := strings.Join(c.log, ""); got != "adb" {
			t.Errorf("%d: written %s", status, got)
		}
	}
}

// TestPasswordInAddress: it is in no error.
func TestPasswordInAddress(t *testing.T) {
	s, err := NewConfluent(map[string]string{"connection.url": "http://user:geheim@127.0.0.1:1"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}

// TestVersionHeader: the last header of the name is the version; without one the
// record is refused.
func TestVersionHeader(t *testing.T) {
	b := &record.Batch{}
	add(b, "a", 1)
	add(b, "b", 1)
	r := &b.Records[0]
	b.AddHeader(r, record.Header{Key: "v", Value: record.Int64Cell(5)})
	b.AddHeader(r, record.Header{Key: "v", Schema: record.PlainString, Value: b.StringCell("7")})
	if v, err := headerVersion(b, r, "v"); err != nil || v != 7 {
		t.Errorf("%d, %v", v, err)
	}
	if _, err := headerVersion(b, &b.Records[1], "v"); err == nil {
		t.Error("no header, no error")
	}
}

// TestMadeIDs: use.autogenerated.ids counts for every topic, and tombstones delete nothing.
func TestMadeIDs(t *testing.T) {
	s, err := NewConfluent(map[string]string{"connection.url": "http://127.0.0.1:1", "use.autogenerated.ids": "true", "schema.ignore": "true", "behavior.on.null.values": "delete"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &record.Batch{}
	add(b, "a", 1)
	add(b, "a", -1)
	s.topics["t"] = &resource{name: "t", plain: true, ready: true}
	if err := s.gather(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got, want := string(s.lanes[0].body), `{"index":{"_index":"t"}}`+"\n"+`{"n":1}`+"\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRefusedUpdate: updates carry no version, so the later ones of a document go
// with one that is sent again, also those that were done; in one request they are
// applied in order.
func TestRefusedUpdate(t *testing.T) {
	c, refused := &cluster{}, false
	c.refuse = func(_ int, id string) int {
		if id == "a" && !refused {
			refused = true
			return 429
		}
		return 0
	}
	s := newTestSink(t, c, map[string]string{"write.method": "upsert", "max.in.flight.requests": "1"})
	b := &record.Batch{}
	for i, id := range []string{"a", "b", "a", "c", "a"} {
		add(b, id, i)
	}
	if err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.log, ""); got != "bacaaaa" || c.calls != 2 || !strings.Contains(c.docs["a"], `{"n":4}`) {
		t.Errorf("written %s in %d requests, a is %s", got, c.calls, c.docs["a"])
	}
}
