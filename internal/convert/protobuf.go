package convert

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"

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
	registryConverter
	opts protoOptions

	plans   planCache[planKey, *protoEncoder]
	readers readPlans[protoReaderKey, *protoReadPlan]
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
		b("wrapper.for.raw.primitives", "true", "Read a wrapper message at the top as the value in it.", ""),
		b("ignore.default.for.nullables", "false", "Write null as null, not as the default of the field.", ""),
		b("enhanced.protobuf.schema.support", "false", "Keep the package in the names of the schemas that are read.", ""),
		b("generalized.sum.type.support", "false", "Describe enums and unions in the way of all converters.", "enums and unions are described in the way of Protobuf"),
		b("int.for.enums", "false", "Read enums as numbers.", ""),
		b("optional.for.proto2", "true", "Read proto2 fields that are not required as optional.", "they are always optional"),
		b("generate.struct.for.nulls", "false", "Read a message that is not there as a struct of zero values.", ""),
		b("generate.index.for.unions", "true", "Number the fields that stand for unions.", ""),
		b("flatten.unions", "false", "Put the members of a oneof into the struct itself.", ""),
		b("reference.lookup.only", "false", "Only look up references.", "no references are written"),
		b("skip.known.types", "true", "Do not register well-known types as references.", "they never are"))}
}

// NewProtobuf makes a ProtobufConverter.
func NewProtobuf(props map[string]string, isKey bool) (Converter, error) {
	v, err := ProtobufDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	p := &Protobuf{opts: protoOptions{scrub: v.Bool("scrub.invalid.names"), optionalLabel: v.Bool("optional.for.nullables"), wrappers: v.Bool("wrapper.for.nullables"),
		rawWrappers: v.Bool("wrapper.for.raw.primitives"), ignoreDefaults: v.Bool("ignore.default.for.nullables"), fullNames: v.Bool("enhanced.protobuf.schema.support"),
		intEnums: v.Bool("int.for.enums"), nullStructs: v.Bool("generate.struct.for.nulls"), unionIndex: v.Bool("generate.index.for.unions"), flatUnions: v.Bool("flatten.unions")}}
	if p.registryConverter, err = newRegistryConverter(v, isKey, sr.TypeProtobuf); err != nil {
		return nil, err
	}
	p.readers.max = v.Int("schemas.cache.config")
	p.plans.max = max(p.readers.max, minPlans)
	return p, nil
}

// protoEncoder is the plan of one topic and schema.
type protoEncoder struct {
	conv   *Protobuf
	topic  *record.Topic
	schema *record.Schema
	wirePlan[*protoPlan]
}

// Encoder implements Converter; as with Avro an optional schema is registered with
// the first value.
func (p *Protobuf) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return p.plans.get(planKey{topic, s}, func() (*protoEncoder, error) {
		e := &protoEncoder{conv: p, topic: topic, schema: s}
		if s == nil || s.Optional {
			return e, nil
		}
		return e, e.resolve(func() ([]byte, *protoPlan, error) { return e.compile(ctx) })
	})
}

// compile makes the plan and gets the id of the schema. With use.latest.version or
// use.schema.id the bytes are those of the own schema, which the registered one must
// describe as well.
func (e *protoEncoder) compile(ctx context.Context) ([]byte, *protoPlan, error) {
	p, topic := e.conv, e.topic.Name
	if e.schema == nil {
		return nil, nil, noSchema("ProtobufConverter", topic, "Use JsonConverter with schemas.enable=false")
	}
	own, err := p.opts.build(e.schema)
	if err != nil {
		return nil, nil, dataError(e.topic, "the schema cannot be written as Protobuf", err)
	}
	id, other, err := p.writer(ctx, topic, e.schema, own.full, own.text)
	if err != nil {
		return nil, nil, err
	}
	index := own.index
	if other != nil {
		if index, err = p.fits(ctx, *other, own); err != nil {
			return nil, nil, p.misfit(topic, own.text, err)
		}
	}
	head := wireHead(id)
	if index == 0 { // the short form of a list with one 0
		return append(head, 0), own.plan, nil
	}
	return binary.AppendVarint(append(head, 2), int64(index)), own.plan, nil
}

