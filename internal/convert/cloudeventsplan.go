package convert

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// ceEncoder is the plan of one topic and schema.
type ceEncoder struct {
	ce     *CloudEvents
	topic  *record.Topic
	schema *record.Schema
	null   bool // no change event: always null
	// of an envelope: where its parts are
	source, op, tx int
	before, after  int

	mu      sync.Mutex
	sources map[*record.Schema]*ceSource
	data    map[string]*ceData // by name of the data's schema
	events  map[string]*ceEvent
}

// ceSource is what a source block's schema says.
type ceSource struct {
	schema *record.Schema
	fields []ceField
}

// ceField is an extension attribute made of a field.
type ceField struct {
	name   string
	prefix []byte // `,"iodebeziumname":`
	schema *record.Schema
	text   bool // int64 is written as text
}

// ceData writes the data of events.
type ceData struct {
	enc Encoder
}

// ceEvent writes events as Avro.
type ceEvent struct {
	schema *record.Schema
	enc    Encoder
}

// ceTransaction are the attributes of a transaction block.
var ceTransaction = []ceField{ceAttribute("txid", record.OptionalString), ceAttribute("txtotal_order", record.OptionalInt64), ceAttribute("txdata_collection_order", record.OptionalInt64)}

func ceAttribute(field string, s *record.Schema) ceField {
	name := []byte("iodebezium")
	for i := 0; i < len(field); i++ {
		if c := field[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			name = append(name, c)
		}
	}
	return ceField{name: string(name), prefix: []byte(`,"` + string(name) + `":`), schema: s, text: s.Type == record.Int64}
}

func (ce *CloudEvents) compile(_ context.Context, topic *record.Topic, s *record.Schema) (*ceEncoder, error) {
	e := &ceEncoder{ce: ce, topic: topic, schema: s, sources: map[*record.Schema]*ceSource{}, data: map[string]*ceData{}, events: map[string]*ceEvent{}}
	if s == nil || !ce.fromHeaders && !strings.HasSuffix(s.Name, ".Envelope") {
		e.null = true
		return e, nil
	}
	if s.Type != record.Struct {
		return nil, dataError(topic, "Mismatching schema", nil)
	}
	if !ce.fromHeaders {
		e.source, _ = s.Field("source")
		e.op, _ = s.Field("op")
		e.tx, _ = s.Field("transaction")
		e.before, _ = s.Field("before")
		e.after, _ = s.Field("after")
		if e.source < 0 || e.op < 0 || e.before < 0 || e.after < 0 {
			return nil, dataError(topic, "the schema "+s.Name+" is no change event: source, op, before or after is missing", nil)
		}
	}
	return e, nil
}

// Append implements Encoder.
func (e *ceEncoder) Append(dst []byte, b *record.Batch, c record.Cell) ([]byte, bool, error) {
	r := record.Record{Value: c}
	return e.AppendRecord(dst, b, &r)
}

// ceParts is what an event is made of.
type ceParts struct {
	src       *ceSource
	srcCell   record.Cell
	op, tx    record.Cell
	id, kind  record.Cell // from headers; null: generated
	trace     record.Cell
	dataName  string
	connector string
}

// AppendRecord implements RecordEncoder.
func (e *ceEncoder) AppendRecord(dst []byte, b *record.Batch, r *record.Record) ([]byte, bool, error) {
	c := r.Value
	if e.null || c.IsNull() {
		return dst, true, nil
	}
	p, ok, err := e.parts(b, r)
	if err != nil || !ok {
		return dst, !ok && err == nil, err
	}
	from := len(dst)
	if e.ce.avroEnvelope {
		dst, err = e.appendAvro(dst, b, c, &p)
	} else {
		dst, err = e.appendJSON(dst, b, c, &p)
	}
	if err != nil {
		if _, typed := err.(*errs.Error); !typed { //nolint:errorlint // only an error that is already worded goes out as it is
			err = dataError(e.topic, "the event cannot be written", err)
		}
		return dst[:from], false, err
	}
	return dst, false, nil
}

