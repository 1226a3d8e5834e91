package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// unwrap is ExtractNewRecordState: the row alone instead of the change envelope.
type unwrap struct {
	mode         unwrapMode
	fields       []fieldRef // add.fields
	headers      []fieldRef // add.headers
	routeBy      string
	dropHeader   string
	dropFromKey  bool
	dropOptional bool // only optional fields are dropped
	fill         bool

	plans  planCache[*unwrapPlan]
	topics topicCache
	drops  map[dropKey]*copyPlan
	at     int // index of the record last looked at, a hint
}

type unwrapMode uint8

const (
	unwrapTombstone unwrapMode = iota
	unwrapDrop
	unwrapRewrite
	unwrapRewriteTombstone
	unwrapDeleteToTombstone
)

var unwrapModes = map[string]unwrapMode{
	"tombstone": unwrapTombstone, "drop": unwrapDrop, "rewrite": unwrapRewrite,
	"rewrite-with-tombstone": unwrapRewriteTombstone, "delete-to-tombstone": unwrapDeleteToTombstone,
}

func unwrapDef() *configdef.Def {
	const syntax = " Names are [struct.]field[:new name]; op and the ts fields are taken from the envelope, id and the orders from transaction, others from source."
	fill := fillOption()
	fill.Hidden = true
	return &configdef.Def{Options: []configdef.Option{
		dopt("delete.tombstone.handling.mode", configdef.String, "tombstone", configdef.Medium, configdef.WidthMedium, "Handle delete and tombstone records",
			"What becomes of deletes: tombstone (a null value), drop, rewrite (the old row and __deleted), rewrite-with-tombstone, delete-to-tombstone (a null value without schema).",
			enum("drop", "tombstone", "rewrite-with-tombstone", "rewrite", "delete-to-tombstone")),
		dopt("route.by.field", configdef.String, "", configdef.Low, configdef.WidthLong, "Route by field name", "Column whose value becomes the topic."),
		dopt("add.fields.prefix", configdef.String, "__", configdef.Low, configdef.WidthShort, "Field prefix to be added to each field.", "What stands before the names of added fields."),
		dopt("add.fields", configdef.List, "", configdef.Low, configdef.WidthLong, "Adds the specified field(s) to the message if they exist.", "Fields of the envelope to add to the row."+syntax, fieldRefs),
		dopt("add.headers.prefix", configdef.String, "__", configdef.Low, configdef.WidthShort, "Header prefix to be added to each header.", "What stands before the names of added headers."),
		dopt("add.headers", configdef.List, "", configdef.Low, configdef.WidthLong, "Adds the specified fields to the header if they exist.", "Fields of the envelope to add as headers."+syntax, fieldRefs),
		dopt("drop.fields.header.name", configdef.String, noDefault, configdef.Low, configdef.WidthShort, "Specifies a header that contains a list of field names to be removed", "Header that lists fields to leave out of the row."),
		dopt("drop.fields.from.key", configdef.Boolean, "false", configdef.Low, configdef.WidthShort, "Specifies whether the fields to be dropped should also be omitted from the key", "Leave them out of the key too."),
		dopt("drop.fields.keep.schema.compatible", configdef.Boolean, "true", configdef.Low, configdef.WidthShort, "Specifies if fields are dropped, will the event's schemas be compatible", "Leave out optional fields only."),
		fill,
		old("drop.tombstones", "delete.tombstone.handling.mode"),
		old("delete.handling.mode", "delete.tombstone.handling.mode"),
		old("operation.header", "add.headers=op"),
		old("add.source.fields", "add.fields"),
	}}
}

// old is an option of former versions that is refused with the name of the new one.
func old(name, now string) configdef.Option {
	o := opt(name, configdef.String, noDefault, configdef.Low, "Removed; use "+now+".")
	o.Hidden, o.Unsupported = true, "it was removed from Debezium; use "+now
	return o
}

func fieldRefs(in configdef.Input) []string {
	for _, f := range configdef.SplitList(in.Value) {
		if strings.Count(f, ":") > 1 {
			return invalid(in, "Unexpected field name: "+f)
		}
	}
	return nil
}

// fieldRef names a field of an envelope and what it becomes.
type fieldRef struct{ parent, field, name string }

func parseFieldRefs(prefix string, list []string) []fieldRef {
	var out []fieldRef
	for _, text := range list {
		path, name, renamed := strings.Cut(text, ":")
		renamed = renamed && name != "" // as Java's split, which drops empty ends
		parent, field, nested := strings.Cut(strings.TrimRight(path, "."), ".")
		if !nested {
			parent, field = parentOf(parent), parent
		}
		switch {
		case renamed:
			name = prefix + name
		case nested:
			name = prefix + parent + "_" + field
		default:
			name = prefix + field
		}
		out = append(out, fieldRef{parent, field, name})
	}
	return out
}

