package sqlsink

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// myEncoder writes values as literals of MySQL and MariaDB.
type myEncoder struct {
	spell   *mySpell
	scratch []byte
}

// value appends the literal of a value for a column of type typ.
func (e *myEncoder) value(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell, typ string) ([]byte, error) {
	if c.IsNull() {
		return append(dst, "NULL"...), nil
	}
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindYear, kindDuration:
		return strconv.AppendInt(dst, c.Int(), 10), nil
	case kindFloat32, kindFloat64:
		bits := 64
		if m.kind == kindFloat32 {
			bits = 32
		}
		if math.IsNaN(c.Float()) || math.IsInf(c.Float(), 0) {
			return dst, errors.New("MySQL has no NaN and no infinity")
		}
		if bits == 32 && math.Abs(c.Float()) == math.MaxFloat32 { // its shortest text is beyond MySQL's range
			bits = 64
		}
		return appendFloat(dst, c.Float(), bits), nil
	case kindBool:
		if c.Bool() {
			return append(dst, '1'), nil
		}
		return append(dst, '0'), nil
	case kindBytes:
		return appendHexLiteral(dst, b.Raw(c)), nil
	case kindDecimal:
		from := len(dst)
		dst = appendDecimal(dst, b.Raw(c), m.scale)
		return dst, myScale(dst[from:])
	case kindVarDecimal:
		from := len(dst)
		dst, err := appendVarDecimal(dst, b, c)
		if err != nil {
			return dst, err
		}
		return dst, myScale(dst[from:])
	case kindString, kindJSON, kindUUID, kindXML, kindEnum, kindEnumSet, kindInterval, kindLtree, kindTSVector:
		return e.spell.literal(dst, m.label(b.Raw(c))), nil
	case kindBits:
		return myBits(dst, b.Raw(c), m, typ), nil
	case kindDate, kindTime, kindZonedTime, kindTimestamp, kindZonedTimestamp:
		dst = append(dst, '\'')
		dst, err := e.temporal(dst, m, b, c, typ)
		return append(dst, '\''), err
	case kindPoint, kindGeometry, kindGeography:
		wkb, srid, ok := geometryParts(b, s, c)
		if !ok {
			return dst, errors.New("the geometry has no wkb")
		}
		var head [4]byte
		binary.LittleEndian.PutUint32(head[:], uint32(srid))
		return appendHex(appendHex(append(dst, "0x"...), head[:]), wkb), nil // MySQL's own form: SRID, then WKB
	case kindVector, kindHalfVector:
		if strings.HasPrefix(typ, "vector") {
			return myVector(dst, b, c)
		}
		fallthrough
	case kindArray, kindMap, kindSparseVector:
		var err error
		if e.scratch, err = appendJSON(e.scratch[:0], m, s, b, c); err != nil {
			return dst, err
		}
		return e.spell.literal(dst, e.scratch), nil
	}
	return dst, errors.New("there is no literal for the value")
}

// myBits appends a bit string: as itself, or for a column of another type as the number
// that it would be; without a length, or with a long one, texts hold its digits.
func myBits(dst, p []byte, m *sem, typ string) []byte {
	text := strings.Contains(typ, "text") || strings.Contains(typ, "char")
	switch {
	case m.bits > 0 && m.bits <= 64 && (text || strings.Contains(typ, "blob") || strings.Contains(typ, "binary")):
		var n uint64
		for i, x := range p {
			n |= uint64(x) << (8 * i)
		}
		return append(strconv.AppendUint(append(dst, '\''), n, 10), '\'')
	case text:
		return append(appendBits(append(dst, '\''), p, m.bits), '\'')
	}
	return append(appendBits(append(dst, "b'"...), p, m.bits), '\'')
}

func appendHexLiteral(dst, p []byte) []byte {
	if len(p) == 0 {
		return append(dst, "''"...)
	}
	return appendHex(append(dst, "0x"...), p)
}

// myScale refuses a decimal whose last digits MySQL would drop without a word.
func myScale(text []byte) error {
	if len(text) < 32 { // "0." and 30 digits
		return nil
	}
	if i := bytes.IndexByte(text, '.'); i >= 0 && len(bytes.TrimRight(text[i+1:], "0")) > 30 {
		return errors.New("MySQL's decimal keeps 30 digits behind the point, the value has more")
	}
	return nil
}

func myVector(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	dst = append(dst, "0x"...)
	for i := 0; i < c.Len(); i++ {
		if b.Child(c, i).IsNull() {
			return dst, errNull
		}
		var f [4]byte
		binary.LittleEndian.PutUint32(f[:], math.Float32bits(float32(b.Child(c, i).Float())))
		dst = appendHex(dst, f[:])
	}
	return dst, nil
}

