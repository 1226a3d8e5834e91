package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Avro is Confluent's AvroConverter: values in Avro binary behind the id of their
// schema, which is kept in a Schema Registry. The schemas it registers are those
// that Confluent's converter registers, letter by letter.
type Avro struct {
	isKey    bool
	reg      *registry
	opts     avroOptions
	subjects subjectNamer
	register bool
	latest   bool
	useID    int
	lenient  bool // latest.compatibility.strict or id.compatibility.strict is false

	plans   planCache[planKey, *avroEncoder]
	readers avroReaders
}

// AvroDef is the option table of the AvroConverter.
func AvroDef() *configdef.Def {
	b := func(name, def, doc string) configdef.Option {
		return configdef.Option{Name: name, Type: configdef.Boolean, Default: def, HasDefault: true, Importance: configdef.Low, Doc: doc, Order: -1, Width: configdef.WidthNone}
	}
	return &configdef.Def{Options: append(registryOptions(),
		configdef.Option{Name: "schemas.cache.config", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low,
			Doc: "How many schemas this converter keeps compiled.", Order: -1, Width: configdef.WidthNone},
		b("enhanced.avro.schema.support", "false", "Write strings that came from Avro enums as enums again, and name the branches of unions in full."),
		b("connect.meta.data", "true", "Put what only Connect knows (name, version, parameters, …) into the Avro schema as connect.* properties."),
		b("scrub.invalid.names", "false", "Replace characters that Avro names cannot have."),
		b("flatten.singleton.unions", "true", "Read a union of one type as that type."),
		b("generalized.sum.type.support", "false", "Name the fields of a union connect_union_field_N."),
		b("ignore.default.for.nullables", "false", "Write null as null, not as the default of the field."),
		b("allow.optional.map.keys", "false", "Write maps with optional text keys as Avro maps."),
		b("discard.type.doc.default", "false", "Take doc and default from the field and not from its type."))}
}

// NewAvro makes an AvroConverter. Nothing is sent to the registry before the first
// value.
func NewAvro(props map[string]string, isKey bool) (Converter, error) {
	v, err := AvroDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	a := &Avro{isKey: isKey, register: v.Bool("auto.register.schemas"), latest: v.Bool("use.latest.version"), useID: v.Int("use.schema.id"),
		lenient: !v.Bool("latest.compatibility.strict")}
	if a.useID >= 0 {
		a.lenient = !v.Bool("id.compatibility.strict")
	}
	a.opts = avroOptions{enhanced: v.Bool("enhanced.avro.schema.support"), metaData: v.Bool("connect.meta.data"), scrub: v.Bool("scrub.invalid.names"),
		ignoreDefaults: v.Bool("ignore.default.for.nullables"), optionalKeys: v.Bool("allow.optional.map.keys"), docDefault: v.Bool("discard.type.doc.default"),
		flattenUnions: v.Bool("flatten.singleton.unions"), sumTypes: v.Bool("generalized.sum.type.support")}
	if a.reg, err = newRegistry(v); err != nil {
		return nil, err
	}
	a.subjects = newSubjectNamer(v, isKey, a.reg)
	a.plans.max = max(v.Int("schemas.cache.config"), minPlans)
	a.readers = avroReaders{max: v.Int("schemas.cache.config"), pool: sync.Pool{New: func() any { return new(avroReader) }}}
	return a, nil
}

// avroEncoder is the plan of one topic and schema.
type avroEncoder struct {
	conv   *Avro
	topic  *record.Topic
	schema *record.Schema

	ready  atomic.Bool // prefix and node are set
	mu     sync.Mutex
	prefix [5]byte
	node   *avroNode
}

// Encoder implements Converter. The schema is registered or looked up here; for an
// optional schema only when the first value comes that is not null, since a null
// is written without the registry.
func (a *Avro) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return a.plans.get(planKey{topic, s}, func() (*avroEncoder, error) {
		e := &avroEncoder{conv: a, topic: topic, schema: s}
		if s == nil || s.Optional {
			return e, nil
		}
		return e, e.resolve(ctx)
	})
}

