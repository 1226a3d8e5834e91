package mysql

import (
	"encoding/binary"
	"errors"
)

// ErrRow is a row that is not of the text protocol.
var ErrRow = errors.New("malformed row of the text protocol")

const (
	fieldNull = 0xfb
	field2    = 0xfc
	field3    = 0xfd
	field8    = 0xfe
)

// lenenc reads a length-encoded integer; ok false: there is none.
func lenenc(p []byte) (n int, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	size := 0
	switch p[0] {
	case field2:
		size = 2
	case field3:
		size = 3
	case field8:
		size = 8
	case fieldNull, replyErr:
		return 0, nil, false
	default:
		return int(p[0]), p[1:], true
	}
	if len(p) <= size {
		return 0, nil, false
	}
	var b [8]byte
	copy(b[:], p[1:1+size])
	v := binary.LittleEndian.Uint64(b[:])
	if v > 1<<40 { // more than any packet holds
		return 0, nil, false
	}
	return int(v), p[1+size:], true
}

// Split appends the fields of a row to fields, nil for NULL; they are lent like
// the row. With an error it returns what came before.
func Split(fields [][]byte, row []byte) ([][]byte, error) {
	for len(row) > 0 {
		if c := row[0]; c < fieldNull { // the usual case
			end := 1 + int(c)
			if end > len(row) {
				return fields, ErrRow
			}
			fields = append(fields, row[1:end:end])
			row = row[end:]
			continue
		} else if c == fieldNull {
			fields = append(fields, nil)
			row = row[1:]
			continue
		}
		n, rest, ok := lenenc(row)
		if !ok || n > len(rest) {
			return fields, ErrRow
		}
		fields = append(fields, rest[:n:n])
		row = rest[n:]
	}
	return fields, nil
}

// Append appends a row of the given fields, nil for NULL.
func Append(dst []byte, fields [][]byte) []byte {
	for _, f := range fields {
		switch n := len(f); {
		case f == nil:
			dst = append(dst, fieldNull)
			continue
		case n < fieldNull:
			dst = append(dst, byte(n))
		case n < 1<<16:
			dst = binary.LittleEndian.AppendUint16(append(dst, field2), uint16(n))
		default:
			dst = binary.LittleEndian.AppendUint64(append(dst, field8), uint64(n))
		}
		dst = append(dst, f...)
	}
	return dst
}
