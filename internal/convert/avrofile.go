package convert

import (
	"millrace/internal/errs"
	"millrace/internal/record"
)

// AvroFile returns the Avro schema that the AvroConverter would register for s, and
// an encoder of bare Avro, without the registry's prefix: what an Avro container
// file holds. props are the data options of AvroDef; the registry's are not read.
// space is the namespace of the record that the schema's text will stand in, "" for
// none: names without a namespace must not take on that one.
func AvroFile(props map[string]string, s *record.Schema, space string) (schema string, enc Encoder, err error) {
	if s == nil {
		return "", nil, &errs.Error{Java: errs.DataException, Msg: "Avro cannot hold a value without schema",
			Hint: "Use a converter that gives values a schema (JsonConverter with schemas.enable=true, AvroConverter), or write JSON"}
	}
	def := AvroDef()
	known := map[string]string{"schema.registry.url": "http://unused"}
	for k, v := range props {
		if k != "schema.registry.url" && def.Find(k) != nil {
			known[k] = v
		}
	}
	v, err := def.Parse(known)
	if err != nil {
		return "", nil, configError("%s", err.Error())
	}
	o := avroOptionsFrom(v)
	own, err := o.fromConnect(s)
	if err != nil {
		return "", nil, &errs.Error{Java: errs.DataException, Msg: err.Error()}
	}
	ac := avroCompiler{avroOptions: o}
	node, err := ac.compile(s, own)
	if err != nil {
		return "", nil, &errs.Error{Java: errs.DataException, Msg: err.Error()}
	}
	return own.textWithin(space), &bareAvro{node}, nil
}

// bareAvro encodes without prefix.
type bareAvro struct{ node *avroNode }

// Append implements Encoder; nulls are written as the schema says.
func (e *bareAvro) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	from := len(dst)
	if dst, err = e.node.append(dst, b, c); err != nil {
		return dst[:from], false, &errs.Error{Java: errs.DataException, Msg: err.Error()}
	}
	return dst, false, nil
}
