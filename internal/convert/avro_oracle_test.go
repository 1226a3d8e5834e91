package convert

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// avroText is a recorded Avro schema as the converter registered it.
func avroText(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var sb bytes.Buffer
	if err := json.Compact(&sb, raw); err != nil {
		t.Fatal(err)
	}
	text := tildeNumber.ReplaceAll(sb.Bytes(), []byte("$1"))
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
		out = appendAvroText(out, string(appendUnescaped(nil, part)))
	}
	return string(out)
}

// defaultAvro are the data options of an AvroConverter without settings.
var defaultAvro = avroOptions{metaData: true, flattenUnions: true}

// avroOptionsOf are the options that recorded cases set.
func avroOptionsOf(name string) avroOptions {
	o := defaultAvro
	switch strings.TrimSuffix(name, ".expected.json") {
	case "defaults-ignored-for-nullables":
		o.ignoreDefaults = true
	case "enhanced-schema-support":
		o.enhanced = true
	case "generalized-sum-type-support":
		o.sumTypes = true
	case "optional-map-keys":
		o.optionalKeys = true
	case "names-scrubbed":
		o.scrub = true
	}
	return o
}

// TestAvroSchemaRoundTrip reads every recorded schema into a Connect schema and
// makes the Avro schema of that again: the text, and so the id, must not change.
func TestAvroSchemaRoundTrip(t *testing.T) {
	n := 0
	for _, r := range recordings(t, "avro/*") {
		switch r.Name {
		case "connect-meta-data-false.expected.json", // the Connect types are not in the schema
			"normalize-schemas.expected.json", // as the registry sorted it
			"jsonschema-types.expected.json",
			"use-latest-version-not-strict.expected.json": // registered by hand
			continue
		}
		for id, raw := range r.Schemas {
			want := avroText(t, raw)
			var p avroParser
			a, err := p.parse([]byte(want))
			if err != nil {
				t.Fatalf("%s %s: %v", r.Name, id, err)
			}
			if got := a.text(); got != want {
				t.Errorf("%s %s: read and printed\n got %s\nwant %s", r.Name, id, got, want)
			}
			opts := avroOptionsOf(r.Name)
			tc := avroToConnect{avroOptions: opts}
			s, _, err := tc.compile(a, false, nil)
			if err != nil {
				t.Errorf("%s %s: %v", r.Name, id, err)
				continue
			}
			back, err := opts.fromConnect(s)
			if err != nil {
				t.Errorf("%s %s: %v", r.Name, id, err)
				continue
			}
			if got := back.text(); got != want {
				t.Errorf("%s %s:\n got %s\nwant %s", r.Name, id, got, want)
			}
			n++
		}
	}
	t.Logf("%d schemas", n)
	if n < 100 {
		t.Errorf("only %d schemas", n)
	}
}
