package convert

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// intRoom is the most bytes of an integer.
const intRoom = 20

// pairs are the numbers 00 to 99 in text, two bytes each.
var pairs = func() (t [100]uint16) {
	for i := range t {
		t[i] = uint16('0'+i/10) | uint16('0'+i%10)<<8
	}
	return t
}()

var tens = func() (t [20]uint64) {
	t[0] = 1
	for i := 1; i < len(t); i++ {
		t[i] = t[i-1] * 10
	}
	return t
}()

// digits is the number of decimal digits of u.
func digits(u uint64) int {
	n := bits.Len64(u|1) * 1233 >> 12
	if u >= tens[n] {
		n++
	}
	return max(n, 1)
}

// appendJSONInt appends a number in decimal; half of strconv's time, since rows of
// events have a dozen clocks of 13 to 19 digits.
func appendJSONInt(dst []byte, v int64) []byte {
	u := uint64(v)
	if v < 0 {
		dst, u = append(dst, '-'), -u
	}
	if cap(dst)-len(dst) < intRoom {
		dst = slices.Grow(dst, intRoom)
	}
	from := len(dst)
	n := digits(u)
	dst = dst[:from+n]
	p := dst[from:]
	for u >= 1e8 {
		q := u / 1e8
		n -= 8
		putEight(p[n:n+8], uint32(u-q*1e8))
		u = q
	}
	w := uint32(u)
	for w >= 100 {
		q := w / 100
		n -= 2
		binary.LittleEndian.PutUint16(p[n:], pairs[w-q*100])
		w = q
	}
	if w >= 10 {
		binary.LittleEndian.PutUint16(p, pairs[w])
	} else {
		p[0] = '0' + byte(w)
	}
	return dst
}

// putEight writes w, which is below 1e8, with leading zeros.
func putEight(p []byte, w uint32) {
	_ = p[7]
	hi := w / 10000
	lo := w - hi*10000
	a, c := hi/100, lo/100
	binary.LittleEndian.PutUint64(p, uint64(pairs[a])|uint64(pairs[hi-a*100])<<16|uint64(pairs[c])<<32|uint64(pairs[lo-c*100])<<48)
}
