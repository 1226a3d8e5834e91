package sqlsink

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// place is where a column's value comes from.
type place uint8

const (
	fromValue    place = iota // a field of the row
	fromKey                   // a field of the record key
	fromWholeKey              // the primitive record key
	fromHeader                // a header, by name
	fromTopic                 // Kafka coordinates
	fromPartition
	fromOffset
	fromWholeValue // the value, a text
)

// column is one column of a plan.
type column struct {
	name   string // in the target, in the case it has there
	field  string
	schema *record.Schema
	sem    sem
	from   place
	index  int // of the field
	key    bool
	row    int           // place in the row schema; -1: not in it
	fill   *record.Datum // stands for null; nil: null stays
	alt    *sem          // the Debezium type, for a column of that type; nil: sem is the only one
	hold   bool          // its value may be the placeholder for an unchanged value
}

// required tells whether the column is made NOT NULL.
func (c *column) required() bool { return c.key || !c.schema.Optional }

// plan is how records of one topic, key schema and row schema become rows: the key
// columns come first, in the key's order, then the other fields in the row's order.
type plan struct {
	table *table
	cols  []column
	keys  int
	// partial: columns were left out because their value did not change; rows that
	// exist are updated, and only missing ones inserted.
	partial  bool
	skip     bool             // only deletes, and the table does not exist
	keyless  bool             // no key column to find a row by; the table is made, as Debezium makes it
	variants map[string]*plan // partial plans by the set of columns left out
}

// planID is what a plan depends on.
type planID struct {
	topic      *record.Topic
	key, row   *record.Schema
	table      string // set when the table name depends on the record's source block
	headers    string // primary.key.mode=record_header: names and types
	deleteOnly bool
}

// planFor returns the plan of a record, compiling it and preparing the table when
// it is new. fresh tells that it was new.
func (k *Sink) planFor(b *record.Batch, r *record.Record, ch *change) (p *plan, fresh bool, err error) {
	id := planID{topic: r.Topic, key: r.KeySchema, row: ch.schema}
	if ch.op == opDelete && k.cfg.keyMode != keyRecordValue {
		id.row, id.deleteOnly = nil, true
	}
	if ch.op == opTruncate {
		id.key, id.row, id.deleteOnly = nil, nil, true
	}
	if k.perSource {
		if id.table, err = k.tableName(b, r, ch); err != nil {
			return nil, true, err
		}
	}
	if k.cfg.keyMode == keyRecordHeader && ch.op != opTruncate {
		id.headers = headerSignature(b, r)
	}
	if p := k.plans[id]; p != nil {
		return p, false, nil
	}
	p = &plan{}
	if ch.op != opTruncate {
		if err := k.compile(p, id, b, r); err != nil {
			return nil, true, err
		}
	}
	name := id.table
	if name == "" {
		if name, err = k.tableName(b, r, ch); err != nil {
			return nil, true, err
		}
	}
	p.table = k.tableOf(name)
	k.pendingPlan = id
	return p, true, nil
}

func headerSignature(b *record.Batch, r *record.Record) string {
	var sb strings.Builder
	for _, h := range b.Headers(r) {
		fmt.Fprintf(&sb, "%s\x00%p\x00%d\x00", h.Key, h.Schema, h.Value.Kind())
	}
	return sb.String()
}

// tableName fills collection.name.format.
func (k *Sink) tableName(b *record.Batch, r *record.Record, ch *change) (string, error) {
	if t := k.cfg.mapping[r.Topic.Name]; t != "" {
		return t, nil
	}
	name := strings.ReplaceAll(k.cfg.tableFormat, "${topic}", k.cfg.topicTable(r.Topic.Name))
	for {
		before, rest, found := strings.Cut(name, "${source.")
		field, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			break
		}
		value, fi := "", -1
		if !ch.source.IsNull() {
			fi, _ = ch.srcSch.Field(field)
		}
		if fi < 0 {
			return "", refusal(fmt.Sprintf("The table name is to hold ${source.%s}, but a record of topic %s has no field source.%s. Flattened records have no source block; use ${topic}", field, r.Topic.Name, field))
		}
		if c := b.Child(ch.source, fi); c.Kind() == record.String {
			value = string(b.Raw(c))
		}
		name = before + value + after
	}
	if k.cfg.normalize {
		name = notNormal.ReplaceAllString(name, "_")
	}
	if name == "" {
		return "", refusal("The name of the table for topic " + r.Topic.Name + " is empty. Put ${topic} into the name format")
	}
	return name, nil
}

