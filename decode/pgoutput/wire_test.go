package pgoutput

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// wireCase is what a PostgreSQL server said while a recorded case ran: tables as
// the catalog had them, rows as text, messages of the stream as bytes. It is made
// by `go test -tags record -run TestRecordWire` against a real server.
type wireCase struct {
	Config   map[string]string
	Types    []pgvalue.Type
	Snapshot []wireTable
	Stream   []wireMessage
}

type wireTable struct {
	Schema, Name string
	Columns      []wireColumn
	Key          []string // in index order
	Rows         [][]*string
}

type wireColumn struct {
	Name    string
	TypeOID uint32
	Typmod  int32
	NotNull bool
	Default string
}

// wireMessage is one message; a RELATION carries the catalog's view of its table
// at that time.
type wireMessage struct {
	Data []byte
	Meta *wireTable `json:",omitempty"`
}

// Type implements pgvalue.Types.
func (w *wireCase) Type(oid uint32) *pgvalue.Type {
	for i := range w.Types {
		if w.Types[i].OID == oid {
			return &w.Types[i]
		}
	}
	return nil
}

func (w *wireCase) modes() pgvalue.Modes {
	get := func(k, def string) string {
		if v := w.Config[k]; v != "" {
			return v
		}
		return def
	}
	m := pgvalue.Modes{
		Decimal: get("decimal.handling.mode", "precise"), Time: get("time.precision.mode", "adaptive"),
		Binary: get("binary.handling.mode", "bytes"), Hstore: get("hstore.handling.mode", "json"),
		Interval: get("interval.handling.mode", "numeric"), MoneyDigits: 2,
		IncludeUnknown: get("include.unknown.datatypes", "false") == "true",
	}
	if d := w.Config["money.fraction.digits"]; d != "" {
		m.MoneyDigits, _ = strconv.Atoi(d)
	}
	ph := get("unavailable.value.placeholder", "__debezium_unavailable_value")
	m.Placeholder = []byte(ph)
	if strings.HasPrefix(ph, "hex:") {
		m.Placeholder, _ = hex.DecodeString(ph[4:])
	}
	return m
}

// matches says whether a comma-separated list of patterns matches a whole name.
func matches(t *testing.T, list, name string) bool {
	for _, p := range strings.Split(list, ",") {
		re, err := regexp.Compile("(?i)^(?:" + strings.TrimSpace(p) + ")$")
		if err != nil {
			t.Fatal(err)
		}
		if re.MatchString(name) {
			return true
		}
	}
	return false
}

var optionKey = regexp.MustCompile(`^column\.(?:(truncate\.to|mask\.with)\.(\d+)\.chars|(mask\.hash(?:\.v2)?)\.([^.]+)\.with\.salt\.(.+))$`)

var optionOrder = []string{"column.truncate.to.", "column.mask.with.", "column.propagate.source.type", "datatype.propagate.source.type",
	"column.mask.hash.v2.", "column.mask.hash."}

// options applies the first of the case's column options that matches, in the
// order in which Debezium looks at them.
func (w *wireCase) options(t *testing.T, tab *wireTable, c *pgvalue.Column, path pgvalue.Path) {
	full := tab.Schema + "." + tab.Name + "." + c.Name
	best := len(optionOrder)
	for k, v := range w.Config {
		at := slices.IndexFunc(optionOrder, func(p string) bool { return strings.HasPrefix(k, p) })
		if at < 0 || at >= best {
			continue
		}
		name := full
		if at == len(optionOrder)-3 {
			name = tab.Schema + "." + tab.Name + "." + pgvalue.SourceTypeName(c, w, path)
		}
		if !matches(t, v, name) {
			continue
		}
		best = at
		c.Truncate, c.MaskChars, c.Hash, c.Propagate = -1, -1, nil, false
		m := optionKey.FindStringSubmatch(k)
		switch {
		case m == nil:
			c.Propagate = true
		case m[1] == "truncate.to":
			c.Truncate, _ = strconv.Atoi(m[2])
		case m[1] == "mask.with":
			c.MaskChars, _ = strconv.Atoi(m[2])
		default:
			c.Hash = hasher(m[4], m[5], m[3] == "mask.hash.v2")
		}
	}
}

// hasher is Debezium's column hash: salt, then the text, in version 1 as a
// Java-serialised string.
func hasher(alg, salt string, v2 bool) func([]byte) []byte {
	return func(v []byte) []byte {
		var h hash.Hash
		switch alg {
		case "SHA-256":
			h = sha256.New()
		case "SHA-512":
			h = sha512.New()
		default:
			h = md5.New()
		}
		h.Write([]byte(salt))
		if !v2 {
			v = javaSerialised(string(v))
		}
		h.Write(v)
		return hex.AppendEncode(nil, h.Sum(nil))
	}
}

