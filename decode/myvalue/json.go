package myvalue

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"millrace/decode/binlog"
)

// Types of MySQL's binary JSON (sql-common/json_binary.h).
const (
	jsonSmallObject = 0x0
	jsonLargeObject = 0x1
	jsonSmallArray  = 0x2
	jsonLargeArray  = 0x3
	jsonLiteral     = 0x4
	jsonInt16       = 0x5
	jsonUint16      = 0x6
	jsonInt32       = 0x7
	jsonUint32      = 0x8
	jsonInt64       = 0x9
	jsonUint64      = 0xa
	jsonDouble      = 0xb
	jsonString      = 0xc
	jsonOpaque      = 0xf

	jsonDepth = 100 // the server's own limit on nesting
)

func floatFrom(bits uint64) float64 { return math.Float64frombits(bits) }

// jsonError is malformed binary JSON.
type jsonError string

func (e jsonError) Error() string { return "binary JSON: " + string(e) }

// AppendJSON appends the text of a binary JSON document as the real connector
// prints it: compact, keys in stored order. A document whose first byte is no
// binary type is taken as text (MariaDB stores JSON as text).
func AppendJSON(dst, doc []byte) ([]byte, error) {
	if len(doc) == 0 {
		return dst, nil
	}
	if doc[0] > 0x0f {
		return append(dst, doc...), nil
	}
	return appendJSONValue(dst, doc[0], doc[1:], 0)
}

func appendJSONValue(dst []byte, typ byte, p []byte, depth int) ([]byte, error) {
	if depth > jsonDepth {
		return dst, jsonError("nested too deeply")
	}
	need := func(n int) error {
		if len(p) < n {
			return jsonError(fmt.Sprintf("a value of type %d ends early", typ))
		}
		return nil
	}
	switch typ {
	case jsonSmallObject, jsonSmallArray:
		return appendJSONContainer(dst, p, typ == jsonSmallObject, 2, depth)
	case jsonLargeObject, jsonLargeArray:
		return appendJSONContainer(dst, p, typ == jsonLargeObject, 4, depth)
	case jsonLiteral:
		if err := need(1); err != nil {
			return dst, err
		}
		switch p[0] {
		case 0:
			return append(dst, "null"...), nil
		case 1:
			return append(dst, "true"...), nil
		case 2:
			return append(dst, "false"...), nil
		}
		return dst, jsonError("unknown literal")
	case jsonInt16, jsonUint16:
		if err := need(2); err != nil {
			return dst, err
		}
		if typ == jsonInt16 {
			return strconv.AppendInt(dst, int64(int16(le16(p))), 10), nil
		}
		return strconv.AppendUint(dst, uint64(le16(p)), 10), nil
	case jsonInt32, jsonUint32:
		if err := need(4); err != nil {
			return dst, err
		}
		if typ == jsonInt32 {
			return strconv.AppendInt(dst, int64(int32(le32(p))), 10), nil
		}
		return strconv.AppendUint(dst, uint64(le32(p)), 10), nil
	case jsonInt64, jsonUint64, jsonDouble:
		if err := need(8); err != nil {
			return dst, err
		}
		switch typ {
		case jsonInt64:
			return strconv.AppendInt(dst, int64(le64(p)), 10), nil
		case jsonUint64:
			return strconv.AppendUint(dst, le64(p), 10), nil
		}
		return appendDouble(dst, le64(p)), nil
	case jsonString:
		s, err := jsonVarBytes(p)
		if err != nil {
			return dst, err
		}
		return appendQuoted(dst, s), nil
	case jsonOpaque:
		return appendJSONOpaque(dst, p)
	}
	return dst, jsonError(fmt.Sprintf("unknown type %d", typ))
}

// jsonVarBytes reads a length in 7-bit groups, low group first, and that many bytes.
func jsonVarBytes(p []byte) ([]byte, error) {
	n := 0
	for i := 0; i < 5 && i < len(p); i++ {
		n |= int(p[i]&0x7f) << (7 * i)
		if p[i]&0x80 == 0 {
			if n > len(p)-i-1 {
				return nil, jsonError("a text ends early")
			}
			return p[i+1 : i+1+n], nil
		}
	}
	return nil, jsonError("a length ends early")
}

func jsonUint(p []byte, at, size int) int {
	if size == 2 {
		return int(le16(p[at:]))
	}
	return int(le32(p[at:]))
}

// jsonShape is the head of an object or array: where its entries lie.
type jsonShape struct {
	count, size    int // elements, total bytes
	keys, values   int // offsets of the first key and value entry
	keyLen, valLen int // bytes of an entry
	offsetSize     int
	object         bool
}