// temporal appends a temporal value. MySQL has no infinity: the ends of its
// ranges stand for it, as Debezium documents.
func (e *myEncoder) temporal(dst []byte, m *sem, b *record.Batch, c record.Cell, typ string) ([]byte, error) {
	switch m.kind {
	case kindDate:
		if sign := infiniteDate(c.Int()); sign != 0 {
			return myInfinity(dst, sign > 0, typ), nil
		}
		return appendDate(dst, c.Int()), nil
	case kindTime:
		nanos := m.clock(c.Int())
		if !e.spell.maria { // MariaDB cuts, and MySQL rounds up whatever has nine digits
			nanos = roundMicros(nanos)
		}
		return appendClock(dst, nanos), nil
	case kindZonedTime:
		nanos, ok := parseZonedTime(b.Str(c))
		if !ok {
			return append(dst, b.Raw(c)...), nil
		}
		return appendClock(dst, nanos), nil
	case kindTimestamp:
		if sign := infiniteTimestamp(c.Int(), m.unit); sign != 0 {
			return myInfinity(dst, sign > 0, typ), nil
		}
		return appendTimestamp(dst, m.local(c.Int()), m.unit), nil
	}
	text := b.Str(c)
	if sign := isoInfinity(text); sign != 0 {
		return myInfinity(dst, sign > 0, typ), nil
	}
	days, nanos, ok := parseZoned(text)
	if !ok || text[0] == '-' || text[0] == '+' {
		return dst, errors.New("the timestamp " + text + " is outside MySQL's range")
	}
	return appendClock(append(appendDate(dst, days), ' '), nanos), nil
}

func roundMicros(nanos int64) int64 {
	if nanos < 0 {
		return -roundMicros(-nanos)
	}
	return (nanos + 500) / 1000 * 1000
}

func myInfinity(dst []byte, plus bool, typ string) []byte {
	timestamp := strings.HasPrefix(typ, "timestamp")
	switch {
	case timestamp && plus:
		return append(dst, "2038-01-19 03:14:07"...)
	case timestamp:
		return append(dst, "1970-01-01 00:00:01"...)
	case typ == "date" && plus:
		return append(dst, "9999-12-31"...)
	case typ == "date":
		return append(dst, "1000-01-01"...)
	case plus:
		return append(dst, "9999-12-31 23:59:59"...)
	}
	return append(dst, "1000-01-01 00:00:00"...)
}

// appendJSON appends an array, map or struct as JSON, for databases without those
// types. Bytes are base64, temporal and decimal elements are texts.
func appendJSON(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	var err error
	switch c.Kind() {
	case record.Null:
		return append(dst, "null"...), nil
	case record.Boolean:
		return strconv.AppendBool(dst, c.Bool()), nil
	case record.Array:
		dst = append(dst, '[')
		for i := 0; i < c.Len(); i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, elemSem(m), elemOf(s), b, b.Child(c, i)); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case record.Map:
		dst = append(dst, '{')
		for i := 0; i < c.Len(); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			key := b.Child(c, i)
			if key.Kind() == record.String {
				dst = appendJSONText(dst, b.Raw(key))
			} else if dst, err = jsonScalar(dst, nil, b, key, true); err != nil {
				return dst, err
			}
			dst = append(dst, ':')
			if dst, err = appendJSON(dst, nil, elemOf(s), b, b.Child(c, i+1)); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case record.Struct:
		if s != nil && meaning(s).kind == kindVarDecimal {
			dst, err = appendVarDecimal(append(dst, '"'), b, c)
			return append(dst, '"'), err
		}
		dst = append(dst, '{')
		for i := 0; i < c.Len() && s != nil; i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			f := &s.Fields[i]
			dst = append(appendJSONText(dst, []byte(f.Name)), ':')
			fm := meaning(f.Schema)
			if dst, err = appendJSON(dst, &fm, f.Schema, b, b.Child(c, i)); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	if m == nil && s != nil {
		x := meaning(s)
		m = &x
	}
	return jsonScalar(dst, m, b, c, false)
}

func elemOf(s *record.Schema) *record.Schema {
	if s == nil {
		return nil
	}
	return s.Elem
}

func jsonScalar(dst []byte, m *sem, b *record.Batch, c record.Cell, quoted bool) ([]byte, error) {
	k := kindNone
	if m != nil {
		k = m.kind
	}
	from := len(dst)
	switch k {
	case kindDecimal, kindDate, kindTime, kindTimestamp, kindZonedTime, kindZonedTimestamp, kindDuration, kindBits:
		e := pgEncoder{}
		dst, err := e.raw(append(dst, '"'), m, nil, b, c)
		return append(dst, '"'), err
	}
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		dst = strconv.AppendInt(dst, c.Int(), 10)
	case record.Float32, record.Float64:
		if math.IsNaN(c.Float()) || math.IsInf(c.Float(), 0) {
			quoted = true
		}
		dst = appendFloat(dst, c.Float(), map[bool]int{true: 32, false: 64}[c.Kind() == record.Float32])
	case record.String:
		return appendJSONText(dst, b.Raw(c)), nil
	case record.Bytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b.Raw(c)), '"'), nil
	default:
		return dst, errors.New("there is no JSON form for the value")
	}
	if quoted {
		dst = append(dst, 0)
		copy(dst[from+1:], dst[from:])
		dst[from] = '"'
		dst = append(dst, '"')
	}
	return dst, nil
}

func appendJSONText(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func elemSem(m *sem) *sem {
	if m == nil {
		return nil
	}
	return m.elem
}
