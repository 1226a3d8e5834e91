package objectstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// avroFormat writes Avro container files with the schema that AvroData makes.
type avroFormat struct {
	codec  string
	props  map[string]string // of the AvroConverter
	fields []field           // nil: the value alone, of Confluent's sinks
	bare   bool              // the single field stands alone
	plans  map[avroKey]avroPlan
	keys   map[*record.Schema]*record.Schema // see keyBeside

	packed  bytes.Buffer // of the codec
	deflate *flate.Writer
	bzip2   *bzip2.Writer
	zstd    *zstd.Encoder
}

// avroKey is a schema and the namespace that it stands in, avroPlan what is made of it.
type avroKey struct {
	schema *record.Schema
	space  string
}

type avroPlan struct {
	text string
	enc  convert.Encoder
}

// plan returns the text and the encoder of a schema, which files share.
func (f *avroFormat) plan(s *record.Schema, space string) (string, convert.Encoder, error) {
	k := avroKey{s, space}
	if p, ok := f.plans[k]; ok {
		return p.text, p.enc, nil
	}
	text, enc, err := convert.AvroFile(f.props, s, space)
	if err != nil {
		return "", nil, err
	}
	if f.plans == nil || len(f.plans) >= maxPlans {
		f.plans = map[avroKey]avroPlan{}
	}
	f.plans[k] = avroPlan{text, enc}
	return text, enc, nil
}

func (f *avroFormat) extension() string { return ".avro" }
func (f *avroFormat) strict() bool      { return true }

func (f *avroFormat) open(w io.Writer, b *record.Batch, r *record.Record, crowd int) (encoder, error) {
	e := &avroEncoder{block: 64 << 10}
	if crowd > manyFiles {
		e.block = 2 << 10
	}
	text, err := e.compile(f, b, r)
	if err != nil {
		return nil, err
	}
	e.w, e.pack = w, f.pack
	if _, err := rand.Read(e.sync[:]); err != nil {
		return nil, fmt.Errorf("begin an Avro file: %w", err)
	}
	head := append([]byte("Obj\x01"), 4) // a map of two entries
	for _, x := range []string{"avro.schema", text, "avro.codec", f.codec} {
		head = append(appendLong(head, int64(len(x))), x...)
	}
	if _, err := w.Write(append(append(head, 0), e.sync[:]...)); err != nil {
		return nil, err
	}
	return e, nil
}

// pack is a block as the codec has it; the result is valid until the next one.
func (f *avroFormat) pack(block []byte) (out []byte, err error) {
	f.packed.Reset()
	switch f.codec {
	case "deflate":
		if f.deflate == nil {
			if f.deflate, err = flate.NewWriter(&f.packed, flate.DefaultCompression); err != nil {
				return nil, err
			}
		}
		f.deflate.Reset(&f.packed)
		if _, err = f.deflate.Write(block); err == nil {
			err = f.deflate.Close()
		}
	case "bzip2":
		if f.bzip2 == nil {
			f.bzip2, err = bzip2.NewWriter(&f.packed, &bzip2.WriterConfig{Level: bzip2.BestCompression}) // Java's only level
		} else {
			err = f.bzip2.Reset(&f.packed)
		}
		if err != nil {
			return nil, err
		}
		if _, err = f.bzip2.Write(block); err == nil {
			err = f.bzip2.Close()
		}
	case "snappy":
		out = snappy.Encode(f.packed.AvailableBuffer(), block)
		f.packed.Write(binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(block)))
	case "zstandard":
		if f.zstd == nil {
			if f.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
				return nil, err
			}
		}
		return f.zstd.EncodeAll(block, f.packed.AvailableBuffer()), nil
	default:
		return block, nil
	}
	return f.packed.Bytes(), err
}

