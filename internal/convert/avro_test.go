package convert

import (
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// tap is a registry that writes down what it is asked.
type tap struct {
	*srfake.Registry
	url string

	mu    sync.Mutex
	calls []string
	heads []http.Header
	// answer, when set, may answer a request in place of the registry.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newTap(t *testing.T) *tap {
	t.Helper()
	p := &tap{Registry: srfake.New()}
	t.Cleanup(p.Registry.Close)
	back, err := url.Parse(p.Registry.URL())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.calls = append(p.calls, r.Method+" "+r.URL.RequestURI())
		p.heads = append(p.heads, r.Header.Clone())
		answer := p.answer
		p.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		r.URL.Scheme, r.URL.Host, r.RequestURI = back.Scheme, back.Host, ""
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		var body any
		if json.NewDecoder(resp.Body).Decode(&body) == nil {
			_ = json.NewEncoder(w).Encode(body)
		}
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *tap) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.calls
	p.calls = nil
	return out
}

func avroConverter(t *testing.T, url string, props map[string]string) *Avro {
	t.Helper()
	all := map[string]string{"schema.registry.url": url, "retries.wait.ms": "1"}
	for k, v := range props {
		all[k] = v
	}
	c, err := NewAvro(all, false)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Avro)
}

// twoFields is a struct of a required and an optional field.
var twoFields = &record.Schema{Type: record.Struct, Name: "s.t.Value", Fields: []record.Field{{Name: "a", Schema: record.PlainString}, {Name: "b", Schema: record.OptionalInt32}}}

const twoFieldsText = `{"type":"record","name":"Value","namespace":"s.t","fields":[{"name":"a","type":"string"},{"name":"b","type":["null","int"],"default":null}],"connect.name":"s.t.Value"}`

func write(t *testing.T, c Converter, s *record.Schema, v any) (string, error) {
	t.Helper()
	var b record.Batch
	cell, err := record.FromGo(&b, s, v)
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), &record.Topic{Name: "t"}, s)
	if err != nil {
		return "", err
	}
	out, null, err := e.Append(nil, &b, cell)
	if null {
		return "null", err
	}
	return hex.EncodeToString(out), err
}

func TestAvroRegistryCalls(t *testing.T) {
	p := newTap(t)
	c := avroConverter(t, p.url, nil)
	for range 3 {
		got, err := write(t, c, twoFields, map[string]any{"a": "x", "b": 1})
		if err != nil || !strings.HasSuffix(got, "02780202") || !strings.HasPrefix(got, "00000000") {
			t.Fatal(got, err)
		}
	}
	want := "GET /associations/resources/-/t?associationType=value&resourceType=topic POST /subjects/t-value/versions?normalize=false"
	if calls := p.seen(); strings.Join(calls, " ") != want {
		t.Errorf("calls: %q", calls)
	}
	if s, ok := p.GetSchema("t-value", 1); !ok || s.Schema.Schema != twoFieldsText {
		t.Errorf("registered %v", s)
	}
	if h := p.heads[0]; h.Get("Confluent-Accept-Unknown-Properties") != "true" || h.Get("Content-Type") != "application/vnd.schemaregistry.v1+json" {
		t.Errorf("headers %v", h)
	}
	// a null without schema, and a null of an optional schema, need no registry
	optional := &record.Schema{Type: record.String, Optional: true, Name: "o"}
	for _, s := range []*record.Schema{nil, optional} {
		if got, err := write(t, c, s, nil); got != "null" || err != nil {
			t.Errorf("null: %s, %v", got, err)
		}
	}
	if calls := p.seen(); len(calls) > 0 {
		t.Errorf("null made calls: %q", calls)
	}
}

