package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// insertion is what InsertField adds: a name, and whether its schema is optional
// ("?" after the name, the default) or required ("!").
type insertion struct {
	name     string
	optional bool
	what     insertWhat
}

type insertWhat uint8

const (
	insertTopic insertWhat = iota
	insertPartition
	insertOffset
	insertTimestamp
	insertStatic
)

type insertField struct {
	side   side
	what   []insertion
	static string
	fill   bool
	plans  planCache[*copyPlan]
}

func insertFieldDef() *configdef.Def {
	const suffix = " Add ! for a required field, ? for an optional one (the default)."
	return &configdef.Def{Options: []configdef.Option{
		opt("topic.field", configdef.String, noDefault, configdef.Medium, "Field for the topic's name."+suffix),
		opt("partition.field", configdef.String, noDefault, configdef.Medium, "Field for the Kafka partition."+suffix),
		opt("offset.field", configdef.String, noDefault, configdef.Medium, "Field for the Kafka offset, in sinks only."+suffix),
		opt("timestamp.field", configdef.String, noDefault, configdef.Medium, "Field for the record's time."+suffix),
		opt("static.field", configdef.String, noDefault, configdef.Medium, "Field for a fixed value."+suffix),
		opt("static.value", configdef.String, noDefault, configdef.Medium, "The fixed value."),
		fillOption(),
	}}
}

func newInsertField(s side, v configdef.Values) (Step, error) {
	t := &insertField{side: s, static: v.String("static.value"), fill: v.Bool("replace.null.with.default")}
	for _, x := range []struct {
		option string
		what   insertWhat
	}{{"topic.field", insertTopic}, {"partition.field", insertPartition}, {"offset.field", insertOffset}, {"timestamp.field", insertTimestamp}, {"static.field", insertStatic}} {
		if !v.IsSet(x.option) {
			continue
		}
		in := insertion{name: v.String(x.option), optional: true, what: x.what}
		if n, ok := strings.CutSuffix(in.name, "!"); ok {
			in.name, in.optional = n, false
		} else {
			in.name = strings.TrimSuffix(in.name, "?")
		}
		t.what = append(t.what, in)
	}
	if len(t.what) == 0 {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "No field insertion configured"}
	}
	if v.IsSet("static.field") && !v.IsSet("static.value") {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "Invalid value null for configuration static.value: No value specified for static field: " + v.String("static.field")}
	}
	return t, nil
}

const insertPurpose = "field insertion"

func (t *insertField) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if c.IsNull() {
		return true, nil
	}
	if s == nil {
		return t.schemaless(b, r, c)
	}
	if err := requireStruct(c, s, insertPurpose); err != nil {
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
	out := p.apply(b, c)
	at := len(s.Fields)
	for i := range t.what {
		v, err := t.value(b, r, &t.what[i])
		if err != nil {
			return true, err
		}
		b.SetChild(out, at+i, v)
	}
	t.side.set(r, p.out, out)
	return true, nil
}

func (t *insertField) compile(s *record.Schema) *copyPlan {
	p := wholeCopy(s, basics(s), t.fill)
	for _, in := range t.what {
		fs := &record.Schema{Optional: in.optional}
		switch in.what {
		case insertPartition:
			fs.Type = record.Int32
		case insertOffset:
			fs.Type = record.Int64
		case insertTimestamp:
			fs.Type, fs.Name, fs.Version = record.Int64, nameTimestamp, 1
		default:
			fs.Type = record.String
		}
		p.add(in.name, fs, -1, false)
	}
	return p
}

// value is what an insertion adds; null when the record does not have it.
func (t *insertField) value(b *record.Batch, r *record.Record, in *insertion) (record.Cell, error) {
	switch in.what {
	case insertTopic:
		return b.StringCell(r.Topic.Name), nil
	case insertPartition:
		if r.Partition >= 0 {
			return record.Int32Cell(r.Partition), nil
		}
	case insertOffset:
		if r.Offset < 0 {
			return record.Cell{}, dataErr("Only SinkRecord supported for [%s], found: org.apache.kafka.connect.source.SourceRecord", insertPurpose)
		}
		return record.Int64Cell(r.Offset), nil
	case insertTimestamp:
		if r.Timestamp != record.NoTimestamp {
			return record.Int64Cell(r.Timestamp), nil
		}
	case insertStatic:
		return b.StringCell(t.static), nil
	}
	return record.Cell{}, nil
}

func (t *insertField) schemaless(b *record.Batch, r *record.Record, c record.Cell) (bool, error) {
	if err := requireMap(c, insertPurpose); err != nil {
		return true, err
	}
	for i := range t.what {
		v, err := t.value(b, r, &t.what[i])
		if err != nil {
			return true, err
		}
		if !v.IsNull() {
			c = mapPut(b, c, t.what[i].name, v)
		}
	}
	t.side.set(r, nil, c)
	return true, nil
}
