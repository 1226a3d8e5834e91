package convert

import (
	"context"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// JSON is Connect's JsonConverter (org.apache.kafka.connect.json.JsonConverter),
// for keys, values and headers. Its bytes are those of Kafka Connect 4.3.1.
type JSON struct {
	schemas bool
	jc      jsonCompiler
	plans   planCache[planKey, *jsonEncoder]
	reader  jsonReader
}

// JSONDef is the option table of the JsonConverter.
func JSONDef() *configdef.Def {
	d := converterTypeDef()
	d.Options = append(d.Options,
		configdef.Option{Name: "schemas.enable", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.High,
			Doc: "Put the schema beside every key and value.", Group: "Schemas", Order: 0, Width: configdef.WidthMedium, Display: "Enable Schemas"},
		configdef.Option{Name: "schemas.cache.size", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.High,
			Doc: "How many schemas this converter keeps compiled.", Group: "Schemas", Order: 1, Width: configdef.WidthMedium, Display: "Schema Cache Size"},
		configdef.Option{Name: "schema.content", Type: configdef.String, HasDefault: false, Importance: configdef.High,
			Doc:   "A schema to read all messages of a sink with, in place of the one inside each message. Needs schemas.enable=true.",
			Group: "Schemas", Order: 2, Width: configdef.WidthMedium, Display: "Schema Content"},
		configdef.Option{Name: "decimal.format", Type: configdef.String, Default: "BASE64", HasDefault: true, Importance: configdef.Low,
			Doc:   "How decimals are written: BASE64 (the unscaled number's bytes) or NUMERIC (a JSON number). Case does not matter.",
			Group: "Serialization", Order: 0, Width: configdef.WidthMedium, Display: "Decimal Format", Check: checkDecimalFormat},
		configdef.Option{Name: "replace.null.with.default", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Low,
			Doc:   "Write the default of a field in place of null.",
			Group: "Serialization", Order: 1, Width: configdef.WidthMedium, Display: "Replace null with default"})
	return d
}

// converterTypeDef is the option every Apache converter has.
func converterTypeDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{{Name: "converter.type", Type: configdef.String, Importance: configdef.Low, Order: -1, Width: configdef.WidthNone,
		Doc: "What the converter is used for: key, value or header. The worker sets it.", Check: checkConverterType}}}
}

func checkConverterType(in configdef.Input) []string {
	switch in.Value {
	case "key", "value", "header":
		return nil
	case "":
		if !in.Set {
			return nil // the worker sets it
		}
	}
	return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": String must be one of: key, value, header"}
}

func checkDecimalFormat(in configdef.Input) []string {
	switch strings.ToUpper(in.Value) {
	case "BASE64", "NUMERIC":
		return nil
	}
	return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": String must be one of (case insensitive): NUMERIC, BASE64"}
}

// NewJSON makes a JsonConverter. Property names come without key.converter. and
// the like.
func NewJSON(props map[string]string, _ bool) (Converter, error) { return newJSON(props) }

// NewJSONHeader makes a JsonConverter for header values.
func NewJSONHeader(props map[string]string) (HeaderConverter, error) { return newJSON(props) }

func newJSON(props map[string]string) (*JSON, error) {
	v, err := JSONDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	j := &JSON{schemas: v.Bool("schemas.enable")}
	j.jc = jsonCompiler{numericDecimals: strings.EqualFold(v.String("decimal.format"), "NUMERIC"), replaceNull: v.Bool("replace.null.with.default")}
	j.plans.max = max(v.Int("schemas.cache.size"), minPlans)
	j.reader.init(j.schemas, j.jc.replaceNull, v.Int("schemas.cache.size"))
	if text := v.String("schema.content"); text != "" && j.schemas {
		if err := j.reader.fix([]byte(text)); err != nil {
			return nil, configError("Invalid value %s for configuration schema.content: %s", text, err.Error())
		}
	}
	return j, nil
}

// jsonEncoder is the plan of one schema.
type jsonEncoder struct {
	prefix, suffix []byte
	node           *jsonNode
	schemaless     bool
	topic          *record.Topic
}

// Encoder compiles the plan for a schema; the topic only matters to error texts.
func (j *JSON) Encoder(_ context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return j.encoder(topic, s)
}

func (j *JSON) encoder(topic *record.Topic, s *record.Schema) (*jsonEncoder, error) {
	return j.plans.get(planKey{topic, s}, func() (*jsonEncoder, error) {
		n, err := j.jc.compile(s)
		if err != nil {
			return nil, dataError(topic, "the schema cannot be written as JSON", err)
		}
		e := &jsonEncoder{node: n, schemaless: s == nil, topic: topic}
		if j.schemas {
			if e.prefix, err = j.jc.appendSchema([]byte(`{"schema":`), s, "", false); err != nil {
				return nil, dataError(topic, "the schema cannot be written as JSON", err)
			}
			e.prefix = append(e.prefix, `,"payload":`...)
			e.suffix = []byte{'}'}
		}
		return e, nil
	})
}

// Append implements Encoder. A null without schema is a tombstone; a null with a
// schema is the text null, or an envelope whose payload is null.
func (e *jsonEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if e.schemaless && c.IsNull() {
		return dst, true, nil
	}
	from := len(dst)
	dst = append(dst, e.prefix...)
	if dst, err = e.node.append(dst, b, c); err != nil {
		return dst[:from], false, dataError(e.topic, "the value cannot be written as JSON", err)
	}
	return append(dst, e.suffix...), false, nil
}

// AppendHeader implements HeaderConverter.
func (j *JSON) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	e, err := j.encoder(topic, h.Schema)
	if err != nil {
		return dst, false, err
	}
	return e.Append(dst, b, h.Value)
}