func TestAvroSubjects(t *testing.T) {
	for strategy, want := range map[string]string{strategyTopic: "t-value", strategyRecord: "s.t.Value", strategyTopicRecord: "t-s.t.Value", strategyAssociated: "elsewhere"} {
		p := newTap(t)
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/associations/") {
				return false
			}
			fmt.Fprint(w, `[{"subject":"elsewhere"}]`)
			return true
		}
		c := avroConverter(t, p.url, map[string]string{"value.subject.name.strategy": strategy})
		if _, err := write(t, c, twoFields, map[string]any{"a": "x"}); err != nil {
			t.Fatal(err)
		}
		calls := p.seen()
		if last := calls[len(calls)-1]; last != "POST /subjects/"+want+"/versions?normalize=false" {
			t.Errorf("%s: %s", strategy, last)
		}
		if strategy != strategyAssociated && len(calls) != 1 {
			t.Errorf("%s: %q", strategy, calls)
		}
		if strategy == strategyRecord {
			if _, err := write(t, c, record.PlainString, "x"); err == nil || !strings.Contains(errs.Trace(err), "the message value must only be a record schema") {
				t.Errorf("%s: %v", strategy, err)
			}
		}
	}
}

func TestAvroErrors(t *testing.T) {
	tries := 0
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost { // others ask why a schema was refused
				tries++
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	p := newTap(t)
	for _, c := range []struct {
		props     map[string]string
		status    int
		body      string
		trace     string
		tries     int
		retriable bool
	}{
		{map[string]string{}, 409, `{"error_code":40901,"message":"Schema being registered is incompatible with an earlier schema for subject \"t-value\", details: […]"}`,
			"org.apache.kafka.connect.errors.DataException: Failed to serialize Avro data from topic t:\nCaused by: org.apache.kafka.common.errors.SerializationException: Error registering Avro schema" + twoFieldsText +
				"\nCaused by: io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException: Schema being registered is incompatible with an earlier schema for subject \"t-value\", details: […]; error code: 40901", 1, false},
		{map[string]string{"auto.register.schemas": "false"}, 404, `{"error_code":40401,"message":"Subject 't-value' not found."}`,
			"org.apache.kafka.connect.errors.DataException: Failed to serialize Avro data from topic t:\nCaused by: org.apache.kafka.common.errors.SerializationException: Error retrieving Avro schema" + twoFieldsText +
				"\nCaused by: io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException: Subject 't-value' not found.; error code: 40401", 1, false},
		{map[string]string{}, 503, `{"error_code":50301,"message":"later"}`,
			"org.apache.kafka.connect.errors.RetriableException: Failed to serialize Avro data from topic t:\nCaused by: org.apache.kafka.common.errors.SerializationException: Error registering Avro schema" + twoFieldsText +
				"\nCaused by: io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException: later; error code: 50301", 4, true},
	} {
		tries = 0
		p.answer = answer(c.status, c.body)
		c.props["value.subject.name.strategy"] = strategyTopic
		_, err := write(t, avroConverter(t, p.url, c.props), twoFields, map[string]any{"a": "x"})
		if err == nil || errs.Trace(err) != c.trace {
			t.Errorf("got  %s\nwant %s", errs.Trace(err), c.trace)
		}
		if tries != c.tries || errs.Retriable(err) != c.retriable {
			t.Errorf("%d: %d tries, retriable %t", c.status, tries, errs.Retriable(err))
		}
	}
	down := avroConverter(t, "http://me:secret@127.0.0.1:1", nil)
	_, err := write(t, down, twoFields, map[string]any{"a": "x"})
	want := "org.apache.kafka.common.errors.NetworkException: Network connection error while serializing Avro data for topic t: Connection refused\n" +
		"Caused by: org.apache.kafka.common.errors.SerializationException: java.net.ConnectException: Connection refused\nCaused by: java.net.ConnectException: Connection refused"
	if errs.Trace(err) != want {
		t.Errorf("got  %s\nwant %s", errs.Trace(err), want)
	}
	if _, err := write(t, avroConverter(t, staticRegistry(t), nil), record.PlainString, nil); errs.Trace(err) != "org.apache.kafka.connect.errors.DataException: Found null value for non-optional schema" {
		t.Errorf("null: %s", errs.Trace(err))
	}
}

func TestAvroAuth(t *testing.T) {
	for _, c := range []struct {
		props map[string]string
		want  string
	}{
		{map[string]string{"basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u:p:q"}, "Basic dTpwOnE="},
		{map[string]string{"schema.registry.basic.auth.credentials.source": "USER_INFO", "schema.registry.basic.auth.user.info": "u:p"}, "Basic dTpw"},
		{map[string]string{"bearer.auth.token": "T"}, "Bearer T"},
		{map[string]string{"user": "u:p@"}, "Basic dTpw"},
	} {
		p := newTap(t)
		u := strings.Replace(p.url, "://", "://"+c.props["user"], 1)
		delete(c.props, "user")
		if _, err := write(t, avroConverter(t, u, c.props), twoFields, map[string]any{"a": "x"}); err != nil {
			t.Fatal(err)
		}
		if got := p.heads[0].Get("Authorization"); got != c.want {
			t.Errorf("%v: %q", c.props, got)
		}
	}
}

func TestAvroTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"id":3}`) }))
	t.Cleanup(srv.Close)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	props := map[string]string{"value.subject.name.strategy": strategyTopic, "max.retries": "0"}
	if _, err := write(t, avroConverter(t, srv.URL, props), twoFields, map[string]any{"a": "x"}); err == nil {
		t.Error("an unknown certificate was accepted")
	}
	props["schema.registry.ssl.truststore.type"], props["schema.registry.ssl.truststore.certificates"] = "PEM", cert
	if _, err := write(t, avroConverter(t, srv.URL, props), twoFields, map[string]any{"a": "x"}); err != nil {
		t.Error(err)
	}
	named := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	if _, err := write(t, avroConverter(t, named, props), twoFields, map[string]any{"a": "x"}); err == nil {
		t.Error("a wrong name was accepted")
	}
	props["schema.registry.ssl.endpoint.identification.algorithm"] = ""
	if _, err := write(t, avroConverter(t, named, props), twoFields, map[string]any{"a": "x"}); err != nil {
		t.Error(err)
	}
	if _, err := NewAvro(map[string]string{"schema.registry.url": srv.URL, "schema.registry.ssl.truststore.type": "JKS"}, false); err == nil || !strings.Contains(err.Error(), "keytool") {
		t.Errorf("JKS: %v", err)
	}
}

// TestAvroLatest writes with a schema that the registry already has.
func TestAvroLatest(t *testing.T) {
	const head = `{"type":"record","name":"Value","namespace":"s.t","fields":[`
	for name, c := range map[string]struct {
		fields string
		strict bool
		want   string // the bytes, or a part of the error
	}{
		"same":        {`{"name":"a","type":"string"},{"name":"b","type":["null","int"],"default":null}`, true, "02780202"},
		"other order": {`{"name":"b","type":["null","int"],"default":null},{"name":"a","type":["null","string"],"default":null}`, true, "02020" + "20278"},
		"extra field": {`{"name":"a","type":"string"},{"name":"b","type":["null","int"],"default":null},{"name":"extra","type":["null","string"],"default":null},{"name":"d","type":"double","default":1.5}`, true, "0278020200000000000000f83f"},
		"wider":       {`{"name":"a","type":"string"},{"name":"b","type":["null","long"],"default":null}`, true, "02780202"},
		"lacks one":   {`{"name":"a","type":"string"}`, true, "Set latest.compatibility.strict=false"},
		"may lack":    {`{"name":"a","type":"string"},{"name":"extra","type":"string","default":"x"}`, false, "02780278"},
		"no default":  {`{"name":"a","type":"string"},{"name":"b","type":["null","int"]},{"name":"e","type":"int"}`, true, "without a default"},
		"narrower":    {`{"name":"a","type":"string"},{"name":"b","type":["null","boolean"]}`, true, "no branch of the registered union takes a int32"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTap(t)
			cl, err := sr.NewClient(sr.URLs(p.Registry.URL()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cl.CreateSchema(t.Context(), "t-value", sr.Schema{Schema: head + c.fields + "]}"}); err != nil {
				t.Fatal(err)
			}
			conv := avroConverter(t, p.url, map[string]string{"auto.register.schemas": "false", "use.latest.version": "true", "latest.compatibility.strict": fmt.Sprint(c.strict)})
			got, err := write(t, conv, twoFields, map[string]any{"a": "x", "b": 1})
			if err != nil {
				if !strings.Contains(errs.Trace(err), c.want) {
					t.Fatal(errs.Trace(err))
				}
				return
			}
			if got[10:] != c.want {
				t.Fatalf("%s, want %s", got[10:], c.want)
			}
			var b record.Batch
			data, _ := hex.DecodeString(got)
			s, cell, err := conv.Decode(t.Context(), &record.Topic{Name: "t"}, data, &b)
			if err != nil {
				t.Fatal(err)
			}
			if v := record.ToGo(&b, s, cell).(map[string]any); v["a"] != "x" {
				t.Errorf("read back %v", v)
			}
		})
	}
}

// TestAvroReferences reads a schema that names a type of another subject.
func TestAvroReferences(t *testing.T) {
	p := newTap(t)
	cl, err := sr.NewClient(sr.URLs(p.Registry.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.CreateSchema(t.Context(), "money", sr.Schema{Schema: `{"type":"record","name":"Money","namespace":"m","fields":[{"name":"cents","type":"long"}]}`}); err != nil {
		t.Fatal(err)
	}
	s, err := cl.CreateSchema(t.Context(), "t-value", sr.Schema{Schema: `{"type":"record","name":"V","fields":[{"name":"price","type":["null","m.Money"]}]}`,
		References: []sr.SchemaReference{{Name: "m.Money", Subject: "money", Version: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	var b record.Batch
	conv := avroConverter(t, p.url, nil)
	topic := &record.Topic{Name: "t"}
	data := []byte{0, 0, 0, 0, byte(s.ID), 2, 10}
	cs, c, err := conv.Decode(t.Context(), topic, data, &b)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(record.ToGo(&b, cs, c)); got != "map[price:map[cents:5]]" {
		t.Error(got)
	}
	again, _, err := conv.Decode(t.Context(), topic, data, &b)
	if err != nil || again != cs {
		t.Error("the schema is another pointer the second time", err)
	}
	for _, bad := range [][]byte{{}, {1, 0, 0, 0, 1}, {0, 0, 0}, {0, 0, 0, 0, byte(s.ID), 2}, {0, 0, 0, 0, byte(s.ID), 0, 0}, {0, 0, 0, 0, byte(s.ID), 9}} {
		if _, _, err := conv.Decode(t.Context(), topic, bad, &b); err == nil || !strings.HasPrefix(errs.Trace(err), "org.apache.kafka.connect.errors.DataException: Failed to deserialize data for topic t to Avro: ") {
			t.Errorf("%x: %s", bad, errs.Trace(err))
		}
	}
}

// TestAvroNameTwice: Avro has one record per name, so a second struct of that name
// must fit the first, and is refused when it does not.
func TestAvroNameTwice(t *testing.T) {
	named := func(name string, fields ...record.Field) *record.Schema {
		return &record.Schema{Type: record.Struct, Name: name, Fields: fields}
	}
	point := named("g.Point", record.Field{Name: "x", Schema: record.PlainFloat64})
	other := named("g.Point", record.Field{Name: "x", Schema: record.PlainFloat64}, record.Field{Name: "z", Schema: record.PlainFloat64})
	conv := avroConverter(t, staticRegistry(t), nil)
	if _, err := conv.Encoder(t.Context(), &record.Topic{Name: "t"}, named("R", record.Field{Name: "a", Schema: point}, record.Field{Name: "b", Schema: point.AsOptional(true)})); err != nil {
		t.Error(err)
	}
	_, err := conv.Encoder(t.Context(), &record.Topic{Name: "t"}, named("R", record.Field{Name: "a", Schema: point}, record.Field{Name: "b", Schema: other}))
	if err == nil || !strings.Contains(err.Error(), "the registered record g.Point has no such field (field b.z)") {
		t.Error(err)
	}
}
