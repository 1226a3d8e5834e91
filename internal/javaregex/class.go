package javaregex

import (
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func itoa(n int) string { return strconv.Itoa(n) }

// set is a set of code points as sorted or unsorted ranges.
type set struct{ ranges [][2]rune }

func (s *set) add(lo, hi rune) { s.ranges = append(s.ranges, [2]rune{lo, hi}) }

func (s *set) addSet(o *set) { s.ranges = append(s.ranges, o.ranges...) }

// norm sorts and merges the ranges.
func (s *set) norm() {
	if len(s.ranges) < 2 {
		return
	}
	sort.Slice(s.ranges, func(i, j int) bool { return s.ranges[i][0] < s.ranges[j][0] })
	out := s.ranges[:1]
	for _, r := range s.ranges[1:] {
		last := &out[len(out)-1]
		if r[0] <= last[1]+1 {
			last[1] = max(last[1], r[1])
		} else {
			out = append(out, r)
		}
	}
	s.ranges = out
}

func (s *set) negate() *set {
	s.norm()
	var out set
	next := rune(0)
	for _, r := range s.ranges {
		if r[0] > next {
			out.add(next, r[0]-1)
		}
		next = r[1] + 1
	}
	if next <= unicode.MaxRune {
		out.add(next, unicode.MaxRune)
	}
	return &out
}

func (s *set) intersect(o *set) *set {
	a, b := s.negate(), o.negate()
	a.addSet(b)
	return a.negate()
}

// fold adds the other case of the letters: ASCII only, or all with full.
func (s *set) fold(full bool) {
	for _, r := range append([][2]rune(nil), s.ranges...) {
		for c := max(r[0], 'A'); c <= min(r[1], 'Z'); c++ {
			s.add(c+32, c+32)
		}
		for c := max(r[0], 'a'); c <= min(r[1], 'z'); c++ {
			s.add(c-32, c-32)
		}
		if full && r[1]-r[0] < 4096 {
			for c := r[0]; c <= r[1]; c++ {
				for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
					s.add(f, f)
				}
			}
		}
	}
	s.norm()
}

// emit writes the set as a class that both engines read; surrogates, which no
// valid UTF-8 text holds, are left out.
func (s *set) emit() string {
	s.norm()
	var sb strings.Builder
	sb.WriteByte('[')
	n := 0
	for _, r := range s.ranges {
		for _, x := range cutSurrogates(r) {
			n++
			writeClassRune(&sb, x[0])
			if x[1] > x[0] {
				if x[1] > x[0]+1 {
					sb.WriteByte('-')
				}
				writeClassRune(&sb, x[1])
			}
		}
	}
	if n == 0 {
		return `[^\x00-` + string(unicode.MaxRune) + `]`
	}
	sb.WriteByte(']')
	return sb.String()
}

func cutSurrogates(r [2]rune) [][2]rune {
	const lo, hi = 0xD800, 0xDFFF
	if r[1] < lo || r[0] > hi {
		return [][2]rune{r}
	}
	var out [][2]rune
	if r[0] < lo {
		out = append(out, [2]rune{r[0], lo - 1})
	}
	if r[1] > hi {
		out = append(out, [2]rune{hi + 1, r[1]})
	}
	return out
}

// writeClassRune writes a character of a class. ASCII other than letters and digits
// is written in hexadecimal: regexp2 takes an escaped hyphen at the end of a range
// for one that stands alone.
func writeClassRune(sb *strings.Builder, c rune) {
	switch {
	case c < 0x80 && !letter(c) && !digit(c) && c != '_':
		const hex = "0123456789abcdef"
		sb.WriteString(`\x`)
		sb.WriteByte(hex[c>>4])
		sb.WriteByte(hex[c&15])
	case utf8.ValidRune(c):
		sb.WriteRune(c)
	}
}

// class reads a bracket expression, with Java's unions and intersections.
func (p *parser) class() (*set, error) {
	p.cursor++
	neg := false
	if p.at(p.cursor) == '^' {
		neg = true
		p.cursor++
	}
	cur, err := p.classItems()
	if err != nil {
		return nil, err
	}
	if neg {
		cur = cur.negate()
	}
	return cur, nil
}

// classItems reads up to and including the closing bracket.
func (p *parser) classItems() (*set, error) {
	var left *set
	cur := &set{}
	empty := true
	for {
		if p.end() {
			return nil, &SyntaxError{Desc: "Unclosed character class", Pattern: p.pattern, Index: len(p.src) - 1}
		}
		c := p.peek()
		switch {
		case c == ']' && (!empty || left != nil):
			p.cursor++
			if left != nil {
				cur = left.intersect(cur)
			}
			return cur, nil
		case c == '&' && p.at(p.cursor+1) == '&':
			p.cursor += 2
			if left != nil {
				cur = left.intersect(cur)
			}
			left, cur = cur, &set{}
			continue
		case c == '[':
			in, err := p.class()
			if err != nil {
				return nil, err
			}
			cur.addSet(in)
		default:
			if err := p.classRange(cur); err != nil {
				return nil, err
			}
		}
		empty = false
	}
}

// classRange reads one item: a character, a range or a predefined class.
func (p *parser) classRange(into *set) error {
	pre, lo, err := p.classChar()
	if err != nil {
		return err
	}
	if pre != nil {
		into.addSet(pre)
		return nil
	}
	hi := lo
	if p.at(p.cursor) == '-' && p.cursor+1 < len(p.src) {
		if e := p.at(p.cursor + 1); e != ']' && e != '[' {
			p.cursor++
			pre, hi, err = p.classChar()
			if err != nil {
				return err
			}
			if pre != nil {
				into.add(lo, lo)
				into.add('-', '-')
				into.addSet(pre)
				return nil
			}
			if hi < lo {
				return p.fail("Illegal character range")
			}
		}
	}
	one := &set{}
	one.add(lo, hi)
	if p.has(CaseInsensitive) {
		one.fold(p.has(UnicodeCase))
	}
	into.addSet(one)
	return nil
}

func (p *parser) classChar() (*set, rune, error) {
	c := p.at(p.cursor)
	if c == '\\' {
		if p.cursor+1 >= len(p.src) {
			p.cursor += 2
			return nil, 0, p.fail("Unescaped trailing backslash")
		}
		if p.at(p.cursor+1) == 'Q' {
			p.cursor += 2
			s := &set{}
			for p.cursor < len(p.src) && !(p.src[p.cursor] == '\\' && p.at(p.cursor+1) == 'E') {
				s.add(p.src[p.cursor], p.src[p.cursor])
				p.cursor++
			}
			p.cursor = min(p.cursor+2, len(p.src))
			if p.has(CaseInsensitive) {
				s.fold(p.has(UnicodeCase))
			}
			return s, 0, nil
		}
		return p.classEscape()
	}
	p.cursor++
	return nil, c, nil
}
