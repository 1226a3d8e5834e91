package objectstore

import (
	"bytes"
	"fmt"
	"io"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// avroFormat writes Avro container files with the schema that AvroData makes.
type avroFormat struct {
	codec  ocf.CodecName
	props  map[string]string // of the AvroConverter
	fields []field           // nil: the value alone, of Confluent's sinks
	bare   bool              // the single field stands alone
}

func (f *avroFormat) extension() string { return ".avro" }
func (f *avroFormat) strict() bool      { return true }

func (f *avroFormat) open(w io.Writer, b *record.Batch, r *record.Record, crowd int) (encoder, error) {
	e := &avroEncoder{block: 64 << 10}
	if crowd > manyFiles {
		e.block = 4 << 10
	}
	text, err := e.compile(f, b, r)
	if err != nil {
		return nil, err
	}
	e.ocf, err = ocf.NewEncoder(`"null"`, w, ocf.WithCodec(f.codec), ocf.WithBlockLength(1<<20), ocf.WithSchemaMarshaler(func(avro.Schema) ([]byte, error) { return []byte(text), nil }))
	if err != nil {
		return nil, fmt.Errorf("begin an Avro file: %w", err)
	}
	return e, nil
}

type avroEncoder struct {
	ocf     *ocf.Encoder
	value   convert.Encoder // of values that stand alone
	members []avroMember
	buf     []byte
	waiting int
	block   int // bytes
}

type avroMember struct {
	member
	enc convert.Encoder // nil: always null
}

// avroSpace is the namespace of records that Aiven's sinks make around values.
const avroSpace = "io.aiven.avro.output.schema"

// compile sets up the plans and returns the schema's text.
func (e *avroEncoder) compile(f *avroFormat, b *record.Batch, r *record.Record) (text string, err error) {
	var members []member
	if f.fields != nil {
		if members, err = membersOf(f.fields, f.bare, b, r); err != nil {
			return "", err
		}
	}
	if members == nil {
		s := r.ValueSchema
		if f.bare && f.fields[0] == fieldKey {
			s = r.KeySchema
			e.members = []avroMember{{member: member{source: fieldKey}}}
		}
		text, e.value, err = convert.AvroFile(f.props, s, "")
		if e.members != nil {
			e.members[0].enc = e.value
		}
		return text, err
	}
	var out bytes.Buffer
	for i, m := range members {
		if i > 0 {
			out.WriteByte(',')
		}
		text := `"null"`
		am := avroMember{member: m}
		if m.schema != nil {
			if text, am.enc, err = convert.AvroFile(f.props, m.schema, avroSpace); err != nil {
				return "", err
			}
		}
		e.members = append(e.members, am)
		fmt.Fprintf(&out, `{"name":%q,"type":%s}`, m.name, text)
	}
	return `{"type":"record","name":"connector_records","namespace":"` + avroSpace + `","fields":[` + out.String() + `]}`, nil
}

func (e *avroEncoder) write(b *record.Batch, r *record.Record) (err error) {
	e.buf = e.buf[:0]
	if e.members == nil {
		e.buf, _, err = e.value.Append(e.buf, b, r.Value)
	}
	for i := range e.members {
		if m := &e.members[i]; m.enc != nil && err == nil {
			e.buf, _, err = m.enc.Append(e.buf, b, valueOf(b, r, &m.member))
		}
	}
	if err != nil {
		return err
	}
	e.waiting += len(e.buf)
	_, err = e.ocf.Write(e.buf)
	if err == nil && e.waiting >= e.block {
		err = e.flush()
	}
	return err
}

func (e *avroEncoder) drop()     {}
func (e *avroEncoder) held() int { return e.waiting }

func (e *avroEncoder) flush() error {
	e.waiting = 0
	return e.ocf.Flush()
}

func (e *avroEncoder) close() error { return e.ocf.Close() }
