package myvalue

import (
	"encoding/binary"
	"slices"
	"strconv"
)

var digitBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// appendDecimal appends the plain text of a binary DECIMAL(precision, scale) with
// all its fraction digits (decimal2bin of MySQL's strings/decimal.cc: groups of 9
// digits in 4 big-endian bytes, sign in the inverted top bit, negative numbers
// with all bits inverted). It answers false when the bytes are too few.
func appendDecimal(dst, p []byte, precision, scale int) ([]byte, bool) {
	whole := precision - scale
	if whole < 0 || scale < 0 || precision > 65 {
		return dst, false
	}
	need := whole/9*4 + digitBytes[whole%9] + scale/9*4 + digitBytes[scale%9]
	if need == 0 || len(p) < need {
		return dst, false
	}
	var buf [40]byte
	b := append(buf[:0], p[:need]...)
	negative := b[0]&0x80 == 0
	b[0] ^= 0x80
	if negative {
		for i := range b {
			b[i] = ^b[i]
		}
		dst = append(dst, '-')
	}
	start := len(dst)
	group := func(digits int) {
		n := digitBytes[digits]
		var v uint32
		for _, c := range b[:n] {
			v = v<<8 | uint32(c)
		}
		b = b[n:]
		dst = appendPadded(dst, uint64(v), digits)
	}
	if whole%9 != 0 {
		group(whole % 9)
	}
	for range whole / 9 {
		group(9)
	}
	lead := start
	for lead < len(dst)-1 && dst[lead] == '0' {
		lead++
	}
	dst = append(dst[:start], dst[lead:]...)
	if len(dst) == start {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
		for range scale / 9 {
			group(9)
		}
		if scale%9 != 0 {
			group(scale % 9)
		}
	}
	return dst, true
}

// decimalInt reads a binary DECIMAL of at most 18 digits as the number without its
// point. It answers false when the bytes are too few.
func decimalInt(p []byte, precision, scale int) (int64, bool) {
	whole := precision - scale
	if whole < 0 || scale < 0 || precision > 18 {
		return 0, false
	}
	need := whole/9*4 + digitBytes[whole%9] + scale/9*4 + digitBytes[scale%9]
	if need == 0 || len(p) < need {
		return 0, false
	}
	flip := byte(0) // of every byte; the sign is in the top bit of the first
	if p[0]&0x80 == 0 {
		flip = 0xff
	}
	v, at := int64(0), 0
	group := func(digits int) {
		var g uint32
		for range digitBytes[digits] {
			c := p[at] ^ flip
			if at == 0 {
				c ^= 0x80
			}
			g = g<<8 | uint32(c)
			at++
		}
		v = v*powers[digits] + int64(g)%powers[digits]
	}
	if whole%9 != 0 {
		group(whole % 9)
	}
	for range whole / 9 {
		group(9)
	}
	for range scale / 9 {
		group(9)
	}
	if scale%9 != 0 {
		group(scale % 9)
	}
	if flip != 0 {
		v = -v
	}
	return v, true
}

var powers = [...]int64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// appendPadded appends v in exactly width decimal digits, zeros in front.
func appendPadded(dst []byte, v uint64, width int) []byte {
	at := len(dst)
	if cap(dst)-at < width {
		dst = slices.Grow(dst, width)
	}
	dst = dst[:at+width]
	if width == 6 && v < 1e6 { // a fraction
		p := dst[at : at+6]
		u := uint32(v)
		a, b, c := u/10000, u/100%100, u%100
		p[0], p[1], p[2], p[3], p[4], p[5] = '0'+byte(a/10), '0'+byte(a%10), '0'+byte(b/10), '0'+byte(b%10), '0'+byte(c/10), '0'+byte(c%10)
		return dst
	}
	for i := at; i < at+width; i++ {
		dst[i] = '0'
	}
	for i := at + width - 1; i >= at && v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// appendDouble appends a double of a JSON document as the real connector prints
// it: Java's Double.toString, but the exact binary value in plain notation where
// that would have an exponent.
func appendDouble(dst []byte, bits uint64) []byte {
	f := floatFrom(bits)
	abs := f
	if abs < 0 {
		abs = -abs
	}
	if abs == 0 || abs >= 1e-3 && abs < 1e7 {
		at := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		for _, c := range dst[at:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', 1074, 64)
	end := len(dst)
	for end > at && dst[end-1] == '0' {
		end--
	}
	if dst[end-1] == '.' {
		end--
	}
	return dst[:end]
}

func le16(p []byte) uint16 { return binary.LittleEndian.Uint16(p) }
func le32(p []byte) uint32 { return binary.LittleEndian.Uint32(p) }
func le64(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }
