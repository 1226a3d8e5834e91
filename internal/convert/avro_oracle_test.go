package convert

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	hamba "github.com/hamba/avro/v2"

	"millrace/internal/record"
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

// badName reports a name that Avro cannot have, which some cases are about.
func badName(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "Illegal ")
}

// TestAvroSchemaOfConnect makes Avro schemas of the Connect schemas that the
// JsonConverter recorded, and compares them with those that the AvroConverter
// registered for the same tables.
func TestAvroSchemaOfConnect(t *testing.T) {
	byName := map[string]map[string]string{} // case → connect.name → text
	for _, r := range recordings(t, "avro/*") {
		m := map[string]string{}
		for _, raw := range r.Schemas {
			text := avroText(t, raw)
			var p avroParser
			if a, err := p.parse([]byte(text)); err == nil && a.kind == avroRecord {
				if _, again := m[a.textProp(propConnectName)]; !again {
					m[a.textProp(propConnectName)] = text
				}
			}
		}
		byName[r.Name] = m
	}
	same, n := 0, 0
	for _, r := range recordings(t, "postgres/*") {
		if r.Name == "types-floats.expected.json" {
			continue // the tables differ: the registry refuses defaults that are NaN
		}
		for id, raw := range r.Schemas {
			s, _, err := parseJSONSchema(compactJSON(t, raw), true, 0)
			if err != nil {
				t.Fatalf("%s %s: %v", r.Name, id, err)
			}
			if s.Type != record.Struct {
				continue
			}
			a, err := defaultAvro.fromConnect(s)
			if badName(err) {
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", r.Name, id, err)
				continue
			}
			n++
			ac := avroCompiler{avroOptions: defaultAvro}
			if _, err := ac.compile(s, a); err != nil {
				t.Errorf("%s %s: no plan for the own schema: %v", r.Name, id, err)
			}
			want, ok := byName[r.Name][s.Name]
			if !ok {
				continue
			}
			if got := a.text(); got != want {
				t.Errorf("%s %s:\n got %s\nwant %s", r.Name, id, got, want)
				continue
			}
			same++
		}
	}
	t.Logf("%d Connect schemas, %d equal to a registered one", n, same)
}

// logicalTypes are taken out for the oracle, which would want Go's own types.
var logicalTypes = regexp.MustCompile(`,"logicalType":"[a-z-]+"`)

// hambaValue is a value as hamba takes it under the schema.
func hambaValue(t testing.TB, a *avroSchema, s *record.Schema, b *record.Batch, c record.Cell) any {
	if a.kind == avroUnion {
		if c.IsNull() && !hasDefault(s) {
			return nil
		}
		for _, branch := range a.branches {
			if branch.kind != avroNull {
				name := branch.kind.String()
				if branch.kind == avroRecord {
					name = branch.fullName()
				}
				return map[string]any{name: hambaValue(t, branch, s, b, c)}
			}
		}
	}
	if c.IsNull() && hasDefault(s) {
		return hambaValue(t, a, s, s.Default.Batch(), s.Default.Root)
	}
	switch a.kind {
	case avroInt:
		return int32(c.Int())
	case avroRecord:
		out := map[string]any{}
		for i, f := range s.Fields {
			out[f.Name] = hambaValue(t, a.fields[i].typ, f.Schema, b, b.Child(c, i))
		}
		return out
	case avroArray:
		out := []any{}
		for i := 0; s.Type == record.Map && i < c.Len(); i += 2 {
			out = append(out, map[string]any{"key": hambaValue(t, a.elem.fields[0].typ, s.Key, b, b.Child(c, i)),
				"value": hambaValue(t, a.elem.fields[1].typ, s.Elem, b, b.Child(c, i+1))})
		}
		if s.Type == record.Map {
			return out
		}
		for _, e := range b.Children(c) {
			out = append(out, hambaValue(t, a.elem, s.Elem, b, e))
		}
		return out
	case avroMap:
		out := map[string]any{}
		for i := 0; i < c.Len(); i += 2 {
			out[b.Str(b.Child(c, i))] = hambaValue(t, a.elem, s.Elem, b, b.Child(c, i+1))
		}
		return out
	}
	return record.ToGo(b, s, c)
}

