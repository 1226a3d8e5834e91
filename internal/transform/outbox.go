package transform

import (
	"fmt"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// placement is one entry of table.fields.additional.placement.
type placement struct {
	field, alias string
	where        byte // h header, e envelope, p partition
}

// outbox is EventRouter: rows of an outbox table become messages of their own.
type outbox struct {
	id, key, timestamp, payload, routeBy, version string

	extra       []placement
	skipMissing bool
	enveloped   bool // a column is placed in the envelope
	tombstones  bool
	fatal       bool // updates are errors
	expand      *jsonExpander
	route       *router
	plans       planCache[*outboxPlan]
	values      planCache[*record.Schema] // envelope schemas by payload schema
	versions    map[outboxVersion]*record.Schema
	topics      map[string]*record.Topic
}

type outboxPlan struct {
	op, after, tsMs  int
	row              *record.Schema
	id, key, payload int
	timestamp        int // -1: the envelope's ts_ms
	perMilli         int64
	untimed          error // why the timestamp column is none; rows that are null there do not mind
	route, version   int
	extra            []int // field indexes; -1 left out
}

func outboxDef() *configdef.Def {
	group := func(name string, os ...configdef.Option) []configdef.Option {
		for i := range os {
			os[i].Group, os[i].Order, os[i].Width = name, i+1, configdef.WidthMedium
		}
		return os
	}
	o := func(name string, t configdef.Type, def string, imp configdef.Importance, display, doc string, checks ...func(configdef.Input) []string) configdef.Option {
		return dopt(name, t, def, imp, configdef.WidthMedium, display, doc, checks...)
	}
	const s, l, b = configdef.String, configdef.List, configdef.Boolean
	out := group("Table",
		o("table.field.event.id", s, "id", configdef.Low, "Event ID Field", "Column with the event's id, which becomes the header id."),
		o("table.field.event.key", s, "aggregateid", configdef.Low, "Event Key Field", "Column that becomes the record key."),
		o("table.field.event.type", s, "type", configdef.Low, "Event Type Field", "Column with the event's type; place it with table.fields.additional.placement to see it."),
		o("table.field.event.payload", s, "payload", configdef.Low, "Event Payload Field", "Column that becomes the value."),
		o("table.field.event.timestamp", s, noDefault, configdef.Medium, "Event Timestamp Field", "Column that becomes the record's time; the change's time when not set."),
		o("table.fields.additional.placement", l, noDefault, configdef.High, "Settings for each additional column in the outbox table", "Further columns, as column:header, column:envelope or column:partition, with :alias for another name.", placements),
		o("table.field.additional.missing", s, "error", configdef.Medium, "Behavior when an additional field is missing in the change data", "What to do when such a column is missing: error or ignore.", enum("ignore", "error")),
		o("table.field.event.schema.version", s, noDefault, configdef.Low, "Event Schema Version Field", "Column with the version of the value's schema."),
		o("table.op.invalid.behavior", s, "warn", configdef.Medium, "Behavior when capturing an unexpected outbox event", "What updates of outbox rows do: warn and error leave them out, fatal stops the task.", enum("warn", "error", "fatal")),
		o("table.expand.json.payload", b, "false", configdef.Medium, "Expand Payload escaped string as real JSON", "Turn JSON text in the payload into a structure with a schema."),
		o("table.json.payload.null.behavior", s, "ignore", configdef.Medium, "Behavior when json payload including null value", "Null members of such a payload: ignore leaves them out, optional_bytes keeps them.", enum("ignore", "optional_bytes")),
	)
	out = append(out, group("Router",
		o("route.by.field", s, "aggregatetype", configdef.High, "Field to route events by", "Column that the topic's name is made of."),
		o("route.topic.regex", s, "(?<routedByValue>.*)", configdef.Low, "The name of the routed topic", "Java pattern for that column's value.", regex),
		o("route.topic.replacement", s, "outbox.event.${routedByValue}", configdef.High, "The name of the routed topic", "Name of the topic, with groups of the pattern.", replacementFor("route.topic.regex", "(?<routedByValue>.*)")),
		o("route.tombstone.on.empty.payload", b, "false", configdef.High, "Empty payloads cause a tombstone message", "Write a tombstone for an empty payload."),
	)...)
	out = append(out, group("Tracing",
		o("tracing.span.context.field", s, "tracingspancontext", configdef.High, "Serialized tracing span context field", "Read only where OpenTelemetry is there, which millrace does not have."),
		o("tracing.operation.name", s, "debezium-read", configdef.High, "Tracing operation name", "Read only where OpenTelemetry is there."),
		o("tracing.with.context.field.only", b, "false", configdef.High, "Trace only events with context field present", "Read only where OpenTelemetry is there."),
	)...)
	adjust := o("field.name.adjustment.mode", s, "none", configdef.Low, "Field Name Adjustment", "Make field names of expanded payloads fit for Avro.", enum("none", "avro", "avro_unicode"))
	adjust.Hidden = true
	arrays := o("table.json.payload.empty.array.behavior", s, "ignore", configdef.Low, "Behavior of empty arrays", "Empty arrays of expanded payloads: ignore leaves them out, optional_string keeps them.", enum("ignore", "optional_string"))
	arrays.Hidden = true
	return &configdef.Def{Options: append(out, adjust, arrays)}
}

func placements(in configdef.Input) []string {
	for _, m := range configdef.SplitList(in.Value) {
		parts := strings.Split(m, ":")
		if len(parts) != 2 && len(parts) != 3 {
			return invalid(in, "A comma-separated list of valid String pairs or trios is expected but got: "+listText(in.Value))
		}
		switch strings.ToLower(strings.TrimSpace(parts[1])) {
		case "header", "envelope", "partition":
		default:
			return invalid(in, "a column is placed in header, envelope or partition, not in "+strings.TrimSpace(parts[1]))
		}
	}
	return nil
}

func newOutbox(v configdef.Values) (Step, error) {
	t := &outbox{
		id: v.String("table.field.event.id"), key: v.String("table.field.event.key"), timestamp: v.String("table.field.event.timestamp"),
		payload: v.String("table.field.event.payload"), routeBy: v.String("route.by.field"), version: v.String("table.field.event.schema.version"),
		skipMissing: v.Enum("table.field.additional.missing") == "ignore", tombstones: v.Bool("route.tombstone.on.empty.payload"),
		fatal: v.Enum("table.op.invalid.behavior") == "fatal", versions: map[outboxVersion]*record.Schema{}, topics: map[string]*record.Topic{},
	}
	for _, m := range v.List("table.fields.additional.placement") {
		parts := strings.Split(m, ":")
		p := placement{field: strings.TrimSpace(parts[0]), where: strings.ToLower(strings.TrimSpace(parts[1]))[0]}
		p.alias = p.field
		if len(parts) == 3 {
			p.alias = strings.TrimSpace(parts[2])
		}
		t.extra = append(t.extra, p)
		t.enveloped = t.enveloped || p.where == 'e'
	}
	if v.Bool("table.expand.json.payload") {
		t.expand = &jsonExpander{nullBytes: v.Enum("table.json.payload.null.behavior") == "optional_bytes",
			emptyString: v.Enum("table.json.payload.empty.array.behavior") == "optional_string", adjust: record.FieldNames(v.Enum("field.name.adjustment.mode"))}
	}
	var err error
	t.route, err = newRouter(v.String("route.topic.regex"), v.String("route.topic.replacement"))
	return t, err
}

func (t *outbox) compile(s *record.Schema) (*outboxPlan, error) {
	p := &outboxPlan{timestamp: -1, version: -1}
	p.op, _ = s.Field("op")
	p.after, p.row = s.Field("after")
	p.tsMs, _ = s.Field("ts_ms")
	if p.op < 0 || p.after < 0 || p.tsMs < 0 {
		return nil, dataErr("the schema %s is named like a change event and has no op, after or ts_ms", s.Name)
	}
	if p.payload, _ = p.row.Field(t.payload); p.payload < 0 {
		return nil, connectErr("Unable to find payload field %s in event", t.payload)
	}
	if p.id, _ = p.row.Field(t.id); p.id < 0 {
		return nil, dataErr("%s is not a valid field name", t.id)
	}
	var fs *record.Schema
	if p.key, _ = p.row.Field(t.key); p.key < 0 {
		return nil, dataErr("%s is not a valid field name", t.key)
	}
	if p.route, fs = p.row.Field(t.routeBy); p.route < 0 {
		return nil, dataErr("%s is not a valid field name", t.routeBy)
	} else if fs.Type != record.String {
		return nil, dataErr("Field '%s' is not of type STRING", t.routeBy)
	}
	if t.version != "" && t.enveloped {
		if p.version, fs = p.row.Field(t.version); p.version < 0 {
			return nil, dataErr("%s is not a valid field name", t.version)
		} else if fs.Type != record.Int32 {
			return nil, dataErr("Field '%s' is not of type INT32", t.version)
		}
	}
	if err := t.compileTimestamp(p); err != nil {
		return nil, err
	}
	return p, t.compileExtra(p)
}

func (t *outbox) compileTimestamp(p *outboxPlan) error {
	if t.timestamp == "" {
		return nil
	}
	i, fs := p.row.Field(t.timestamp)
	if i < 0 {
		return connectErr("Unable to find timestamp field %s in event", t.timestamp)
	}
	if fs.Type != record.Int64 {
		return dataErr("Field '%s' is not of type INT64", t.timestamp)
	}
	switch fs.Name {
	case "io.debezium.time.Timestamp":
		p.perMilli = 1
	case "io.debezium.time.MicroTimestamp":
		p.perMilli = 1000
	case "io.debezium.time.NanoTimestamp":
		p.perMilli = 1000000
	case "":
		p.untimed = connectErr("Unsupported field type %s (without logical schema name) for event timestamp", strings.ToUpper(fs.Type.String()))
	default:
		p.untimed = connectErr("Unsupported field type %s for event timestamp", fs.Name)
	}
	p.timestamp = i
	return nil
}

func (t *outbox) compileExtra(p *outboxPlan) error {
	for _, e := range t.extra {
		i, fs := p.row.Field(e.field)
		switch {
		case i < 0 && t.skipMissing:
		case i < 0 && e.where == 'e':
			return connectErr("Unable to find field %s in event", e.field)
		case i < 0:
			return dataErr("%s is not a valid field name", e.field)
		case e.where == 'p' && fs.Type != record.Int32:
			return dataErr("Field '%s' is not of type INT32", e.field)
		}
		p.extra = append(p.extra, i)
	}
	return nil
}

func (t *outbox) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return false, nil
	}
	s := r.ValueSchema
	p, ok := t.plans.lookup(s)
	if !ok {
		if !isEnvelope(s) {
			return true, nil
		}
		op, _ := s.Field("op")
		if dropped, err := t.drops(b, r, op); dropped || err != nil {
			return !dropped, err // before the columns are looked at
		}
		var err error
		if p, err = t.compile(s); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	if dropped, err := t.drops(b, r, p.op); dropped || err != nil {
		return !dropped, err
	}
	env := r.Value
	row := b.Child(env, p.after)
	if err := requireStruct(row, p.row, "Read Outbox Event"); err != nil {
		return true, err
	}
	return true, t.emit(b, r, p, env, row)
}

