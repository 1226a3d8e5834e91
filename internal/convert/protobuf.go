package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Protobuf is Confluent's ProtobufConverter: messages behind the id of a .proto
// file, which is kept in a Schema Registry. Without optional.for.nullables or
// wrapper.for.nullables a null scalar is written as the zero value, as Protobuf has
// no other.
type Protobuf struct {
	isKey    bool
	reg      *registry
	opts     protoOptions
	subjects subjectNamer
	register bool
	latest   bool
	useID    int
	plans    planCache[planKey, *protoEncoder]

	mu      sync.RWMutex
	max     int
	readers map[protoReaderKey]*protoReadPlan
	in      *record.Interner
}

// protoReaderKey names a message of a registered file: which one of several is part
// of every record.
type protoReaderKey struct {
	id    int
	index string
}

type protoReadPlan struct {
	schema  *record.Schema
	message *protoReadMessage
	raw     bool // a wrapped scalar: the value is the only field
}

// ProtobufDef is the option table of the ProtobufConverter.
func ProtobufDef() *configdef.Def {
	b := func(name, def, doc, unsupported string) configdef.Option {
		return configdef.Option{Name: name, Type: configdef.Boolean, Default: def, HasDefault: true, Importance: configdef.Low, Doc: doc, Unsupported: unsupported, Order: -1, Width: configdef.WidthNone}
	}
	return &configdef.Def{Options: append(registryOptions(),
		configdef.Option{Name: "schemas.cache.config", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low,
			Doc: "How many schemas this converter keeps compiled.", Order: -1, Width: configdef.WidthNone},
		b("scrub.invalid.names", "false", "Replace characters that Protobuf names cannot have.", ""),
		b("optional.for.nullables", "false", "Mark fields that may be null as optional, so that null and zero differ.", ""),
		b("wrapper.for.nullables", "false", "Write scalars that may be null in wrapper messages, so that null and zero differ.", ""),
		b("wrapper.for.raw.primitives", "true", "Write a key or value that is no struct in a wrapper message.", ""),
		b("ignore.default.for.nullables", "false", "Write null as null, not as the default of the field.", ""),
		b("enhanced.protobuf.schema.support", "false", "Keep package names in Connect schema names.", "schema names always keep the package"),
		b("int.for.enums", "false", "Read enums as numbers.", "enums are read as their names"),
		b("optional.for.proto2", "true", "Read proto2 fields that are not required as optional.", "they are always optional"),
		b("generate.struct.for.nulls", "false", "Make default structs of null messages.", "a null message is null"),
		b("generate.index.for.unions", "true", "Number the fields of unions.", "they are always numbered"),
		b("flatten.unions", "false", "Put the members of a oneof into the struct itself.", "a oneof is a struct of its members"),
		b("reference.lookup.only", "false", "Only look up references.", "no references are written"),
		b("skip.known.types", "true", "Do not register well-known types as references.", "they never are"))}
}

// NewProtobuf makes a ProtobufConverter.
func NewProtobuf(props map[string]string, isKey bool) (Converter, error) {
	v, err := ProtobufDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	p := &Protobuf{isKey: isKey, register: v.Bool("auto.register.schemas"), latest: v.Bool("use.latest.version"), useID: v.Int("use.schema.id"),
		max: v.Int("schemas.cache.config"), readers: map[protoReaderKey]*protoReadPlan{}, in: &record.Interner{},
		opts: protoOptions{scrub: v.Bool("scrub.invalid.names"), optionalLabel: v.Bool("optional.for.nullables"), wrappers: v.Bool("wrapper.for.nullables"),
			rawWrappers: v.Bool("wrapper.for.raw.primitives"), ignoreDefaults: v.Bool("ignore.default.for.nullables")}}
	if !p.register && (p.latest || p.useID >= 0) {
		return nil, configError("use.latest.version and use.schema.id are not supported by millrace for Protobuf: field numbers of another schema may not fit. Use auto.register.schemas=true, or register the schema that the converter makes and set auto.register.schemas=false alone")
	}
	p.plans.max = max(p.max, minPlans)
	if p.reg, err = newRegistry(v); err != nil {
		return nil, err
	}
	p.subjects = newSubjectNamer(v, isKey, p.reg)
	return p, nil
}