// resolve compiles the plan and gets the id of the schema, once.
func (e *avroEncoder) resolve(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready.Load() {
		return nil
	}
	a := e.conv
	if e.schema == nil {
		return &errs.Error{Java: errs.DataException, Msg: "AvroConverter cannot write a value without schema (topic " + e.topic.Name + ")",
			Hint: "Use a transform or converter that gives the value a schema, or JsonConverter with schemas.enable=false"}
	}
	own, err := a.opts.fromConnect(e.schema)
	if err != nil {
		return avroDataError(e.topic, err)
	}
	text := own.text()
	written, id, err := a.writerSchema(ctx, e.topic.Name, e.schema, own, text)
	if err != nil {
		return err
	}
	ac := avroCompiler{avroOptions: a.opts, lenient: a.lenient && written != own}
	node, err := ac.compile(e.schema, written)
	if err != nil {
		if written == own {
			return avroDataError(e.topic, err)
		}
		return &errs.Error{Java: errs.DataException, Msg: "Failed to serialize Avro data from topic " + e.topic.Name + ":",
			Cause: &errs.Error{Java: errs.SerializationException, Msg: "Error retrieving latest version of Avro schema " + text,
				Cause: &errs.Error{Java: classIO, Msg: "Incompatible schema of type 'AVRO'. Set latest.compatibility.strict=false to disable this check: " + err.Error()}}}
	}
	if written.kind == avroBytes && node.op == opBytes {
		node.op = opRaw
	}
	binary.BigEndian.PutUint32(e.prefix[1:], uint32(id))
	e.node = node
	e.ready.Store(true)
	return nil
}

// writerSchema returns the schema to write with and its id: the own one,
// registered or looked up, or the one that the registry has.
func (a *Avro) writerSchema(ctx context.Context, topic string, s *record.Schema, own *avroSchema, text string) (*avroSchema, int, error) {
	const doing, failed = "serializing Avro data for", "Failed to serialize Avro data from"
	subject, err := a.subjects.name(ctx, topic, s, recordName(own))
	if err != nil {
		return nil, 0, registryOrOwn(err, func() error { return registryError(topic, doing, failed, "Error retrieving Avro schema"+text, err) })
	}
	switch {
	case a.register:
		id, err := a.reg.id(ctx, subject, sr.Schema{Schema: text}, true)
		if err != nil {
			return nil, 0, registryError(topic, doing, failed, "Error registering Avro schema"+text, err)
		}
		return own, id, nil
	case a.useID >= 0:
		found, err := a.reg.schema(ctx, a.useID)
		if err != nil {
			return nil, 0, registryError(topic, doing, failed, "Error retrieving Avro schema"+text, err)
		}
		w, err := a.parseSchema(ctx, found)
		return w, a.useID, err
	case a.latest:
		found, err := a.reg.latestOf(ctx, subject)
		if err != nil {
			return nil, 0, registryError(topic, doing, failed, "Error retrieving latest version of Avro schema"+text, err)
		}
		w, err := a.parseSchema(ctx, found.Schema)
		return w, found.ID, err
	}
	id, err := a.reg.id(ctx, subject, sr.Schema{Schema: text}, false)
	if err != nil {
		return nil, 0, registryError(topic, doing, failed, "Error retrieving Avro schema"+text, err)
	}
	return own, id, nil
}

// registryOrOwn keeps an error that is worded already.
func registryOrOwn(err error, word func() error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return err
	}
	return word()
}

