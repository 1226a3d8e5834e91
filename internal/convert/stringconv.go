package convert

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"millrace/internal/configdef"
	"millrace/internal/record"
)

// String is Connect's StringConverter: the text of Java's toString, which is the
// text itself for a string.
type String struct {
	charset charset
	plans   planCache[planKey, *textEncoder]
}

// charset is an encoding that StringConverter can write and read.
type charset uint8

const (
	charsetUTF8 charset = iota
	charsetLatin1
	charsetASCII
	charsetUTF16BE
	charsetUTF16LE
	charsetUTF16
)

// charsets are the Java names (in upper case) of what charset knows.
var charsets = map[string]charset{
	"UTF-8": charsetUTF8, "UTF8": charsetUTF8,
	"ISO-8859-1": charsetLatin1, "ISO8859_1": charsetLatin1, "LATIN1": charsetLatin1,
	"US-ASCII": charsetASCII, "ASCII": charsetASCII,
	"UTF-16": charsetUTF16, "UTF16": charsetUTF16, "UTF-16BE": charsetUTF16BE, "UTF-16LE": charsetUTF16LE,
}

// StringDef is the option table of the StringConverter.
func StringDef() *configdef.Def {
	d := converterTypeDef()
	d.Options = append(d.Options, configdef.Option{Name: "converter.encoding", Type: configdef.String, Default: "UTF-8", HasDefault: true, Importance: configdef.High,
		Doc: "Character set of the bytes, by its Java name: UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE or UTF-16LE.", Order: -1, Width: configdef.WidthMedium, Display: "Encoding",
		Check: func(in configdef.Input) []string {
			if _, ok := charsets[strings.ToUpper(in.Value)]; ok {
				return nil
			}
			return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": millrace knows UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE and UTF-16LE"}
		}})
	return d
}

// NewString makes a StringConverter.
func NewString(props map[string]string, _ bool) (Converter, error) { return newString(props) }

// NewStringHeader makes a StringConverter for header values.
func NewStringHeader(props map[string]string) (HeaderConverter, error) { return newString(props) }

func newString(props map[string]string) (*String, error) {
	v, err := StringDef().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	return &String{charset: charsets[strings.ToUpper(v.String("converter.encoding"))], plans: planCache[planKey, *textEncoder]{max: 1000}}, nil
}

// Encoder implements Converter.
func (c *String) Encoder(_ context.Context, topic *record.Topic, s *record.Schema) (Encoder, error) {
	return c.encoder(topic, s)
}

func (c *String) encoder(topic *record.Topic, s *record.Schema) (*textEncoder, error) {
	return c.plans.get(planKey{topic, s}, func() (*textEncoder, error) {
		n, err := compileText(s)
		if err != nil {
			return nil, dataError(topic, "the schema cannot be written as text", err)
		}
		return &textEncoder{node: n, charset: c.charset, topic: topic}, nil
	})
}

// textEncoder is the plan of one schema.
type textEncoder struct {
	node    *textNode
	charset charset
	topic   *record.Topic
}

// Append implements Encoder; null is a null.
func (e *textEncoder) Append(dst []byte, b *record.Batch, c record.Cell) (out []byte, null bool, err error) {
	if c.IsNull() {
		return dst, true, nil
	}
	if e.charset != charsetUTF8 {
		text, err := e.node.append(nil, b, c)
		if err != nil {
			return dst, false, dataError(e.topic, "the value cannot be written as text", err)
		}
		return e.charset.append(dst, text), false, nil
	}
	from := len(dst)
	if dst, err = e.node.append(dst, b, c); err != nil {
		return dst[:from], false, dataError(e.topic, "the value cannot be written as text", err)
	}
	return dst, false, nil
}

// Decode implements Converter: an optional string.
func (c *String) Decode(_ context.Context, _ *record.Topic, data []byte, b *record.Batch) (*record.Schema, record.Cell, error) {
	if data == nil {
		return record.OptionalString, record.Cell{}, nil
	}
	a := b.Arena()
	from := len(a)
	a = c.charset.read(a, data)
	b.SetArena(a)
	return record.OptionalString, b.SpanCell(record.String, from, len(a)), nil
}

