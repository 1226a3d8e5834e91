package convert

import (
	"context"
	"regexp"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// CloudEvents is Debezium's CloudEventsConverter: change events in the CloudEvents
// 1.0 format, as JSON with JSON or Avro data, or as Avro with Avro data. What is no
// change event becomes null.
type CloudEvents struct {
	avroEnvelope bool
	avroData     bool
	extensions   bool
	traceParent  bool
	fromHeaders  bool // metadata.source starts with header
	idHeader     bool
	typeHeader   bool
	nameHeader   bool // dataSchemaName:header
	schemaName   string
	adjust       func(string) string
	urls         string
	jsonData     *JSON
	avro         *Avro

	plans planCache[planKey, *ceEncoder]
}

// CloudEventsDef is the option table of the CloudEventsConverter.
func CloudEventsDef() *configdef.Def {
	d := converterTypeDef()
	o := func(name string, t configdef.Type, def string, i configdef.Importance, doc string, check func(configdef.Input) []string) {
		d.Options = append(d.Options, configdef.Option{Name: name, Type: t, Default: def, HasDefault: def != "", Importance: i, Doc: doc, Order: -1, Width: configdef.WidthNone, Check: check})
	}
	kinds := oneOf("json", "avro")
	o("serializer.type", configdef.String, "json", configdef.High, "Format of the event: json or avro.", kinds)
	o("data.serializer.type", configdef.String, "json", configdef.High, "Format of the data within: json or avro. An avro event cannot hold json data.", func(in configdef.Input) []string {
		if out := kinds(in); out != nil {
			return out
		}
		if strings.EqualFold(in.Props["serializer.type"], "avro") && !strings.EqualFold(in.Value, "avro") {
			return []string{"Cannot use 'application/json' data content type within Avro events"}
		}
		return nil
	})
	o("opentelemetry.tracing.attributes.enable", configdef.Boolean, "false", configdef.High, "Add the traceparent attribute, taken from the header of that name.", nil)
	o("extension.attributes.enable", configdef.Boolean, "true", configdef.High, "Add iodebezium… attributes with op, source and transaction.", nil)
	o("schema.name.adjustment.mode", configdef.String, "avro", configdef.Low, "How the name of the event's schema is made valid: avro, avro_unicode or none.", oneOf("avro", "avro_unicode", "none"))
	o("schema.cloudevents.name", configdef.String, "", configdef.Low, "Name of the event's schema; without it SERVER.DATABASE.CloudEvents.Envelope.", nil)
	o("schema.data.name.source.header.enable", configdef.Boolean, "false", configdef.Low, "Take the name of the data's schema from the header dataSchemaName.", nil)
	o("metadata.source", configdef.List, "value,id:generate,type:generate,traceparent:header,dataSchemaName:generate", configdef.High,
		"Where op, source and transaction come from (value or header), and whether id, type and dataSchemaName are generated or taken from headers.", checkMetadataSource)
	d.Patterns = append(d.Patterns, configdef.Pattern{Regexp: regexp.MustCompile(`^json\..+$`), Doc: "Options of the JSON converter for the data."},
		configdef.Pattern{Regexp: regexp.MustCompile(`^avro\..+$`), Doc: "Options of the Avro converter.", Check: func(in configdef.Input) []string {
			if strings.HasPrefix(in.Name, "avro.apicurio.") {
				return []string{"millrace speaks the Confluent API: set avro.schema.registry.url to http://HOST/apis/ccompat/v7"}
			}
			return nil
		}})
	return d
}

// oneOf checks that a value is one of a list, without regard to case.
func oneOf(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if strings.EqualFold(v, in.Value) {
				return nil
			}
		}
		if in.Value == "" && !in.Set {
			return nil
		}
		return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": Value must be one of " + strings.Join(values, ", ")}
	}
}

