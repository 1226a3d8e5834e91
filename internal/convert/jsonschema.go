package convert

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// JSONSchema is Confluent's JsonSchemaConverter: JSON behind the id of a JSON
// Schema, which is kept in a Schema Registry.
type JSONSchema struct {
	registryConverter
	opts jsonSchemaOptions

	plans   planCache[planKey, *jsonSchemaEncoder]
	readers readPlans[int, *jsonReadPlan]
	pool    sync.Pool // *jsonScanner
}

// JSONSchemaDef is the option table of the JsonSchemaConverter.
func JSONSchemaDef() *configdef.Def {
	o := func(name string, t configdef.Type, def, doc string) configdef.Option {
		return configdef.Option{Name: name, Type: t, Default: def, HasDefault: true, Importance: configdef.Low, Doc: doc, Order: -1, Width: configdef.WidthNone}
	}
	format := o("decimal.format", configdef.String, "BASE64", "How decimals are written: BASE64 or NUMERIC.")
	format.Check = checkDecimalFormat
	validate := o("json.fail.invalid.schema", configdef.Boolean, "false", "Check every value against its schema.")
	validate.Unsupported = "the converter writes only what fits the schema it made"
	version := o("json.schema.spec.version", configdef.String, "draft_7", "Version of JSON Schema.")
	version.Unsupported = "schemas are of draft 7"
	flatten := o("flatten.singleton.unions", configdef.Boolean, "true", "Read a union of one type as that type.")
	flatten.Unsupported = "a union of one type is always read as that type"
	sum := o("generalized.sum.type.support", configdef.Boolean, "false", "Name the fields of a union by number.")
	sum.Unsupported = "unions of several types cannot be read"
	iso := o("json.write.dates.iso8601", configdef.Boolean, "false", "Write dates as text.")
	iso.Unsupported = "use a transform such as TimestampConverter"
	return &configdef.Def{Options: append(registryOptions(),
		o("schemas.cache.config", configdef.Int, "1000", "How many schemas this converter keeps compiled."),
		o("object.additional.properties", configdef.Boolean, "true", "Allow members that the schema does not name."),
		o("use.optional.for.nonrequired", configdef.Boolean, "false", "Read members that are not listed as required as optional."),
		o("json.oneof.for.nullables", configdef.Boolean, "true", "Only for schemas that Confluent's serializer derives from Java classes: a converter always describes optional values as oneOf null and the type."),
		o("ignore.default.for.nullables", configdef.Boolean, "false", "Write null as null, not as the default of the field."),
		flatten, sum, format, validate, version, iso)}
}

// NewJSONSchema makes a JsonSchemaConverter.
func NewJSONSchema(props map[string]string, isKey bool) (Converter, error) {
	v, err := JSONSchemaDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	j := &JSONSchema{pool: sync.Pool{New: func() any { return new(jsonScanner) }}}
	if j.registryConverter, err = newRegistryConverter(v, isKey, sr.TypeJSON); err != nil {
		return nil, err
	}
	j.opts = jsonSchemaOptions{closed: !v.Bool("object.additional.properties"), nonRequired: v.Bool("use.optional.for.nonrequired"),
		jc: jsonCompiler{numericDecimals: strings.EqualFold(v.String("decimal.format"), "NUMERIC"), replaceNull: true, ignoreDefaults: v.Bool("ignore.default.for.nullables"), pairs: true}}
	j.readers.max = v.Int("schemas.cache.config")
	j.plans.max = max(j.readers.max, minPlans)
	return j, nil
}

// jsonSchemaEncoder is the plan of one topic and schema.
type jsonSchemaEncoder struct {
	conv   *JSONSchema
	topic  *record.Topic
	schema *record.Schema
	wirePlan[*jsonNode]
}

// Encoder implements Converter; as with Avro an optional schema is registered with
// the first value.
func (j *JSONSchema) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return j.plans.get(planKey{topic, s}, func() (*jsonSchemaEncoder, error) {
		e := &jsonSchemaEncoder{conv: j, topic: topic, schema: s}
		if s == nil || s.Optional {
			return e, nil
		}
		return e, e.resolve(func() ([]byte, *jsonNode, error) { return e.compile(ctx) })
	})
}

// compile makes the plan and gets the id of the schema. Values are written by their
// own schema whatever the registry has: JSON needs no other.
func (e *jsonSchemaEncoder) compile(ctx context.Context) ([]byte, *jsonNode, error) {
	j := e.conv
	if e.schema == nil {
		return nil, nil, noSchema("JsonSchemaConverter", e.topic.Name, "Use JsonConverter with schemas.enable=false")
	}
	text, err := j.opts.fromConnect(e.schema)
	if err != nil {
		return nil, nil, dataError(e.topic, "the schema cannot be written as JSON Schema", err)
	}
	node, err := j.opts.jc.compile(e.schema)
	if err != nil {
		return nil, nil, dataError(e.topic, "the schema cannot be written as JSON", err)
	}
	id, _, err := j.writer(ctx, e.topic.Name, e.schema, e.schema.Name, string(text))
	return wireHead(id), node, err
}

// Append implements Encoder. A null without schema is a tombstone; one of an
// optional schema is the JSON null behind the id, as Confluent's converter writes it.
func (e *jsonSchemaEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() && e.schema == nil {
		return dst, true, nil
	}
	if !e.ready.Load() {
		err := e.resolve(func() ([]byte, *jsonNode, error) { return e.compile(context.Background()) })
		if err != nil {
			return dst, false, err
		}
	}
	from := len(dst)
	dst = append(dst, e.prefix...)
	if dst, err = e.plan.append(dst, b, c); err != nil {
		return dst[:from], false, dataError(e.topic, "the value cannot be written as JSON", err)
	}
	return dst, false, nil
}

// Decode implements Converter.
func (j *JSONSchema) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return nil, record.Cell{}, nil
	}
	id, payload, err := splitWire(data)
	if err != nil {
		return nil, record.Cell{}, j.unreadable(topic.Name, err)
	}
	p, err := j.readPlan(ctx, topic, id)
	if err != nil {
		return nil, record.Cell{}, j.unreadable(topic.Name, err)
	}
	s := j.pool.Get().(*jsonScanner)
	*s = jsonScanner{data: payload, stack: s.stack[:0], name: s.name[:0]}
	c, err := p.read(s, b)
	err = orEnd(s, err)
	s.data = nil
	j.pool.Put(s)
	if err != nil {
		return nil, record.Cell{}, j.unreadable(topic.Name, err)
	}
	return p.schema, c, nil
}

func (j *JSONSchema) readPlan(ctx context.Context, topic *record.Topic, id int) (*jsonReadPlan, error) {
	return j.readers.get(id, func(in *record.Interner) (*jsonReadPlan, error) {
		found, err := j.schemaOf(ctx, topic.Name, id)
		if err != nil {
			return nil, err
		}
		r := jsonSchemaReader{jsonSchemaOptions: j.opts, defs: map[string][]byte{}}
		err = j.reg.references(ctx, found, 0, func(ref sr.SchemaReference, s sr.Schema) error {
			r.defs[ref.Name] = bytes.TrimSpace([]byte(s.Schema))
			return nil
		})
		if err != nil {
			return nil, err
		}
		cs, err := r.parse([]byte(found.Schema))
		if err != nil {
			return nil, err
		}
		p := &jsonReadPlan{schema: in.Intern(cs)}
		p.root, err = compileJSONRead(p.schema, true)
		return p, err
	})
}
