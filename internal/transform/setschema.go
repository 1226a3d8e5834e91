package transform

import (
	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// setSchema is SetSchemaMetadata: another name or version for a schema.
type setSchema struct {
	side    side
	name    string
	version int
	hasName bool
	hasVer  bool
	fill    bool
	plans   planCache[*copyPlan]
}

func setSchemaDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		opt("schema.name", configdef.String, noDefault, configdef.High, "New name of the schema."),
		opt("schema.version", configdef.Int, noDefault, configdef.High, "New version of the schema."),
		fillOption(),
	}}
}

func newSetSchema(s side, v configdef.Values) (Step, error) {
	t := &setSchema{side: s, name: v.String("schema.name"), version: v.Int("schema.version"), hasName: v.IsSet("schema.name"), hasVer: v.IsSet("schema.version"), fill: v.Bool("replace.null.with.default")}
	if !t.hasName && !t.hasVer {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "Neither schema name nor version configured"}
	}
	return t, nil
}

func (t *setSchema) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s, c := t.side.get(r)
	if s == nil {
		if c.IsNull() {
			return true, nil
		}
		return true, dataErr("Schema required for [updating schema metadata]")
	}
	p, ok := t.plans.lookup(s)
	if !ok {
		out := s.Copy()
		if t.hasName {
			out.Name = t.name
		}
		if t.hasVer {
			out.Version = t.version
		}
		fields := out.Fields
		out.Fields = nil
		p = wholeCopy(s, out, t.fill)
		if len(fields) == 0 {
			out.Fields = fields
		}
		t.plans.store(s, p)
	}
	if c.Kind() == record.Struct {
		c = p.apply(b, c)
	}
	t.side.set(r, p.out, c)
	return true, nil
}