func jsonHead(p []byte, object bool, size int) (jsonShape, error) {
	s := jsonShape{offsetSize: size, object: object, keyLen: size + 2, valLen: size + 1}
	if len(p) < 2*size {
		return s, jsonError("an object or array ends early")
	}
	s.count, s.size = jsonUint(p, 0, size), jsonUint(p, size, size)
	s.keys = 2 * size
	s.values = s.keys
	if object {
		s.values += s.count * s.keyLen
	}
	if s.size > len(p) || s.values+s.count*s.valLen > s.size {
		return s, jsonError("an object or array is larger than its bytes")
	}
	return s, nil
}

// inlined reports whether a value of the type lies in its entry.
func (s *jsonShape) inlined(typ byte) bool {
	switch typ {
	case jsonLiteral, jsonInt16, jsonUint16:
		return true
	case jsonInt32, jsonUint32:
		return s.offsetSize == 4
	}
	return false
}

func (s *jsonShape) key(p []byte, i int) ([]byte, error) {
	at := s.keys + i*s.keyLen
	off, n := jsonUint(p, at, s.offsetSize), int(le16(p[at+s.offsetSize:]))
	if off > s.size || n > s.size-off {
		return nil, jsonError("a key lies outside of its object")
	}
	return p[off : off+n], nil
}

// value returns type and bytes of element i.
func (s *jsonShape) value(p []byte, i int) (byte, []byte, error) {
	at := s.values + i*s.valLen
	typ := p[at]
	if s.inlined(typ) {
		return typ, p[at+1 : at+s.valLen], nil
	}
	off := jsonUint(p, at+1, s.offsetSize)
	if off >= s.size {
		return 0, nil, jsonError("a value lies outside of its container")
	}
	return typ, p[off:s.size], nil
}

func appendJSONContainer(dst, p []byte, object bool, size, depth int) ([]byte, error) {
	s, err := jsonHead(p, object, size)
	if err != nil {
		return dst, err
	}
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i := range s.count {
		if i > 0 {
			dst = append(dst, ',')
		}
		if object {
			k, err := s.key(p, i)
			if err != nil {
				return dst, err
			}
			dst = append(appendQuoted(dst, k), ':')
		}
		typ, v, err := s.value(p, i)
		if err != nil {
			return dst, err
		}
		if dst, err = appendJSONValue(dst, typ, v, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, end), nil
}

func appendJSONOpaque(dst, p []byte) ([]byte, error) {
	if len(p) == 0 {
		return dst, jsonError("an opaque value ends early")
	}
	typ := p[0]
	v, err := jsonVarBytes(p[1:])
	if err != nil {
		return dst, err
	}
	switch typ {
	case binlog.TypeNewDecimal:
		if len(v) < 2 {
			return dst, jsonError("a decimal ends early")
		}
		out, ok := appendDecimal(dst, v[2:], int(v[0]), int(v[1]))
		if !ok {
			return dst, jsonError("a decimal ends early")
		}
		return out, nil
	case binlog.TypeDate, binlog.TypeDateTime, binlog.TypeTimestamp, binlog.TypeTime:
		if len(v) < 8 {
			return dst, jsonError("a date or time ends early")
		}
		return appendJSONTemporal(dst, typ, int64(le64(v))), nil
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, v)
	return append(dst, '"'), nil
}

// appendJSONTemporal appends a packed date, datetime, timestamp or time
// (my_time.cc: 24 bits of microseconds below year*13+month, day, hour, …).
func appendJSONTemporal(dst []byte, typ byte, packed int64) []byte {
	dst = append(dst, '"')
	if packed < 0 {
		// The reference garbles negative times; the sign in front is what the server prints.
		dst = append(dst, '-')
		packed = -packed
	}
	micro, rest := uint64(packed&0xffffff), uint64(packed>>24)
	hms := rest & 0x1ffff
	hour, minute, second := hms>>12, hms>>6&63, hms&63
	if typ == binlog.TypeTime {
		hour = rest >> 12 & 0x3ff
	} else {
		ymd := rest >> 17
		ym := ymd >> 5
		dst = appendPadded(dst, ym/13, 4)
		dst = append(dst, '-')
		dst = appendPadded(dst, ym%13, 2)
		dst = append(dst, '-')
		dst = appendPadded(dst, ymd&31, 2)
		if typ == binlog.TypeDate {
			return append(dst, '"')
		}
		dst = append(dst, ' ')
	}
	width := 2
	if hour > 99 {
		width = 3
	}
	dst = appendPadded(dst, hour, width)
	dst = append(dst, ':')
	dst = appendPadded(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, second, 2)
	if micro != 0 {
		dst = append(dst, '.')
		dst = appendPadded(dst, micro, 6)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, '"')
}

const upperHex = "0123456789ABCDEF"

// appendQuoted appends a JSON string with the reference's escapes: the short ones,
// \u and upper-case hex for other control characters, everything else raw.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			switch {
			case c < 0x20:
				dst = append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
			case c < utf8.RuneSelf:
				dst = append(dst, c)
			default:
				r, n := utf8.DecodeRune(s[i:])
				dst = utf8.AppendRune(dst, r)
				i += n - 1
			}
		}
	}
	return append(dst, '"')
}
