package convert

import (
	"strconv"
	"strings"
)

// protoFile is a .proto file as far as values need it.
type protoFile struct {
	pkg      string
	messages []*protoMessage // at the top, in order: the wire format counts them
	types    map[string]any  // *protoMessage or *protoEnum by full name
	proto2   bool
}

// protoMessage is a message type.
type protoMessage struct {
	full   string
	name   string
	fields []protoField
	nested []*protoMessage
	oneofs []string
}

type protoEnum struct {
	full   string
	values []protoValue
}

type protoValue struct {
	name   string
	number int64
}

// protoField is a field of a message; typ is a scalar's name or as it is written.
type protoField struct {
	name     string
	number   int
	typ      string
	key      string // key type of a map field
	repeated bool
	optional bool
	required bool
	oneof    int // index in oneofs; -1
	params   map[string]string
}

// protoParser reads the text of a .proto file.
type protoParser struct {
	text  string
	pos   int
	tok   string // current token; "" at the end
	str   bool   // the token is a string literal, already unquoted
	depth int
	file  *protoFile
}

// parseProto reads a .proto file; types of files it imports are put into the same
// table before.
func parseProto(text string, types map[string]any) (*protoFile, error) {
	p := protoParser{text: text, file: &protoFile{types: types, proto2: true}}
	if err := p.next(); err != nil {
		return nil, err
	}
	for p.tok != "" {
		if err := p.topLevel(); err != nil {
			return nil, err
		}
	}
	return p.file, nil
}

func (p *protoParser) fail(what string) error {
	return valueErrorf("the .proto text cannot be read at byte %d: %s", p.pos, what)
}

// next reads a token: a name or number, a string, or one punctuation byte.
func (p *protoParser) next() error {
	p.str = false
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
			p.pos++
		case strings.HasPrefix(p.text[p.pos:], "//"):
			if i := strings.IndexByte(p.text[p.pos:], '\n'); i >= 0 {
				p.pos += i
			} else {
				p.pos = len(p.text)
			}
		case strings.HasPrefix(p.text[p.pos:], "/*"):
			i := strings.Index(p.text[p.pos+2:], "*/")
			if i < 0 {
				return p.fail("a comment has no end")
			}
			p.pos += i + 4
		case c == '"' || c == '\'':
			return p.quoted(c)
		default:
			from := p.pos
			for p.pos < len(p.text) && isProtoWord(p.text[p.pos]) {
				p.pos++
			}
			if p.pos == from {
				p.pos++
			}
			p.tok = p.text[from:p.pos]
			return nil
		}
	}
	p.tok = ""
	return nil
}

func isProtoWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' || c == '+'
}

func (p *protoParser) quoted(quote byte) error {
	var out []byte
	for i := p.pos + 1; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case quote:
			p.pos, p.tok, p.str = i+1, string(out), true
			if p.tok == "" {
				p.tok = " " // never taken for the end; empty strings mean nothing here
			}
			return nil
		case '\\':
			if i++; i < len(p.text) {
				out = append(out, p.text[i])
			}
		default:
			out = append(out, c)
		}
	}
	return p.fail("a text has no closing quote")
}

// take expects a token and reads the next.
func (p *protoParser) take(tok string) error {
	if p.tok != tok || p.str {
		return p.fail("expected '" + tok + "', found '" + p.tok + "'")
	}
	return p.next()
}

// word returns the current token and reads the next.
func (p *protoParser) word() (string, error) {
	w := p.tok
	if w == "" {
		return "", p.fail("it ends too early")
	}
	return w, p.next()
}

