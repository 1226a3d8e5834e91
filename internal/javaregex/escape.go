package javaregex

import (
	"strconv"
	"strings"
	"unicode"
)

func ranges(rs ...rune) *set {
	s := &set{}
	for i := 0; i < len(rs); i += 2 {
		s.add(rs[i], rs[i+1])
	}
	return s
}

// predefined are Java's one-letter classes; the upper-case letter negates.
func predefined(c rune) *set {
	var s *set
	switch unicode.ToLower(c) {
	case 'd':
		s = ranges('0', '9')
	case 'w':
		s = ranges('a', 'z', 'A', 'Z', '0', '9', '_', '_')
	case 's':
		s = ranges(' ', ' ', '\t', '\r')
	case 'h':
		s = ranges(' ', ' ', '\t', '\t', 0xA0, 0xA0, 0x1680, 0x1680, 0x180e, 0x180e, 0x2000, 0x200a, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000)
	case 'v':
		s = ranges('\n', '\r', 0x85, 0x85, 0x2028, 0x2029)
	default:
		return nil
	}
	if unicode.IsUpper(c) {
		s = s.negate()
	}
	return s
}

// classEscape reads a backslash sequence that stands for a set or a character;
// the cursor is on the backslash.
func (p *parser) classEscape() (*set, rune, error) {
	c := p.at(p.cursor + 1)
	p.cursor += 2
	if s := predefined(c); s != nil {
		return s, 0, nil
	}
	switch c {
	case 'p', 'P':
		s, err := p.property(c == 'P')
		return s, 0, err
	case 't':
		return nil, '\t', nil
	case 'n':
		return nil, '\n', nil
	case 'r':
		return nil, '\r', nil
	case 'f':
		return nil, '\f', nil
	case 'a':
		return nil, 7, nil
	case 'e':
		return nil, 27, nil
	case 'c':
		if p.cursor >= len(p.src) {
			p.cursor++
			return nil, 0, p.fail("Illegal control escape sequence")
		}
		p.cursor++
		return nil, p.src[p.cursor-1] ^ 64, nil
	case '0':
		return p.octal()
	case 'x':
		return p.hex(2, "Illegal hexadecimal escape sequence")
	case 'u':
		return p.hex(4, "Illegal Unicode escape sequence")
	}
	if letter(c) || digit(c) {
		return nil, 0, p.fail("Illegal/unsupported escape sequence")
	}
	return nil, c, nil
}

func (p *parser) octal() (*set, rune, error) {
	n, i := rune(0), 0
	for ; i < 3; i++ {
		c := p.at(p.cursor)
		if c < '0' || c > '7' || n*8+c-'0' > 0377 {
			break
		}
		n = n*8 + c - '0'
		p.cursor++
	}
	if i == 0 {
		p.cursor++
		return nil, 0, p.fail("Illegal octal escape sequence")
	}
	return nil, n, nil
}

func (p *parser) hex(digits int, text string) (*set, rune, error) {
	start, end := p.cursor, p.cursor+digits
	if digits == 2 && p.at(p.cursor) == '{' {
		start++
		end = start
		for end < len(p.src) && p.src[end] != '}' {
			end++
		}
	}
	if end > len(p.src) || end == start {
		p.cursor++
		return nil, 0, p.fail("%s", text)
	}
	n, err := strconv.ParseUint(string(p.src[start:end]), 16, 32)
	if err != nil || n > unicode.MaxRune {
		p.cursor++
		return nil, 0, p.fail("%s", text)
	}
	p.cursor = end
	if start > 0 && p.src[start-1] == '{' && digits == 2 {
		p.cursor++
	}
	r := rune(n)
	// A pair of \u escapes may be one code point beyond the BMP.
	if digits == 4 && r >= 0xD800 && r < 0xDC00 && p.at(p.cursor) == '\\' && p.at(p.cursor+1) == 'u' && p.cursor+6 <= len(p.src) {
		if lo, err := strconv.ParseUint(string(p.src[p.cursor+2:p.cursor+6]), 16, 32); err == nil && lo >= 0xDC00 && lo < 0xE000 {
			p.cursor += 6
			r = (r-0xD800)<<10 + rune(lo) - 0xDC00 + 0x10000
		}
	}
	return nil, r, nil
}

