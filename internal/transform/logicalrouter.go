package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// logicalRouter is ByLogicalTableRouter (now ToLogicalTopicRouter): several tables
// go to one topic, with a key field that tells them apart and schemas named after
// the topic.
type logicalRouter struct {
	route     *router
	unique    bool
	keyField  string
	keyRegex  *javaregex.Regexp
	keyRepl   *javaregex.Replacement
	adjust    func(string) string
	keys      planCache[*copyPlan]
	envelopes planCache[*envelopePlan]
	ids       map[*record.Topic]string
}

// envelopePlan copies an envelope with other schemas for before and after.
type envelopePlan struct {
	copy *copyPlan
}

func logicalRouterDef(keyField, cache string) *configdef.Def {
	const s = configdef.String
	hide := func(o configdef.Option) configdef.Option { o.Hidden = true; return o }
	return &configdef.Def{Options: []configdef.Option{
		dopt("topic.regex", s, noDefault, configdef.Low, configdef.WidthLong, "Topic regex", "Java pattern that the whole topic name must match.", needed, regex),
		dopt("topic.replacement", s, noDefault, configdef.Low, configdef.WidthLong, "Topic replacement", "Name of the new topic, with $1 for groups.", needed, replacementFor("topic.regex", "")),
		dopt("key.enforce.uniqueness", configdef.Boolean, "true", configdef.Low, configdef.WidthShort, "Add source topic name into key", "Add a field to the key that names the table a record comes from."),
		dopt("key.field.regex", s, noDefault, configdef.Low, configdef.WidthLong, "Key field regex", "Java pattern that makes the field's value from the old topic name.", regex),
		dopt("key.field.replacement", s, noDefault, configdef.Low, configdef.WidthLong, "Key field replacement", "Value of the field, with $1 for groups.", keyFieldReplacement),
		dopt(cache, configdef.Int, "16", configdef.Low, configdef.WidthLong, "Logical table cache size", "Accepted for compatibility: schemas are kept by themselves."),
		hide(dopt("key.field.name", s, keyField, configdef.Low, configdef.WidthLong, "Key field name", "Name of the key field.")),
		hide(dopt("schema.name.adjustment.mode", s, "none", configdef.Low, configdef.WidthMedium, "Schema Name Adjustment", "Make schema names fit for Avro.", enum("none", "avro_unicode", "avro"))),
	}}
}

func needed(in configdef.Input) []string {
	if in.Value == "" {
		return invalid(in, "A value is required")
	}
	return nil
}

func keyFieldReplacement(in configdef.Input) []string {
	if strings.TrimSpace(in.Props["key.field.regex"]) == "" {
		return nil
	}
	if in.Value == "" {
		return invalid(in, "key.field.replacement must be non-empty if key.field.regex is set.")
	}
	return replacementFor("key.field.regex", "")(in)
}

func newLogicalRouter(v configdef.Values) (Step, error) {
	t := &logicalRouter{unique: v.Bool("key.enforce.uniqueness"), keyField: v.String("key.field.name"), adjust: record.SchemaNames(v.Enum("schema.name.adjustment.mode")), ids: map[*record.Topic]string{}}
	var err error
	if t.route, err = newRouter(v.String("topic.regex"), v.String("topic.replacement")); err != nil {
		return nil, err
	}
	if k := v.String("key.field.regex"); k != "" {
		if t.keyRegex, err = javaregex.Compile(k, 0); err != nil {
			return nil, err
		}
		t.keyRepl, err = t.keyRegex.CompileReplacement(v.String("key.field.replacement"))
	}
	return t, err
}

func (t *logicalRouter) named(name string) string {
	if t.adjust != nil {
		return t.adjust(name)
	}
	return name
}

func (t *logicalRouter) Apply(b *record.Batch, r *record.Record) (bool, error) {
	old := r.Topic
	topic := t.route.route(old)
	if topic == nil || topic.Name == "" {
		return true, nil
	}
	if r.Key.IsNull() {
		r.KeySchema = nil
	} else if err := t.key(b, r, old, topic); err != nil {
		return true, err
	}
	r.Topic = topic
	if r.Value.IsNull() || !isEnvelope(r.ValueSchema) {
		return true, nil
	}
	p, ok := t.envelopes.lookup(r.ValueSchema)
	if !ok {
		var err error
		if p, err = t.compile(r.ValueSchema, topic.Name); err != nil {
			return true, err
		}
		t.envelopes.store(r.ValueSchema, p)
	}
	r.ValueSchema, r.Value = p.copy.out, p.copy.apply(b, r.Value)
	return true, nil
}

func (t *logicalRouter) key(b *record.Batch, r *record.Record, old, topic *record.Topic) error {
	if err := requireStruct(r.Key, r.KeySchema, "Updating schema"); err != nil {
		return err
	}
	p, ok := t.keys.lookup(r.KeySchema)
	if !ok {
		out := &record.Schema{Type: record.Struct, Name: t.named(topic.Name + ".Key"), Version: r.KeySchema.Version, Doc: r.KeySchema.Doc, Params: r.KeySchema.Params, Optional: r.KeySchema.Optional}
		p = wholeCopy(r.KeySchema, out, false)
		if t.unique {
			p.add(t.keyField, record.PlainString, -1, false)
		}
		if err := p.check(); err != nil {
			return err
		}
		t.keys.store(r.KeySchema, p)
	}
	key := p.apply(b, r.Key)
	if t.unique {
		b.SetChild(key, key.Len()-1, b.StringCell(t.identifier(old)))
	}
	r.KeySchema, r.Key = p.out, key
	return nil
}

// identifier names the table that a record comes from.
func (t *logicalRouter) identifier(old *record.Topic) string {
	id, ok := t.ids[old]
	if !ok {
		id = old.Name
		if t.keyRegex != nil {
			id, _ = t.keyRegex.RouteWhole(id, t.keyRepl)
		}
		if len(t.ids) >= 1<<16 {
			clear(t.ids)
		}
		t.ids[old] = id
	}
	return id
}

func (t *logicalRouter) compile(s *record.Schema, topic string) (*envelopePlan, error) {
	i, before := s.Field("before")
	if i < 0 || before.Type != record.Struct {
		return nil, dataErr("the schema %s is named like a change event and has no struct before", s.Name)
	}
	value := before.Copy()
	value.Name, value.Default = t.named(topic+".Value"), nil
	out := s.Copy()
	out.Name, out.Default, out.Fields = t.named(topic+".Envelope"), nil, nil
	p := &envelopePlan{copy: wholeCopy(s, out, true)}
	for i, f := range out.Fields {
		switch {
		case f.Name != "before" && f.Name != "after":
		case f.Name == "before" || f.Schema.Type != record.Struct || record.Equal(f.Schema, before):
			out.Fields[i].Schema = value
		default: // a step in front has changed the row after the change alone
			own := f.Schema.Copy()
			own.Name, own.Optional, own.Default = value.Name, value.Optional, nil
			out.Fields[i].Schema = own
		}
	}
	return p, nil
}
