package convert

import (
	"strings"
	"testing"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// What a record that cannot be read says begins with Java's own text, since tools
// and alert rules compare it: recorded with Kafka Connect 4.3.1.
func TestReadErrorsAreJavas(t *testing.T) {
	const (
		data   = errs.DataException + ": "
		broken = data + "Converting byte[] to Kafka Connect data failed due to serialization error: |Caused by: " + errs.SerializationException + ": invalid JSON at byte "
		frame  = data + `JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.`
		size   = "|Caused by: " + errs.SerializationException + ": Size of data received by "
	)
	js := func(schemas string) Converter {
		c, err := NewJSON(map[string]string{"schemas.enable": schemas}, false)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	prim := func(k record.Type) Converter {
		c, err := NewPrimitive(k)(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, x := range []struct {
		conv Converter
		in   string
		want string // lines of the trace without hints, joined by |; a beginning
	}{
		{js("true"), `not json`, broken + "0"},
		{js("true"), "\xff\xfe", broken + "0"},
		{js("true"), `[1`, broken + "2"},
		{js("true"), ``, frame},
		{js("true"), `{"a":1}`, frame},
		{js("true"), `{"a":1}{`, frame},
		{js("true"), `{"schema":null,"payload":1,"x":2}`, frame},
		{js("true"), `{"schema":{"type":"int32","optional":false},"payload":null}`, data + "Invalid null value for required INT32 field"},
		{js("true"), `{"schema":{"type":"struct","fields":[{"type":"int32","field":"a","optional":false}]},"payload":{"b":1}}`, data + "Invalid null value for required INT32 field"},
		{js("true"), `{"schema":{"type":"bogus"},"payload":"x"}`, data + "Unknown schema type: bogus"},
		{js("true"), `{"schema":{},"payload":1}`, data + "Schema must contain 'type' field"},
		{js("false"), `{"a":`, broken + "5"},
		{js("false"), `nul`, broken + "0"},
		{prim(record.Int16), "x", data + "Failed to deserialize short: " + size + "ShortDeserializer is not 2"},
		{prim(record.Int32), "x", data + "Failed to deserialize integer: " + size + "IntegerDeserializer is not 4"},
		{prim(record.Int64), "", data + "Failed to deserialize long: " + size + "LongDeserializer is not 8"},
		{prim(record.Float32), "x", data + "Failed to deserialize float: " + size + "Deserializer is not 4"},
		{prim(record.Float64), "x", data + "Failed to deserialize double: " + size + "Deserializer is not 8"},
		{prim(record.Boolean), "abc", data + "Failed to deserialize boolean: " + size + "BooleanDeserializer is not 1"},
		{prim(record.Boolean), "\x02", data + "Failed to deserialize boolean: |Caused by: " + errs.SerializationException + ": Unexpected byte received by BooleanDeserializer: 2"},
	} {
		var b record.Batch
		_, _, err := x.conv.Decode(t.Context(), &record.Topic{Name: "t"}, []byte(x.in), &b)
		if err == nil {
			t.Errorf("%q was read", x.in)
			continue
		}
		var lines []string
		hint := false
		for _, line := range strings.Split(errs.Trace(err), "\n") {
			if strings.HasPrefix(line, "\t") {
				hint = hint || strings.Contains(line, "for topic t")
				continue
			}
			lines = append(lines, line)
		}
		if got := strings.Join(lines, "|"); !strings.HasPrefix(got, x.want) {
			t.Errorf("%q\n got %s\nwant %s", x.in, got, x.want)
		}
		if !hint {
			t.Errorf("%q: the trace does not name the topic", x.in)
		}
	}
}

// The same of values that a converter of one type cannot write.
func TestWriteErrorsAreJavas(t *testing.T) {
	for _, x := range []struct {
		make func(map[string]string, bool) (Converter, error)
		want string
	}{
		{NewPrimitive(record.Int64), "Failed to serialize to long (was class java.lang.String): "},
		{NewPrimitive(record.Float64), "Failed to serialize to double (was class java.lang.String): "},
		{NewPrimitive(record.Boolean), "Invalid schema type for BooleanConverter: STRING"},
		{NewBytes, "Invalid schema type for ByteArrayConverter: STRING"},
	} {
		conv, err := x.make(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		var b record.Batch
		e, err := conv.Encoder(t.Context(), &record.Topic{Name: "t"}, record.OptionalString)
		if err == nil {
			_, _, err = e.Append(nil, &b, b.StringCell("x"))
		}
		if got := errs.Trace(err); got != errs.DataException+": "+x.want+"\n\t... for topic t" {
			t.Errorf("got %s, want %s", got, x.want)
		}
	}
}
