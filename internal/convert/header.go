package convert

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// SimpleHeader is Connect's SimpleHeaderConverter, the default: the text of a
// value, and back by guessing the type from the text.
type SimpleHeader struct {
	schemas headerSchemas
}

// SimpleHeaderDef is the option table of the SimpleHeaderConverter.
func SimpleHeaderDef() *configdef.Def { return converterTypeDef() }

// NewSimpleHeader makes a SimpleHeaderConverter.
func NewSimpleHeader(props map[string]string) (HeaderConverter, error) {
	return &SimpleHeader{}, checkProps(SimpleHeaderDef(), props)
}

// AppendHeader implements HeaderConverter: text as it is, numbers as Java writes
// them, bytes in base64, dates in ISO form in UTC, and lists, maps and structs
// like JSON without spaces.
func (*SimpleHeader) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) (out []byte, null bool, err error) {
	if h.Value.IsNull() {
		return dst, true, nil
	}
	from := len(dst)
	if dst, err = appendHeaderValue(dst, b, h.Schema, h.Value, false); err != nil {
		return dst[:from], false, dataError(topic, "the header "+h.Key+" cannot be written", err)
	}
	return dst, false, nil
}

func appendHeaderValue(dst []byte, b *record.Batch, s *record.Schema, c record.Cell, embedded bool) ([]byte, error) {
	if s != nil && c.Kind() != s.Type && !c.IsNull() {
		return dst, errKind(s.Type, c.Kind())
	}
	switch c.Kind() {
	case record.Null:
		return append(dst, "null"...), nil
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Int8, record.Int16, record.Int32, record.Int64:
		if s != nil && (s.Name == nameDate || s.Name == nameTime || s.Name == nameTimestamp) {
			return appendHeaderTime(dst, logicalTime(s.Name, c.Int())), nil
		}
		return strconv.AppendInt(dst, c.Int(), 10), nil
	case record.Float32:
		return appendJavaFloat(dst, c.Float()), nil
	case record.Float64:
		return appendJavaDouble(dst, c.Float()), nil
	case record.String:
		if embedded {
			return appendHeaderText(dst, b.Raw(c)), nil
		}
		return append(dst, b.Raw(c)...), nil
	case record.Bytes:
		return appendHeaderBytes(dst, b, s, c, embedded)
	case record.Array:
		dst = append(dst, '[')
		var err error
		for i, e := range b.Children(c) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendHeaderValue(dst, b, elemOf(s), e, true); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
	return appendHeaderMembers(dst, b, s, c)
}

func elemOf(s *record.Schema) *record.Schema {
	if s == nil {
		return nil
	}
	return s.Elem
}

func keyOf(s *record.Schema) *record.Schema {
	if s == nil {
		return nil
	}
	return s.Key
}

func appendHeaderBytes(dst []byte, b *record.Batch, s *record.Schema, c record.Cell, embedded bool) ([]byte, error) {
	if isDecimal(s) {
		scale, err := decimalScale(s)
		if err != nil {
			return dst, err
		}
		return appendDecimal(dst, b.Raw(c), scale), nil
	}
	if embedded {
		return appendJSONBase64(dst, b.Raw(c)), nil
	}
	return base64.StdEncoding.AppendEncode(dst, b.Raw(c)), nil
}

// appendHeaderText quotes a text; only the quote and the backslash are escaped.
func appendHeaderText(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// appendHeaderMembers writes a map or a struct. A null field of a struct is
// written as its default, if it has one, as Struct.get gives it.
func appendHeaderMembers(dst []byte, b *record.Batch, s *record.Schema, c record.Cell) (_ []byte, err error) {
	dst = append(dst, '{')
	cells := b.Children(c)
	if c.Kind() == record.Map {
		for i := 0; i+1 < len(cells); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendHeaderValue(dst, b, keyOf(s), cells[i], true); err != nil {
				return dst, err
			}
			if dst, err = appendHeaderValue(append(dst, ':'), b, elemOf(s), cells[i+1], true); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	if s == nil || len(cells) != len(s.Fields) {
		return dst, valueErrorf("a struct needs its schema")
	}
	for i, f := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendHeaderText(dst, []byte(f.Name)), ':')
		if d := f.Schema.Default; d != nil && cells[i].IsNull() {
			dst, err = appendHeaderValue(dst, d.Batch(), f.Schema, d.Root, true)
		} else {
			dst, err = appendHeaderValue(dst, b, f.Schema, cells[i], true)
		}
		if err != nil {
			return dst, within(f.Name, err)
		}
	}
	return append(dst, '}'), nil
}

const dayMillis = 86400_000

// appendHeaderTime writes a java.util.Date: as a time when it lies less than a day
// after 1970, or before it (Java compares without looking at the sign); as a date
// when it is a whole day; else in full.
func appendHeaderTime(dst []byte, t time.Time) []byte {
	switch ms := t.UnixMilli(); {
	case ms < dayMillis:
		return t.AppendFormat(dst, "15:04:05.000Z")
	case ms%dayMillis == 0:
		return t.AppendFormat(dst, "2006-01-02")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// DecodeHeader implements HeaderConverter. The text of null, a boolean, a number,
// a date, a list or a map becomes that; everything else is a string, and what is
// no UTF-8 is bytes. Text is only taken for a value when all of it is one.
func (h *SimpleHeader) DecodeHeader(_ *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	if data == nil {
		return record.Header{Key: key}, nil
	}
	if !utf8.Valid(data) {
		return record.Header{Key: key, Schema: record.PlainBytes, Value: b.BytesCell(record.Bytes, data)}, nil
	}
	p := valueParser{text: data, b: b, schemas: &h.schemas}
	if s, c, ok := p.whole(); ok {
		return record.Header{Key: key, Schema: h.schemas.intern(s), Value: c}, nil
	}
	return record.Header{Key: key, Schema: record.PlainString, Value: b.BytesCell(record.String, data)}, nil
}
