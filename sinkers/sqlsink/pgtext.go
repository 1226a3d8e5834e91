package sqlsink

import (
	"encoding/binary"
	"errors"
	"strconv"

	"millrace/internal/record"
)

// pgEncoder writes values in PostgreSQL's text form, plain (raw), escaped for COPY
// or as an element of an array literal.
type pgEncoder struct {
	scratch []byte
}

var errNull = errors.New("null inside a value that cannot hold one")

// raw appends the text form of a value that is not null.
func (e *pgEncoder) raw(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindYear:
		return strconv.AppendInt(dst, c.Int(), 10), nil
	case kindFloat32:
		return appendFloat(dst, c.Float(), 32), nil
	case kindFloat64:
		return appendFloat(dst, c.Float(), 64), nil
	case kindBool:
		if c.Bool() {
			return append(dst, '1'), nil
		}
		return append(dst, '0'), nil
	case kindString, kindJSON, kindUUID, kindXML, kindEnum, kindEnumSet, kindLtree, kindTSVector, kindInterval:
		return append(dst, m.label(b.Raw(c))...), nil
	case kindZonedTime:
		if !plainTime(b.Str(c)) {
			return dst, errors.New("the text is no time")
		}
		return append(dst, b.Raw(c)...), nil
	case kindBytes:
		return appendHex(append(dst, '\\', 'x'), b.Raw(c)), nil
	case kindDecimal:
		return appendDecimal(dst, b.Raw(c), m.scale), nil
	case kindVarDecimal:
		return appendVarDecimal(dst, b, c)
	case kindDate:
		if sign := infiniteDate(c.Int()); sign != 0 {
			return pgInfinity(dst, sign), nil
		}
		return pgTimestamp(dst, c.Int(), 0, false), nil
	case kindTime:
		return appendClock(dst, m.clock(c.Int())), nil
	case kindTimestamp:
		if sign := infiniteTimestamp(c.Int(), m.unit); sign != 0 {
			return pgInfinity(dst, sign), nil
		}
		days, nanos := splitUnits(m.local(c.Int()), m.unit)
		return pgTimestamp(dst, days, nanos, true), nil
	case kindZonedTimestamp:
		days, nanos, ok := parseZoned(b.Str(c))
		if !ok {
			if sign := isoInfinity(b.Str(c)); sign != 0 {
				return pgInfinity(dst, sign), nil
			}
			if !plainTime(b.Str(c)) {
				return dst, errors.New("the text is no timestamp")
			}
			return append(dst, b.Raw(c)...), nil
		}
		return append(pgTimestamp(dst, days, nanos, true), "+00"...), nil
	case kindDuration:
		if c.Int() == -1<<63 {
			return dst, errors.New("the duration is out of range")
		}
		return appendDuration(dst, c.Int(), m.unit), nil
	}
	return e.rich(dst, m, s, b, c)
}

func (e *pgEncoder) rich(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	switch m.kind {
	case kindBits:
		return appendBits(dst, b.Raw(c), m.bits), nil
	case kindPoint, kindGeometry, kindGeography:
		return pgGeometry(dst, m, s, b, c)
	case kindVector, kindHalfVector:
		dst = append(dst, '[')
		for i := 0; i < c.Len(); i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			if b.Child(c, i).IsNull() {
				return dst, errNull
			}
			dst = appendFloat(dst, b.Child(c, i).Float(), 64)
		}
		return append(dst, ']'), nil
	case kindSparseVector:
		return pgSparse(dst, b, c)
	case kindArray:
		return e.array(dst, m.elem, s.Elem, b, c)
	case kindMap:
		return e.hstore(dst, b, c)
	}
	return dst, errors.New("there is no text form for the value")
}

func pgInfinity(dst []byte, sign int) []byte {
	if sign < 0 {
		dst = append(dst, '-')
	}
	return append(dst, "infinity"...)
}

