package pgvalue

import (
	"math/big"

	"millrace/internal/record"
)

// codecMoney decodes money as lc_monetary prints it: a currency character, commas
// between thousands, parentheses or a minus for negative amounts. Other forms are
// read by their last separator.
func codecMoney(mode string, digits int) *codec {
	c := &codec{}
	switch mode {
	case "double":
		c.schema = plain(record.Float64)
		c.fallback = func(*record.Batch) record.Cell { return record.Float64Cell(0) }
	case "string":
		c.schema = plain(record.String)
		c.toast = toastText
		c.fallback = func(b *record.Batch) record.Cell {
			v, _ := decodeDecimalText(digits)(b, []byte("0"))
			return v
		}
	default:
		c.schema = logical(record.Bytes, "org.apache.kafka.connect.data.Decimal")
		c.schema.Params = []record.Param{{Key: "scale", Value: itoa(digits)}}
		c.fallback = func(b *record.Batch) record.Cell { return b.BytesCell(record.Bytes, []byte{0}) }
	}
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		var buf [64]byte
		amount, ok := plainAmount(buf[:0], t)
		if !ok {
			return record.Cell{}, errMoney
		}
		switch mode {
		case "double":
			return decodeDecimalDouble(b, amount)
		case "string":
			return b.BytesCell(record.String, amount), nil
		}
		return roundedDecimal(b, amount, digits)
	}
	return c
}

// plainAmount writes an amount in plain notation.
func plainAmount(dst, t []byte) ([]byte, bool) {
	neg := false
	point, digits := -1, 0
	for i, c := range t {
		switch {
		case c == '-' || c == '(':
			neg = true
		case c == '.':
			point = i
		case c-'0' <= 9:
			digits++
		}
	}
	if digits == 0 {
		return dst, false
	}
	last := point
	if !englishAmount(t) {
		last = lastSeparator(t)
	}
	if neg {
		dst = append(dst, '-')
	}
	for i, c := range t {
		if i == last {
			dst = append(dst, '.')
		} else if c-'0' <= 9 {
			dst = append(dst, c)
		}
	}
	return dst, true
}

// englishAmount says whether commas are thousands: the form Debezium can read.
func englishAmount(t []byte) bool {
	point := false
	for i, c := range t {
		switch {
		case c == '.':
			if point {
				return false
			}
			point = true
		case c == ',':
			if point || len(t) < i+4 || !allDigits(t[i+1:i+4]) || len(t) > i+4 && t[i+4]-'0' <= 9 {
				return false
			}
		}
	}
	return true
}

func allDigits(t []byte) bool {
	for _, c := range t {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// lastSeparator finds the decimal separator of an amount in another style: the
// last point or comma that has at most two digits behind it.
func lastSeparator(t []byte) int {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i] == '.' || t[i] == ',' {
			n := 0
			for _, c := range t[i+1:] {
				if c-'0' <= 9 {
					n++
				}
			}
			if n <= 2 {
				return i
			}
			return -1
		}
	}
	return -1
}

// roundedDecimal is setScale(digits, HALF_UP).
func roundedDecimal(b *record.Batch, t []byte, digits int) (record.Cell, error) {
	d, ok := parseDecimal(t)
	if !ok {
		return record.Cell{}, errMoney
	}
	if d.frac <= digits {
		return decodeDecimal(digits)(b, t)
	}
	cut := d.frac - digits
	buf := make([]byte, 0, len(d.digits))
	for _, c := range d.digits {
		if c != '.' {
			buf = append(buf, c)
		}
	}
	up := buf[len(buf)-cut] >= '5'
	v, ok := new(big.Int).SetString("0"+string(buf[:len(buf)-cut]), 10)
	if !ok {
		return record.Cell{}, errMoney
	}
	if up {
		v.Add(v, big.NewInt(1))
	}
	if d.neg {
		v.Neg(v)
	}
	a := b.Arena()
	from := len(a)
	a = AppendBigInt(a, v)
	b.SetArena(a)
	return b.SpanCell(record.Bytes, from, len(a)), nil
}
