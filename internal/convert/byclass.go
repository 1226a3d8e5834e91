package convert

import "millrace/internal/record"

// NewByClass makes the converter of a Java class name, for converters that hand
// values to another one.
func NewByClass(class string, props map[string]string, isKey bool) (Converter, error) {
	const apache = "org.apache.kafka.connect."
	switch class {
	case apache + "json.JsonConverter":
		return NewJSON(props, isKey)
	case apache + "storage.StringConverter":
		return NewString(props, isKey)
	case apache + "converters.ByteArrayConverter":
		return NewBytes(props, isKey)
	case apache + "converters.BooleanConverter":
		return NewPrimitive(record.Boolean)(props, isKey)
	case apache + "converters.ShortConverter":
		return NewPrimitive(record.Int16)(props, isKey)
	case apache + "converters.IntegerConverter":
		return NewPrimitive(record.Int32)(props, isKey)
	case apache + "converters.LongConverter":
		return NewPrimitive(record.Int64)(props, isKey)
	case apache + "converters.FloatConverter":
		return NewPrimitive(record.Float32)(props, isKey)
	case apache + "converters.DoubleConverter":
		return NewPrimitive(record.Float64)(props, isKey)
	case "io.confluent.connect.avro.AvroConverter":
		return NewAvro(props, isKey)
	case "io.confluent.connect.json.JsonSchemaConverter":
		return NewJSONSchema(props, isKey)
	case "io.confluent.connect.protobuf.ProtobufConverter":
		return NewProtobuf(props, isKey)
	case "io.debezium.converters.CloudEventsConverter":
		return NewCloudEvents(props, isKey)
	}
	return nil, configError("millrace has no converter %s", class)
}
