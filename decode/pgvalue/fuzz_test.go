package pgvalue

import (
	"strings"
	"testing"

	"millrace/internal/record"
)

// fuzzTypes are types that the built-in table does not know.
type fuzzTypes map[uint32]*Type

func (f fuzzTypes) Type(oid uint32) *Type { return f[oid] }

var extensionTypes = fuzzTypes{
	20001: {OID: 20001, Schema: "public", Name: "geometry", Kind: 'b'},
	20002: {OID: 20002, Schema: "public", Name: "geography", Kind: 'b'},
	20003: {OID: 20003, Schema: "public", Name: "citext", Kind: 'b'},
	20004: {OID: 20004, Schema: "public", Name: "hstore", Kind: 'b'},
	20005: {OID: 20005, Schema: "public", Name: "ltree", Kind: 'b'},
	20006: {OID: 20006, Schema: "public", Name: "isbn", Kind: 'b'},
	20007: {OID: 20007, Schema: "public", Name: "vector", Kind: 'b'},
	20008: {OID: 20008, Schema: "public", Name: "halfvec", Kind: 'b'},
	20009: {OID: 20009, Schema: "public", Name: "sparsevec", Kind: 'b'},
	20010: {OID: 20010, Schema: "public", Name: "mood", Kind: 'e', Labels: []string{"a", "b"}},
	20011: {OID: 20011, Schema: "public", Name: "addr", Kind: 'c'},
	20012: {OID: 20012, Schema: "public", Name: "dom", Kind: 'd', Base: 20013, BaseMod: -1},
	20013: {OID: 20013, Schema: "public", Name: "price", Kind: 'd', Base: oidNumeric, BaseMod: 8<<16 | 2 + 4},
	20014: {OID: 20014, Schema: "public", Name: "loop", Kind: 'd', Base: 20014, BaseMod: -1},
	20015: {OID: 20015, Schema: "public", Name: "dmood", Kind: 'd', Base: 20010, BaseMod: -1},
	20101: {OID: 20101, Schema: "public", Name: "_geometry", Kind: 'b', Elem: 20001},
	20104: {OID: 20104, Schema: "public", Name: "_hstore", Kind: 'b', Elem: 20004},
	20105: {OID: 20105, Schema: "public", Name: "_ltree", Kind: 'b', Elem: 20005},
	20110: {OID: 20110, Schema: "public", Name: "_mood", Kind: 'b', Elem: 20010},
	20111: {OID: 20111, Schema: "public", Name: "_addr", Kind: 'b', Elem: 20011},
	20113: {OID: 20113, Schema: "public", Name: "_price", Kind: 'b', Elem: 20013},
}

// allModes spans every mode at least once.
var allModes = []Modes{
	{MoneyDigits: 2, Placeholder: []byte("__debezium_unavailable_value")},
	{Decimal: "string", Time: "connect", Binary: "hex", Hstore: "map", Interval: "string", MoneyDigits: 1, IncludeUnknown: true, Placeholder: []byte("x")},
	{Decimal: "double", Time: "isostring", Binary: "base64", IncludeUnknown: true},
	{Decimal: "precise", Time: "nanoseconds", Binary: "base64-url-safe"},
	{Time: "microseconds", IncludeUnknown: true},
	{Time: "adaptive_time_microseconds"},
}

func allOIDs() []uint32 {
	var out []uint32
	for _, b := range builtins {
		out = append(out, b.oid, b.array)
	}
	for oid := range extensionTypes {
		out = append(out, oid)
	}
	return append(out, 99999)
}

// compileAll makes plans of every type in every mode on both paths, nullable and
// not, plain and truncated.
func compileAll(t testing.TB) []*Plan {
	var in record.Interner
	var out []*Plan
	for _, m := range allModes {
		for _, oid := range allOIDs() {
			for _, path := range []Path{Stream, Snapshot} {
				for i, mod := range []int32{-1, 3, 10<<16 | 2 + 4} {
					c := Column{Name: "c", TypeOID: oid, Typmod: mod, NotNull: i == 1, Truncate: -1, MaskChars: -1}
					if i == 2 {
						c.Truncate, c.Propagate = 5, true
					}
					p, err := Compile(c, extensionTypes, m, path, &in)
					if err != nil {
						t.Fatal(err)
					}
					if p.Schema != nil {
						out = append(out, p)
					}
				}
			}
		}
	}
	return out
}

