package javaregex

import (
	"fmt"
	"strconv"
	"strings"
)

// parser translates a Java pattern into one that regexp and regexp2 both read.
// It follows the grammar of java.util.regex.Pattern and its error texts; cursor is
// kept where Java keeps its own, so that the indexes in the errors agree.
type parser struct {
	src       []rune
	pattern   string
	cursor    int
	flags     Flags
	groups    int
	names     map[string]int
	backtrack bool // a construct that needs regexp2 was seen
	refs      []int
	depth     int
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Desc: fmt.Sprintf(format, args...), Pattern: p.pattern, Index: p.cursor - 1}
}

func (p *parser) at(i int) rune {
	if i < len(p.src) {
		return p.src[i]
	}
	return 0
}

func (p *parser) has(f Flags) bool { return p.flags&f != 0 }

// peek returns the current rune, skipping comments in Comments mode; 0 at the end.
func (p *parser) peek() rune {
	if p.has(Comments) {
		for p.cursor < len(p.src) {
			c := p.src[p.cursor]
			if c == '#' {
				for p.cursor < len(p.src) && p.src[p.cursor] != '\n' {
					p.cursor++
				}
				continue
			}
			if !strings.ContainsRune(" \t\n\v\f\r", c) {
				break
			}
			p.cursor++
		}
	}
	return p.at(p.cursor)
}

func (p *parser) end() bool { p.peek(); return p.cursor >= len(p.src) }

func (p *parser) parse() (string, error) {
	out, err := p.expr()
	if err != nil {
		return "", err
	}
	if p.cursor < len(p.src) {
		return "", p.fail("Unmatched closing ')'")
	}
	for _, n := range p.refs {
		if n > p.groups {
			// Java: a reference to a group that does not exist never matches.
			p.backtrack = true
		}
	}
	return out, nil
}

// expr is alternatives up to ')' or the end.
func (p *parser) expr() (string, error) {
	if p.depth++; p.depth > 200 {
		return "", p.fail("Pattern is nested too deeply")
	}
	defer func() { p.depth-- }()
	var sb strings.Builder
	for {
		s, err := p.sequence()
		if err != nil {
			return "", err
		}
		sb.WriteString(s)
		if p.end() || p.peek() != '|' {
			return sb.String(), nil
		}
		p.cursor++
		sb.WriteByte('|')
	}
}

func (p *parser) sequence() (string, error) {
	var sb strings.Builder
	for !p.end() {
		c := p.peek()
		if c == '|' || c == ')' {
			break
		}
		atom, err := p.atom(c)
		if err != nil {
			return "", err
		}
		if atom == "" { // flags only
			continue
		}
		atom, err = p.closure(atom)
		if err != nil {
			return "", err
		}
		sb.WriteString(atom)
	}
	return sb.String(), nil
}

func (p *parser) atom(c rune) (string, error) {
	switch c {
	case '(':
		return p.group()
	case '[':
		set, err := p.class()
		if err != nil {
			return "", err
		}
		return set.emit(), nil
	case '\\':
		return p.escape()
	case '^':
		p.cursor++
		if p.has(Multiline) {
			return `(?m:^)`, nil
		}
		return `\A`, nil
	case '$':
		p.cursor++
		if p.has(Multiline) {
			return `(?m:$)`, nil
		}
		return `\z`, nil
	case '.':
		p.cursor++
		switch {
		case p.has(DotAll):
			return `(?s:.)`, nil
		case p.has(UnixLines):
			return `[^\n]`, nil
		}
		return "[^\\n\\r\u0085\u2028\u2029]", nil
	case '*', '+', '?':
		p.cursor++
		return "", p.fail("Dangling meta character '%c'", c)
	case '{':
		return "", p.fail("Illegal repetition")
	}
	p.cursor++
	return p.literal(c), nil
}

// literal is one rune, folded when the flags say so.
func (p *parser) literal(c rune) string {
	if p.has(CaseInsensitive) {
		var s set
		s.add(c, c)
		s.fold(p.has(UnicodeCase))
		if len(s.ranges) > 1 {
			return s.emit()
		}
	}
	return quote(c)
}

func quote(c rune) string {
	if c < 0x80 && strings.ContainsRune(`\.+*?()|[]{}^$#-&~ `, c) {
		if c == ' ' || c == '-' || c == '&' || c == '~' || c == '#' {
			return string(c)
		}
		return `\` + string(c)
	}
	return string(c)
}

// closure reads a quantifier after an atom.
func (p *parser) closure(atom string) (string, error) {
	if p.end() {
		return atom, nil
	}
	q := ""
	switch c := p.peek(); c {
	case '?', '*', '+':
		q = string(c)
		p.cursor++
	case '{':
		s, err := p.counted()
		if err != nil {
			return "", err
		}
		q = s
	default:
		return atom, nil
	}
	if len(q) > 0 && !single(atom) {
		atom = "(?:" + atom + ")"
	}
	switch p.peek() {
	case '?':
		p.cursor++
		return atom + q + "?", nil
	case '+':
		p.cursor++
		p.backtrack = true
		return "(?>" + atom + q + ")", nil
	}
	return atom + q, nil
}

// single reports whether a quantifier binds to the whole of an emitted atom: it
// is one rune, one escape, one class or one group.
func single(a string) bool {
	r := []rune(a)
	switch {
	case len(r) == 1:
		return true
	case r[0] == '\\':
		return len(r) == 2
	case r[0] == '[' || r[0] == '(':
		return true // atoms are emitted as exactly one class or group
	}
	return false
}

func (p *parser) counted() (string, error) {
	i := p.cursor + 1
	if c := p.at(i); c < '0' || c > '9' {
		return "", p.fail("Illegal repetition")
	}
	num := func() (int, bool) {
		n := 0
		for c := p.at(i); c >= '0' && c <= '9'; c = p.at(i) {
			if n = n*10 + int(c-'0'); n > 1<<31-1 {
				return 0, false
			}
			i++
		}
		return n, true
	}
	lo, ok := num()
	hi := lo
	out := "{" + strconv.Itoa(lo)
	if ok && p.at(i) == ',' {
		i++
		out += ","
		if p.at(i) != '}' {
			if hi, ok = num(); ok {
				out += strconv.Itoa(hi)
			}
		} else {
			hi = 1<<31 - 1
		}
	}
	p.cursor = i
	switch {
	case !ok:
		return "", p.fail("Illegal repetition range")
	case p.at(i) != '}':
		return "", p.fail("Unclosed counted closure")
	case hi < lo:
		return "", p.fail("Illegal repetition range")
	}
	p.cursor = i + 1
	return out + "}", nil
}
