// Package convert turns values into the bytes of Kafka records and back: Connect's
// JsonConverter, StringConverter, ByteArrayConverter and primitive converters,
// Confluent's AvroConverter, JsonSchemaConverter and ProtobufConverter with the
// Schema Registry client behind them, Debezium's CloudEventsConverter and
// BinaryDataConverter, and SimpleHeaderConverter. The bytes are those of the Java
// classes.
//
// An Encoder is a plan compiled once per (topic, schema pointer); appending a
// value with it allocates nothing on a warm batch. Callers (emit) cache encoders
// by those two pointers; a Converter itself may be asked again for the same pair
// and answers from its own cache.
package convert

import (
	"context"

	"millrace/internal/record"
)

// Converter converts keys or values of one connector. It is safe for use by
// several goroutines.
type Converter interface {
	// Encoder compiles the plan for a topic and schema. s is nil for a schemaless
	// value. It may call a registry, hence ctx; errors say topic, subject and cause.
	Encoder(ctx context.Context, topic *record.Topic, s *record.Schema) (Encoder, error)
	// Decode reads the bytes of a record into b. nil data is a null value. The
	// schema is nil for schemaless data (kinds of the cells tell the types); the
	// same schema text gives the same pointer again.
	Decode(ctx context.Context, topic *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error)
}

// Encoder is a compiled plan.
type Encoder interface {
	// Append appends the bytes of the value to dst. null reports that the Kafka
	// value is null (a tombstone): nothing was appended.
	Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error)
}

// RecordEncoder is an Encoder that looks at more of the record than its value.
// Whoever has the record calls AppendRecord in place of Append.
type RecordEncoder interface {
	Encoder
	// AppendRecord is Append for the value of r.
	AppendRecord(dst []byte, b *record.Batch, r *record.Record) (out []byte, null bool, err error)
}

// HeaderConverter converts header values.
type HeaderConverter interface {
	// AppendHeader appends the bytes of the header's value.
	AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) (out []byte, null bool, err error)
	// DecodeHeader reads a header into b.
	DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error)
}
