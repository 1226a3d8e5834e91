package transform

import (
	"slices"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// ---- ReplaceField

type replaceField struct {
	side    side
	exclude map[string]bool
	include map[string]bool
	renames map[string]string
	fill    bool
	plans   planCache[*copyPlan]
}

func replaceFieldDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		distinct(opt("exclude", configdef.List, "", configdef.Medium, "Fields to leave out; wins over include.")),
		distinct(opt("include", configdef.List, "", configdef.Medium, "Fields to keep; all others are left out.")),
		opt("renames", configdef.List, "", configdef.Medium, "New names, as old:new.", renamesCheck),
		fillOption(),
	}}
}

func renamesCheck(in configdef.Input) []string {
	if pair, bad := badPair(in.Value); bad {
		return []string{"Invalid value " + listText(in.Value) + " for configuration renames: Invalid rename mapping: " + pair}
	}
	return nil
}

func badPair(list string) (pair string, bad bool) {
	for _, m := range configdef.SplitList(list) {
		if strings.Count(m, ":") != 1 || strings.HasPrefix(m, ":") && m == ":" || strings.HasSuffix(m, ":") {
			return m, true
		}
	}
	return "", false
}

func newReplaceField(s side, v configdef.Values) (Step, error) {
	t := &replaceField{side: s, exclude: set(v.List("exclude")), include: set(v.List("include")), renames: map[string]string{}, fill: v.Bool("replace.null.with.default")}
	for _, m := range v.List("renames") {
		old, name, _ := strings.Cut(m, ":")
		t.renames[old] = name
	}
	return t, nil
}

func set(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, x := range list {
		m[x] = true
	}
	return m
}

func (t *replaceField) keeps(name string) bool {
	return !t.exclude[name] && (len(t.include) == 0 || t.include[name])
}

func (t *replaceField) renamed(name string) string {
	if n, ok := t.renames[name]; ok {
		return n
	}
	return name
}

func (t *replaceField) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	switch {
	case c.IsNull():
		return true, nil
	case s == nil:
		return t.schemaless(b, r, c)
	}
	if err := requireStruct(c, s, "field replacement"); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		p = t.compile(s)
		if err := p.check(); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	t.side.set(r, p.out, p.apply(b, c))
	return true, nil
}

func (t *replaceField) compile(s *record.Schema) *copyPlan {
	p := &copyPlan{out: basics(s)}
	for i, f := range s.Fields {
		if t.keeps(f.Name) {
			p.add(t.renamed(f.Name), f.Schema, i, t.fill)
		}
	}
	return p
}

func (t *replaceField) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if err := requireMap(c, "field replacement"); err != nil {
		return true, err
	}
	out := mapDrop(b, c, func(k string) bool { return !t.keeps(k) })
	for i := 0; i < out.Len(); i += 2 {
		n, ok := t.renames[b.Str(b.Child(out, i))]
		if !ok {
			continue
		}
		if at := mapIndex(b, out, n); at >= 0 && at != i { // the entry of that name gives way
			out = mapDrop(b, out, func(k string) bool { return k == n })
			if at < i {
				i -= 2
			}
		}
		k := b.StringCell(n)
		out = b.CloneChildren(out, 0)
		b.SetChild(out, i, k)
	}
	t.side.set(r, nil, out)
	return true, nil
}

// ---- ExtractField

type extractField struct {
	side  side
	path  []string
	text  string
	fill  bool
	plans planCache[*extractPlan]
}

type extractPlan struct {
	index  []int // one per step of the path
	schema []*record.Schema
}

func extractFieldDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		opt("field", configdef.String, required, configdef.Medium, "The field to extract."),
		fillOption(),
		syntaxOption(),
	}}
}

// syntaxOption is field.syntax.version.
func syntaxOption() configdef.Option {
	return opt("field.syntax.version", configdef.String, "V1", configdef.High, "How field names are read: V1 as they are, V2 as paths with dots and backticks.", func(in configdef.Input) []string {
		if strings.EqualFold(in.Value, "V1") || strings.EqualFold(in.Value, "V2") {
			return nil
		}
		return invalid(in, "String must be one of (case insensitive): V1, V2")
	})
}

func newExtractField(s side, v configdef.Values) (Step, error) {
	path, err := fieldPath(v.String("field"), v.String("field.syntax.version"))
	return &extractField{side: s, path: path, text: v.String("field"), fill: v.Bool("replace.null.with.default")}, err
}

// fieldPath splits a field name by Connect's syntax: V1 takes it as it is; V2
// splits at dots, where backticks around a step keep dots in it and a backslash
// before a backtick keeps that.
func fieldPath(text, version string) ([]string, error) {
	if !strings.EqualFold(version, "V2") {
		return []string{text}, nil
	}
	if text == "" {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "the field is empty; with field.syntax.version=V2 it must name one"}
	}
	var steps []string
	rest := text
	for rest != "" {
		if rest[0] != '`' {
			step, after, more := strings.Cut(rest, ".")
			steps = append(steps, step)
			if more && after == "" {
				steps = append(steps, "")
			}
			rest = after
			continue
		}
		step, n := backtick(rest)
		if n < 0 {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: "Incomplete backtick pair in path: [" + text + "], consider adding a backslash before backtick to escape it"}
		}
		steps = append(steps, step)
		if n < len(rest) && n+1 == len(rest) {
			steps = append(steps, "")
		}
		rest = rest[min(n+1, len(rest)):]
	}
	return steps, nil
}

