package pgvalue

import (
	"errors"
	"math"
	"strconv"
	"unsafe"

	"millrace/internal/record"
)

// text lends bytes to functions that want a string; they must not keep it.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// parseInt reads an optionally signed decimal integer; ok is false for anything
// else and for overflow.
func parseInt(t []byte) (v int64, ok bool) {
	neg := false
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		neg = t[0] == '-'
		t = t[1:]
	}
	if len(t) == 0 || len(t) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range t {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		u = u*10 + uint64(d)
	}
	if neg {
		if u > 1<<63 {
			return 0, false
		}
		return int64(-u), true
	}
	if u > math.MaxInt64 {
		return 0, false
	}
	return int64(u), true
}

func decodeInt2(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseInt(t)
	if !ok || v != int64(int16(v)) {
		return record.Cell{}, errInt2
	}
	return record.IntCell(record.Int16, v), nil
}

func decodeInt4(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseInt(t)
	if !ok || v != int64(int32(v)) {
		return record.Cell{}, errInt4
	}
	return record.IntCell(record.Int32, v), nil
}

func decodeInt8(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseInt(t)
	if !ok {
		return record.Cell{}, errInt8
	}
	return record.IntCell(record.Int64, v), nil
}

func decodeOID(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseInt(t)
	if !ok || v < 0 || v > math.MaxUint32 {
		return record.Cell{}, errOID
	}
	return record.IntCell(record.Int64, v), nil
}

func decodeBool(_ *record.Batch, t []byte) (record.Cell, error) {
	if len(t) == 1 && (t[0] == 't' || t[0] == 'f') {
		return record.BoolCell(t[0] == 't'), nil
	}
	return record.Cell{}, errBool
}

// parseFloat reads the server's float output, and Java's spelling of the special
// values, which is the same. An out-of-range number becomes an infinity or zero as
// in Java.
func parseFloat(t []byte, size int) (float64, bool) {
	if v, ok := shortFloat(t); ok && size == 64 {
		return v, true
	}
	for _, c := range t {
		// ParseFloat also takes hexadecimal digits and underscores, which the
		// server never prints.
		if c == 'x' || c == 'X' || c == '_' || c == 'p' || c == 'P' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(lend(t), size)
	if err != nil {
		if !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
	}
	return v, true
}

var exactPow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// shortFloat reads numbers of at most 15 digits without exponent: mantissa and
// power of ten are exact floats, so one division rounds correctly.
func shortFloat(t []byte) (float64, bool) {
	neg := len(t) > 0 && t[0] == '-'
	if neg {
		t = t[1:]
	}
	if len(t) == 0 || len(t) > 16 {
		return 0, false
	}
	var m uint64
	digits, frac, point := 0, 0, false
	for _, c := range t {
		switch {
		case c-'0' <= 9:
			m = m*10 + uint64(c-'0')
			digits++
			if point {
				frac++
			}
		case c == '.' && !point:
			point = true
		default:
			return 0, false
		}
	}
	if digits == 0 || digits > 15 {
		return 0, false
	}
	v := float64(m) / exactPow10[frac]
	if neg {
		v = -v
	}
	return v, true
}

func decodeFloat4(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseFloat(t, 32)
	if !ok {
		return record.Cell{}, errFloat
	}
	return record.Float32Cell(float32(v)), nil
}

func decodeFloat8(_ *record.Batch, t []byte) (record.Cell, error) {
	v, ok := parseFloat(t, 64)
	if !ok {
		return record.Cell{}, errFloat
	}
	return record.Float64Cell(v), nil
}
