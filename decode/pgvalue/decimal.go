package pgvalue

import (
	"math"
	"math/big"
	"math/bits"

	"millrace/internal/record"
)

// decimal is a decimal number read from text: sign, digits with the point taken
// out, and how many of them are behind the point. The digits alias the text, so
// they may still contain the point at index point (-1: none).
type decimal struct {
	neg    bool
	digits []byte
	point  int
	frac   int
}

// special tells the server's non-finite numerics apart.
func special(t []byte) (v float64, ok bool) {
	switch string(t) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// parseDecimal reads plain notation, as the server prints numerics.
func parseDecimal(t []byte) (decimal, bool) {
	d := decimal{point: -1}
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		d.neg = t[0] == '-'
		t = t[1:]
	}
	n := 0
	for i, c := range t {
		if c == '.' && d.point < 0 {
			d.point = i
			continue
		}
		if c-'0' > 9 {
			return d, false
		}
		n++
	}
	if n == 0 {
		return d, false
	}
	d.digits = t
	if d.point >= 0 {
		d.frac = len(t) - d.point - 1
	}
	return d, true
}

// trimZeros drops zeros at the end of the fraction, at most down to keep digits.
func (d *decimal) trimZeros(keep int) {
	for d.frac > keep && d.digits[len(d.digits)-1] == '0' {
		d.digits = d.digits[:len(d.digits)-1]
		d.frac--
	}
	if d.frac == 0 && d.point >= 0 {
		d.digits = d.digits[:d.point]
		d.point = -1
	}
}

// appendUnscaled appends the two's complement of the digits times 10^pad, minimal
// and big-endian: the bytes of Java's BigInteger.
func (d *decimal) appendUnscaled(dst []byte, pad int) []byte {
	n := len(d.digits) + pad
	if n <= 19 { // 18 digits and a point, or at most 19 digits: fits 64 bits unsigned
		var u uint64
		for _, c := range d.digits {
			if c != '.' {
				u = u*10 + uint64(c-'0')
			}
		}
		for ; pad > 0; pad-- {
			u *= 10
		}
		return appendInt128(dst, d.neg, 0, u)
	}
	if n <= 38 {
		var hi, lo uint64
		step := func(add uint64) {
			h, l := bits.Mul64(lo, 10)
			l, carry := bits.Add64(l, add, 0)
			hi, lo = hi*10+h+carry, l
		}
		for _, c := range d.digits {
			if c != '.' {
				step(uint64(c - '0'))
			}
		}
		for ; pad > 0; pad-- {
			step(0)
		}
		return appendInt128(dst, d.neg, hi, lo)
	}
	return d.appendBig(dst, pad)
}

// appendBig is the slow way for more than 38 digits.
func (d *decimal) appendBig(dst []byte, pad int) []byte {
	buf := make([]byte, 0, len(d.digits)+pad)
	for _, c := range d.digits {
		if c != '.' {
			buf = append(buf, c)
		}
	}
	for ; pad > 0; pad-- {
		buf = append(buf, '0')
	}
	v, _ := new(big.Int).SetString(string(buf), 10)
	if d.neg {
		v.Neg(v)
	}
	return AppendBigInt(dst, v)
}

// AppendBigInt appends v as Java's BigInteger.toByteArray writes it: minimal
// big-endian two's complement.
func AppendBigInt(dst []byte, v *big.Int) []byte {
	if v.Sign() >= 0 {
		b := v.Bytes()
		if len(b) == 0 || b[0] >= 0x80 {
			dst = append(dst, 0)
		}
		return append(dst, b...)
	}
	// -v = ^(v-1): invert the bytes of |v|-1.
	b := new(big.Int).Not(v).Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		dst = append(dst, 0xFF)
	}
	for _, c := range b {
		dst = append(dst, ^c)
	}
	return dst
}