// parts finds source, op, transaction and what the options say stands in headers.
// ok is false when the headers that make a record an event are missing.
func (e *ceEncoder) parts(b *record.Batch, r *record.Record) (p ceParts, ok bool, err error) {
	var sourceSchema *record.Schema
	if e.ce.fromHeaders {
		src, op, tx := lastHeader(b, r, "source"), lastHeader(b, r, "op"), lastHeader(b, r, "transaction")
		if src == nil || op == nil || src.Value.Kind() != record.Struct || src.Schema == nil {
			return p, false, nil
		}
		sourceSchema, p.srcCell, p.op = src.Schema, src.Value, op.Value
		if tx != nil {
			p.tx = tx.Value
		}
	} else {
		sourceSchema, p.srcCell, p.op = e.schema.Fields[e.source].Schema, b.Child(r.Value, e.source), b.Child(r.Value, e.op)
		if e.tx >= 0 {
			p.tx = b.Child(r.Value, e.tx)
		}
	}
	if p.src, err = e.sourcePlan(sourceSchema); err != nil {
		return p, false, err
	}
	if p.srcCell.Kind() != record.Struct || p.op.Kind() != record.String {
		return p, false, dataError(e.topic, "the change event has no source or op", nil)
	}
	p.connector = string(p.src.text(nil, b, p.srcCell, "connector"))
	p.dataName = "io.debezium.connector." + p.connector + ".Data"
	for _, h := range []struct {
		on   bool
		name string
		to   *record.Cell
	}{{e.ce.idHeader, "id", &p.id}, {e.ce.typeHeader, "type", &p.kind}, {e.ce.traceParent, "traceparent", &p.trace}} {
		if !h.on {
			continue
		}
		found := lastHeader(b, r, h.name)
		if found == nil || found.Value.Kind() != record.String {
			return p, false, &errs.Error{Java: errs.DebeziumException, Msg: "Header `" + h.name + "` was not provided"}
		}
		*h.to = found.Value
	}
	if e.ce.nameHeader {
		if h := lastHeader(b, r, "dataSchemaName"); h != nil && h.Value.Kind() == record.String {
			p.dataName = string(b.Raw(h.Value))
		}
	}
	return p, true, nil
}

func lastHeader(b *record.Batch, r *record.Record, name string) *record.Header {
	hs := b.Headers(r)
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].Key == name {
			return &hs[i]
		}
	}
	return nil
}

func (e *ceEncoder) sourcePlan(s *record.Schema) (*ceSource, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.sources[s]; p != nil {
		return p, nil
	}
	p := &ceSource{schema: s}
	for _, f := range s.Fields {
		switch f.Schema.Type {
		case record.Boolean, record.Int8, record.Int16, record.Int32, record.Int64, record.String:
			p.fields = append(p.fields, ceAttribute(f.Name, f.Schema))
		default:
			return nil, dataError(e.topic, "the source field "+f.Name+" is a "+f.Schema.Type.String()+", which no CloudEvents attribute can be", nil)
		}
	}
	if len(e.sources) >= 100 {
		clear(e.sources)
	}
	e.sources[s] = p
	return p, nil
}

// text appends a source field as Java's String.valueOf.
func (p *ceSource) text(dst []byte, b *record.Batch, src record.Cell, name string) []byte {
	i, s := p.schema.Field(name)
	if i < 0 {
		return append(dst, "null"...)
	}
	c, b := ceValue(b, s, b.Child(src, i))
	switch c.Kind() {
	case record.String:
		return append(dst, b.Raw(c)...)
	case record.Null:
		return append(dst, "null"...)
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool())
	}
	return strconv.AppendInt(dst, c.Int(), 10)
}

// ceValue is a field's value, its default in place of null.
func ceValue(b *record.Batch, s *record.Schema, c record.Cell) (record.Cell, *record.Batch) {
	if c.IsNull() && hasDefault(s) {
		return s.Default.Root, s.Default.Batch()
	}
	return c, b
}

// appendID appends the generated id: the place in the log.
func (p *ceParts) appendID(dst []byte, b *record.Batch) []byte {
	fields := []string{"name", "lsn", "txId", "sequence"}
	if p.connector == "mysql" || p.connector == "mariadb" {
		fields = []string{"name", "file", "pos"}
	}
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(append(dst, f...), ':')
		dst = p.src.text(dst, b, p.srcCell, f)
	}
	return dst
}

