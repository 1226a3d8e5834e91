package objectstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// encoder appends records to one file.
type encoder interface {
	// write adds a record; after an error with a DataException nothing was added.
	write(b *record.Batch, r *record.Record) error
	// held is about how many bytes wait for flush in memory.
	held() int
	// flush hands over what is held (of a Parquet file: the row group).
	flush() error
	// close ends the file.
	close() error
	// drop gives back what is held outside of the file, which is not ended.
	drop()
}

// format makes the encoders of a sink's files.
type format interface {
	// open begins a file whose first record is r. crowd is how many files are open
	// already: with many, each gets smaller buffers.
	open(w io.Writer, b *record.Batch, r *record.Record, crowd int) (encoder, error)
	// extension is the end of a file's name, with its dot.
	extension() string
	// strict reports whether all records of a file must have one schema.
	strict() bool
}

func dataError(format string, args ...any) error {
	return &errs.Error{Java: errs.DataException, Msg: fmt.Sprintf(format, args...)}
}

// bytesFormat writes values that are bytes or text with a separator after each.
type bytesFormat struct {
	ext       string
	separator []byte
}

func (f *bytesFormat) extension() string { return f.ext }
func (f *bytesFormat) strict() bool      { return false }
func (f *bytesFormat) open(w io.Writer, _ *record.Batch, _ *record.Record, _ int) (encoder, error) {
	return &bytesEncoder{w: w, f: f}, nil
}

type bytesEncoder struct {
	lines
	w io.Writer
	f *bytesFormat
}

func (e *bytesEncoder) write(b *record.Batch, r *record.Record) error {
	switch r.Value.Kind() {
	case record.Bytes, record.String:
		e.buf = append(append(e.buf[:0], b.Raw(r.Value)...), e.f.separator...)
	case record.Null:
	default:
		return dataError("ByteArrayFormat writes bytes and text, this value is a %s (topic %s). Use ByteArrayConverter as value.converter, or another format", r.Value.Kind(), r.Topic.Name)
	}
	_, err := e.w.Write(e.buf)
	return err
}

// lines is the part of an encoder that holds nothing back.
type lines struct{ buf []byte }

func (lines) held() int    { return 0 }
func (lines) flush() error { return nil }
func (lines) close() error { return nil }
func (lines) drop()        {}

// manyFiles is when files that are opened get smaller buffers.
const manyFiles = 64

// field is a part of a record that goes into a file, by its Aiven name.
type field string

const (
	fieldKey       field = "key"
	fieldValue     field = "value"
	fieldOffset    field = "offset"
	fieldTimestamp field = "timestamp"
	fieldHeaders   field = "headers"
)

// jsonOrder is the order in which Aiven's sink writes fields of a JSON object:
// that of its hash map.
var jsonOrder = []field{fieldHeaders, fieldOffset, fieldValue, fieldKey, fieldTimestamp}

// jsonFormat writes a JSON document per record, in lines or as one array.
type jsonFormat struct {
	ext        string
	array      bool
	ordered    bool    // maps are in the order of Java's
	unended    bool    // the last line of a file has no end, as Aiven's sinks leave it
	fields     []field // nil: one of them alone
	single     field   // which; "": the value
	conv       convert.Converter
	header     convert.HeaderConverter
	maps       map[*record.Schema]bool // see mapped
	key, value plan                    // of all files
}

func newJSONFormat(ext, decimals string) (*jsonFormat, error) {
	props := map[string]string{"schemas.enable": "false", "decimal.format": decimals}
	conv, err := convert.NewJSON(props, false)
	if err != nil {
		return nil, err
	}
	header, err := convert.NewJSONHeader(props)
	if err != nil {
		return nil, err
	}
	return &jsonFormat{ext: ext, conv: conv, header: header}, nil
}

func (f *jsonFormat) extension() string { return f.ext }
func (f *jsonFormat) strict() bool      { return false }
func (f *jsonFormat) open(w io.Writer, _ *record.Batch, _ *record.Record, _ int) (encoder, error) {
	return &jsonEncoder{w: w, f: f}, nil
}

