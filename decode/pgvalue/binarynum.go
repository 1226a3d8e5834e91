package pgvalue

import (
	"millrace/internal/record"
)

// Signs of a numeric in its binary form (src/backend/utils/adt/numeric.c).
const (
	numericPositive = 0x0000
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericPosInf   = 0xD000
	numericNegInf   = 0xF000
)

// wireNumeric is a numeric as numeric_send sends it: groups of four decimal digits,
// the first of which counts 10000^weight, and how many digits behind the point are
// shown.
type wireNumeric struct {
	sign   uint16
	weight int
	scale  int
	groups []byte // two bytes each
}

func parseWireNumeric(d []byte) (n wireNumeric, ok bool) {
	if len(d) < 8 {
		return n, false
	}
	n.weight, n.sign, n.scale, n.groups = int(be16(d[2:])), uint16(be16(d[4:])), int(uint16(be16(d[6:])))&0x3FFF, d[8:]
	if len(n.groups) != 2*int(uint16(be16(d))) {
		return n, false
	}
	switch n.sign {
	case numericPositive, numericNegative:
		for i := 0; i < len(n.groups); i += 2 {
			if uint16(be16(n.groups[i:])) > 9999 {
				return n, false
			}
		}
		return n, true
	case numericNaN, numericPosInf, numericNegInf:
		return n, true
	}
	return n, false
}

var pow10 = [19]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// small is the number times 10^scale, if that has at most 18 digits; ok is false
// for all others, which go by their text.
func (n *wireNumeric) small() (u uint64, ok bool) {
	groups := len(n.groups) / 2
	if n.sign > numericNegative || groups > 4 {
		return 0, false
	}
	for i := 0; i < len(n.groups); i += 2 {
		u = u*10000 + uint64(uint16(be16(n.groups[i:])))
	}
	if u == 0 {
		return 0, true
	}
	// The last group counts 10^exp; the digits wanted end at 10^-scale.
	exp := 4*(n.weight-groups+1) + n.scale
	switch {
	case exp < -16 || exp > 18:
		return 0, false
	case exp < 0:
		if u%pow10[-exp] != 0 {
			return 0, false // digits that are not shown
		}
		return u / pow10[-exp], true
	}
	if u >= pow10[18-exp] {
		return 0, false
	}
	return u * pow10[exp], true
}

// appendText prints the number as the server does.
func (n *wireNumeric) appendText(dst []byte) []byte {
	switch n.sign {
	case numericNaN:
		return append(dst, "NaN"...)
	case numericPosInf:
		return append(dst, "Infinity"...)
	case numericNegInf:
		return append(dst, "-Infinity"...)
	case numericNegative:
		dst = append(dst, '-')
	}
	group := func(i int) (v int) {
		if i >= 0 && 2*i < len(n.groups) {
			v = int(be16(n.groups[2*i:]))
		}
		return v
	}
	if n.weight < 0 {
		dst = append(dst, '0')
	}
	for i := 0; i <= n.weight; i++ {
		v := group(i)
		if i == 0 {
			dst = appendPadded(dst, int64(v), 1)
		} else {
			dst = appendPadded(dst, int64(v), 4)
		}
	}
	if n.scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	end := len(dst) + n.scale
	for i := n.weight + 1; len(dst) < end; i++ {
		dst = appendPadded(dst, int64(group(i)), 4)
	}
	return dst[:end]
}

// binaryNumeric picks the decoder of a numeric for decimal.handling.mode.
func (c *compiler) binaryNumeric(s shape, cd *codec) decodeFunc {
	long := func(b *record.Batch, n *wireNumeric) (record.Cell, error) {
		a := b.Arena()
		from := len(a)
		a = n.appendText(a)
		b.SetArena(a)
		return cd.decode(b, a[from:len(a):len(a)])
	}
	precise := c.modes.Decimal == "precise" || c.modes.Decimal == ""
	variable := c.numberOf(s).variable
	return func(b *record.Batch, d []byte) (record.Cell, error) {
		n, ok := parseWireNumeric(d)
		if !ok {
			return record.Cell{}, errBinary
		}
		if !precise {
			return long(b, &n)
		}
		u, ok := n.small()
		if !ok {
			return long(b, &n)
		}
		scale := n.scale
		if !variable && scale < s.scale {
			if s.scale-scale > 18 || u >= pow10[18-(s.scale-scale)] {
				return long(b, &n)
			}
			u *= pow10[s.scale-scale]
			scale = s.scale
		}
		least := 0
		if !variable {
			least = s.scale
		}
		for scale > least && u%10 == 0 {
			u /= 10
			scale--
		}
		if !variable && scale > least {
			return record.Cell{}, errNumericBig
		}
		a := b.Arena()
		from := len(a)
		a = appendInt128(a, n.sign == numericNegative && u != 0, 0, u)
		b.SetArena(a)
		v := b.SpanCell(record.Bytes, from, len(a))
		if !variable {
			return v, nil
		}
		st := b.Alloc(record.Struct, 2)
		b.SetChild(st, 0, record.Int32Cell(int32(scale)))
		b.SetChild(st, 1, v)
		return st, nil
	}
}