// skipStatement goes past the next semicolon or block.
func (p *protoParser) skipStatement() error {
	depth := 0
	for p.tok != "" {
		if !p.str {
			switch p.tok {
			case "{", "[", "(":
				depth++
			case "}", "]", ")":
				depth--
				if depth == 0 && p.tok == "}" {
					return p.next()
				}
			case ";":
				if depth == 0 {
					return p.next()
				}
			}
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	return nil
}

func (p *protoParser) topLevel() error {
	switch p.tok {
	case "message":
		m, err := p.message(p.file.pkg)
		p.file.messages = append(p.file.messages, m)
		return err
	case "enum":
		return p.enum(p.file.pkg)
	case "package":
		if err := p.next(); err != nil {
			return err
		}
		name, err := p.word()
		p.file.pkg = name
		if err != nil {
			return err
		}
		return p.take(";")
	case "syntax":
		if err := p.next(); err != nil {
			return err
		}
		if err := p.take("="); err != nil {
			return err
		}
		v, err := p.word()
		p.file.proto2 = v != "proto3"
		if err != nil {
			return err
		}
		return p.take(";")
	case ";":
		return p.next()
	}
	return p.skipStatement() // import, option, service, extend, edition
}

func scoped(scope, name string) string {
	if scope == "" {
		return name
	}
	return scope + "." + name
}

func (p *protoParser) message(scope string) (*protoMessage, error) {
	if p.depth++; p.depth > 100 {
		return nil, p.fail("messages are nested too deeply")
	}
	defer func() { p.depth-- }()
	if err := p.next(); err != nil {
		return nil, err
	}
	name, err := p.word()
	if err != nil {
		return nil, err
	}
	m := &protoMessage{name: name, full: scoped(scope, name)}
	p.file.types[m.full] = m
	if err := p.take("{"); err != nil {
		return m, err
	}
	for p.tok != "}" {
		if p.tok == "" {
			return m, p.fail("a message has no end")
		}
		if err := p.member(m); err != nil {
			return m, err
		}
	}
	return m, p.next()
}

func (p *protoParser) member(m *protoMessage) error {
	switch p.tok {
	case "message":
		n, err := p.message(m.full)
		m.nested = append(m.nested, n)
		return err
	case "enum":
		return p.enum(m.full)
	case "oneof":
		return p.oneof(m)
	case "option", "reserved", "extensions", "extend":
		return p.skipStatement()
	case ";":
		return p.next()
	}
	return p.field(m, -1)
}

func (p *protoParser) oneof(m *protoMessage) error {
	if err := p.next(); err != nil {
		return err
	}
	name, err := p.word()
	if err != nil {
		return err
	}
	m.oneofs = append(m.oneofs, name)
	if err := p.take("{"); err != nil {
		return err
	}
	for p.tok != "}" {
		switch p.tok {
		case "":
			return p.fail("a oneof has no end")
		case "option":
			err = p.skipStatement()
		default:
			err = p.field(m, len(m.oneofs)-1)
		}
		if err != nil {
			return err
		}
	}
	return p.next()
}

func (p *protoParser) field(m *protoMessage, oneof int) (err error) {
	f := protoField{oneof: oneof}
	switch p.tok {
	case "repeated":
		f.repeated = true
		err = p.next()
	case "optional":
		f.optional = true
		err = p.next()
	case "required":
		f.required = true
		err = p.next()
	}
	if err != nil {
		return err
	}
	if f.typ, err = p.word(); err != nil {
		return err
	}
	if f.typ == "group" {
		return p.fail("groups are not supported")
	}
	if f.typ == "map" && p.tok == "<" {
		if err := p.mapTypes(&f); err != nil {
			return err
		}
	}
	if f.name, err = p.word(); err != nil {
		return err
	}
	if err := p.take("="); err != nil {
		return err
	}
	number, err := p.word()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(number, 0, 32)
	if err != nil || n < 1 || n > 1<<29-1 {
		return p.fail("the number " + number + " of a field is out of range")
	}
	f.number = int(n)
	if p.tok == "[" {
		if err := p.options(&f); err != nil {
			return err
		}
	}
	m.fields = append(m.fields, f)
	return p.take(";")
}

func (p *protoParser) mapTypes(f *protoField) (err error) {
	if err := p.take("<"); err != nil {
		return err
	}
	if f.key, err = p.word(); err != nil {
		return err
	}
	if err := p.take(","); err != nil {
		return err
	}
	if f.typ, err = p.word(); err != nil {
		return err
	}
	return p.take(">")
}

// options reads the options of a field and keeps the params of confluent.field_meta.
func (p *protoParser) options(f *protoField) error {
	depth, last := 0, ""
	var key, value string
	for p.tok != "" {
		if p.str {
			switch last {
			case "key":
				key = p.tok
			case "value":
				value = p.tok
			}
		} else {
			switch p.tok {
			case "[", "{", "(":
				depth++
			case "]", "}", ")":
				depth--
				if p.tok == "}" && key != "" {
					if f.params == nil {
						f.params = map[string]string{}
					}
					f.params[key] = value
					key, value = "", ""
				}
				if depth == 0 {
					return p.next()
				}
			case ":":
			default:
				last = p.tok
			}
		}
		if err := p.next(); err != nil {
			return err
		}
	}
	return p.fail("the options of a field have no end")
}

func (p *protoParser) enum(scope string) error {
	if err := p.next(); err != nil {
		return err
	}
	name, err := p.word()
	if err != nil {
		return err
	}
	e := &protoEnum{full: scoped(scope, name)}
	p.file.types[e.full] = e
	if err := p.take("{"); err != nil {
		return err
	}
	for p.tok != "}" {
		switch p.tok {
		case "":
			return p.fail("an enum has no end")
		case "option", "reserved", ";":
			if err := p.skipStatement(); err != nil {
				return err
			}
			continue
		}
		v := protoValue{}
		if v.name, err = p.word(); err != nil {
			return err
		}
		if err := p.take("="); err != nil {
			return err
		}
		number, err := p.word()
		if err != nil {
			return err
		}
		if v.number, err = strconv.ParseInt(number, 0, 32); err != nil {
			return p.fail("the number of an enum value is out of range")
		}
		e.values = append(e.values, v)
		if err := p.skipStatement(); err != nil {
			return err
		}
	}
	return p.next()
}

// resolve finds the type that a field names, from the innermost scope outwards.
func (f *protoFile) resolve(name, scope string) any {
	if strings.HasPrefix(name, ".") {
		return f.types[name[1:]]
	}
	for {
		if t := f.types[scoped(scope, name)]; t != nil {
			return t
		}
		i := strings.LastIndexByte(scope, '.')
		if i < 0 {
			if scope == "" {
				return nil
			}
			scope = ""
			continue
		}
		scope = scope[:i]
	}
}