// appendInt128 appends a sign and a 128-bit magnitude below 2^127 as minimal
// big-endian two's complement.
func appendInt128(dst []byte, neg bool, hi, lo uint64) []byte {
	if neg {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	sign := hi
	if neg && hi|lo != 0 {
		sign = ^hi
	}
	var n int // bytes to write
	if sign == 0 {
		w := lo
		if neg && hi|lo != 0 {
			w = ^lo
		}
		n = bits.Len64(w)/8 + 1
	} else {
		n = 8 + bits.Len64(sign)/8 + 1
	}
	for i := n - 1; i >= 0; i-- {
		switch {
		case i >= 16:
			dst = append(dst, byte(int64(hi)>>63))
		case i >= 8:
			dst = append(dst, byte(hi>>(8*(i-8))))
		default:
			dst = append(dst, byte(lo>>(8*i)))
		}
	}
	return dst
}

// decodeDecimal makes the unscaled bytes of Connect's Decimal with a fixed scale.
func decodeDecimal(scale int) decodeFunc {
	return func(b *record.Batch, t []byte) (record.Cell, error) {
		d, ok := parseDecimal(t)
		if !ok {
			if _, is := special(t); is {
				return record.Cell{}, errNumericNaN
			}
			return record.Cell{}, errNumeric
		}
		d.trimZeros(scale)
		if d.frac > scale {
			return record.Cell{}, errNumericBig
		}
		a := b.Arena()
		from := len(a)
		a = d.appendUnscaled(a, scale-d.frac)
		b.SetArena(a)
		return b.SpanCell(record.Bytes, from, len(a)), nil
	}
}

// decodeVariable makes a VariableScaleDecimal struct: zeros at the end of the
// fraction are stripped and the scale is never negative.
func decodeVariable(b *record.Batch, t []byte) (record.Cell, error) {
	d, ok := parseDecimal(t)
	if !ok {
		if _, is := special(t); is {
			return record.Cell{}, errNumericNaN
		}
		return record.Cell{}, errNumeric
	}
	d.trimZeros(0)
	a := b.Arena()
	from := len(a)
	a = d.appendUnscaled(a, 0)
	b.SetArena(a)
	v := b.SpanCell(record.Bytes, from, len(a))
	c := b.Alloc(record.Struct, 2)
	b.SetChild(c, 0, record.Int32Cell(int32(d.frac)))
	b.SetChild(c, 1, v)
	return c, nil
}

// decodeDecimalText keeps plain notation and pads to scale digits (below 0: as it
// is). NaN and infinities are spelled as Debezium's enum constants.
func decodeDecimalText(scale int) decodeFunc {
	return func(b *record.Batch, t []byte) (record.Cell, error) {
		d, ok := parseDecimal(t)
		if !ok {
			v, is := special(t)
			switch {
			case !is:
				return record.Cell{}, errNumeric
			case math.IsNaN(v):
				return b.StringCell("NAN"), nil
			case v > 0:
				return b.StringCell("POSITIVE_INFINITY"), nil
			}
			return b.StringCell("NEGATIVE_INFINITY"), nil
		}
		if scale < 0 || d.frac == scale {
			return b.BytesCell(record.String, t), nil
		}
		d.trimZeros(scale)
		if d.frac > scale {
			return record.Cell{}, errNumericBig
		}
		a := b.Arena()
		from := len(a)
		if d.neg {
			a = append(a, '-')
		}
		a = append(a, d.digits...)
		if d.point < 0 && d.frac < scale {
			a = append(a, '.')
		}
		for i := d.frac; i < scale; i++ {
			a = append(a, '0')
		}
		b.SetArena(a)
		return b.SpanCell(record.String, from, len(a)), nil
	}
}

func decodeDecimalDouble(_ *record.Batch, t []byte) (record.Cell, error) {
	if v, is := special(t); is {
		return record.Float64Cell(v), nil
	}
	if _, ok := parseDecimal(t); !ok {
		return record.Cell{}, errNumeric
	}
	v, ok := parseFloat(t, 64)
	if !ok {
		return record.Cell{}, errNumeric
	}
	return record.Float64Cell(v), nil
}