// drops reports whether a change is none that goes to the outbox: only inserts and
// snapshots do.
func (t *outbox) drops(b *record.Batch, r *record.Record, op int) (bool, error) {
	if op < 0 {
		return false, nil
	}
	switch b.Str(b.Child(r.Value, op)) {
	case "d":
		return true, nil
	case "u":
		if t.fatal {
			return false, &errs.Error{Java: "java.lang.IllegalStateException", Msg: fmt.Sprintf("Unexpected update message received on topic %s, fail.", r.Topic.Name)}
		}
		return true, nil
	}
	return false, nil
}

// get is Struct.get on the row: a null gives the default.
func (p *outboxPlan) get(b *record.Batch, row record.Cell, i int) record.Cell {
	return fieldValue(b, row, i, p.row.Fields[i].Schema, true)
}

func (t *outbox) emit(b *record.Batch, r *record.Record, p *outboxPlan, env, row record.Cell) error {
	route := b.Child(row, p.route) // Struct.getString and its like know no defaults
	if route.IsNull() {
		return dataErr("the column %s is null, so there is no topic for the event", t.routeBy)
	}
	ms := b.Child(env, p.tsMs)
	if p.timestamp >= 0 {
		if at := b.Child(row, p.timestamp); !at.IsNull() {
			if p.untimed != nil {
				return p.untimed
			}
			ms = record.Int64Cell(at.Int() / p.perMilli)
		}
	}
	b.AddHeader(r, record.Header{Key: "id", Schema: p.row.Fields[p.id].Schema, Value: p.get(b, row, p.id)})
	payload, schema := p.get(b, row, p.payload), p.row.Fields[p.payload].Schema
	if t.expand != nil && payload.Kind() == record.String {
		schema, payload = t.expand.expand(b, t.payload, schema, payload)
	}
	partition := int32(-1)
	for i, x := range p.extra {
		if x < 0 {
			continue
		}
		switch e := &t.extra[i]; e.where {
		case 'h':
			b.AddHeader(r, record.Header{Key: e.alias, Schema: p.row.Fields[x].Schema, Value: p.get(b, row, x)})
		case 'p':
			if v := b.Child(row, x); !v.IsNull() {
				partition = int32(v.Int())
			}
		}
	}
	r.KeySchema, r.Key = p.row.Fields[p.key].Schema, p.get(b, row, p.key)
	r.Topic, r.Partition = t.topic(b, route), partition
	if !ms.IsNull() {
		r.Timestamp = ms.Int()
	}
	switch {
	case t.tombstones && emptyPayload(b, payload):
		r.ValueSchema, r.Value = nil, record.Cell{}
	case !t.enveloped:
		r.ValueSchema, r.Value = schema, payload
	default:
		return t.envelope(b, r, p, row, route, schema, payload)
	}
	return nil
}