func checkMetadataSource(in configdef.Input) []string {
	for i, part := range configdef.SplitList(in.Value) {
		name, from, field := strings.Cut(part, ":")
		switch {
		case i == 0 && !field && (name == "value" || name == "header"):
		case i > 0 && field && (from == "header" || from == "generate" && name != "traceparent"):
			if name == "id" || name == "type" || name == "traceparent" || name == "dataSchemaName" {
				continue
			}
			fallthrough
		default:
			return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": expected value or header, then id, type or dataSchemaName each with :generate or :header, and traceparent:header"}
		}
	}
	return nil
}

// NewCloudEvents makes a CloudEventsConverter.
func NewCloudEvents(props map[string]string, isKey bool) (Converter, error) {
	v, err := CloudEventsDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	ce := &CloudEvents{avroEnvelope: v.Enum("serializer.type") == "avro", avroData: v.Enum("data.serializer.type") == "avro",
		extensions: v.Bool("extension.attributes.enable"), traceParent: v.Bool("opentelemetry.tracing.attributes.enable"),
		schemaName: v.String("schema.cloudevents.name"), nameHeader: v.Bool("schema.data.name.source.header.enable")}
	ce.plans.max = 1000
	for _, part := range v.List("metadata.source") {
		switch part {
		case "header":
			ce.fromHeaders = true
		case "id:header":
			ce.idHeader = true
		case "type:header":
			ce.typeHeader = true
		case "dataSchemaName:header":
			ce.nameHeader = true
		}
	}
	ce.adjust = nameAdjuster(v.Enum("schema.name.adjustment.mode"))
	if !ce.avroData {
		if ce.jsonData, err = newJSON(v.Prefixed("json.")); err != nil {
			return nil, err
		}
		return ce, nil
	}
	avroProps := v.Prefixed("avro.")
	if avroProps["schema.registry.url"] == "" {
		return nil, &errs.Error{Java: errs.DataException, Msg: "Need URL(s) for schema registry instances for CloudEvents when using Apache Avro", Hint: "Set avro.schema.registry.url"}
	}
	ce.urls = avroProps["schema.registry.url"]
	c, err := NewAvro(avroProps, isKey)
	if err != nil {
		return nil, err
	}
	ce.avro = c.(*Avro)
	return ce, nil
}

// nameAdjuster is Debezium's schema name adjustment for one mode.
func nameAdjuster(mode string) func(string) string {
	if mode == "none" {
		return func(s string) string { return s }
	}
	return func(s string) string {
		out := make([]byte, 0, len(s))
		for i, r := range s {
			valid := r == '.' || r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9'
			switch {
			case valid && !(r == '_' && mode == "avro_unicode"):
				out = append(out, byte(r))
			case mode == "avro_unicode":
				out = append(out, "_u"...)
				const hex = "0123456789abcdef"
				for shift := 12; shift >= 0; shift -= 4 {
					out = append(out, hex[r>>shift&15])
				}
			default:
				out = append(out, '_')
			}
		}
		return string(out)
	}
}

// Encoder implements Converter. The Encoder is a RecordEncoder: use AppendRecord
// when there are headers.
func (ce *CloudEvents) Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return ce.plans.get(planKey{topic, s}, func() (*ceEncoder, error) { return ce.compile(ctx, topic, s) })
}

// Decode implements Converter: the event as a schemaless map, or as the struct of
// its Avro schema. JSON data that carries a schema is replaced by its payload.
func (ce *CloudEvents) Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if ce.avroEnvelope {
		return ce.avro.Decode(ctx, topic, data, b)
	}
	plain := JSON{}
	plain.reader.init(false, true, 1)
	s, c, err := plain.Decode(ctx, topic, data, b)
	if err != nil || c.Kind() != record.Map || ce.avroData || !ce.jsonData.schemas {
		return s, c, err
	}
	for i := 0; i+1 < c.Len(); i += 2 {
		if b.Str(b.Child(c, i)) != "data" {
			continue
		}
		if inner := b.Child(c, i+1); inner.Kind() == record.Map {
			for j := 0; j+1 < inner.Len(); j += 2 {
				if b.Str(b.Child(inner, j)) == "payload" {
					b.SetChild(c, i+1, b.Child(inner, j+1))
				}
			}
		}
	}
	return s, c, nil
}