// millis is source.ts_ms in ISO form.
func (p *ceParts) appendTime(dst []byte, b *record.Batch) []byte {
	i, s := p.src.schema.Field("ts_ms")
	if i < 0 {
		return dst
	}
	c, _ := ceValue(b, s, b.Child(p.srcCell, i))
	return time.UnixMilli(c.Int()).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// dataOf returns the data's schema and value.
func (e *ceEncoder) dataOf(b *record.Batch, c record.Cell) record.Cell {
	if e.ce.fromHeaders {
		return c
	}
	before, after := b.Child(c, e.before), b.Child(c, e.after)
	d := b.Alloc(record.Struct, 2)
	b.SetChild(d, 0, before)
	b.SetChild(d, 1, after)
	return d
}

func (e *ceEncoder) dataPlan(name string) (*ceData, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.data[name]; d != nil {
		return d, nil
	}
	s := e.schema
	if !e.ce.fromHeaders {
		s = &record.Schema{Type: record.Struct, Name: e.ce.adjust(name), Fields: []record.Field{e.schema.Fields[e.before], e.schema.Fields[e.after]}}
	}
	var enc Encoder
	var err error
	if e.ce.avroData {
		enc, err = e.ce.avro.Encoder(context.Background(), &record.Topic{Name: e.topic.Name + "-data"}, s)
	} else {
		enc, err = e.ce.jsonData.Encoder(context.Background(), e.topic, s)
	}
	if err != nil {
		return nil, err
	}
	if len(e.data) >= 100 {
		clear(e.data)
	}
	e.data[name] = &ceData{enc}
	return e.data[name], nil
}

func (e *ceEncoder) appendJSON(dst []byte, b *record.Batch, c record.Cell, p *ceParts) ([]byte, error) {
	plan, err := e.dataPlan(p.dataName)
	if err != nil {
		return dst, err
	}
	var buf [256]byte
	dst = append(dst, `{"id":`...)
	if !p.id.IsNull() {
		dst = appendJSONString(dst, b.Raw(p.id))
	} else {
		dst = appendJSONString(dst, p.appendID(buf[:0], b))
	}
	dst = append(dst, `,"source":`...)
	dst = appendJSONString(dst, p.appendSource(buf[:0], b))
	dst = append(dst, `,"specversion":"1.0","type":`...)
	if !p.kind.IsNull() {
		dst = appendJSONString(dst, b.Raw(p.kind))
	} else {
		dst = appendJSONString(dst, append(append(append(buf[:0], "io.debezium.connector."...), p.connector...), ".DataChangeEvent"...))
	}
	dst = p.appendTime(append(dst, `,"time":"`...), b)
	var data []byte
	if e.ce.avroData {
		if data, _, err = plan.enc.Append(nil, b, e.dataOf(b, c)); err != nil {
			return dst, err
		}
		dst = append(dst, `","datacontenttype":"application/avro","dataschema":`...)
		dst = appendJSONString(dst, e.appendDataSchema(buf[:0], data))
	} else {
		dst = append(dst, `","datacontenttype":"application/json"`...)
	}
	if !p.trace.IsNull() {
		dst = appendJSONString(append(dst, `,"traceparent":`...), b.Raw(p.trace))
	}
	if e.ce.extensions {
		dst = appendJSONString(append(dst, `,"iodebeziumop":`...), b.Raw(p.op))
		for i := range p.src.fields {
			f := &p.src.fields[i]
			v, vb := ceValue(b, f.schema, b.Child(p.srcCell, i))
			dst = f.appendJSON(dst, vb, v)
		}
		for i := range ceTransaction {
			var v record.Cell
			if i < p.tx.Len() && p.tx.Kind() == record.Struct {
				v = b.Child(p.tx, i)
			}
			dst = ceTransaction[i].appendJSON(dst, b, v)
		}
	}
	dst = append(dst, `,"data":`...)
	if e.ce.avroData {
		return append(appendJSONBase64(dst, data), '}'), nil
	}
	dst, _, err = plan.enc.Append(dst, b, e.dataOf(b, c))
	return append(dst, '}'), err
}

func (p *ceParts) appendSource(dst []byte, b *record.Batch) []byte {
	dst = append(append(append(dst, "/debezium/"...), p.connector...), '/')
	return p.src.text(dst, b, p.srcCell, "name")
}

// appendDataSchema appends the address of the schema that the Avro data was
// written with.
func (e *ceEncoder) appendDataSchema(dst, data []byte) []byte {
	dst = append(append(dst, e.ce.urls...), "/schemas/ids/"...)
	return strconv.AppendUint(dst, uint64(binary.BigEndian.Uint32(data[1:5])), 10)
}

func (f *ceField) appendJSON(dst []byte, b *record.Batch, c record.Cell) []byte {
	dst = append(dst, f.prefix...)
	switch c.Kind() {
	case record.Null:
		return append(dst, "null"...)
	case record.String:
		return appendJSONString(dst, b.Raw(c))
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool())
	}
	if f.text {
		return append(strconv.AppendInt(append(dst, '"'), c.Int(), 10), '"')
	}
	return strconv.AppendInt(dst, c.Int(), 10)
}