// fits finds the own message in a file of the registry and checks that every field
// has its number and type there.
func (p *Protobuf) fits(ctx context.Context, other sr.Schema, own protoBuilt) (int, error) {
	if err := p.mine(other); err != nil {
		return 0, err
	}
	types := map[string]any{}
	err := p.reg.references(ctx, other, 0, func(_ sr.SchemaReference, s sr.Schema) error {
		_, err := parseProto(s.Schema, types)
		return err
	})
	if err != nil {
		return 0, err
	}
	theirs, err := parseProto(other.Schema, types)
	if err != nil {
		return 0, err
	}
	ours, err := parseProto(own.text, map[string]any{})
	if err != nil {
		return 0, err
	}
	for i, m := range theirs.messages {
		if m.full == own.full {
			if p.lenient {
				return i, nil
			}
			return i, sameMessage(ours, ours.types[own.full].(*protoMessage), theirs, m, 0)
		}
	}
	return 0, valueErrorf("it has no message %s", own.full)
}

// sameMessage reports the first field of m that n lacks or has with another type.
func sameMessage(of *protoFile, m *protoMessage, in *protoFile, n *protoMessage, depth int) error {
	if depth > 100 {
		return nil // both hold themselves
	}
	for i := range m.fields {
		f := &m.fields[i]
		at := slices.IndexFunc(n.fields, func(g protoField) bool { return g.number == f.number })
		if at < 0 {
			return valueErrorf("its message %s has no field %s of number %d", n.full, f.name, f.number)
		}
		g := &n.fields[at]
		own, ok := of.resolve(f.typ, m.full).(*protoMessage)
		theirs, too := in.resolve(g.typ, n.full).(*protoMessage)
		if ok != too || !ok && strings.TrimPrefix(f.typ, ".") != strings.TrimPrefix(g.typ, ".") || f.repeated != (g.repeated || g.key != "") {
			return valueErrorf("field %d of its message %s is %s %s, not %s %s", f.number, n.full, g.typ, g.name, f.typ, f.name)
		}
		if ok {
			if err := sameMessage(of, own, in, theirs, depth+1); err != nil {
				return err
			}
		}
	}
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
		err := e.resolve(func() ([]byte, *protoPlan, error) { return e.compile(context.Background()) })
		if err != nil {
			return dst, false, err
		}
	}
	from := len(dst)
	dst = append(dst, e.prefix...)
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
	id, payload, err := splitWire(data)
	if err != nil {
		return nil, record.Cell{}, p.unreadable(topic.Name, err)
	}
	index, payload, err := splitIndexes(payload)
	if err != nil {
		return nil, record.Cell{}, p.unreadable(topic.Name, err)
	}
	plan, err := p.readPlan(ctx, topic, id, index)
	if err != nil {
		return nil, record.Cell{}, p.unreadable(topic.Name, err)
	}
	c, err := plan.message.read(payload, 0, b)
	if err != nil {
		return nil, record.Cell{}, p.unreadable(topic.Name, err)
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
	return p.readers.get(protoReaderKey{id, string(index)}, func(in *record.Interner) (*protoReadPlan, error) {
		found, err := p.schemaOf(ctx, topic.Name, id)
		if err != nil {
			return nil, err
		}
		types := map[string]any{}
		err = p.reg.references(ctx, found, 0, func(_ sr.SchemaReference, s sr.Schema) error {
			_, err := parseProto(s.Schema, types)
			return err
		})
		if err != nil {
			return nil, err
		}
		plan, err := compileProtoRead(found.Schema, types, index, p.opts)
		if err == nil {
			plan.schema = in.Intern(plan.schema)
		}
		return plan, err
	})
}

// compileProtoRead makes the plan for a message of a file.
func compileProtoRead(text string, types map[string]any, index []byte, opts protoOptions) (*protoReadPlan, error) {
	file, err := parseProto(text, types)
	if err != nil {
		return nil, err
	}
	m, err := file.message(index)
	if err != nil {
		return nil, err
	}
	tc := protoToConnect{protoOptions: opts, file: file, open: map[string]bool{}}
	s, plan, err := tc.message(m)
	if err != nil {
		return nil, err
	}
	out := &protoReadPlan{schema: s, message: plan}
	if w, ok := strings.CutPrefix(m.full, "google.protobuf."); ok && opts.rawWrappers && slices.Contains(protoWrappers, w) && len(s.Fields) == 1 {
		out.raw, out.schema = true, &record.Schema{Type: s.Fields[0].Schema.Type}
	}
	return out, nil
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