type jsonEncoder struct {
	lines
	w     io.Writer
	f     *jsonFormat
	begun bool
}

// plan is a converter's encoder of the schema seen last.
type plan struct {
	topic  *record.Topic
	schema *record.Schema
	enc    convert.Encoder
}

func (p *plan) append(dst []byte, conv convert.Converter, b *record.Batch, topic *record.Topic, s *record.Schema, c record.Cell) ([]byte, error) {
	if p.enc == nil || p.schema != s || p.topic != topic {
		enc, err := conv.Encoder(context.Background(), topic, s)
		if err != nil {
			return dst, err
		}
		*p = plan{topic, s, enc}
	}
	out, null, err := p.enc.Append(dst, b, c)
	if err == nil && null {
		out = append(dst, "null"...)
	}
	return out, err
}

func (e *jsonEncoder) write(b *record.Batch, r *record.Record) (err error) {
	e.buf = e.buf[:0]
	switch {
	case !e.f.array && e.f.unended && e.begun:
		e.buf = append(e.buf, '\n')
	case !e.f.array:
	case e.begun:
		e.buf = append(e.buf, ",\n"...)
	default:
		e.buf = append(e.buf, "[\n"...)
	}
	switch {
	case e.f.fields != nil:
		err = e.object(b, r)
	case e.f.single != "":
		err = e.member(e.f.single, b, r)
	default:
		err = e.member(fieldValue, b, r)
	}
	if err != nil {
		return err
	}
	if !e.f.array && !e.f.unended {
		e.buf = append(e.buf, '\n')
	}
	e.begun = true
	_, err = e.w.Write(e.buf)
	return err
}