// eventPlan compiles the Avro schema of events by its name.
func (e *ceEncoder) eventPlan(name string, p *ceParts) (*ceEvent, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ev := e.events[name]; ev != nil {
		return ev, nil
	}
	s := &record.Schema{Type: record.Struct, Name: name}
	add := func(field string, t *record.Schema) {
		s.Fields = append(s.Fields, record.Field{Name: field, Schema: t})
	}
	for _, f := range []string{"id", "source", "specversion", "type", "time", "datacontenttype", "dataschema"} {
		add(f, record.PlainString)
	}
	if e.ce.traceParent {
		add("traceparent", record.PlainString)
	}
	if e.ce.extensions {
		add("iodebeziumop", record.PlainString)
		for _, f := range p.src.fields {
			t := record.String
			switch f.schema.Type {
			case record.Boolean:
				t = record.Boolean
			case record.Int8, record.Int16, record.Int32:
				t = record.Int32
			}
			add(f.name, &record.Schema{Type: t, Optional: f.schema.Optional})
		}
		for _, f := range ceTransaction {
			add(f.name, record.OptionalString)
		}
	}
	add("data", record.PlainBytes)
	enc, err := e.ce.avro.Encoder(context.Background(), e.topic, s)
	if err != nil {
		return nil, err
	}
	if len(e.events) >= 100 {
		clear(e.events)
	}
	e.events[name] = &ceEvent{s, enc}
	return e.events[name], nil
}

func (e *ceEncoder) appendAvro(dst []byte, b *record.Batch, c record.Cell, p *ceParts) ([]byte, error) {
	plan, err := e.dataPlan(p.dataName)
	if err != nil {
		return dst, err
	}
	data, _, err := plan.enc.Append(nil, b, e.dataOf(b, c))
	if err != nil {
		return dst, err
	}
	name := e.ce.schemaName
	if name == "" {
		name = string(p.src.text(nil, b, p.srcCell, "name")) + "." + string(p.src.text(nil, b, p.srcCell, "db")) + ".CloudEvents.Envelope"
	}
	ev, err := e.eventPlan(e.ce.adjust(name), p)
	if err != nil {
		return dst, err
	}
	cells := make([]record.Cell, 0, len(ev.schema.Fields))
	text := func(s []byte) { cells = append(cells, b.BytesCell(record.String, s)) }
	if p.id.IsNull() {
		text(p.appendID(nil, b))
	} else {
		cells = append(cells, p.id)
	}
	text(p.appendSource(nil, b))
	text([]byte("1.0"))
	if p.kind.IsNull() {
		text([]byte("io.debezium.connector." + p.connector + ".DataChangeEvent"))
	} else {
		cells = append(cells, p.kind)
	}
	text(p.appendTime(nil, b))
	text([]byte("application/avro"))
	text(e.appendDataSchema(nil, data))
	if e.ce.traceParent {
		cells = append(cells, p.trace)
	}
	if e.ce.extensions {
		cells = append(cells, p.op)
		for i, f := range p.src.fields {
			v, vb := ceValue(b, f.schema, b.Child(p.srcCell, i))
			cells = append(cells, f.cell(b, vb, v))
		}
		for i, f := range ceTransaction {
			var v record.Cell
			if i < p.tx.Len() && p.tx.Kind() == record.Struct {
				v = b.Child(p.tx, i)
			}
			cells = append(cells, f.cell(b, b, v))
		}
	}
	cells = append(cells, b.BytesCell(record.Bytes, data))
	event := b.Alloc(record.Struct, len(cells))
	for i, v := range cells {
		b.SetChild(event, i, v)
	}
	dst, _, err = ev.enc.Append(dst, b, event)
	return dst, err
}

// cell is the attribute's value in the batch b: whole numbers of 64 bits as text,
// smaller ones as int32.
func (f *ceField) cell(b, from *record.Batch, c record.Cell) record.Cell {
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32:
		return record.Int32Cell(int32(c.Int()))
	case record.Int64:
		return b.BytesCell(record.String, strconv.AppendInt(nil, c.Int(), 10))
	}
	if from != b {
		return b.Import(from, c)
	}
	return c
}
