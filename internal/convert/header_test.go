package convert

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/record"
)

// describe writes a decoded header as the fixture does: schema, then Java's text.
func describe(t *testing.T, b *record.Batch, h record.Header) string {
	t.Helper()
	var schema func(s *record.Schema) string
	schema = func(s *record.Schema) string {
		if s == nil {
			return "null"
		}
		out := strings.ToUpper(s.Type.String())
		if s.Optional {
			out += "?"
		}
		if s.Name != "" {
			params := "null"
			if len(s.Params) > 0 {
				params = "{" + s.Params[0].Key + "=" + s.Params[0].Value + "}"
			}
			out += "(" + s.Name + params + ")"
		}
		switch s.Type {
		case record.Array:
			out += "<" + schema(s.Elem) + ">"
		case record.Map:
			out += "<" + schema(s.Key) + "," + schema(s.Elem) + ">"
		}
		return out
	}
	if h.Schema != nil && (h.Schema.Name == nameDate || h.Schema.Name == nameTime || h.Schema.Name == nameTimestamp) {
		return schema(h.Schema) + " " + strconv.FormatInt(logicalTime(h.Schema.Name, h.Value.Int()).UnixMilli(), 10)
	}
	n, err := compileText(h.Schema)
	if err != nil {
		t.Fatal(err)
	}
	text, err := n.append(nil, b, h.Value)
	if err != nil {
		t.Fatal(err)
	}
	return schema(h.Schema) + " " + string(text)
}

// headersOnPurpose are texts that Connect garbles: it takes the beginning for the
// whole (12:34:56Z becomes 12), puts values under a schema they do not have, keeps
// escapes, or fails on null.
var headersOnPurpose = map[string]string{
	"[[1],[]]":                   "ARRAY<ARRAY<INT8>> [[1], []]",
	"null":                       "null null",
	"[[300],[1]]":                "ARRAY<ARRAY<INT16>> [[300], [1]]",
	`[[1],["a"]]`:                "ARRAY<ARRAY<null>> [[1], [a]]",
	"[2020-01-01,1]":             "ARRAY<null> [2020-01-01, 1]",
	"[2020-01-01,12:34:56.789Z]": "ARRAY<null> [2020-01-01, 12:34:56.789Z]",
	`{"a":"b\"c"}`:               `MAP<STRING,STRING> {a=b"c}`,
	`["a\\b"]`:                   `ARRAY<STRING> [a\b]`,
	"0000-00-00":                 "INT32(org.apache.kafka.connect.data.Datenull) -62169984000000",
}

// trailing are texts of which Connect reads the beginning only; here they are text.
var trailing = []string{"12:34:56Z", "12:34:56.789", "12:34:56.789+0100", "[1,]", `{"a":1,}`, "[1] x", "1,2", `{"a":1 "b":2}`, `{"a":1}}`, "[1]]",
	"12:34:56.789Zx", "2020-01-01T12:34:56.789Z,1", "[1,2],3", "1:2"}

// TestSimpleHeaderDecode compares with what Connect 4.3.1 read.
func TestSimpleHeaderDecode(t *testing.T) {
	f, err := os.Open("../../testdata/convert/simple-headers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := map[string]string{}
	for k, v := range headersOnPurpose {
		other[k] = v
	}
	for _, k := range trailing {
		other[k] = "STRING " + k
	}
	h, err := NewSimpleHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b record.Batch
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); n++ {
		quoted, want, _ := strings.Cut(sc.Text(), "\t")
		var text string
		if err := json.Unmarshal([]byte(quoted), &text); err != nil {
			t.Fatal(err)
		}
		if w, ok := other[text]; ok {
			if w == want {
				t.Errorf("%s: Connect reads the same, no difference on purpose", text)
			}
			want = w
		}
		b.Reset()
		got, err := h.DecodeHeader(nil, "h", []byte(text), &b)
		if err != nil {
			t.Fatal(err)
		}
		if d := describe(t, &b, got); strings.ReplaceAll(d, "\n", `\n`) != want {
			t.Errorf("%s: got %s, want %s", text, d, want)
		}
	}
	if n < 200 {
		t.Errorf("only %d texts", n)
	}
}

// TestSimpleHeaderEncode compares with what Connect 4.3.1 wrote.
func TestSimpleHeaderEncode(t *testing.T) {
	date := &record.Schema{Type: record.Int32, Name: nameDate, Version: 1}
	timestamp := &record.Schema{Type: record.Int64, Name: nameTimestamp, Version: 1}
	decimal := func(scale string) *record.Schema {
		return &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: []record.Param{{Key: "scale", Value: scale}}}
	}
	h, err := NewSimpleHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    *record.Schema
		v    any
		want string
	}{
		{record.PlainString, "a\"b\\c\n", "a\"b\\c\n"},
		{nil, "x", "x"},
		{record.PlainBytes, []byte{1, 2, 3}, "AQID"},
		{record.PlainFloat32, float32(1.5), "1.5"},
		{record.PlainFloat64, 1e10, "1.0E10"},
		{record.PlainBoolean, true, "true"},
		{decimal("2"), []byte{0, 150}, "1.50"},
		{decimal("10"), []byte{1}, "1E-10"},
		{timestamp, int64(0), "00:00:00.000Z"},
		{timestamp, int64(1500), "00:00:01.500Z"},
		{timestamp, int64(-1), "23:59:59.999Z"},
		{timestamp, int64(-86400000), "00:00:00.000Z"},
		{timestamp, int64(86400000), "1970-01-02"},
		{timestamp, int64(86400001), "1970-01-02T00:00:00.001Z"},
		{timestamp, int64(1577840523456), "2020-01-01T01:02:03.456Z"},
		{timestamp, int64(-99999999999999), "14:13:20.001Z"},
		{timestamp, int64(253402300800000), "10000-01-01"},
		{date, 18262, "2020-01-01"},
		{&record.Schema{Type: record.Array, Elem: record.PlainString}, []any{"a", "b\"c\\\n"}, "[\"a\",\"b\\\"c\\\\\n\"]"},
		{nil, []any{1, nil, "x", true, 1.5}, `[1,null,"x",true,1.5]`},
		{nil, map[string]any{"k": []any{1, 2}}, `{"k":[1,2]}`},
	} {
		var b record.Batch
		cell, err := record.FromGo(&b, c.s, c.v)
		if err != nil {
			t.Fatal(err)
		}
		got, null, err := h.AppendHeader(nil, nil, &b, record.Header{Schema: c.s, Value: cell})
		if err != nil || null || string(got) != c.want {
			t.Errorf("%v: %q, want %q (%v)", c.v, got, c.want, err)
		}
	}
	if _, null, err := h.AppendHeader(nil, nil, &record.Batch{}, record.Header{Schema: record.OptionalString}); !null || err != nil {
		t.Errorf("null: %t, %v", null, err)
	}
}