func emptyPayload(b *record.Batch, c record.Cell) bool {
	return c.IsNull() || c.Kind() == record.String && strings.TrimSpace(b.Str(c)) == ""
}

// topic routes a value of the route column.
func (t *outbox) topic(b *record.Batch, c record.Cell) *record.Topic {
	if n := t.topics[b.Str(c)]; n != nil {
		return n
	}
	in := &record.Topic{Name: string(b.Raw(c))}
	out := t.route.route(in)
	delete(t.route.routes, in)
	if out == nil {
		out = t.route.topics.get(in.Name)
	}
	if len(t.topics) >= 1<<16 {
		clear(t.topics)
	}
	t.topics[in.Name] = out
	return out
}

// outboxVersion is what the schema of an event with a version hangs on. Debezium
// looks at the version alone, and fails on payloads of another shape.
type outboxVersion struct {
	version      int64
	row, payload *record.Schema
}

// firstPayload stands for the payload that a version was seen with first.
var firstPayload = &record.Schema{}

// envelope makes the struct of payload and columns. Its schema is cached by the
// payload's schema, and by the version if there is one, so it keeps the name of the first
// route it was made for, as in Debezium.
func (t *outbox) envelope(b *record.Batch, r *record.Record, p *outboxPlan, row, route record.Cell, payloadSchema *record.Schema, payload record.Cell) error {
	var s *record.Schema
	if p.version >= 0 {
		v := b.Child(row, p.version)
		key, first := outboxVersion{v.Int(), p.row, payloadSchema}, outboxVersion{v.Int(), p.row, firstPayload}
		if payload.IsNull() && t.versions[first] != nil {
			key = first // null fits every shape
		}
		if s = t.versions[key]; s == nil {
			s = t.valueSchema(p, payloadSchema, b.Str(route))
			s.Version = int(v.Int())
			if err := checkFields(s); err != nil {
				return err
			}
			if len(t.versions) >= maxPlans {
				clear(t.versions)
			}
			t.versions[key] = s
			if t.versions[first] == nil {
				t.versions[first] = s
			}
		}
	} else {
		var ok bool
		if s, ok = t.values.lookup(payloadSchema); !ok {
			s = t.valueSchema(p, payloadSchema, b.Str(route))
			if err := checkFields(s); err != nil {
				return err
			}
			t.values.store(payloadSchema, s)
		}
	}
	out := b.Alloc(record.Struct, len(s.Fields))
	b.SetChild(out, 0, payload)
	at := 1
	for i, x := range p.extra {
		if x >= 0 && t.extra[i].where == 'e' {
			b.SetChild(out, at, p.get(b, row, x))
			at++
		}
	}
	r.ValueSchema, r.Value = s, out
	return nil
}

func (t *outbox) valueSchema(p *outboxPlan, payload *record.Schema, route string) *record.Schema {
	if payload == nil {
		payload = record.OptionalString
	}
	name := strings.Clone(route)
	if p.row.Name != "" {
		if i := strings.LastIndexByte(p.row.Name, '.'); i >= 0 {
			name = p.row.Name[:i+1] + name + p.row.Name[i:]
		} else {
			name += "." + p.row.Name
		}
	}
	s := &record.Schema{Type: record.Struct, Name: name, Fields: []record.Field{{Name: "payload", Schema: payload}}}
	for i, x := range p.extra {
		if x >= 0 && t.extra[i].where == 'e' {
			s.Fields = append(s.Fields, record.Field{Name: t.extra[i].alias, Schema: p.row.Fields[x].Schema})
		}
	}
	return s
}
