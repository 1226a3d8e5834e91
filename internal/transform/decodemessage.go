package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// decodeMessage is DecodeLogicalDecodingMessageContent: the JSON content of a
// logical decoding message becomes the row of a change event, so that EventRouter
// can follow.
type decodeMessage struct {
	json  jsonExpander
	plans map[messageKey]*messagePlan
}

type messageKey struct{ message, content *record.Schema }

type messagePlan struct {
	copy      *copyPlan
	op, after int
}

const messageValueName = "io.debezium.connector.postgresql.MessageValue"

func decodeMessageDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("fields.null.include", configdef.Boolean, "false", configdef.Medium, configdef.WidthMedium, "Defines whether to include fields with null values to the decoded structure", "Keep null members as optional bytes; else they are left out."),
	}}
}

func newDecodeMessage(v configdef.Values) (Step, error) {
	return &decodeMessage{json: jsonExpander{nullBytes: v.Bool("fields.null.include")}, plans: map[messageKey]*messagePlan{}}, nil
}

// Apply leaves all other records alone, tombstones too (the real step throws on those).
func (t *decodeMessage) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.ValueSchema == nil || r.ValueSchema.Name != messageValueName || r.Value.IsNull() {
		return true, nil
	}
	i, ms := r.ValueSchema.Field("message")
	if i < 0 || ms.Type != record.Struct {
		return true, dataErr("the logical decoding message has no field message")
	}
	k, cs := ms.Field("content")
	if k < 0 || cs.Type != record.Bytes {
		return true, &errs.Error{Java: errs.DebeziumException, Msg: "The content of a logical decoding message is non-binary"}
	}
	content := b.Child(b.Child(r.Value, i), k)
	text := record.Cell{}
	if !content.IsNull() {
		text = b.BytesCell(record.String, append([]byte(nil), b.Raw(content)...))
	}
	if text.IsNull() || !strings.HasPrefix(b.Str(text), "{") {
		return true, &errs.Error{Java: errs.DebeziumException, Msg: "Unable to parse logical decoding message content JSON string '" + b.Str(text) + "'"}
	}
	s, v := t.json.expand(b, "", nil, text)
	if s == nil {
		return true, &errs.Error{Java: errs.DebeziumException, Msg: "Unable to parse logical decoding message content JSON string '" + b.Str(text) + "'"}
	}
	key := messageKey{r.ValueSchema, s}
	p := t.plans[key]
	if p == nil {
		if len(t.plans) >= maxPlans {
			clear(t.plans)
		}
		p = compileMessage(r.ValueSchema, s, i)
		t.plans[key] = p
	}
	out := p.copy.apply(b, r.Value)
	b.SetChild(out, p.op, b.StringCell("c"))
	b.SetChild(out, p.after, v)
	r.KeySchema, r.Key = nil, record.Cell{}
	r.ValueSchema, r.Value = p.copy.out, out
	return true, nil
}

func compileMessage(s, content *record.Schema, message int) *messagePlan {
	p := &messagePlan{copy: &copyPlan{out: &record.Schema{Type: record.Struct, Name: s.Name + ".Envelope"}}}
	for i, f := range s.Fields {
		if i == message {
			continue
		}
		if f.Name == "op" {
			p.op = len(p.copy.from)
		}
		p.copy.add(f.Name, f.Schema, i, true)
	}
	p.after = len(p.copy.from)
	p.copy.add("after", content, -1, false)
	return p
}

// ---- ReadToInsertEvent

// readToInsert turns op r of snapshots into c.
type readToInsert struct{ plans planCache[int] }

func (t *readToInsert) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	op, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		if !isEnvelope(r.ValueSchema) {
			return true, nil
		}
		i, _ := r.ValueSchema.Field("op")
		op = t.plans.store(r.ValueSchema, i)
	}
	if op >= 0 && b.Str(b.Child(r.Value, op)) == "r" {
		c := b.StringCell("c")
		r.Value = b.CloneChildren(r.Value, 0)
		b.SetChild(r.Value, op, c)
	}
	return true, nil
}

// ---- SchemaChangeEventFilter

// schemaChangeFilter drops schema change records by the type of their first change.
type schemaChangeFilter struct{ drop map[string]bool }

func schemaChangeFilterDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("schema.change.event.exclude.list", configdef.String, noDefault, configdef.High, configdef.WidthShort, "Schema change event exclude list", "Types of schema changes to leave out: CREATE, ALTER, DROP, TRUNCATE, DATABASE.", needed, func(in configdef.Input) []string {
			for _, x := range configdef.SplitList(in.Value) {
				switch x {
				case "CREATE", "ALTER", "DROP", "TRUNCATE", "DATABASE":
				default:
					return invalid(in, "No enum constant io.debezium.schema.SchemaChangeEvent.SchemaChangeEventType."+x)
				}
			}
			return nil
		}),
	}}
}

func newSchemaChangeFilter(v configdef.Values) (Step, error) {
	return schemaChangeFilter{set(v.List("schema.change.event.exclude.list"))}, nil
}

func (t schemaChangeFilter) Apply(b *record.Batch, r *record.Record) (bool, error) {
	s := r.ValueSchema
	if r.Value.Kind() != record.Struct || s == nil || !strings.HasSuffix(s.Name, ".SchemaChangeValue") {
		return true, nil
	}
	i, list := s.Field("tableChanges")
	if i < 0 {
		return true, nil
	}
	changes := b.Child(r.Value, i)
	if changes.IsNull() {
		return false, nil
	}
	kind := "DATABASE"
	if changes.Len() > 0 {
		if k, _ := list.Elem.Field("type"); k >= 0 {
			kind = b.Str(b.Child(b.Child(changes, 0), k))
		}
	}
	return !t.drop[kind], nil
}
