package convert

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// jsonPlain marks the bytes that Jackson writes as they are wherever they stand.
// Not among them: what JSON escapes, and the lead bytes of UTF-8 sequences that
// may need an escape (0xED: half a surrogate pair as it may stand in a value cut
// by column.truncate; 0xF0 and up: beyond the basic plane) or are no UTF-8.
var jsonPlain = func() (t [256]bool) {
	for c := 0x20; c < 0xF0; c++ {
		t[c] = c != '"' && c != '\\' && c != 0xED && c != 0xC0 && c != 0xC1
	}
	return t
}()

const hexUpper = "0123456789ABCDEF"

// appendJSONString appends s quoted and escaped as Jackson's UTF8JsonGenerator
// does: short escapes where JSON has them, \u00XX with upper-case digits for other
// control characters, a \uXXXX pair for characters beyond the basic plane,
// everything else raw.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	if i := plainPart(s); i < len(s) {
		dst = append(dst, s[:i]...)
		return append(appendJSONEscaped(dst, s[i:]), '"')
	}
	dst = append(dst, s...)
	return append(dst, '"')
}

// plainPart is the length of the part of s in front of the first byte that is not
// written as it is. Eight bytes are looked at in one go; where one of them is
// beyond ASCII or special, the table decides about each.
func plainPart(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:])
		quote, slash := x^'"'*ones, x^'\\'*ones
		if (x|(x-0x20*ones)|(quote-ones)|(slash-ones))&highs == 0 {
			continue
		}
		for k := i; k < i+8; k++ {
			if !jsonPlain[s[k]] {
				return k
			}
		}
	}
	for ; i < len(s); i++ {
		if !jsonPlain[s[i]] {
			return i
		}
	}
	return i
}

// appendJSONEscaped is the slow half of appendJSONString.
func appendJSONEscaped(dst, s []byte) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if jsonPlain[c] {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		if c < 0x80 {
			dst = appendJSONEscape(dst, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		switch {
		case r >= 0x10000:
			r -= 0x10000
			dst = appendUnicodeEscape(dst, 0xD800+uint16(r>>10))
			dst = appendUnicodeEscape(dst, 0xDC00+uint16(r&0x3FF))
		case n > 1:
			dst = append(dst, s[i:i+n]...)
		case c == 0xED && i+2 < len(s) && s[i+1] >= 0xA0 && s[i+1] <= 0xBF && s[i+2]&0xC0 == 0x80:
			dst = appendUnicodeEscape(dst, 0xD000|uint16(s[i+1]&0x3F)<<6|uint16(s[i+2]&0x3F))
			n = 3
		default:
			dst = append(dst, "\uFFFD"...) // what Java's decoder makes of a broken byte
		}
		i += n
		from = i
	}
	return append(dst, s[from:]...)
}

func appendJSONEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexUpper[c>>4], hexUpper[c&15])
}

func appendUnicodeEscape(dst []byte, u uint16) []byte {
	return append(dst, '\\', 'u', hexUpper[u>>12], hexUpper[u>>8&15], hexUpper[u>>4&15], hexUpper[u&15])
}

// appendJSONBase64 appends p as a quoted text in padded standard base64.
func appendJSONBase64(dst, p []byte) []byte {
	dst = append(dst, '"')
	if len(p) > 24 {
		dst = base64.StdEncoding.AppendEncode(dst, p)
		return append(dst, '"')
	}
	for ; len(p) >= 3; p = p[3:] { // a decimal, most often
		x := uint(p[0])<<16 | uint(p[1])<<8 | uint(p[2])
		dst = append(dst, base64Digits[x>>18], base64Digits[x>>12&63], base64Digits[x>>6&63], base64Digits[x&63])
	}
	switch len(p) {
	case 1:
		dst = append(dst, base64Digits[p[0]>>2], base64Digits[p[0]&3<<4], '=', '=')
	case 2:
		x := uint(p[0])<<8 | uint(p[1])
		dst = append(dst, base64Digits[x>>10], base64Digits[x>>4&63], base64Digits[x&15<<2], '=')
	}
	return append(dst, '"')
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// appendJSONFloat appends a number, quoting what is none (NaN, the infinities).
func appendJSONFloat(dst []byte, v float64, size int) []byte {
	if v-v != 0 {
		dst = append(dst, '"')
		dst = appendJavaNumber(dst, v, size)
		return append(dst, '"')
	}
	return appendJavaNumber(dst, v, size)
}