// posix are Java's US-ASCII classes.
var posix = map[string]*set{
	"Lower": ranges('a', 'z'), "Upper": ranges('A', 'Z'), "ASCII": ranges(0, 0x7f),
	"Alpha": ranges('a', 'z', 'A', 'Z'), "Digit": ranges('0', '9'), "Alnum": ranges('a', 'z', 'A', 'Z', '0', '9'),
	"Punct": ranges('!', '/', ':', '@', '[', '`', '{', '~'), "Graph": ranges('!', '~'), "Print": ranges(' ', '~'),
	"Blank": ranges(' ', ' ', '\t', '\t'), "Cntrl": ranges(0, 0x1f, 0x7f, 0x7f),
	"XDigit": ranges('0', '9', 'a', 'f', 'A', 'F'), "Space": ranges(' ', ' ', '\t', '\r'),
}

// property reads \p{…} or \pL.
func (p *parser) property(neg bool) (*set, error) {
	name := ""
	if p.at(p.cursor) == '{' {
		end := p.cursor
		for end < len(p.src) && p.src[end] != '}' {
			end++
		}
		if end >= len(p.src) {
			p.cursor = len(p.src)
			return nil, p.fail("Unclosed character family")
		}
		name = string(p.src[p.cursor+1 : end])
		p.cursor = end + 1
	} else if p.cursor < len(p.src) {
		name = string(p.src[p.cursor])
		p.cursor++
	}
	s := lookupProperty(name)
	if s == nil {
		return nil, p.fail("Unknown character property name {%s}", name)
	}
	c := &set{ranges: append([][2]rune(nil), s.ranges...)}
	if neg {
		c = c.negate()
	}
	return c, nil
}

func lookupProperty(name string) *set {
	if s := posix[name]; s != nil {
		return s
	}
	if k, v, ok := strings.Cut(name, "="); ok {
		switch strings.ToLower(k) {
		case "sc", "script":
			return tableSet(findFold(unicode.Scripts, v))
		case "gc", "general_category":
			return tableSet(unicode.Categories[v])
		}
		return nil
	}
	switch name {
	case "javaLowerCase", "IsLowercase":
		return tableSet(unicode.Lower)
	case "javaUpperCase", "IsUppercase":
		return tableSet(unicode.Upper)
	case "javaWhitespace", "IsWhite_Space":
		return tableSet(unicode.White_Space)
	case "IsAlphabetic", "javaLetter":
		return tableSet(unicode.L)
	case "IsDigit", "javaDigit":
		return tableSet(unicode.Nd)
	case "IsPunctuation":
		return tableSet(unicode.P)
	case "L1":
		return ranges(0, 0xff)
	}
	base := strings.TrimPrefix(name, "Is")
	if t := unicode.Categories[base]; t != nil {
		return tableSet(t)
	}
	if strings.HasPrefix(name, "Is") {
		return tableSet(findFold(unicode.Scripts, base))
	}
	return nil
}

func findFold(m map[string]*unicode.RangeTable, name string) *unicode.RangeTable {
	for k, t := range m {
		if strings.EqualFold(k, name) {
			return t
		}
	}
	return nil
}

func tableSet(t *unicode.RangeTable) *set {
	if t == nil {
		return nil
	}
	s := &set{}
	put := func(lo, hi, stride rune) {
		if stride == 1 {
			s.add(lo, hi)
			return
		}
		for c := lo; c <= hi; c += stride {
			s.add(c, c)
		}
	}
	for _, r := range t.R16 {
		put(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range t.R32 {
		put(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	s.norm()
	return s
}
