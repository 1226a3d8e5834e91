package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"millrace/internal/record"
)

// recording is an expected.json of the oracle corpus: what the real connectors
// and converters wrote, schemas kept apart, member order kept.
type recording struct {
	Name    string
	Schemas map[string]json.RawMessage
	Records []struct {
		Topic      string
		Key, Value json.RawMessage
	}
}

// recordings reads the corpus below testdata/oracle that match a pattern such as
// "postgres/converter-*".
func recordings(t testing.TB, pattern string) []recording {
	t.Helper()
	files, err := filepath.Glob("../../testdata/oracle/" + pattern + ".expected.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings match %s (%v)", pattern, err)
	}
	var out []recording
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r := recording{Name: filepath.Base(f)}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out = append(out, r)
	}
	return out
}

// tildeNumber is how recordings mark the exact text of a number with a fraction.
var tildeNumber = regexp.MustCompile(`"~(-?[0-9][0-9.eE+-]*)"`)

// compactJSON brings recorded JSON into the form that Jackson writes: without
// spaces, numbers as they were, escapes as Jackson's.
func compactJSON(t testing.TB, raw json.RawMessage) []byte {
	t.Helper()
	var sb bytes.Buffer
	if err := json.Compact(&sb, raw); err != nil {
		t.Fatal(err)
	}
	text := tildeNumber.ReplaceAll(sb.Bytes(), []byte("$1"))
	// every string is unescaped and escaped again, since recordings hold raw text
	var out []byte
	for i := 0; i < len(text); {
		if text[i] != '"' {
			out = append(out, text[i])
			i++
			continue
		}
		s := jsonScanner{data: text, pos: i}
		part, _, err := s.str()
		if err != nil {
			t.Fatal(err)
		}
		i = s.pos
		out = appendJSONString(out, appendUnescaped(nil, part))
	}
	return out
}

// placeholders replaces what the recordings blanked out, where the schema says
// that a number stands, by numbers.
func placeholders(s *record.Schema, text []byte) []byte {
	if s == nil {
		return text
	}
	sc := jsonScanner{data: text}
	switch c := sc.peek(); {
	case c == '{' && (s.Type == record.Struct || s.Type == record.Map):
		out := []byte{'{'}
		_ = sc.members('{', func(name []byte) error {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(appendJSONString(out, name), ':')
			child := s.Elem
			if s.Type == record.Struct {
				_, child = s.Field(string(name))
			}
			part, err := sc.skip()
			out = append(out, placeholders(child, part)...)
			return err
		})
		return append(out, '}')
	case c == '[' && s.Type == record.Array:
		out := []byte{'['}
		_ = sc.members('[', func([]byte) error {
			if len(out) > 1 {
				out = append(out, ',')
			}
			part, err := sc.skip()
			out = append(out, placeholders(s.Elem, part)...)
			return err
		})
		return append(out, ']')
	case c == '"' && s.Type >= record.Int8 && s.Type <= record.Int64:
		return []byte("7")
	}
	return text
}

// envelopeText is what the real JsonConverter wrote for a recorded key or value,
// "" when that was no envelope.
func envelopeText(t testing.TB, r recording, raw json.RawMessage) string {
	t.Helper()
	var env struct {
		Schema  *string
		Payload json.RawMessage
	}
	if json.Unmarshal(raw, &env) != nil || env.Schema == nil || r.Schemas[*env.Schema] == nil || env.Payload == nil {
		return ""
	}
	schemaText := compactJSON(t, r.Schemas[*env.Schema])
	s, _, err := parseJSONSchema(schemaText, false, 0)
	if err != nil {
		t.Fatalf("%s: %v\n%s", r.Name, err, schemaText)
	}
	return fmt.Sprintf(`{"schema":%s,"payload":%s}`, schemaText, placeholders(s, compactJSON(t, env.Payload)))
}

// TestJSONOracle decodes every recorded envelope and encodes it again: the bytes,
// schema included, must be those that the real converter wrote.
func TestJSONOracle(t *testing.T) {
	conv, err := NewJSON(map[string]string{"replace.null.with.default": "false"}, false)
	if err != nil {
		t.Fatal(err)
	}
	numeric, err := NewJSON(map[string]string{"replace.null.with.default": "false", "decimal.format": "NUMERIC"}, false)
	if err != nil {
		t.Fatal(err)
	}
	topic := &record.Topic{Name: "t"}
	schemas, values := 0, 0
	for _, r := range recordings(t, "postgres/*") {
		c := conv
		if strings.Contains(r.Name, "numeric") && strings.HasPrefix(r.Name, "converter-decimal") {
			c = numeric
		}
		var b record.Batch
		for _, rec := range r.Records {
			for _, raw := range []json.RawMessage{rec.Key, rec.Value} {
				want := envelopeText(t, r, raw)
				if want == "" {
					continue
				}
				b.Reset()
				ds, cell, err := c.Decode(t.Context(), topic, []byte(want), &b)
				if err != nil {
					t.Fatalf("%s: %v\n%s", r.Name, err, want)
				}
				e, err := c.Encoder(t.Context(), topic, ds)
				if err != nil {
					t.Fatal(err)
				}
				got, null, err := e.Append(nil, &b, cell)
				if err != nil || null || string(got) != want {
					t.Fatalf("%s: %v\n got %s\nwant %s", r.Name, err, got, want)
				}
				values++
			}
		}
		schemas += len(r.Schemas)
	}
	t.Logf("%d values with %d schemas", values, schemas)
	if values < 1000 {
		t.Errorf("only %d values were compared", values)
	}
}
