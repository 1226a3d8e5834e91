package transform

import (
	"math"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// timestampForm is a form that TimestampConverter knows.
type timestampForm uint8

const (
	formNone timestampForm = iota
	formString
	formUnix
	formDate
	formTime
	formTimestamp
)

type timestampConverter struct {
	side   side
	path   []string // empty: the whole value
	target timestampForm
	format *dateFormat
	unix   int64 // units of unix time per second: 1, 1000, …
	fill   bool
	plans  planCache[*timestampPlan]
}

// timestampPlan converts one struct: nested for a path, the field at its end.
type timestampPlan struct {
	copy   *copyPlan
	index  int
	schema *record.Schema // of the field before
	form   timestampForm
	nested *timestampPlan
	out    *record.Schema // for a whole value
}

var targetForms = map[string]timestampForm{"string": formString, "unix": formUnix, "Date": formDate, "Time": formTime, "Timestamp": formTimestamp}

var unixUnits = map[string]int64{"seconds": 1, "milliseconds": 1000, "microseconds": 1e6, "nanoseconds": 1e9}

func timestampConverterDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		opt("field", configdef.String, "", configdef.High, "Field to convert; empty when the whole value is a time."),
		orNull(opt("target.type", configdef.String, required, configdef.High, "Form to convert to.", oneOf("string", "unix", "Date", "Time", "Timestamp")),
			nullText("target.type", "String must be one of: string, unix, Date, Time, Timestamp")),
		late(opt("format", configdef.String, "", configdef.Medium, "Pattern of java.text.SimpleDateFormat, for text on either side.", timestampFormat)),
		opt("unix.precision", configdef.String, "milliseconds", configdef.Low, "Unit of unix times.", oneOf("nanoseconds", "microseconds", "milliseconds", "seconds")),
		fillOption(),
	}}
}

func timestampFormat(in configdef.Input) []string {
	if in.Value == "" {
		if in.Props["target.type"] == "string" {
			return []string{"TimestampConverter requires format option to be specified when using string timestamps"}
		}
		return nil
	}
	if _, err := compileDateFormat(in.Value); err != nil {
		return []string{"TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps: " + in.Value + ": " + err.Error()}
	}
	return nil
}

func newTimestampConverter(s side, v configdef.Values) (Step, error) {
	t := &timestampConverter{side: s, target: targetForms[v.String("target.type")], unix: unixUnits[v.String("unix.precision")], fill: v.Bool("replace.null.with.default")}
	var err error
	if f := v.String("field"); f != "" {
		t.path = []string{f} // unlike ExtractField's, never a path of several names
	}
	if f := v.String("format"); f != "" {
		if t.format, err = compileDateFormat(f); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *timestampConverter) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		return t.schemaless(b, r, c)
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		if len(t.path) > 0 && s.Type != record.Struct {
			if !c.IsNull() {
				return true, requireStruct(c, s, "converting timestamp formats")
			}
			return true, notStruct("list")
		}
		p = t.plans.store(s, t.compile(s, t.path))
	}
	if len(t.path) == 0 {
		v, err := t.convert(b, c, p.form, s)
		t.side.set(r, p.out, v)
		return true, err
	}
	if !c.IsNull() {
		if err := requireStruct(c, s, "converting timestamp formats"); err != nil {
			return true, err
		}
	}
	v, err := t.applyPlan(b, c, p)
	t.side.set(r, p.copy.out, v)
	return true, err
}

func (t *timestampConverter) applyPlan(b *record.Batch, c record.Cell, p *timestampPlan) (record.Cell, error) {
	if c.IsNull() {
		return c, nil
	}
	out := p.copy.apply(b, c)
	if p.index < 0 {
		return out, nil
	}
	v := b.Child(out, p.index)
	var err error
	if p.nested != nil {
		v, err = t.applyPlan(b, v, p.nested)
	} else {
		v, err = t.convert(b, v, p.form, p.schema)
	}
	if err == nil {
		b.SetChild(out, p.index, v)
	}
	return out, err
}

func (t *timestampConverter) compile(s *record.Schema, path []string) *timestampPlan {
	if len(path) == 0 {
		return &timestampPlan{form: formOf(s), out: t.schema(s.Optional)}
	}
	out := basics(s)
	out.Optional = s.Optional
	p := &timestampPlan{copy: wholeCopy(s, out, t.fill), index: -1}
	i, fs := s.Field(path[0])
	if i < 0 {
		return p
	}
	p.index, p.schema = i, fs
	if len(path) > 1 && fs.Type == record.Struct {
		p.nested = t.compile(fs, path[1:])
		out.Fields[i].Schema = p.nested.copy.out
		return p
	}
	if len(path) > 1 {
		p.index = -1
		return p
	}
	p.form = formOf(fs)
	out.Fields[i].Schema = t.schema(fs.Optional)
	return p
}