// parentOf is the struct of the envelope that a bare name is looked up in.
func parentOf(field string) string {
	switch field {
	case "id", "data_collection_order", "total_order":
		return "transaction"
	case "op", "ts_ms", "ts_us", "ts_ns":
		return ""
	}
	return "source"
}

func newUnwrap(v configdef.Values) (Step, error) {
	return &unwrap{
		mode:    unwrapModes[v.Enum("delete.tombstone.handling.mode")],
		fields:  parseFieldRefs(v.String("add.fields.prefix"), v.List("add.fields")),
		headers: parseFieldRefs(v.String("add.headers.prefix"), v.List("add.headers")),
		routeBy: v.String("route.by.field"), dropHeader: v.String("drop.fields.header.name"),
		dropFromKey: v.Bool("drop.fields.from.key"), dropOptional: v.Bool("drop.fields.keep.schema.compatible"),
		fill: v.Bool("replace.null.with.default"), drops: map[dropKey]*copyPlan{},
	}, nil
}

func (t *unwrap) rewrites() bool { return t.mode == unwrapRewrite || t.mode == unwrapRewriteTombstone }

// unwrapPlan is the work for one envelope schema.
type unwrapPlan struct {
	before, after, op int
	row               *record.Schema // of after
	changed           *copyPlan      // rows of inserts and updates
	deleted           *copyPlan      // rows of deletes, in the rewrite modes
	mark              int            // index of __deleted, -1 none
	added             []refPlan
	headers           []refPlan
	route             int // index of route.by.field in the row, -1 none
	// unbuilt is why there is no schema for rows; deletes that have none do not mind.
	unbuilt error
	// unrouted is why a row cannot be routed; rows that are dropped need no route.
	unrouted error
}

// refPlan is where a referenced field lies: child index of parent, or of the
// envelope itself when parent is -1.
type refPlan struct {
	name          string
	parent, field int
	schema        *record.Schema
}

func (p *refPlan) value(b *record.Batch, envelope record.Cell) record.Cell {
	if p.parent < 0 {
		return b.Child(envelope, p.field)
	}
	c := b.Child(envelope, p.parent)
	if c.IsNull() {
		return c
	}
	return b.Child(c, p.field)
}

func (t *unwrap) compile(s *record.Schema) (*unwrapPlan, error) {
	p := &unwrapPlan{mark: -1, route: -1}
	p.op, _ = s.Field("op")
	var beforeSchema *record.Schema
	p.before, beforeSchema = s.Field("before")
	p.after, p.row = s.Field("after")
	if p.op < 0 || p.before < 0 || p.after < 0 {
		return nil, dataErr("Unknown field: the schema %s is named like a change event and has no op, before or after", s.Name)
	}
	var err error
	if p.added, err = resolve(s, t.fields); err != nil {
		return nil, err
	}
	if p.headers, err = resolve(s, t.headers); err != nil {
		return nil, err
	}
	if t.routeBy != "" {
		i, fs := p.row.Field(t.routeBy)
		switch {
		case i < 0:
			p.unrouted = dataErr("%s is not a valid field name", t.routeBy)
		case fs.Type != record.String:
			p.unrouted = dataErr("Field '%s' is not of type STRING", t.routeBy)
		}
		p.route = i
	}
	if p.row.Type != record.Struct {
		return nil, dataErr("Only Struct objects supported for [source field insertion], found: %s", p.row.Type)
	}
	p.changed, p.unbuilt = t.rowPlan(p, p.row)
	p.deleted, err = t.rowPlan(p, beforeSchema)
	if p.unbuilt == nil {
		p.unbuilt = err
	}
	return p, nil
}

// rowPlan takes over the row's fields and makes room for __deleted and what is added.
func (t *unwrap) rowPlan(p *unwrapPlan, row *record.Schema) (*copyPlan, error) {
	c := wholeCopy(row, basics(row), t.fill && t.rewrites())
	if t.rewrites() {
		p.mark = len(c.from)
		c.add("__deleted", record.OptionalString, -1, false)
	}
	for _, a := range p.added {
		c.add(a.name, a.schema, -1, false)
	}
	return c, c.check()
}