// parseSchema reads a schema of the registry with what it refers to.
func (a *Avro) parseSchema(ctx context.Context, s sr.Schema) (*avroSchema, error) {
	if s.Type != sr.TypeAvro {
		return nil, &errs.Error{Java: errs.SerializationException, Msg: "the registered schema is of type " + s.Type.String() + ", not AVRO", Hint: "Use the converter of that type"}
	}
	var p avroParser
	err := a.reg.references(ctx, s, 0, func(_ sr.SchemaReference, ref sr.Schema) error {
		_, err := p.parse([]byte(ref.Schema))
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.parse([]byte(s.Schema))
}

// recordName is the full name of a record, "" for anything else.
func recordName(a *avroSchema) string {
	if a.kind == avroRecord {
		return a.fullName()
	}
	return ""
}

// avroDataError words a value or schema that cannot be written.
func avroDataError(topic *record.Topic, err error) error {
	var v *valueError
	if errors.As(err, &v) && v.path == "" {
		return &errs.Error{Java: errs.DataException, Msg: v.msg}
	}
	return &errs.Error{Java: errs.DataException, Msg: err.Error() + " of topic " + topic.Name}
}

// Append implements Encoder; a null is a tombstone.
func (e *avroEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() && (e.schema == nil || e.schema.Optional && (!hasDefault(e.schema) || e.conv.opts.ignoreDefaults)) {
		return dst, true, nil
	}
	if !e.ready.Load() {
		if err := e.resolve(context.Background()); err != nil {
			return dst, false, err
		}
	}
	from := len(dst)
	dst = append(dst, e.prefix[:]...)
	if dst, err = e.node.append(dst, b, c); err != nil {
		return dst[:from], false, avroDataError(e.topic, err)
	}
	return dst, false, nil
}

// avroReaders are the reading plans by schema id.
type avroReaders struct {
	max  int
	pool sync.Pool

	mu    sync.RWMutex
	plans map[int]*avroReadPlan
	in    record.Interner
}

type avroReadPlan struct {
	schema *record.Schema
	node   *avroReadNode
	raw    bool // bytes at the top have no length
}

// Decode implements Converter.
func (a *Avro) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return nil, record.Cell{}, nil
	}
	failed := func(cause error) (*record.Schema, record.Cell, error) {
		var e *errs.Error
		if !errors.As(cause, &e) {
			cause = &errs.Error{Java: errs.SerializationException, Msg: cause.Error()}
		}
		return nil, record.Cell{}, &errs.Error{Java: errs.DataException, Msg: "Failed to deserialize data for topic " + topic.Name + " to Avro: ", Cause: cause}
	}
	id, payload, err := splitWire(data)
	if err != nil {
		return failed(err)
	}
	p, err := a.readPlan(ctx, topic, id)
	if err != nil {
		if _, ok := err.(*errs.Error); ok { //nolint:errorlint // only an error that is already worded goes out as it is
			return nil, record.Cell{}, err
		}
		return failed(err)
	}
	if p.raw {
		return p.schema, b.BytesCell(record.Bytes, payload), nil
	}
	r := a.readers.pool.Get().(*avroReader)
	*r = avroReader{data: payload, stack: r.stack[:0]}
	c, err := p.node.read(r, b)
	if err == nil && r.pos != len(payload) {
		err = r.fail("bytes are left over")
	}
	r.data = nil
	a.readers.pool.Put(r)
	if err != nil {
		return failed(err)
	}
	return p.schema, c, nil
}

// splitWire takes the schema id off Confluent's wire format.
func splitWire(data []byte) (id int, payload []byte, err error) {
	if len(data) < 5 || data[0] != 0 {
		return 0, nil, &errs.Error{Java: errs.SerializationException, Msg: "Unknown magic byte!",
			Hint: "The record was not written with a Schema Registry converter; check the converter of whoever writes this topic"}
	}
	return int(binary.BigEndian.Uint32(data[1:])), data[5:], nil
}

func (a *Avro) readPlan(ctx context.Context, topic *record.Topic, id int) (*avroReadPlan, error) {
	r := &a.readers
	r.mu.RLock()
	p := r.plans[id]
	r.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	s, err := a.reg.schema(ctx, id)
	if err != nil {
		return nil, registryError(topic.Name, "deserializing Avro data for", "Failed to deserialize data for", "Error retrieving Avro value schema for id "+strconv.Itoa(id), err)
	}
	w, err := a.parseSchema(ctx, s)
	if err != nil {
		return nil, err
	}
	tc := avroToConnect{avroOptions: a.opts}
	cs, node, err := tc.compile(w, false, nil)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.plans == nil || r.max > 0 && len(r.plans) >= r.max {
		r.plans, r.in = map[int]*avroReadPlan{}, record.Interner{}
	}
	p = &avroReadPlan{schema: r.in.Intern(cs), node: node, raw: w.kind == avroBytes}
	r.plans[id] = p
	return p, nil
}