// AppendHeader implements HeaderConverter.
func (c *String) AppendHeader(dst []byte, topic *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	e, err := c.encoder(topic, h.Schema)
	if err != nil {
		return dst, false, err
	}
	return e.Append(dst, b, h.Value)
}

// DecodeHeader implements HeaderConverter.
func (c *String) DecodeHeader(topic *record.Topic, key string, data []byte, b *record.Batch) (record.Header, error) {
	s, v, err := c.Decode(context.Background(), topic, data, b)
	return record.Header{Key: key, Schema: s, Value: v}, err
}

// append appends UTF-8 text in the character set; what it lacks becomes '?'.
func (cs charset) append(dst, text []byte) []byte {
	if cs == charsetUTF16 {
		dst = append(dst, 0xFE, 0xFF) // Java writes UTF-16 big-endian with a mark
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case cs == charsetASCII && r > 0x7F, cs == charsetLatin1 && r > 0xFF:
			dst = append(dst, '?')
		case cs <= charsetASCII:
			dst = append(dst, byte(r))
		case r >= 0x10000:
			r -= 0x10000
			dst = cs.unit(cs.unit(dst, 0xD800+uint16(r>>10)), 0xDC00+uint16(r&0x3FF))
		default:
			dst = cs.unit(dst, uint16(r))
		}
	}
	return dst
}

func (cs charset) unit(dst []byte, u uint16) []byte {
	if cs == charsetUTF16LE {
		return append(dst, byte(u), byte(u>>8))
	}
	return append(dst, byte(u>>8), byte(u))
}

// read appends data, which is in the character set, as UTF-8; what is broken
// becomes U+FFFD, as in Java.
func (cs charset) read(dst, data []byte) []byte {
	switch cs {
	case charsetUTF8:
		if utf8.Valid(data) {
			return append(dst, data...)
		}
		for len(data) > 0 {
			r, n := utf8.DecodeRune(data)
			dst = utf8.AppendRune(dst, r)
			data = data[n:]
		}
		return dst
	case charsetLatin1, charsetASCII:
		for _, c := range data {
			if cs == charsetASCII && c > 0x7F {
				dst = utf8.AppendRune(dst, utf8.RuneError)
			} else {
				dst = utf8.AppendRune(dst, rune(c))
			}
		}
		return dst
	}
	little := cs == charsetUTF16LE
	if cs == charsetUTF16 && len(data) >= 2 {
		if data[0] == 0xFF && data[1] == 0xFE {
			little, data = true, data[2:]
		} else if data[0] == 0xFE && data[1] == 0xFF {
			data = data[2:]
		}
	}
	return readUTF16(dst, data, little)
}