// compile lists the columns.
func (k *Sink) compile(p *plan, id planID, b *record.Batch, r *record.Record) error {
	if err := k.keyColumns(p, id, b, r); err != nil {
		return err
	}
	k.atSight = false
	p.keys = len(p.cols)
	if id.row != nil && id.row.Type != record.Struct && !id.deleteOnly {
		p.cols = append(p.cols, column{field: k.cfg.textColumn, schema: id.row, from: fromWholeValue})
	} else if id.row != nil && !id.deleteOnly {
		for i := range id.row.Fields {
			f := &id.row.Fields[i]
			if k.hasKey(p, f.Name) || k.cfg.include != nil && !k.cfg.include(r.Topic.Name, f.Name) {
				continue
			}
			p.cols = append(p.cols, column{field: f.Name, schema: f.Schema, from: fromValue, index: i})
		}
	}
	if k.cfg.include != nil && !k.cfg.plain { // a filter can take key fields away too
		kept := p.cols[:0]
		keys := 0
		for i, c := range p.cols {
			if i < p.keys && c.from <= fromKey && !k.cfg.include(r.Topic.Name, c.field) {
				continue
			}
			if i < p.keys {
				keys++
			}
			kept = append(kept, c)
		}
		p.cols, p.keys = kept, keys
	}
	for i := range p.cols {
		c := &p.cols[i]
		c.name, c.key = k.spell.fold(c.field), i < p.keys
		k.give(c, id.row)
		switch c.schema.Type {
		case record.String, record.Bytes, record.Array, record.Map:
			c.hold = c.from == fromValue && !c.key && len(k.cfg.placeholder) > 0
		}
		if c.sem.kind == kindNone {
			return refusal(fmt.Sprintf("The field %q of topic %s is a %s, for which there is no column type. Flatten it (org.apache.kafka.connect.transforms.Flatten) or leave it out (field.exclude.list)", c.field, r.Topic.Name, c.schema.Type))
		}
	}
	p.keyless = p.keys == 0 && k.cfg.keyMode != keyNone && k.cfg.mode != modeInsert
	if p.keys == 0 && (k.cfg.plain && k.cfg.keyMode != keyNone || id.deleteOnly) {
		return k.noKey(r)
	}
	if len(p.cols) == 0 {
		return refusal("A record of topic " + r.Topic.Name + " has no field to write")
	}
	return nil
}

// noKey refuses a record that has none of the key fields: without a condition an update or
// delete would be one of all rows.
func (k *Sink) noKey(r *record.Record) error {
	return refusal(fmt.Sprintf("Cannot write to the table of topic %s with no key fields defined: primary.key.mode is set, but the record gives no key field", r.Topic.Name))
}

// give works out what a column's values mean. Confluent's sink does not know
// Debezium's types: a MicroTimestamp is a bigint to it. That is kept for the tables
// it has made; a column that has the type itself gets the value in it.
func (k *Sink) give(c *column, row *record.Schema) {
	c.sem, c.row = meaning(c.schema), -1
	if row != nil && row.Type == record.Struct {
		c.row, _ = row.Field(c.field)
	}
	if k.cfg.nullDefault {
		c.fill = c.schema.Default
	}
	if !k.cfg.plain {
		return
	}
	if c.sem.kind == kindTimestamp || c.sem.kind == kindTime {
		c.sem.zone = k.cfg.zone
	}
	if strings.HasPrefix(c.schema.Name, debezium) && plainKinds[c.schema.Type] != kindNone {
		alt := c.sem
		c.alt, c.sem = &alt, sem{kind: plainKinds[c.schema.Type], srcLen: -1, srcScale: -1}
	}
}

func (k *Sink) hasKey(p *plan, field string) bool {
	for i := 0; i < p.keys; i++ {
		if p.cols[i].field == field {
			return true
		}
	}
	return false
}

func (k *Sink) keyColumns(p *plan, id planID, b *record.Batch, r *record.Record) error {
	add := func(field string, s *record.Schema, from place, index int) {
		p.cols = append(p.cols, column{field: field, schema: s, from: from, index: index})
	}
	switch k.cfg.keyMode {
	case keyKafka:
		names := k.cfg.coordinates
		if names[0] == "" {
			names = [3]string{"__connect_topic", "__connect_partition", "__connect_offset"}
		}
		add(names[0], record.PlainString, fromTopic, 0)
		add(names[1], record.PlainInt32, fromPartition, 0)
		add(names[2], record.PlainInt64, fromOffset, 0)
	case keyRecordKey:
		switch {
		case r.Key.IsNull():
			return refusal("A record of topic " + r.Topic.Name + " has no key, but primary.key.mode is record_key")
		case id.key == nil:
			return refusal("The key of a record of topic " + r.Topic.Name + " has no schema. Use a converter with schemas for the key")
		case id.key.Type != record.Struct:
			if len(k.cfg.keys) != 1 {
				return refusal("The key of a record of topic " + r.Topic.Name + " is a " + id.key.Type.String() + ", not a struct. Name its column in primary.key.fields")
			}
			add(k.cfg.keys[0], id.key, fromWholeKey, 0)
		default:
			return k.structKey(id.key, r, fromKey, add)
		}
	case keyRecordValue:
		if id.row == nil {
			return refusal("A record of topic " + r.Topic.Name + " has no value to take the key from, but primary.key.mode is record_value")
		}
		return k.structKey(id.row, r, fromValue, add)
	case keyRecordHeader:
		return k.headerKey(b, r, add)
	}
	return nil
}

