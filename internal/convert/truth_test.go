package convert

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// confluentCase is what Confluent's converter of release 8.3.1 made of a value.
type confluentCase struct {
	Case      string
	Converter string            // avro, protobuf or jsonschema
	Options   map[string]string // on top of the registry's address
	Key       bool
	In        json.RawMessage // JsonConverter's form, with schema
	Text      string          // "[subject]text" for each schema it registered
	Bytes     *string         // hex; nil: null or an error
	Back      string          // the bytes read again, in JsonConverter's form; "!" and the error's classes
	Error     string          // chain of Java exceptions; "": none
	Skip      string          // JsonConverter could not read the value
}

// miniRegistry gives ids to schema texts without looking at them.
type miniRegistry struct {
	mu    sync.Mutex
	types []string
	texts []string
	saw   string
}

func (m *miniRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPost && parts[0] == "subjects":
		var body struct{ SchemaType, Schema string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		m.saw += "[" + parts[1] + "]" + body.Schema + "\n"
		m.texts, m.types = append(m.texts, body.Schema), append(m.types, body.SchemaType)
		_ = json.NewEncoder(w).Encode(map[string]int{"id": len(m.texts)})
	case parts[0] == "schemas":
		id, _ := strconv.Atoi(parts[2])
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": m.texts[id-1], "schemaType": m.types[id-1]})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestConfluent compares with what Confluent's own converters registered and wrote.
// MILLRACE_TEST_CONFLUENT names another file of such cases.
func TestConfluent(t *testing.T) {
	file := os.Getenv("MILLRACE_TEST_CONFLUENT")
	if file == "" {
		file = "testdata/confluent.jsonl"
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := &miniRegistry{}
	srv := httptest.NewServer(m)
	defer srv.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	n, bad := map[string]int{}, map[string]int{}
	for sc.Scan() {
		var c confluentCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if c.Skip != "" {
			continue
		}
		n[c.Converter]++
		if what := c.check(t, m, srv.URL); what != "" {
			if bad[c.Converter]++; bad[c.Converter] <= 12 {
				t.Errorf("%s %s %v: %s", c.Case, c.Converter, c.Options, what)
			}
		}
	}
	t.Logf("cases %v, different %v", n, bad)
}

func (c *confluentCase) check(t *testing.T, m *miniRegistry, url string) string {
	js, err := NewJSON(map[string]string{"schemas.enable": "true", "replace.null.with.default": "false"}, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	topic := &record.Topic{Name: "t"}
	var b record.Batch
	s, v, err := js.Decode(t.Context(), topic, c.In, &b)
	if err != nil {
		return "the input: " + errs.Trace(err)
	}
	props := map[string]string{"schema.registry.url": url}
	for k, v := range c.Options {
		props[k] = v
	}
	m.mu.Lock()
	m.saw = ""
	m.mu.Unlock()
	conv, err := map[string]func(map[string]string, bool) (Converter, error){"avro": NewAvro, "protobuf": NewProtobuf, "jsonschema": NewJSONSchema}[c.Converter](props, c.Key)
	if err != nil {
		return err.Error()
	}
	var data []byte
	var null bool
	enc, err := conv.Encoder(t.Context(), topic, s)
	if err == nil {
		data, null, err = enc.Append(nil, &b, v)
	}
	if err != nil && c.Error != "" {
		return ""
	}
	switch {
	case err != nil:
		return "refused: " + errs.Trace(err)
	case c.Error != "":
		return "not refused, Java says " + c.Error + "\n" + m.saw
	case m.saw != c.Text:
		return difference(m.saw, c.Text)
	case null != (c.Bytes == nil):
		return fmt.Sprintf("null %v, want %v", null, c.Bytes == nil)
	case null:
		return ""
	}
	want, _ := hex.DecodeString(*c.Bytes)
	if len(want) < 5 || !bytes.Equal(data[5:], want[5:]) {
		return fmt.Sprintf("bytes\n got %x %q\nwant %x %q", data[5:], data[5:], want[5:], want[5:])
	}
	s, v, err = conv.Decode(t.Context(), topic, data, &b)
	if strings.HasPrefix(c.Back, "!") {
		return ""
	}
	if err != nil {
		return "read again: " + errs.Trace(err)
	}
	printer, err := js.Encoder(t.Context(), topic, s)
	if err == nil {
		data, _, err = printer.Append(nil, &b, v)
	}
	if err != nil {
		return "printed again: " + errs.Trace(err)
	}
	// Confluent's gives what it read the version that the schema has in its subject.
	got, want2 := withoutVersion(string(data)), withoutVersion(c.Back)
	if got != want2 {
		return "read again " + difference(got, want2)
	}
	return ""
}

// topVersion is the version of the schema at the top of an envelope: behind it stand
// only a doc, parameters, a default and a field.
var topVersion = regexp.MustCompile(`,"version":1((?:,"doc":"[^"]*")?(?:,"parameters":\{[^}]*\})?(?:,"default":[^]}]*)?\},"payload")`)

func withoutVersion(text string) string { return topVersion.ReplaceAllString(text, "$1") }

// difference shows where two texts part.
func difference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	from := max(0, i-150)
	return fmt.Sprintf("at %d\n got …%s\nwant …%s", i, got[from:min(len(got), i+200)], want[from:min(len(want), i+200)])
}