// backtick reads a step in backticks and returns it and the length read, up to but
// without the dot after it; -1 when it does not end.
func backtick(s string) (string, int) {
	var sb strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '`' || i+1 < len(s) && s[i+1] != '.' {
			sb.WriteByte(s[i])
			continue
		}
		if s[i-1] == '\\' {
			t := sb.String()
			sb.Reset()
			sb.WriteString(t[:len(t)-1] + "`")
			continue
		}
		return sb.String(), i + 1
	}
	return "", -1
}

func (t *extractField) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		for i, step := range t.path {
			if c.IsNull() {
				break
			}
			purpose := "field extraction"
			if i > 0 {
				purpose = "nested field access"
			}
			if err := requireMap(c, purpose); err != nil {
				return true, err
			}
			c = mapGet(b, c, step)
		}
		t.side.set(r, nil, c)
		return true, nil
	}
	if !c.IsNull() {
		if err := requireStruct(c, s, "field extraction"); err != nil {
			return true, err
		}
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		var err error
		if p, err = t.compile(s); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	last := len(p.index) - 1
	for i, x := range p.index {
		if c.IsNull() {
			break
		}
		c = fieldValue(b, c, x, p.schema[i], i < last || t.fill)
	}
	t.side.set(r, p.schema[last], c)
	return true, nil
}

func (t *extractField) compile(s *record.Schema) (*extractPlan, error) {
	p := &extractPlan{}
	for _, step := range t.path {
		if s.Type != record.Struct {
			return nil, notStruct("look up")
		}
		i, f := s.Field(step)
		if i < 0 {
			return nil, &errs.Error{Java: "java.lang.IllegalArgumentException", Msg: "Unknown field: " + t.text}
		}
		p.index, p.schema = append(p.index, i), append(p.schema, f)
		s = f
	}
	return p, nil
}

// ---- HoistField

type hoistField struct {
	side  side
	field string
	plans planCache[*record.Schema]
}

func hoistFieldDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{opt("field", configdef.String, required, configdef.Medium, "Name of the one field of the new struct or map.")}}
}

func newHoistField(s side, v configdef.Values) (Step, error) {
	return &hoistField{side: s, field: v.String("field")}, nil
}

func (t *hoistField) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		k := b.StringCell(t.field)
		m := b.Alloc(record.Map, 2)
		b.SetChild(m, 0, k)
		b.SetChild(m, 1, c)
		t.side.set(r, nil, m)
		return true, nil
	}
	out, ok := t.plans.lookup(s)
	if !ok {
		out = &record.Schema{Type: record.Struct, Fields: []record.Field{{Name: t.field, Schema: s}}}
		if err := checkFields(out); err != nil {
			return true, err
		}
		t.plans.store(s, out)
	}
	if c.IsNull() && !s.Optional && s.Default == nil {
		return true, dataErr("Invalid value: null used for required field: \"%s\", schema type: %s", t.field, strings.ToUpper(s.Type.String()))
	}
	m := b.Alloc(record.Struct, 1)
	b.SetChild(m, 0, c)
	t.side.set(r, out, m)
	return true, nil
}

// ---- ValueToKey

type valueToKey struct {
	fields []string
	fill   bool
	plans  planCache[*copyPlan]
}

func valueToKeyDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		someList("fields", "Fields of the value that make the new key, in this order."),
		fillOption(),
	}}
}

func newValueToKey(v configdef.Values) (Step, error) {
	var fields []string
	for _, f := range v.List("fields") { // one named twice is there once
		if !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	return &valueToKey{fields: fields, fill: v.Bool("replace.null.with.default")}, nil
}

func (t *valueToKey) Apply(b *record.Batch, r *record.Record) (bool, error) {
	const purpose = "copying fields from value to key"
	s, c := r.ValueSchema, r.Value
	if s == nil {
		if err := requireMap(c, purpose); err != nil {
			return true, err
		}
		m := b.Alloc(record.Map, 2*len(t.fields))
		for i, f := range t.fields {
			b.SetChild(m, 2*i, b.StringCell(f))
			b.SetChild(m, 2*i+1, mapGet(b, c, f))
		}
		r.KeySchema, r.Key = nil, m
		return true, nil
	}
	if err := requireStruct(c, s, purpose); err != nil {
		return true, err
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		p = &copyPlan{out: &record.Schema{Type: record.Struct}}
		for _, f := range t.fields {
			i, fs := s.Field(f)
			if i < 0 {
				return true, dataErr("Field does not exist: %s", f)
			}
			p.add(f, fs, i, t.fill)
		}
		t.plans.store(s, p)
	}
	r.KeySchema, r.Key = p.out, p.apply(b, c)
	return true, nil
}