func (e *jsonEncoder) object(b *record.Batch, r *record.Record) (err error) {
	e.buf = append(e.buf, '{')
	for i, f := range e.f.fields {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(append(append(e.buf, '"'), f...), `":`...)
		if err = e.member(f, b, r); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

func (e *jsonEncoder) member(f field, b *record.Batch, r *record.Record) (err error) {
	switch f {
	case fieldKey:
		e.buf, err = e.f.key.append(e.buf, e.f.conv, b, r.Topic, r.KeySchema, e.f.inOrder(b, r.KeySchema, r.Key))
	case fieldValue:
		e.buf, err = e.f.value.append(e.buf, e.f.conv, b, r.Topic, r.ValueSchema, e.f.inOrder(b, r.ValueSchema, r.Value))
	case fieldOffset:
		e.buf = strconv.AppendInt(e.buf, r.Origin.Offset, 10)
	case fieldTimestamp:
		if r.Timestamp == record.NoTimestamp {
			e.buf = append(e.buf, "null"...)
			break
		}
		layout := "2006-01-02T15:04:05.000Z"
		if r.Timestamp%1000 == 0 {
			layout = "2006-01-02T15:04:05Z"
		}
		e.buf = append(time.UnixMilli(r.Timestamp).UTC().AppendFormat(append(e.buf, '"'), layout), '"')
	case fieldHeaders:
		e.buf = append(e.buf, '[')
		for i, h := range b.Headers(r) {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.buf = append(strconv.AppendQuote(append(e.buf, `{"key":`...), h.Key), `,"value":`...)
			out, null, err := e.f.header.AppendHeader(e.buf, r.Topic, b, h)
			if err != nil {
				return err
			}
			if e.buf = out; null {
				e.buf = append(e.buf, "null"...)
			}
			e.buf = append(e.buf, '}')
		}
		e.buf = append(e.buf, ']')
	}
	return err
}

// inOrder gives the maps in a value the order that Java's have, since Connect's
// records have lost the one that was written.
func (f *jsonFormat) inOrder(b *record.Batch, s *record.Schema, c record.Cell) record.Cell {
	if !f.ordered || c.IsNull() || s != nil && !f.mapped(s) {
		return c
	}
	return hashed(b, c)
}

// mapped reports whether there are maps in values of a schema.
func (f *jsonFormat) mapped(s *record.Schema) bool {
	if found, ok := f.maps[s]; ok {
		return found
	}
	if f.maps == nil || len(f.maps) >= maxPlans {
		f.maps = map[*record.Schema]bool{}
	}
	found := s.Type == record.Map || s.Elem != nil && f.mapped(s.Elem)
	for i := range s.Fields {
		found = found || f.mapped(s.Fields[i].Schema)
	}
	f.maps[s] = found
	return found
}

func hashed(b *record.Batch, c record.Cell) record.Cell {
	k := c.Kind()
	if k != record.Map && k != record.Struct && k != record.Array || c.IsNull() {
		return c
	}
	out := b.CloneChildren(c, 0)
	step := 1
	var order []int
	if k == record.Map {
		step = 2
		if keys, ok := textKeys(b, c); ok {
			order = convert.JavaHashOrder(keys)
		}
	}
	for i := 0; i < c.Len()/step; i++ {
		from := i
		if order != nil {
			from = order[i]
		}
		for j := range step {
			b.SetChild(out, step*i+j, hashed(b, b.Child(c, step*from+j)))
		}
	}
	return out
}

func (e *jsonEncoder) close() error {
	if !e.f.array || !e.begun {
		return nil
	}
	_, err := io.WriteString(e.w, "\n]")
	return err
}

// csvFormat writes the chosen fields of a record with commas between them; keys
// and, unless plain, values in base64.
type csvFormat struct {
	fields []field
	plain  bool
	header convert.HeaderConverter
}

func (f *csvFormat) extension() string { return "" }
func (f *csvFormat) strict() bool      { return false }
func (f *csvFormat) open(w io.Writer, _ *record.Batch, _ *record.Record, _ int) (encoder, error) {
	return &csvEncoder{w: w, f: f}, nil
}

type csvEncoder struct {
	lines
	w     io.Writer
	f     *csvFormat
	begun bool
}

// write puts lines apart, it does not end them: so does Aiven's sink.
func (e *csvEncoder) write(b *record.Batch, r *record.Record) error {
	e.buf = e.buf[:0]
	if e.begun {
		e.buf = append(e.buf, '\n')
	}
	for i, f := range e.f.fields {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		switch f {
		case fieldKey:
			if k := r.Key.Kind(); k != record.Bytes && k != record.String && k != record.Null {
				return dataError("Record key schema type must be BYTES or STRING, %s given (topic %s). Use ByteArrayConverter or StringConverter as key.converter, or format.output.type=jsonl", strings.ToUpper(k.String()), r.Topic.Name)
			}
			e.encoded(b, r.Key, false)
		case fieldValue:
			if k := r.Value.Kind(); k != record.Bytes && k != record.Null {
				return dataError("Record value schema type must be BYTES, %s given (topic %s). Use ByteArrayConverter as value.converter, or format.output.type=jsonl", strings.ToUpper(k.String()), r.Topic.Name)
			}
			e.encoded(b, r.Value, e.f.plain)
		case fieldOffset:
			e.buf = strconv.AppendInt(e.buf, r.Origin.Offset, 10)
		case fieldTimestamp:
			e.buf = strconv.AppendInt(e.buf, r.Timestamp, 10)
		case fieldHeaders:
			if err := e.headers(b, r); err != nil {
				return err
			}
		}
	}
	e.begun = true
	_, err := e.w.Write(e.buf)
	return err
}

func (e *csvEncoder) encoded(b *record.Batch, c record.Cell, plain bool) {
	switch {
	case c.IsNull():
	case plain:
		e.buf = append(e.buf, b.Raw(c)...)
	default:
		e.buf = base64.StdEncoding.AppendEncode(e.buf, b.Raw(c))
	}
}

func (e *csvEncoder) headers(b *record.Batch, r *record.Record) error {
	for _, h := range b.Headers(r) {
		value, _, err := e.f.header.AppendHeader(nil, r.Topic, b, h)
		if err != nil {
			return err
		}
		e.buf = append(base64.StdEncoding.AppendEncode(e.buf, []byte(h.Key)), ':')
		e.buf = append(base64.StdEncoding.AppendEncode(e.buf, value), ';')
	}
	return nil
}