// javaSerialised is ObjectOutputStream of a string: modified UTF-8.
func javaSerialised(s string) []byte {
	var body []byte
	for _, r := range s {
		if r >= 0x10000 {
			r -= 0x10000
			for _, u := range []rune{0xD800 + r>>10, 0xDC00 + r&0x3FF} {
				body = append(body, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
			}
			continue
		}
		body = append(body, string(r)...)
	}
	return append([]byte{0xAC, 0xED, 0, 5, 0x74, byte(len(body) >> 8), byte(len(body))}, body...)
}

// spec makes the table of a wire table.
func (w *wireCase) spec(t *testing.T, tab *wireTable, path pgvalue.Path) TableSpec {
	prefix := "server1." + tab.Schema + "." + tab.Name
	s := TableSpec{Schema: tab.Schema, Name: tab.Name, KeyName: prefix + ".Key", ValueName: prefix + ".Value", Path: path}
	for _, c := range tab.Columns {
		col := pgvalue.Column{Name: c.Name, TypeOID: c.TypeOID, Typmod: c.Typmod, NotNull: c.NotNull, Default: c.Default,
			Serial: strings.Contains(c.Default, "nextval("), Truncate: -1, MaskChars: -1}
		w.options(t, tab, &col, path)
		s.Columns = append(s.Columns, col)
		full := tab.Schema + "." + tab.Name + "." + c.Name
		in := true
		if l := w.Config["column.include.list"]; l != "" {
			in = matches(t, l, full)
		}
		if l := w.Config["column.exclude.list"]; l != "" {
			in = in && !matches(t, l, full)
		}
		s.InValue = append(s.InValue, in)
	}
	for _, k := range w.key(t, tab) {
		for i, c := range tab.Columns {
			if c.Name == k {
				s.Key = append(s.Key, i)
			}
		}
	}
	return s
}

// key is the table's key, or what message.key.columns says.
func (w *wireCase) key(t *testing.T, tab *wireTable) []string {
	for _, e := range strings.Split(w.Config["message.key.columns"], ";") {
		re, cols, ok := strings.Cut(e, ":")
		if ok && matches(t, re, tab.Schema+"."+tab.Name) {
			var out []string
			for _, c := range strings.Split(cols, ",") {
				out = append(out, strings.TrimSpace(c))
			}
			return out
		}
	}
	return tab.Key
}

// ---- as JsonConverter prints

// readable makes the replacement character of half a surrogate pair, which a
// truncated string may end with: Go's JSON reader does so with the recording.
func readable(s []byte) string {
	if n := len(s); n >= 3 && s[n-3] == 0xED && s[n-2] >= 0xA0 {
		return string(s[:n-3]) + "\uFFFD"
	}
	return string(s)
}

// show turns a value into what JsonConverter prints, as Go values: defaults in
// place of nulls, floats as "~" and Java's text.
func show(b *record.Batch, s *record.Schema, c record.Cell) any {
	if c.IsNull() {
		if s.Default != nil {
			return show(s.Default.Batch(), s, s.Default.Root)
		}
		return nil
	}
	switch c.Kind() {
	case record.Boolean:
		return c.Bool()
	case record.Float32, record.Float64:
		return javaFloat(c)
	case record.String:
		return readable(b.Raw(c))
	case record.Bytes:
		return append([]byte{}, b.Raw(c)...)
	case record.Array:
		out := []any{}
		for i := range c.Len() {
			out = append(out, show(b, s.Elem, b.Child(c, i)))
		}
		return out
	case record.Map:
		if s.Key.Type == record.String {
			out := ordered{}
			for i := 0; i < c.Len(); i += 2 {
				out = append(out, member{string(b.Raw(b.Child(c, i))), show(b, s.Elem, b.Child(c, i+1))})
			}
			return out
		}
		out := []any{}
		for i := 0; i < c.Len(); i += 2 {
			out = append(out, []any{show(b, s.Key, b.Child(c, i)), show(b, s.Elem, b.Child(c, i+1))})
		}
		return out
	case record.Struct:
		out := ordered{}
		for i, f := range s.Fields {
			out = append(out, member{f.Name, show(b, f.Schema, b.Child(c, i))})
		}
		return out
	}
	return c.Int()
}

// ordered is a JSON object that keeps its order.
type ordered []member

type member struct {
	key   string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o ordered) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		k, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, k...), ':'), v...)
	}
	return append(out, '}'), nil
}

func javaFloat(c record.Cell) any {
	var text []byte
	if c.Kind() == record.Float32 {
		text = record.AppendJavaFloat(nil, float32(c.Float()))
	} else {
		text = record.AppendJavaDouble(nil, c.Float())
	}
	if last := text[len(text)-1]; last == 'N' || last == 'y' { // NaN, Infinity
		return string(text)
	}
	return "~" + string(text)
}

// showSchema prints a schema as JsonConverter does, without a field name.
func showSchema(s *record.Schema, field string) ordered {
	o := ordered{{"type", map[record.Type]string{record.Float32: "float", record.Float64: "double"}[s.Type]}}
	if o[0].value == "" {
		o[0].value = s.Type.String()
	}
	switch s.Type {
	case record.Array:
		o = append(o, member{"items", showSchema(s.Elem, "")})
	case record.Map:
		o = append(o, member{"keys", showSchema(s.Key, "")}, member{"values", showSchema(s.Elem, "")})
	case record.Struct:
		fs := []any{}
		for _, f := range s.Fields {
			fs = append(fs, showSchema(f.Schema, f.Name))
		}
		o = append(o, member{"fields", fs})
	}
	o = append(o, member{"optional", s.Optional})
	if s.Name != "" {
		o = append(o, member{"name", s.Name})
	}
	if s.Version != 0 {
		o = append(o, member{"version", s.Version})
	}
	if s.Doc != "" {
		o = append(o, member{"doc", s.Doc})
	}
	if len(s.Params) > 0 {
		ps := ordered{}
		for _, p := range s.Params {
			ps = append(ps, member{p.Key, p.Value})
		}
		o = append(o, member{"parameters", ps})
	}
	if s.Default != nil {
		o = append(o, member{"default", show(s.Default.Batch(), s, s.Default.Root)})
	}
	if field != "" {
		o = append(o, member{"field", field})
	}
	return o
}
