package javaregex

import "strings"

// group reads what starts with '('. Inline flags without a body return "".
func (p *parser) group() (string, error) {
	p.cursor++
	saved := p.flags
	if p.at(p.cursor) != '?' {
		p.groups++
		return p.body("(", saved)
	}
	p.cursor++
	c := p.at(p.cursor)
	p.cursor++
	switch c {
	case ':':
		return p.body("(?:", saved)
	case '=', '!':
		p.backtrack = true
		return p.body("(?"+string(c), saved)
	case '>':
		p.backtrack = true
		return p.body("(?>", saved)
	case '<':
		return p.angle(saved)
	case '$', '@':
		return "", p.fail("Unknown group type")
	}
	p.cursor--
	return p.inlineFlags(saved)
}

// angle reads a named group or a look-behind after "(?<".
func (p *parser) angle(saved Flags) (string, error) {
	c := p.at(p.cursor)
	if c == '=' || c == '!' {
		p.cursor++
		p.backtrack = true
		return p.body("(?<"+string(c), saved)
	}
	if !letter(c) {
		p.cursor++
		return "", p.fail("Unknown look-behind group")
	}
	start := p.cursor
	for letter(p.at(p.cursor)) || digit(p.at(p.cursor)) {
		p.cursor++
	}
	name := string(p.src[start:min(p.cursor, len(p.src))])
	p.cursor++
	if p.at(p.cursor-1) != '>' {
		return "", p.fail("named capturing group is missing trailing '>'")
	}
	if _, dup := p.names[name]; dup {
		return "", p.fail("Named capturing group <%s> is already defined", name)
	}
	p.groups++
	p.names[name] = p.groups
	// Emitted unnamed: the numbers are the same and both engines agree on them.
	return p.body("(", saved)
}

func (p *parser) body(open string, saved Flags) (string, error) {
	s, err := p.expr()
	if err != nil {
		return "", err
	}
	p.peek()
	closed := p.at(p.cursor) == ')'
	p.cursor++
	if !closed {
		p.cursor = min(p.cursor, len(p.src)+1)
		return "", p.fail("Unclosed group")
	}
	p.flags = saved
	return open + s + ")", nil
}

var flagOf = map[rune]Flags{'i': CaseInsensitive, 'm': Multiline, 's': DotAll, 'u': UnicodeCase, 'x': Comments, 'd': UnixLines}

func (p *parser) inlineFlags(saved Flags) (string, error) {
	f, off := p.flags, false
	for ; ; p.cursor++ {
		c := p.at(p.cursor)
		bit, known := flagOf[c]
		switch {
		case known && off:
			f &^= bit
		case known:
			f |= bit
		case c == '-' && !off:
			off = true
		case c == 'U':
			p.cursor++
			return "", p.fail("The flag U is not supported here: write the character classes out")
		case c == ')':
			p.cursor++
			p.flags = f // until the end of the enclosing group
			return "", nil
		case c == ':':
			p.cursor++
			p.flags = f
			return p.body("(?:", saved)
		default:
			p.cursor++
			return "", p.fail("Unknown inline modifier")
		}
	}
}

func letter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c rune) bool  { return c >= '0' && c <= '9' }

// escape reads a backslash sequence outside a class.
func (p *parser) escape() (string, error) {
	c := p.at(p.cursor + 1)
	switch {
	case p.cursor+1 >= len(p.src):
		p.cursor += 2
		return "", p.fail("Unescaped trailing backslash")
	case c == 'Q':
		return p.quoted(), nil
	case c >= '1' && c <= '9':
		return p.backref(), nil
	}
	switch c {
	case 'A', 'b', 'B', 'z':
		p.cursor += 2
		return `\` + string(c), nil
	case 'Z':
		p.cursor += 2
		p.backtrack = true
		return `(?=(?:\r\n|[\n\r\u0085\u2028\u2029])?\z)`, nil
	case 'G':
		p.cursor += 2
		p.backtrack = true
		return `\G`, nil
	case 'R':
		p.cursor += 2
		return "(?:\\r\\n|[\\n\v\\f\\r\u0085\u2028\u2029])", nil
	case 'k':
		return p.namedRef()
	case 'E':
		p.cursor += 2
		return "", nil
	}
	set, one, err := p.classEscape()
	if err != nil {
		return "", err
	}
	if set != nil {
		return set.emit(), nil
	}
	return p.literal(one), nil
}

// quoted reads \Q…\E.
func (p *parser) quoted() string {
	p.cursor += 2
	var sb strings.Builder
	for p.cursor < len(p.src) {
		if p.src[p.cursor] == '\\' && p.at(p.cursor+1) == 'E' {
			p.cursor += 2
			break
		}
		sb.WriteString(p.literal(p.src[p.cursor]))
		p.cursor++
	}
	// A quantifier after \E binds to the last character only; splitting that off
	// is left to Java's users who write so: it is grouped as a whole.
	return "(?:" + sb.String() + ")"
}

func (p *parser) backref() string {
	p.backtrack = true
	n := 0
	for p.cursor++; digit(p.at(p.cursor)); p.cursor++ {
		m := n*10 + int(p.at(p.cursor)-'0')
		if n > 0 && m > p.groups {
			break
		}
		n = m
	}
	if n > p.groups {
		return `(?!)`
	}
	return p.refTo(n)
}

func (p *parser) refTo(n int) string {
	s := `(?:\` + itoa(n) + `)`
	if p.has(CaseInsensitive) {
		return `(?i:\` + itoa(n) + `)`
	}
	return s
}

func (p *parser) namedRef() (string, error) {
	p.cursor += 2
	if p.at(p.cursor) != '<' {
		p.cursor++
		return "", p.fail(`\k is not followed by '<' for named capturing group`)
	}
	p.cursor++
	start := p.cursor
	for letter(p.at(p.cursor)) || digit(p.at(p.cursor)) {
		p.cursor++
	}
	name := string(p.src[start:min(p.cursor, len(p.src))])
	p.cursor++
	if p.at(p.cursor-1) != '>' {
		return "", p.fail("named capturing group is missing trailing '>'")
	}
	n, ok := p.names[name]
	if !ok {
		return "", p.fail("named capturing group <%s> does not exist", name)
	}
	p.backtrack = true
	return p.refTo(n), nil
}