func readUTF16(dst, data []byte, little bool) []byte {
	unit := func(i int) rune {
		if little {
			return rune(data[i]) | rune(data[i+1])<<8
		}
		return rune(data[i])<<8 | rune(data[i+1])
	}
	i := 0
	for ; i+1 < len(data); i += 2 {
		r := unit(i)
		if r >= 0xD800 && r < 0xE000 {
			if r < 0xDC00 && i+3 < len(data) {
				if low := unit(i + 2); low >= 0xDC00 && low < 0xE000 {
					dst = utf8.AppendRune(dst, 0x10000+(r-0xD800)<<10+(low-0xDC00))
					i += 2
					continue
				}
			}
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
	}
	if i < len(data) {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	return dst
}

// textNode writes Java's toString of a value.
type textNode struct {
	kind    record.Type // Invalid: the cell decides
	logical string      // one of Connect's logical names
	scale   int
	key     *textNode
	elem    *textNode
	names   []string
	fields  []*textNode
}

var textAny = &textNode{}

func compileText(s *record.Schema) (n *textNode, err error) {
	if s == nil {
		return textAny, nil
	}
	n = &textNode{kind: s.Type, key: textAny, elem: textAny}
	switch s.Name {
	case nameDecimal:
		n.logical = s.Name
		if n.scale, err = decimalScale(s); err != nil {
			return nil, err
		}
	case nameDate, nameTime, nameTimestamp:
		n.logical = s.Name
	}
	switch s.Type {
	case record.Map:
		if n.key, err = compileText(s.Key); err != nil {
			return nil, err
		}
		n.elem, err = compileText(s.Elem)
	case record.Array:
		n.elem, err = compileText(s.Elem)
	case record.Struct:
		for _, f := range s.Fields {
			c, err := compileText(f.Schema)
			if err != nil {
				return nil, within(f.Name, err)
			}
			n.names = append(n.names, f.Name)
			n.fields = append(n.fields, c)
		}
	}
	return n, err
}

func (n *textNode) append(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	kind := c.Kind()
	if n.kind != record.Invalid && kind != n.kind && kind != record.Null {
		return dst, errKind(n.kind, kind)
	}
	switch kind {
	case record.Null:
		return append(dst, "null"...), nil
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Int8, record.Int16, record.Int32, record.Int64:
		if n.logical != "" {
			return n.appendDate(dst, c), nil
		}
		return strconv.AppendInt(dst, c.Int(), 10), nil
	case record.Float32:
		return appendJavaFloat(dst, c.Float()), nil
	case record.Float64:
		return appendJavaDouble(dst, c.Float()), nil
	case record.String:
		return append(dst, b.Raw(c)...), nil
	case record.Bytes:
		if n.logical == nameDecimal {
			return appendDecimal(dst, b.Raw(c), n.scale), nil
		}
		dst = append(dst, "java.nio.HeapByteBuffer[pos=0 lim="...)
		dst = strconv.AppendInt(dst, int64(c.Len()), 10)
		dst = append(dst, " cap="...)
		dst = strconv.AppendInt(dst, int64(c.Len()), 10)
		return append(dst, ']'), nil
	case record.Array:
		dst = append(dst, '[')
		for i, e := range b.Children(c) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = n.sub(n.elem).append(dst, b, e); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case record.Map:
		return n.appendMap(dst, b, c)
	}
	return n.appendStruct(dst, b, c)
}

func (n *textNode) sub(c *textNode) *textNode {
	if c == nil {
		return textAny
	}
	return c
}

func (n *textNode) appendMap(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	dst = append(dst, '{')
	kv := b.Children(c)
	order := mapOrder(b, kv)
	for i := 0; i+1 < len(kv); i += 2 {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		at := i
		if order != nil {
			at = 2 * order[i/2]
		}
		if dst, err = n.sub(n.key).append(dst, b, kv[at]); err != nil {
			return dst, err
		}
		if dst, err = n.sub(n.elem).append(append(dst, '='), b, kv[at+1]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// mapOrder is the order in which a Java HashMap has the entries of a map with text
// keys; nil: as they are.
func mapOrder(b *record.Batch, kv []record.Cell) []int {
	keys := make([]string, 0, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i].Kind() != record.String {
			return nil
		}
		keys = append(keys, b.Str(kv[i]))
	}
	return JavaHashOrder(keys)
}

func (n *textNode) appendStruct(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	cells := b.Children(c)
	if len(cells) != len(n.fields) {
		return dst, valueErrorf("Mismatching schema: the struct has %d fields, its schema %d", len(cells), len(n.fields))
	}
	dst = append(dst, "Struct{"...)
	first := true
	for i, e := range cells {
		if e.IsNull() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(dst, n.names[i]...), '=')
		if dst, err = n.fields[i].append(dst, b, e); err != nil {
			return dst, within(n.names[i], err)
		}
	}
	return append(dst, '}'), nil
}

// appendDate writes java.util.Date's text in UTC.
func (n *textNode) appendDate(dst []byte, c record.Cell) []byte {
	return logicalTime(n.logical, c.Int()).AppendFormat(dst, "Mon Jan 02 15:04:05 UTC 2006")
}

// logicalTime is the instant that java.util.Date holds for a Date, Time or
// Timestamp value.
func logicalTime(name string, v int64) time.Time {
	if name == nameDate {
		return time.Unix(v*86400, 0).UTC()
	}
	return time.UnixMilli(v).UTC()
}