type avroEncoder struct {
	w       io.Writer
	pack    func([]byte) ([]byte, error)
	sync    [16]byte
	members []avroMember
	buf     []byte // records of the block
	count   int    // of them
	block   int    // bytes
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
		am := avroMember{member: member{source: fieldValue, schema: r.ValueSchema}}
		if f.bare && f.fields[0] == fieldKey {
			am.source, am.schema = fieldKey, r.KeySchema
		}
		text, am.enc, err = f.plan(am.schema, "")
		e.members = []avroMember{am}
		return text, err
	}
	var out bytes.Buffer
	for i, m := range members {
		if i > 0 {
			out.WriteByte(',')
		}
		if m.source == fieldKey && slices.ContainsFunc(members, func(x member) bool { return x.source == fieldValue }) {
			m.schema = f.keyBeside(r)
		}
		text := `"null"`
		am := avroMember{member: m}
		if m.schema != nil {
			if text, am.enc, err = f.plan(m.schema, avroSpace); err != nil {
				return "", err
			}
		}
		if name := f.sameType(members[:i], &m); name != "" {
			text = strconv.Quote(name)
		}
		e.members = append(e.members, am)
		fmt.Fprintf(&out, `{"name":%q,"type":%s}`, m.name, text)
	}
	return `{"type":"record","name":"connector_records","namespace":"` + avroSpace + `","fields":[` + out.String() + `]}`, nil
}

// keyBeside is the schema of a key that stands beside the value: a struct whose name is
// the value's, or that has none as the value, gets one of its own. A schema with two
// types of one name cannot be read.
func (f *avroFormat) keyBeside(r *record.Record) *record.Schema {
	k, v := r.KeySchema, r.ValueSchema
	if k == nil || v == nil || k.Type != record.Struct || v.Type != record.Struct || k.Name != v.Name {
		return k
	}
	if name := f.named(k); name != "" && name == f.named(v) {
		return k // one type
	}
	if own := f.keys[k]; own != nil {
		return own
	}
	own := &record.Schema{Type: k.Type, Optional: k.Optional, Name: k.Name + "Key", Version: k.Version, Doc: k.Doc, Params: k.Params, Default: k.Default, Fields: k.Fields}
	if k.Name == "" {
		own.Name = "io.confluent.connect.avro.ConnectDefaultKey"
	}
	if f.keys == nil || len(f.keys) >= maxPlans {
		f.keys = map[*record.Schema]*record.Schema{}
	}
	f.keys[k] = own
	return own
}

// sameType is the name of a member's type when one before it has defined it.
func (f *avroFormat) sameType(before []member, m *member) string {
	for i := range before {
		if name := f.named(m.schema); name != "" && f.named(before[i].schema) == name {
			var full struct{ Name, Namespace string }
			if json.Unmarshal([]byte(name), &full) == nil && full.Namespace != "" {
				return full.Namespace + "." + full.Name
			}
		}
	}
	return ""
}

// named is the text of a record type that has a namespace; "" for any other schema.
func (f *avroFormat) named(s *record.Schema) string {
	if s == nil || s.Type != record.Struct || s.Optional {
		return ""
	}
	text, _, err := f.plan(s, avroSpace)
	if err != nil || !strings.Contains(text, `,"namespace":"`) || strings.Contains(text, `,"namespace":""`) {
		return ""
	}
	return text
}

func (e *avroEncoder) write(b *record.Batch, r *record.Record) (err error) {
	from := len(e.buf)
	for i := range e.members {
		if m := &e.members[i]; m.enc != nil && err == nil {
			e.buf, _, err = m.enc.Append(e.buf, b, valueOf(b, r, &m.member))
		}
	}
	if err != nil {
		e.buf = e.buf[:from]
		return err
	}
	e.count++
	if len(e.buf) < e.block {
		return nil
	}
	if err = e.flush(); err != nil { // the record may come again
		e.buf, e.count = e.buf[:from], e.count-1
	}
	return err
}

func (e *avroEncoder) drop()     {}
func (e *avroEncoder) held() int { return len(e.buf) }

// flush writes the block.
func (e *avroEncoder) flush() error {
	if e.count == 0 {
		return nil
	}
	data, err := e.pack(e.buf)
	if err != nil {
		return fmt.Errorf("compress a block of an Avro file: %w", err)
	}
	out := make([]byte, 0, 2*binary.MaxVarintLen64+len(data)+len(e.sync))
	out = append(appendLong(appendLong(out, int64(e.count)), int64(len(data))), data...)
	if _, err := e.w.Write(append(out, e.sync[:]...)); err != nil { // in one, so all of it or nothing
		return err
	}
	if e.buf, e.count = e.buf[:0], 0; cap(e.buf) > 2*e.block {
		e.buf = nil
	}
	return nil
}

func (e *avroEncoder) close() error { return e.flush() }

// appendLong appends Avro's long: zigzag, seven bits per byte.
func appendLong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }
