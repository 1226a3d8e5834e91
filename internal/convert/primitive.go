package convert

import (
	"context"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Bytes is Connect's ByteArrayConverter: bytes or null, as they are.
type Bytes struct{}

// BytesDef is the option table of the ByteArrayConverter.
func BytesDef() *configdef.Def { return converterTypeDef() }

// NewBytes makes a ByteArrayConverter.
func NewBytes(props map[string]string, _ bool) (Converter, error) {
	return &Bytes{}, checkProps(BytesDef(), props)
}

// NewBytesHeader makes a ByteArrayConverter for header values.
func NewBytesHeader(props map[string]string) (HeaderConverter, error) {
	return &Bytes{}, checkProps(BytesDef(), props)
}

func checkProps(d *configdef.Def, props map[string]string) error {
	if _, err := d.Parse(props); err != nil {
		return configError("%s", err.Error())
	}
	return nil
}

type bytesEncoder struct{ topic *record.Topic }

// Encoder implements Converter.
func (*Bytes) Encoder(_ context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	if s != nil && s.Type != record.Bytes {
		return nil, wrongSchema(topic, "ByteArrayConverter", s)
	}
	return &bytesEncoder{topic}, nil
}

// Append implements Encoder.
func (e *bytesEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	switch c.Kind() {
	case record.Null:
		return dst, true, nil
	case record.Bytes:
		return append(dst, b.Raw(c)...), false, nil
	}
	return dst, false, &errs.Error{Java: errs.DataException, Msg: "ByteArrayConverter is not compatible with objects of type " + javaClass(c.Kind()), Hint: forTopic(e.topic)}
}

// wrongSchema is Java's error for a schema that a converter of one type cannot have.
func wrongSchema(topic *record.Topic, converter string, s *record.Schema) error {
	return &errs.Error{Java: errs.DataException, Msg: "Invalid schema type for " + converter + ": " + strings.ToUpper(s.Type.String()), Hint: forTopic(topic)}
}

// forTopic says where, behind a text that is Java's.
func forTopic(topic *record.Topic) string {
	if topic == nil || topic.Name == "" {
		return ""
	}
	return "for topic " + topic.Name
}

// javaClass is what Object.getClass prints of a value of that kind.
func javaClass(k record.Type) string {
	switch k {
	case record.Boolean:
		return "class java.lang.Boolean"
	case record.Int8:
		return "class java.lang.Byte"
	case record.Int16:
		return "class java.lang.Short"
	case record.Int32:
		return "class java.lang.Integer"
	case record.Int64:
		return "class java.lang.Long"
	case record.Float32:
		return "class java.lang.Float"
	case record.Float64:
		return "class java.lang.Double"
	case record.String:
		return "class java.lang.String"
	case record.Bytes:
		return "class [B"
	case record.Array:
		return "class java.util.ArrayList"
	case record.Map:
		return "class java.util.HashMap"
	}
	return "class org.apache.kafka.connect.data.Struct"
}

// Decode implements Converter.
func (*Bytes) Decode(_ context.Context, _ *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return record.OptionalBytes, record.Cell{}, nil
	}
	return record.OptionalBytes, b.BytesCell(record.Bytes, data), nil
}

// AppendHeader implements HeaderConverter.
func (c *Bytes) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	e, err := c.Encoder(context.Background(), topic, h.Schema)
	if err != nil {
		return dst, false, err
	}
	return e.Append(dst, b, h.Value)
}

// DecodeHeader implements HeaderConverter.
func (c *Bytes) DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	s, v, err := c.Decode(context.Background(), topic, data, b)
	return record.Header{Key: key, Schema: s, Value: v}, err
}

// Primitive is one of Connect's Boolean-, Short-, Integer-, Long-, Float- and
// DoubleConverter: Kafka's own serialization of one type, big-endian.
type Primitive struct {
	kind   record.Type
	schema *record.Schema
	size   int
	name   string // of the converter, without that word
	java   string // of the deserializer, as its errors have it
}

// PrimitiveDef is the option table of every primitive converter.
func PrimitiveDef() *configdef.Def { return converterTypeDef() }

var primitives = map[record.Type]Primitive{
	record.Boolean: {record.Boolean, record.OptionalBoolean, 1, "boolean", "BooleanDeserializer"},
	record.Int16:   {record.Int16, record.OptionalInt16, 2, "short", "ShortDeserializer"},
	record.Int32:   {record.Int32, record.OptionalInt32, 4, "integer", "IntegerDeserializer"},
	record.Int64:   {record.Int64, record.OptionalInt64, 8, "long", "LongDeserializer"},
	record.Float32: {record.Float32, record.OptionalFloat32, 4, "float", "Deserializer"},
	record.Float64: {record.Float64, record.OptionalFloat64, 8, "double", "Deserializer"},
}

// NewPrimitive returns the constructor of the converter for Boolean, Int16, Int32,
// Int64, Float32 or Float64.
func NewPrimitive(t record.Type) func(props map[string]string, isKey bool) (Converter, error) {
	return func(props map[string]string, _ bool) (Converter, error) {
		p := primitives[t]
		return &p, checkProps(PrimitiveDef(), props)
	}
}

// NewPrimitiveHeader is NewPrimitive for header values.
func NewPrimitiveHeader(t record.Type) func(props map[string]string) (HeaderConverter, error) {
	return func(props map[string]string) (HeaderConverter, error) {
		p := primitives[t]
		return &p, checkProps(PrimitiveDef(), props)
	}
}

type primitiveEncoder struct {
	Primitive
	topic *record.Topic
}

// Encoder implements Converter. As in Connect the schema is only looked at by the
// BooleanConverter: the value must be of the type, or null.
func (p *Primitive) Encoder(_ context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	if p.kind == record.Boolean && s != nil && s.Type != record.Boolean {
		return nil, wrongSchema(topic, "BooleanConverter", s)
	}
	return &primitiveEncoder{*p, topic}, nil
}

// Append implements Encoder.
func (e *primitiveEncoder) Append(dst []byte, _ *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() {
		return dst, true, nil
	}
	if c.Kind() != e.kind {
		if e.kind == record.Boolean {
			return dst, false, &errs.Error{Java: errs.DataException, Msg: "BooleanConverter is not compatible with objects of type " + javaClass(c.Kind()), Hint: forTopic(e.topic)}
		}
		return dst, false, &errs.Error{Java: errs.DataException, Msg: "Failed to serialize to " + e.name + " (was " + javaClass(c.Kind()) + "): ", Hint: forTopic(e.topic)}
	}
	switch e.kind {
	case record.Boolean:
		if c.Bool() {
			return append(dst, 1), false, nil
		}
		return append(dst, 0), false, nil
	case record.Int16:
		return binary.BigEndian.AppendUint16(dst, uint16(c.Int())), false, nil
	case record.Int32:
		return binary.BigEndian.AppendUint32(dst, uint32(c.Int())), false, nil
	case record.Int64:
		return binary.BigEndian.AppendUint64(dst, uint64(c.Int())), false, nil
	case record.Float32:
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(c.Float()))), false, nil
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(c.Float())), false, nil
}

// broken is Java's error for data that this type cannot have.
func (p *Primitive) broken(topic *record.Topic, why string) error {
	return &errs.Error{Java: errs.DataException, Msg: "Failed to deserialize " + p.name + ": ",
		Cause: &errs.Error{Java: errs.SerializationException, Msg: why, Hint: forTopic(topic)}}
}

// Decode implements Converter.
func (p *Primitive) Decode(_ context.Context, topic *record.Topic, data []byte, _ *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return p.schema, record.Cell{}, nil
	}
	if len(data) != p.size {
		return nil, record.Cell{}, p.broken(topic, "Size of data received by "+p.java+" is not "+strconv.Itoa(p.size))
	}
	if p.kind == record.Boolean && data[0] > 1 {
		return nil, record.Cell{}, p.broken(topic, "Unexpected byte received by "+p.java+": "+strconv.Itoa(int(data[0])))
	}
	switch p.kind {
	case record.Boolean:
		return p.schema, record.BoolCell(data[0] == 1), nil
	case record.Int16:
		return p.schema, record.IntCell(record.Int16, int64(int16(binary.BigEndian.Uint16(data)))), nil
	case record.Int32:
		return p.schema, record.Int32Cell(int32(binary.BigEndian.Uint32(data))), nil
	case record.Int64:
		return p.schema, record.Int64Cell(int64(binary.BigEndian.Uint64(data))), nil
	case record.Float32:
		return p.schema, record.Float32Cell(math.Float32frombits(binary.BigEndian.Uint32(data))), nil
	}
	return p.schema, record.Float64Cell(math.Float64frombits(binary.BigEndian.Uint64(data))), nil
}

// AppendHeader implements HeaderConverter.
func (p *Primitive) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	e := primitiveEncoder{*p, topic}
	return e.Append(dst, b, h.Value)
}

// DecodeHeader implements HeaderConverter.
func (p *Primitive) DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	s, v, err := p.Decode(context.Background(), topic, data, b)
	return record.Header{Key: key, Schema: s, Value: v}, err
}