// schema is the schema of the target form.
func (t *timestampConverter) schema(optional bool) *record.Schema {
	s := &record.Schema{Optional: optional, Type: record.Int64}
	switch t.target {
	case formString:
		s.Type = record.String
	case formDate:
		s.Type, s.Name, s.Version = record.Int32, nameDate, 1
	case formTime:
		s.Type, s.Name, s.Version = record.Int32, nameTime, 1
	case formTimestamp:
		s.Name, s.Version = nameTimestamp, 1
	}
	return s
}

// formOf is the form of a schema's values; formNone when there is none.
func formOf(s *record.Schema) timestampForm {
	switch {
	case s.Name == nameTimestamp:
		return formTimestamp
	case s.Name == nameDate:
		return formDate
	case s.Name == nameTime:
		return formTime
	case s.Type == record.String:
		return formString
	case s.Type == record.Int64:
		return formUnix
	}
	return formNone
}

// convert turns a value of a form into the target form.
func (t *timestampConverter) convert(b *record.Batch, c record.Cell, from timestampForm, s *record.Schema) (record.Cell, error) {
	if from == formNone {
		// The real step asks for the form of the schema before it looks at the value.
		return c, connectErr("Schema Schema{%s} does not correspond to a known timestamp type format", schemaLabel(s))
	}
	if c.IsNull() {
		return c, nil
	}
	ms, err := t.millis(b, c, from)
	if err != nil {
		return c, err
	}
	switch t.target {
	case formString:
		a := b.Arena()
		n := len(a)
		a = t.format.format(a, ms)
		b.SetArena(a)
		return b.SpanCell(record.String, n, len(a)), nil
	case formUnix:
		if t.unix >= 1000 {
			return record.Int64Cell(saturatedMul(ms, t.unix/1000)), nil
		}
		return record.Int64Cell(ms / 1000), nil
	case formDate:
		return record.Int32Cell(int32(floorDiv(ms, dayMs))), nil
	case formTime:
		return record.Int32Cell(int32(ms - floorDiv(ms, dayMs)*dayMs)), nil
	}
	return record.Int64Cell(ms), nil
}

func schemaLabel(s *record.Schema) string {
	if s.Name != "" {
		return s.Name + ":" + strings.ToUpper(s.Type.String())
	}
	return strings.ToUpper(s.Type.String())
}

// saturatedMul multiplies as java.util.concurrent.TimeUnit does: what does not fit
// is the end of the range.
func saturatedMul(v, by int64) int64 {
	switch {
	case v > math.MaxInt64/by:
		return math.MaxInt64
	case v < math.MinInt64/by:
		return math.MinInt64
	}
	return v * by
}

// millis reads a value as milliseconds since 1970; finer unix times are cut
// towards zero.
func (t *timestampConverter) millis(b *record.Batch, c record.Cell, from timestampForm) (int64, error) {
	switch from {
	case formString:
		if t.format == nil {
			return 0, &errs.Error{Java: errs.ConfigException, Msg: "TimestampConverter needs the option format to read text"}
		}
		text := b.Str(c)
		ms, ok := t.format.parse(text, time.Now())
		if !ok {
			return 0, dataErr("Could not parse timestamp: value (%s) does not match pattern (%s)", text, t.format.pattern)
		}
		return ms, nil
	case formUnix:
		if t.unix >= 1000 {
			return c.Int() / (t.unix / 1000), nil
		}
		return saturatedMul(c.Int(), 1000), nil
	case formDate:
		return c.Int() * dayMs, nil
	}
	return c.Int(), nil
}

func (t *timestampConverter) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if len(t.path) == 0 {
		if inferForm(c) == formNone {
			return true, dataErr("TimestampConverter does not support class %s objects as timestamps", javaClass(c, nil))
		}
		v, err := t.convert(b, c, inferForm(c), record.OptionalBytes)
		t.side.set(r, nil, v)
		return true, err
	}
	if c.IsNull() {
		return true, nil
	}
	v, err := t.inMap(b, c, t.path)
	t.side.set(r, nil, v)
	return true, err
}

func (t *timestampConverter) inMap(b *record.Batch, c record.Cell, path []string) (record.Cell, error) {
	if err := requireMap(c, "converting timestamp formats"); err != nil {
		return c, err
	}
	v := mapGet(b, c, path[0])
	var err error
	switch {
	case v.IsNull():
		return mapPut(b, c, path[0], v), nil // there from now on
	case len(path) > 1:
		v, err = t.inMap(b, v, path[1:])
	case inferForm(v) == formNone:
		return c, dataErr("TimestampConverter does not support class %s objects as timestamps", javaClass(v, nil))
	default:
		v, err = t.convert(b, v, inferForm(v), record.OptionalBytes)
	}
	if err != nil {
		return c, err
	}
	return mapPut(b, c, path[0], v), nil
}

// inferForm is the form of a value without a schema.
func inferForm(c record.Cell) timestampForm {
	switch c.Kind() {
	case record.Int64, record.Null:
		return formUnix
	case record.String:
		return formString
	}
	return formNone
}