// conforms says whether a value is one of its schema.
func conforms(b *record.Batch, s *record.Schema, c record.Cell) bool {
	if c.IsNull() {
		return s.Optional
	}
	if c.Kind() != s.Type {
		return false
	}
	switch s.Type {
	case record.Array:
		for i := range c.Len() {
			if !conforms(b, s.Elem, b.Child(c, i)) {
				return false
			}
		}
	case record.Map:
		for i := 0; i < c.Len(); i += 2 {
			if !conforms(b, s.Key, b.Child(c, i)) || !conforms(b, s.Elem, b.Child(c, i+1)) {
				return false
			}
		}
	case record.Struct:
		for i, f := range s.Fields {
			if !conforms(b, f.Schema, b.Child(c, i)) {
				return false
			}
		}
	}
	return true
}

// FuzzDecode: any text gives a value of the schema, null, or an error, in every
// type and mode.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "1", "-1", "t", "NaN", "Infinity", "-Infinity", "infinity", "-infinity", "12345.678", "0.00", ".", "-", "1e5",
		"2020-02-29 04:05:06.789012+02 BC", "294276-12-31 23:59:59.999999", "24:00:00", "04:05:06.789-05:30:15", "1 year 2 mons -3 days 04:05:06.78",
		`\x00ff`, `\x0`, "101", "{1,NULL,3}", `{{1,2},{3,4}}`, `[0:2]={1,2,3}`, `{"a\"b",c}`, "{", `{"`, `"a"=>"1", "b"=>NULL`, "(1.5,-2)", "<(1,2),3>",
		"$1,234.56", "($1.00)", "0101000020E6100000000000000000F03F0000000000000040", "[1,2.5]", "{1:1.5,3:2}/5", "😀😀😀", "\xff\xfe"} {
		for which := uint16(0); which < 4; which++ {
			f.Add(s, which)
		}
	}
	plans := compileAll(f)
	const some = 400 // plans per input, so that inputs stay fast
	var b record.Batch
	f.Fuzz(func(t *testing.T, text string, which uint16) {
		from := int(which) * some % len(plans)
		for _, p := range plans[from:min(from+some, len(plans))] {
			b.Reset()
			c, err := p.Decode(&b, []byte(text))
			if err != nil || c.IsNull() {
				continue
			}
			if !conforms(&b, p.Schema, c) {
				t.Fatalf("%q does not fit %s %s", text, p.Schema.Type, p.Schema.Name)
			}
		}
	})
}

// FuzzDefault: any default expression gives a default of the schema or none.
func FuzzDefault(f *testing.F) {
	for _, s := range []string{"1", "'a'::text", "now()", "NULL::int", "'it''s'::text", "nextval('x'::regclass)", "CURRENT_DATE", "B'101'::\"bit\"",
		"'infinity'::timestamp without time zone", "'ok'::mood", "'ok'::s2.\"Mood\"", "1e100", "'24:00:00'::time", "(", "'", "''", "'a\nb'::text || 'c'", "-5", "'-5'::integer"} {
		f.Add(s)
	}
	var in record.Interner
	oids := allOIDs()
	f.Fuzz(func(t *testing.T, expr string) {
		for _, m := range allModes {
			for _, oid := range oids {
				p, err := Compile(Column{Name: "c", TypeOID: oid, Typmod: -1, NotNull: true, Default: expr, Truncate: -1, MaskChars: -1}, extensionTypes, m, Stream, &in)
				if err != nil {
					t.Fatal(err)
				}
				if p.Schema == nil || p.Schema.Default == nil {
					continue
				}
				d := p.Schema.Default
				if !conforms(d.Batch(), p.Schema, d.Root) {
					t.Fatalf("default %q of type %d does not fit %s", expr, oid, p.Schema.Type)
				}
			}
		}
	})
}

// Fallbacks and placeholders must fit their schemas, since nothing checks them
// later; a NOT NULL column always has a fallback.
func TestConstantsFitTheirSchemas(t *testing.T) {
	for _, p := range compileAll(t) {
		for what, d := range map[string]*record.Datum{"fallback": p.Null, "placeholder": p.Toast} {
			if d != nil && !conforms(d.Batch(), p.Schema, d.Root) {
				var sb strings.Builder
				record.Dump(&sb, d.Batch(), d.Root)
				t.Errorf("%s %s does not fit %s %s", what, sb.String(), p.Schema.Type, p.Schema.Name)
			}
		}
		if p.Null == nil && !p.Schema.Optional {
			t.Errorf("no fallback for a NOT NULL %s %s", p.Schema.Type, p.Schema.Name)
		}
	}
}