func (k *Sink) structKey(s *record.Schema, r *record.Record, from place, add func(string, *record.Schema, place, int)) error {
	for i, f := range s.Fields {
		if len(k.cfg.keys) == 0 || contains(k.cfg.keys, f.Name) {
			add(f.Name, f.Schema, from, i)
		}
	}
	for _, want := range k.cfg.keys {
		if i, _ := s.Field(want); i < 0 && k.cfg.plain {
			return refusal(fmt.Sprintf("primary.key.fields names %q, which records of topic %s do not have", want, r.Topic.Name))
		}
	}
	return nil
}

// headerKey takes all headers, as Debezium does whatever primary.key.fields names.
func (k *Sink) headerKey(b *record.Batch, r *record.Record, add func(string, *record.Schema, place, int)) error {
	seen := map[string]bool{}
	for _, h := range b.Headers(r) {
		if seen[h.Key] {
			continue
		}
		if h.Schema == nil {
			return refusal("The header " + h.Key + " of a record of topic " + r.Topic.Name + " has no schema, so it cannot be a key column")
		}
		seen[h.Key] = true
		add(h.Key, h.Schema, fromHeader, 0)
	}
	if len(seen) == 0 {
		return refusal("A record of topic " + r.Topic.Name + " has no headers, but primary.key.mode is record_header")
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// without returns the plan that leaves columns out, by index, ascending.
func (p *plan) without(out []int) *plan {
	key := make([]byte, 0, 16)
	for _, i := range out {
		key = append(key, byte(i), byte(i>>8))
	}
	if v := p.variants[string(key)]; v != nil {
		return v
	}
	v := &plan{table: p.table, keys: p.keys, partial: true}
	for i := range p.cols {
		if at := sort.SearchInts(out, i); at == len(out) || out[at] != i {
			v.cols = append(v.cols, p.cols[i])
		}
	}
	if p.variants == nil {
		p.variants = map[string]*plan{}
	}
	p.variants[string(key)] = v
	return v
}

// rows is what writers read values from: the batch and the row of each record.
type rows struct {
	b      *record.Batch
	row    []record.Cell // by record index
	topics map[*record.Topic]record.Cell
}

// value returns the cell of a column for record i.
func (s *rows) value(c *column, i int32) record.Cell {
	v := s.cell(c, i)
	if c.fill != nil && v.IsNull() {
		return s.b.Put(c.fill)
	}
	return v
}

func (s *rows) cell(c *column, i int32) record.Cell {
	r := &s.b.Records[i]
	switch c.from {
	case fromValue:
		return s.b.Child(s.row[i], c.index)
	case fromKey:
		return s.b.Child(r.Key, c.index)
	case fromWholeKey:
		return r.Key
	case fromWholeValue:
		return r.Value
	case fromHeader:
		hs := s.b.Headers(r)
		for j := len(hs) - 1; j >= 0; j-- {
			if hs[j].Key == c.field {
				return hs[j].Value
			}
		}
		return record.Cell{}
	case fromTopic:
		return s.topics[r.Origin.Topic]
	case fromPartition:
		return record.Int32Cell(r.Origin.Partition)
	}
	return record.Int64Cell(r.Origin.Offset)
}

// placeholderUUID is how the source spells the placeholder in a uuid[]: a version 3
// UUID of its bytes.
func placeholderUUID(ph []byte) string {
	h := md5.Sum(ph)
	h[6] = h[6]&0x0f | 0x30
	h[8] = h[8]&0x3f | 0x80
	x := hex.EncodeToString(h[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// badRow is a value that cannot be written, of one record.
type badRow struct {
	index int32
	err   error
}

func (e *badRow) Error() string { return e.err.Error() }
func (e *badRow) Unwrap() error { return e.err }

func badValue(i int32, c *column, err error) error {
	return &badRow{index: i, err: &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf("The value of column %s cannot be written", c.name), Cause: err}}
}