// resolve finds the referenced fields; those that are nowhere are left out.
func resolve(s *record.Schema, refs []fieldRef) ([]refPlan, error) {
	var out []refPlan
	for _, r := range refs {
		p := refPlan{name: r.name, parent: -1}
		holder := s
		if r.parent != "" {
			if p.parent, holder = s.Field(r.parent); holder == nil {
				return nil, dataErr("the change event has no field %s, which %s.%s asks for", r.parent, r.parent, r.field)
			}
		}
		if p.field, p.schema = holder.Field(r.field); p.field < 0 {
			p.parent = -1 // added by another step beside op
			if p.field, p.schema = s.Field(r.field); p.field < 0 {
				continue
			}
		}
		c := p.schema.Copy()
		c.Optional, c.Default = true, nil
		p.schema = c
		out = append(out, p)
	}
	return out, nil
}

func (t *unwrap) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.IsNull() {
		return t.tombstone(b, r), nil
	}
	s := r.ValueSchema
	p, ok := t.plans.lookup(s)
	if !ok {
		if !isEnvelope(s) {
			return true, nil
		}
		var err error
		if p, err = t.compile(s); err != nil {
			return true, err
		}
		t.plans.store(s, p)
	}
	env := r.Value
	before, after := b.Child(env, p.before), b.Child(env, p.after)
	if len(p.headers) > 0 {
		t.addHeaders(b, r, p, env, after.IsNull())
	}
	switch {
	case !after.IsNull():
		return true, t.change(b, r, p, env, after)
	case before.IsNull():
		return false, nil // truncate
	}
	return t.delete(b, r, p, env, before)
}

// tombstone handles a null value: it is kept in one mode only.
func (t *unwrap) tombstone(b *record.Batch, r *record.Record) bool {
	if t.mode != unwrapRewriteTombstone {
		return false
	}
	for _, h := range t.headers {
		if h.field == "op" {
			b.AddHeader(r, record.Header{Key: h.name, Schema: record.PlainString, Value: b.StringCell("d")})
		}
	}
	return true
}

// addHeaders adds the headers. The tombstone behind a delete carries the same
// headers object in Connect, so what the delete gets, the tombstone has too.
func (t *unwrap) addHeaders(b *record.Batch, r *record.Record, p *unwrapPlan, env record.Cell, deleted bool) {
	var next *record.Record
	if deleted && t.mode == unwrapRewriteTombstone {
		next = sharedTombstone(b, r, &t.at)
	}
	for i := range p.headers {
		h := &p.headers[i]
		b.AddHeader(r, record.Header{Key: h.name, Schema: h.schema, Value: h.value(b, env)})
	}
	if next != nil {
		b.ShareHeaders(next, r)
	}
}

// change makes the row of an insert, update or read.
func (t *unwrap) change(b *record.Batch, r *record.Record, p *unwrapPlan, env, row record.Cell) error {
	if err := t.reroute(b, r, p, row); err != nil {
		return err
	}
	if p.unbuilt != nil {
		return p.unbuilt
	}
	r.ValueSchema, r.Value = p.changed.out, p.changed.apply(b, row)
	t.finish(b, r, p, env, "false")
	return t.dropFields(b, r)
}

// finish sets what was added to the row.
func (t *unwrap) finish(b *record.Batch, r *record.Record, p *unwrapPlan, env record.Cell, deleted string) {
	at := r.Value.Len() - len(p.added)
	if p.mark >= 0 {
		b.SetChild(r.Value, at-1, b.StringCell(deleted))
	}
	for i := range p.added {
		b.SetChild(r.Value, at+i, p.added[i].value(b, env))
	}
}

func (t *unwrap) delete(b *record.Batch, r *record.Record, p *unwrapPlan, env, before record.Cell) (bool, error) {
	switch t.mode {
	case unwrapDrop:
		return false, nil
	case unwrapTombstone:
		// The schema stays: JsonConverter writes it with a null payload.
		r.ValueSchema, r.Value = p.row, record.Cell{}
	case unwrapDeleteToTombstone:
		r.ValueSchema, r.Value = nil, record.Cell{}
	default:
		if p.unbuilt != nil {
			return true, p.unbuilt
		}
		r.ValueSchema, r.Value = p.deleted.out, p.deleted.apply(b, before)
		t.finish(b, r, p, env, "true")
	}
	if err := t.reroute(b, r, p, before); err != nil {
		return true, err
	}
	return true, t.dropFields(b, r)
}

// reroute sets the topic from a column; a null or blank value changes nothing.
func (t *unwrap) reroute(b *record.Batch, r *record.Record, p *unwrapPlan, row record.Cell) error {
	if p.route < 0 || p.unrouted != nil {
		return p.unrouted
	}
	if c := b.Child(row, p.route); !c.IsNull() && strings.TrimSpace(b.Str(c)) != "" {
		r.Topic = t.topics.get(string(b.Raw(c)))
	}
	return nil
}