// protoEncoder is the plan of one topic and schema.
type protoEncoder struct {
	conv   *Protobuf
	topic  *record.Topic
	schema *record.Schema

	ready  atomic.Bool
	mu     sync.Mutex
	prefix [6]byte // magic byte, id, and 0 for the first message of the file
	plan   *protoPlan
}

// Encoder implements Converter; as with Avro an optional schema is registered with
// the first value.
func (p *Protobuf) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return p.plans.get(planKey{topic, s}, func() (*protoEncoder, error) {
		e := &protoEncoder{conv: p, topic: topic, schema: s}
		if s == nil || s.Optional {
			return e, nil
		}
		return e, e.resolve(ctx)
	})
}

func (e *protoEncoder) resolve(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready.Load() {
		return nil
	}
	const failed = "Failed to serialize Protobuf data from"
	p, topic := e.conv, e.topic.Name
	if e.schema == nil {
		return &errs.Error{Java: errs.DataException, Msg: "ProtobufConverter cannot write a value without schema (topic " + topic + ")", Hint: "Use JsonConverter with schemas.enable=false"}
	}
	text, plan, err := p.opts.build(e.schema)
	if err != nil {
		return dataError(e.topic, "the schema cannot be written as Protobuf", err)
	}
	what := "Error registering Protobuf schema"
	if !p.register {
		what = "Error retrieving Protobuf schema"
	}
	subject, err := p.subjects.name(ctx, topic, e.schema, e.schema.Name)
	id := 0
	if err == nil {
		id, err = p.reg.id(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeProtobuf}, p.register)
	}
	if err != nil {
		return registryOrOwn(err, func() error {
			return registryError(topic, "serializing Protobuf data for", failed, what+text, err)
		})
	}
	binary.BigEndian.PutUint32(e.prefix[1:5], uint32(id))
	e.plan = plan
	e.ready.Store(true)
	return nil
}

// Append implements Encoder; a null is a tombstone.
func (e *protoEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() {
		if e.schema != nil && !e.schema.Optional {
			return dst, false, &errs.Error{Java: errs.DataException, Msg: "Found null value for non-optional schema"}
		}
		return dst, true, nil
	}
	if !e.ready.Load() {
		if err := e.resolve(context.Background()); err != nil {
			return dst, false, err
		}
	}
	from := len(dst)
	dst = append(dst, e.prefix[:]...)
	if c.Kind() != e.schema.Type {
		err = errKind(e.schema.Type, c.Kind())
	} else {
		dst, err = e.plan.append(dst, b, c)
	}
	if err != nil {
		return dst[:from], false, dataError(e.topic, "the value cannot be written as Protobuf", err)
	}
	return dst, false, nil
}

// Decode implements Converter.
func (p *Protobuf) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return nil, record.Cell{}, nil
	}
	failed := func(cause error) (*record.Schema, record.Cell, error) {
		var e *errs.Error
		if !errors.As(cause, &e) {
			cause = &errs.Error{Java: errs.SerializationException, Msg: cause.Error()}
		} else if e.Java == errs.DataException || e.Retriable {
			return nil, record.Cell{}, cause
		}
		return nil, record.Cell{}, &errs.Error{Java: errs.DataException, Msg: "Failed to deserialize data for topic " + topic.Name + " to Protobuf: ", Cause: cause}
	}
	id, payload, err := splitWire(data)
	if err != nil {
		return failed(err)
	}
	index, payload, err := splitIndexes(payload)
	if err != nil {
		return failed(err)
	}
	plan, err := p.readPlan(ctx, topic, id, index)
	if err != nil {
		return failed(err)
	}
	c, err := plan.message.read(payload, 0, b)
	if err != nil {
		return failed(err)
	}
	if plan.raw {
		c = b.Child(c, 0)
	}
	return plan.schema, c, nil
}