// pgTimestamp appends a date or timestamp; PostgreSQL writes years before 1 as BC.
func pgTimestamp(dst []byte, days, nanos int64, clock bool) []byte {
	y, m, d := civil(days)
	bc := y < 1
	if bc {
		y = 1 - y
	}
	dst = appendYMD(dst, y, m, d)
	if clock {
		dst = appendClock(append(dst, ' '), nanos)
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

func pgGeometry(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	if m.kind == kindPoint && m.srcType == "POINT" {
		x, y, ok := pointXY(b, s, c)
		if !ok {
			return dst, errors.New("the point has no x and y")
		}
		dst = appendFloat(append(dst, '('), x, 64)
		dst = appendFloat(append(dst, ','), y, 64)
		return append(dst, ')'), nil
	}
	wkb, srid, ok := geometryParts(b, s, c)
	if !ok || len(wkb) < 5 {
		return dst, errors.New("the geometry has no wkb")
	}
	if m.srcType == "BYTEA" {
		dst = append(dst, '\\', 'x')
	}
	head, rest := ewkb(wkb, srid)
	return appendHex(appendHex(dst, head), rest), nil
}

// ewkb is a WKB with its SRID, in two parts.
func ewkb(wkb []byte, srid int64) (head, rest []byte) {
	const hasSRID = 0x20000000
	if srid == 0 || len(wkb) < 5 || wkb[0] != 1 || binary.LittleEndian.Uint32(wkb[1:])&hasSRID != 0 {
		return nil, wkb
	}
	head = binary.LittleEndian.AppendUint32([]byte{1}, binary.LittleEndian.Uint32(wkb[1:])|hasSRID)
	return binary.LittleEndian.AppendUint32(head, uint32(srid)), wkb[5:]
}

func pgSparse(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.Kind() != record.Struct || c.Len() != 2 || b.Child(c, 1).Kind() != record.Map {
		return dst, errors.New("a sparse vector needs the fields dimensions and vector")
	}
	v := b.Child(c, 1)
	dst = append(dst, '{')
	for i := 0; i < v.Len(); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, b.Child(v, i).Int(), 10)
		dst = appendFloat(append(dst, ':'), b.Child(v, i+1).Float(), 64)
	}
	dst = append(dst, '}', '/')
	return strconv.AppendInt(dst, b.Child(c, 0).Int(), 10), nil
}

// array appends an array literal.
func (e *pgEncoder) array(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i := 0; i < c.Len(); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = e.element(dst, m, s, b, b.Child(c, i)); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// element appends a value as an element of an array literal.
func (e *pgEncoder) element(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.IsNull() {
		return append(dst, "NULL"...), nil
	}
	if m.kind == kindArray {
		return e.raw(dst, m, s, b, c)
	}
	return e.quoted(dst, m, s, b, c)
}

// quoted appends a value in double quotes where its text could need them.
func (e *pgEncoder) quoted(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindFloat32, kindFloat64, kindBool, kindDecimal, kindDate, kindTime:
		return e.raw(dst, m, s, b, c)
	}
	dst = append(dst, '"')
	from := len(dst)
	dst, err := e.raw(dst, m, s, b, c)
	if err != nil {
		return dst, err
	}
	return append(e.backslash(dst, from, isQuoteOrBackslash), '"'), nil
}

func (e *pgEncoder) hstore(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	for i := 0; i < c.Len(); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		for j := 0; j < 2; j++ {
			if j == 1 {
				dst = append(dst, "=>"...)
			}
			v := b.Child(c, i+j)
			switch v.Kind() {
			case record.Null:
				if j == 0 {
					return dst, errNull
				}
				dst = append(dst, "NULL"...)
			case record.String:
				dst = append(dst, '"')
				from := len(dst)
				dst = append(e.backslash(append(dst, b.Raw(v)...), from, isQuoteOrBackslash), '"')
			case record.Int8, record.Int16, record.Int32, record.Int64:
				dst = strconv.AppendInt(dst, v.Int(), 10)
			case record.Float32, record.Float64:
				dst = appendFloat(dst, v.Float(), 64)
			case record.Boolean:
				dst = strconv.AppendBool(dst, v.Bool())
			default:
				return dst, errors.New("an hstore holds texts only")
			}
		}
	}
	return dst, nil
}

func isQuoteOrBackslash(c byte) byte {
	if c == '"' || c == '\\' {
		return c
	}
	return 0
}

// isCopySpecial returns the letter behind the backslash for bytes that COPY's text
// form must not hold.
func isCopySpecial(c byte) byte {
	switch c {
	case '\\':
		return '\\'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

// backslash escapes dst[from:] in place.
func (e *pgEncoder) backslash(dst []byte, from int, special func(byte) byte) []byte {
	for i := from; i < len(dst); i++ {
		if special(dst[i]) == 0 {
			continue
		}
		e.scratch = append(e.scratch[:0], dst[i:]...)
		dst = dst[:i]
		for _, c := range e.scratch {
			if x := special(c); x != 0 {
				dst = append(dst, '\\', x)
			} else {
				dst = append(dst, c)
			}
		}
		return dst
	}
	return dst
}

// copyValue appends a value as a field of COPY's text form.
func (e *pgEncoder) copyValue(dst []byte, m *sem, s *record.Schema, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.IsNull() {
		return append(dst, '\\', 'N'), nil
	}
	from := len(dst)
	dst, err := e.raw(dst, m, s, b, c)
	if err != nil {
		return dst, err
	}
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindFloat32, kindFloat64, kindBool, kindDecimal, kindVarDecimal, kindDate, kindTime, kindTimestamp, kindDuration:
		return dst, nil
	}
	return e.backslash(dst, from, isCopySpecial), nil
}
