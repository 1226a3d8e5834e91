package convert

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Avro is Confluent's AvroConverter: values in Avro binary behind the id of their
// schema, which is kept in a Schema Registry. The schemas it registers are those
// that Confluent's converter registers, letter by letter.
type Avro struct {
	registryConverter
	opts avroOptions

	plans   planCache[planKey, *avroEncoder]
	readers readPlans[int, *avroReadPlan]
	pool    sync.Pool // *avroReader
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
	a := &Avro{pool: sync.Pool{New: func() any { return new(avroReader) }}}
	if a.registryConverter, err = newRegistryConverter(v, isKey, sr.TypeAvro); err != nil {
		return nil, err
	}
	a.opts = avroOptionsFrom(v)
	a.plans.max = max(v.Int("schemas.cache.config"), minPlans)
	a.readers.max = v.Int("schemas.cache.config")
	return a, nil
}

func avroOptionsFrom(v configdef.Values) avroOptions {
	return avroOptions{enhanced: v.Bool("enhanced.avro.schema.support"), metaData: v.Bool("connect.meta.data"), scrub: v.Bool("scrub.invalid.names"),
		ignoreDefaults: v.Bool("ignore.default.for.nullables"), optionalKeys: v.Bool("allow.optional.map.keys"), docDefault: v.Bool("discard.type.doc.default"),
		flattenUnions: v.Bool("flatten.singleton.unions"), sumTypes: v.Bool("generalized.sum.type.support")}
}

// avroEncoder is the plan of one topic and schema.
type avroEncoder struct {
	conv   *Avro
	topic  *record.Topic
	schema *record.Schema
	wirePlan[*avroNode]
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
		return e, e.resolve(func() ([]byte, *avroNode, error) { return e.compile(ctx) })
	})
}

// compile makes the plan and gets the id of the schema.
func (e *avroEncoder) compile(ctx context.Context) ([]byte, *avroNode, error) {
	a := e.conv
	if e.schema == nil {
		return nil, nil, noSchema("AvroConverter", e.topic.Name, "Use a transform or converter that gives the value a schema, or JsonConverter with schemas.enable=false")
	}
	own, err := a.opts.fromConnect(e.schema)
	if err != nil {
		return nil, nil, avroDataError(e.topic, err)
	}
	text := own.text()
	id, other, err := a.writer(ctx, e.topic.Name, e.schema, recordName(own), text)
	if err != nil {
		return nil, nil, err
	}
	written := own
	if other != nil {
		if written, err = a.parseSchema(ctx, *other); err != nil {
			return nil, nil, err
		}
	}
	ac := avroCompiler{avroOptions: a.opts, lenient: a.lenient && other != nil}
	node, err := ac.compile(e.schema, written)
	switch {
	case err != nil && other == nil:
		return nil, nil, avroDataError(e.topic, err)
	case err != nil:
		return nil, nil, a.misfit(e.topic.Name, text, err)
	}
	if written.kind == avroBytes && node.op == opBytes {
		node.op = opRaw
	}
	return wireHead(id), node, nil
}

// recordName is the full name of a record, "" for anything else.
func recordName(a *avroSchema) string {
	if a.kind == avroRecord {
		return a.fullName()
	}
	return ""
}

// parseSchema reads a schema of the registry with what it refers to.
func (a *Avro) parseSchema(ctx context.Context, s sr.Schema) (*avroSchema, error) {
	if err := a.mine(s); err != nil {
		return nil, err
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

// avroDataError words a value or schema that cannot be written.
func avroDataError(topic *record.Topic, err error) error {
	if e, ok := err.(*errs.Error); ok { //nolint:errorlint // only an error that is already worded goes out as it is
		return e
	}
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
		err := e.resolve(func() ([]byte, *avroNode, error) { return e.compile(context.Background()) })
		if err != nil {
			return dst, false, err
		}
	}
	from := len(dst)
	dst = append(dst, e.prefix...)
	if dst, err = e.plan.append(dst, b, c); err != nil {
		return dst[:from], false, avroDataError(e.topic, err)
	}
	return dst, false, nil
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
	id, payload, err := splitWire(data)
	if err != nil {
		return nil, record.Cell{}, a.unreadable(topic.Name, err)
	}
	p, err := a.readPlan(ctx, topic, id)
	if err != nil {
		return nil, record.Cell{}, a.unreadable(topic.Name, err)
	}
	if p.raw {
		return p.schema, b.BytesCell(record.Bytes, payload), nil
	}
	r := a.pool.Get().(*avroReader)
	*r = avroReader{data: payload, stack: r.stack[:0]}
	c, err := p.node.read(r, b)
	if err == nil && r.pos != len(payload) {
		err = r.fail("bytes are left over")
	}
	r.data = nil
	a.pool.Put(r)
	if err != nil {
		return nil, record.Cell{}, a.unreadable(topic.Name, err)
	}
	return p.schema, c, nil
}

func (a *Avro) readPlan(ctx context.Context, topic *record.Topic, id int) (*avroReadPlan, error) {
	return a.readers.get(id, func(in *record.Interner) (*avroReadPlan, error) {
		s, err := a.schemaOf(ctx, topic.Name, id)
		if err != nil {
			return nil, err
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
		return &avroReadPlan{schema: in.Intern(cs), node: node, raw: w.kind == avroBytes}, nil
	})
}
