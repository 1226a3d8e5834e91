package convert

import (
	"bytes"
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

// JSONSchema is Confluent's JsonSchemaConverter: JSON behind the id of a JSON
// Schema, which is kept in a Schema Registry.
type JSONSchema struct {
	isKey    bool
	reg      *registry
	opts     jsonSchemaOptions
	subjects subjectNamer
	register bool
	latest   bool
	useID    int
	plans    planCache[planKey, *jsonSchemaEncoder]

	mu      sync.RWMutex
	max     int
	readers map[int]*jsonReadPlan
	in      *record.Interner
	pool    sync.Pool
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
		o("json.oneof.for.nullables", configdef.Boolean, "true", "Describe optional values as oneOf null and the type."),
		o("ignore.default.for.nullables", configdef.Boolean, "false", "Write null as null, not as the default of the field."),
		flatten, sum, format, validate, version, iso)}
}

// NewJSONSchema makes a JsonSchemaConverter.
func NewJSONSchema(props map[string]string, isKey bool) (Converter, error) {
	v, err := JSONSchemaDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	j := &JSONSchema{isKey: isKey, register: v.Bool("auto.register.schemas"), latest: v.Bool("use.latest.version"), useID: v.Int("use.schema.id"), max: v.Int("schemas.cache.config"),
		readers: map[int]*jsonReadPlan{}, in: &record.Interner{}, pool: sync.Pool{New: func() any { return new(jsonScanner) }}}
	j.opts = jsonSchemaOptions{closed: !v.Bool("object.additional.properties"), plainOpt: !v.Bool("json.oneof.for.nullables"), nonRequired: v.Bool("use.optional.for.nonrequired"),
		jc: jsonCompiler{numericDecimals: strings.EqualFold(v.String("decimal.format"), "NUMERIC"), replaceNull: true, ignoreDefaults: v.Bool("ignore.default.for.nullables"), pairs: true}}
	j.plans.max = max(j.max, minPlans)
	if j.reg, err = newRegistry(v); err != nil {
		return nil, err
	}
	j.subjects = newSubjectNamer(v, isKey, j.reg)
	return j, nil
}

// jsonSchemaEncoder is the plan of one topic and schema.
type jsonSchemaEncoder struct {
	conv   *JSONSchema
	topic  *record.Topic
	schema *record.Schema

	ready  atomic.Bool
	mu     sync.Mutex
	prefix [5]byte
	node   *jsonNode
}

// Encoder implements Converter; as with Avro an optional schema is registered with
// the first value.
func (j *JSONSchema) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return j.plans.get(planKey{topic, s}, func() (*jsonSchemaEncoder, error) {
		e := &jsonSchemaEncoder{conv: j, topic: topic, schema: s}
		if s == nil || s.Optional {
			return e, nil
		}
		return e, e.resolve(ctx)
	})
}

const jsonSchemaFailed = "Converting Kafka Connect data to byte[] failed due to serialization error of"

func (e *jsonSchemaEncoder) resolve(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready.Load() {
		return nil
	}
	j := e.conv
	if e.schema == nil {
		return &errs.Error{Java: errs.DataException, Msg: "JsonSchemaConverter cannot write a value without schema (topic " + e.topic.Name + ")",
			Hint: "Use JsonConverter with schemas.enable=false"}
	}
	text, err := j.opts.fromConnect(e.schema)
	if err != nil {
		return dataError(e.topic, "the schema cannot be written as JSON Schema", err)
	}
	node, err := j.opts.jc.compile(e.schema)
	if err != nil {
		return dataError(e.topic, "the schema cannot be written as JSON", err)
	}
	id, err := j.id(ctx, e.topic.Name, e.schema, string(text))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(e.prefix[1:], uint32(id))
	e.node = node
	e.ready.Store(true)
	return nil
}

// id registers the schema or finds the one to name.
func (j *JSONSchema) id(ctx context.Context, topic string, s *record.Schema, text string) (int, error) {
	const doing = "serializing JSON data for"
	subject, err := j.subjects.name(ctx, topic, s, s.Name)
	if err != nil {
		return 0, registryOrOwn(err, func() error {
			return registryError(topic, doing, jsonSchemaFailed, "Error retrieving JSON schema"+text, err)
		})
	}
	switch {
	case !j.register && j.useID >= 0:
		return j.useID, nil
	case !j.register && j.latest:
		found, err := j.reg.latestOf(ctx, subject)
		if err != nil {
			err = registryError(topic, doing, jsonSchemaFailed, "Error retrieving latest version of JSON schema "+text, err)
		}
		return found.ID, err
	}
	id, err := j.reg.id(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeJSON}, j.register)
	if err != nil {
		what := "Error registering JSON schema"
		if !j.register {
			what = "Error retrieving JSON schema"
		}
		err = registryError(topic, doing, jsonSchemaFailed, what+text, err)
	}
	return id, err
}

// Append implements Encoder; a null is a tombstone.
func (e *jsonSchemaEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() && (e.schema == nil || e.schema.Optional && (!hasDefault(e.schema) || e.conv.opts.jc.ignoreDefaults)) {
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
		return dst[:from], false, dataError(e.topic, "the value cannot be written as JSON", err)
	}
	return dst, false, nil
}

// Decode implements Converter.
func (j *JSONSchema) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
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
		return nil, record.Cell{}, &errs.Error{Java: errs.DataException, Msg: "Converting byte[] to Kafka Connect data failed due to serialization error of topic " + topic.Name + ": ", Cause: cause}
	}
	id, payload, err := splitWire(data)
	if err != nil {
		return failed(err)
	}
	p, err := j.readPlan(ctx, topic, id)
	if err != nil {
		return failed(err)
	}
	s := j.pool.Get().(*jsonScanner)
	*s = jsonScanner{data: payload, stack: s.stack[:0], name: s.name[:0]}
	c, err := p.read(s, b)
	err = orEnd(s, err)
	s.data = nil
	j.pool.Put(s)
	if err != nil {
		return failed(err)
	}
	return p.schema, c, nil
}

func (j *JSONSchema) readPlan(ctx context.Context, topic *record.Topic, id int) (*jsonReadPlan, error) {
	j.mu.RLock()
	p := j.readers[id]
	j.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	found, err := j.reg.schema(ctx, id)
	if err != nil {
		return nil, registryError(topic.Name, "deserializing JSON data for", "Converting byte[] to Kafka Connect data failed due to serialization error of", "Error retrieving JSON schema for id "+strconv.Itoa(id), err)
	}
	if found.Type != sr.TypeJSON {
		return nil, &errs.Error{Java: errs.SerializationException, Msg: "the registered schema is of type " + found.Type.String() + ", not JSON", Hint: "Use the converter of that type"}
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
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.max > 0 && len(j.readers) >= j.max {
		j.readers, j.in = map[int]*jsonReadPlan{}, &record.Interner{}
	}
	p = &jsonReadPlan{schema: j.in.Intern(cs)}
	if p.root, err = compileJSONRead(p.schema, !j.opts.jc.ignoreDefaults); err != nil {
		return nil, err
	}
	j.readers[id] = p
	return p, nil
}