// TestAvroBytes writes every recorded value and compares the bytes with those of
// another implementation, then reads them back.
func TestAvroBytes(t *testing.T) {
	conv, err := NewJSON(map[string]string{"replace.null.with.default": "false"}, false)
	if err != nil {
		t.Fatal(err)
	}
	n, skipped := 0, 0
	for _, r := range recordings(t, "postgres/*") {
		plans := map[*record.Schema]hamba.Schema{}
		apis := map[*record.Schema]hamba.API{}
		var b, back record.Batch
		for _, rec := range r.Records {
			for _, raw := range []json.RawMessage{rec.Key, rec.Value} {
				text := envelopeText(t, r, raw)
				if text == "" {
					continue
				}
				b.Reset()
				s, c, err := conv.Decode(t.Context(), nil, []byte(text), &b)
				if err != nil || strings.Contains(r.Name, "numeric") && strings.HasPrefix(r.Name, "converter-decimal") {
					continue
				}
				a, err := defaultAvro.fromConnect(s)
				if badName(err) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				oracle, ok := plans[s]
				if !ok {
					oracle, err = hamba.ParseWithCache(logicalTypes.ReplaceAllString(a.text(), ""), "", &hamba.SchemaCache{})
					if err != nil {
						oracle = nil // names or defaults that Avro forbids
					}
					plans[s], apis[s] = oracle, hamba.Config{DisableBlockSizeHeader: true, BlockLength: 1 << 20}.Freeze()
				}
				ac := avroCompiler{avroOptions: defaultAvro}
				node, err := ac.compile(s, a)
				if err != nil {
					t.Fatal(err)
				}
				got, err := node.append(nil, &b, c)
				if err != nil {
					t.Fatalf("%s: %v", r.Name, err)
				}
				if oracle == nil || strings.Contains(a.text(), `"type":"map"`) {
					skipped++ // maps have no order there
				} else {
					want, err := apis[s].Marshal(oracle, hambaValue(t, a, s, &b, c))
					if err != nil {
						t.Fatalf("%s: %v\n%s", r.Name, err, a.text())
					}
					want = bytes.ReplaceAll(want, []byte("\x01\x00\x00\x00\x00\x00\xf8\x7f"), []byte("\x00\x00\x00\x00\x00\x00\xf8\x7f")) // Go's NaN is not Java's
					if !bytes.Equal(got, want) {
						t.Fatalf("%s:\n got %x\nwant %x\n%s", r.Name, got, want, a.text())
					}
				}
				n++
				tc := avroToConnect{avroOptions: defaultAvro}
				rs, rn, err := tc.compile(a, false, nil)
				if err != nil {
					t.Fatal(err)
				}
				back.Reset()
				rd := avroReader{data: got}
				rc, err := rn.read(&rd, &back)
				if err != nil || rd.pos != len(got) {
					t.Fatalf("%s: read back: %v", r.Name, err)
				}
				again, err := node.append(nil, &back, rc)
				if err != nil || !bytes.Equal(again, got) || rs.Name != s.Name {
					t.Fatalf("%s: %v\n got %x\nwant %x", r.Name, err, again, got)
				}
			}
		}
	}
	t.Logf("%d values, %d without oracle", n, skipped)
	if n < 5000 || skipped > n/20 {
		t.Errorf("%d values, %d without oracle", n, skipped)
	}
}

// TestAvroWithoutMetaData makes the schema of connect.meta.data=false from the
// same table's schema with it.
func TestAvroWithoutMetaData(t *testing.T) {
	envelope := func(name string) string {
		for _, r := range recordings(t, "avro/"+name) {
			for _, raw := range r.Schemas {
				if text := avroText(t, raw); strings.Contains(text, `"name":"Envelope"`) {
					return text
				}
			}
		}
		t.Fatal("no envelope in " + name)
		return ""
	}
	full, want := envelope("defaults-ignored-for-nullables"), envelope("connect-meta-data-false")
	var p avroParser
	a, err := p.parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	tc := avroToConnect{avroOptions: defaultAvro}
	s, _, err := tc.compile(a, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := avroOptions{}.fromConnect(s)
	if err != nil {
		t.Fatal(err)
	}
	if got.text() != want {
		t.Errorf("\n got %s\nwant %s", got.text(), want)
	}
}