// splitIndexes takes the list of message indexes off the payload: a count and that
// many indexes, or one 0 for the first message.
func splitIndexes(p []byte) (index, rest []byte, err error) {
	r := avroReader{data: p} // both use zig-zag numbers
	n, err := r.varint()
	if err != nil {
		return nil, nil, err
	}
	if n < 0 || n > int64(len(p)) || n > 100 {
		return nil, nil, r.fail("the list of message indexes is out of range")
	}
	for ; n > 0; n-- {
		if _, err := r.varint(); err != nil {
			return nil, nil, err
		}
	}
	return p[:r.pos], p[r.pos:], nil
}

func (p *Protobuf) readPlan(ctx context.Context, topic *record.Topic, id int, index []byte) (*protoReadPlan, error) {
	p.mu.RLock()
	plan := p.readers[protoReaderKey{id, string(index)}]
	p.mu.RUnlock()
	if plan != nil {
		return plan, nil
	}
	found, err := p.reg.schema(ctx, id)
	if err != nil {
		return nil, registryError(topic.Name, "deserializing Protobuf data for", "Failed to deserialize data for", "Error retrieving Protobuf schema for id "+strconv.Itoa(id), err)
	}
	if found.Type != sr.TypeProtobuf {
		return nil, &errs.Error{Java: errs.SerializationException, Msg: "the registered schema is of type " + found.Type.String() + ", not PROTOBUF", Hint: "Use the converter of that type"}
	}
	types := map[string]any{}
	err = p.reg.references(ctx, found, 0, func(_ sr.SchemaReference, s sr.Schema) error {
		_, err := parseProto(s.Schema, types)
		return err
	})
	if err != nil {
		return nil, err
	}
	if plan, err = compileProtoRead(found.Schema, types, index, p.opts.rawWrappers); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.max > 0 && len(p.readers) >= p.max {
		p.readers, p.in = map[protoReaderKey]*protoReadPlan{}, &record.Interner{}
	}
	plan.schema = p.in.Intern(plan.schema)
	p.readers[protoReaderKey{id, string(index)}] = plan
	return plan, nil
}

// compileProtoRead makes the plan for a message of a file.
func compileProtoRead(text string, types map[string]any, index []byte, raw bool) (*protoReadPlan, error) {
	file, err := parseProto(text, types)
	if err != nil {
		return nil, err
	}
	m, err := file.message(index)
	if err != nil {
		return nil, err
	}
	tc := protoToConnect{file: file, open: map[string]bool{}}
	s, plan, err := tc.message(m)
	if err != nil {
		return nil, err
	}
	out := &protoReadPlan{schema: s, message: plan}
	if raw && len(s.Fields) == 1 && s.Fields[0].Name == "value" && strings.HasSuffix(m.name, "Value") && s.Fields[0].Schema.Type <= record.Bytes && isWrapperName(m.name) {
		out.raw, out.schema = true, &record.Schema{Type: s.Fields[0].Schema.Type, Optional: true}
	}
	return out, nil
}

func isWrapperName(name string) bool {
	for _, w := range wrapperNames {
		if w == name {
			return true
		}
	}
	return name == "UInt32Value" || name == "UInt64Value"
}

// message finds the message that a list of indexes names.
func (f *protoFile) message(index []byte) (*protoMessage, error) {
	r := avroReader{data: index}
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	level := f.messages
	var m *protoMessage
	for i := int64(0); i < max(n, 1); i++ {
		at := int64(0)
		if n > 0 {
			if at, err = r.varint(); err != nil {
				return nil, err
			}
		}
		if at < 0 || at >= int64(len(level)) {
			return nil, valueErrorf("the registered .proto file has no message of index %d", at)
		}
		m = level[at]
		level = m.nested
	}
	return m, nil
}
