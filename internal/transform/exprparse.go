package transform

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// exprNode is a node of a parsed expression.
type exprNode struct {
	op    string // "const", "var", "get", "index", "call", "list", "text", "match", an operator, "?", "?:"
	args  []*exprNode
	value exprVal
	name  string
	safe  bool // ?.
	regex *javaregex.Regexp
	// replacement is that of replaceAll and replaceFirst.
	replacement *javaregex.Replacement

	// For "get": where the field lay in the schema seen last. A node belongs to one
	// step, which one goroutine uses.
	seen  *record.Schema
	index int
	field *record.Schema
}

// exprError is an expression that cannot be parsed; column counts from 1.
type exprError struct {
	column int
	text   string
}

func (e *exprError) Error() string { return fmt.Sprintf("column %d: %s", e.column, e.text) }

// exprParser parses the subset of Groovy that expressions of Filter and
// ContentBasedRouter use: property paths of key, value, keySchema, valueSchema,
// topic and header, comparisons, logic, arithmetic, in, ?:, text with ${}, and the
// usual methods of text and lists.
type exprParser struct {
	src   string
	pos   int
	depth int
}

func parseExpr(src string) (*exprNode, error) {
	p := &exprParser{src: src}
	n, err := p.statement()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.src) {
		return nil, p.fail("%q is not understood here; the supported language is comparisons, &&, ||, !, in, ?:, arithmetic, property paths and methods of text and lists", p.src[p.pos:])
	}
	return n, nil
}

func (p *exprParser) fail(format string, args ...any) error {
	return &exprError{p.pos + 1, fmt.Sprintf(format, args...)}
}

// space skips blanks and comments.
func (p *exprParser) space() {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.pos++
		case strings.HasPrefix(rest, "//"):
			line, _, _ := strings.Cut(rest, "\n")
			p.pos += len(line)
		case strings.HasPrefix(rest, "/*"):
			comment, _, ends := strings.Cut(rest[2:], "*/")
			if !ends {
				return
			}
			p.pos += len(comment) + 4
		default:
			return
		}
	}
}

// token takes an operator if it stands here and does not go on as a longer one.
func (p *exprParser) token(t string) bool {
	p.space()
	if !strings.HasPrefix(p.src[p.pos:], t) {
		return false
	}
	next := byte(0)
	if p.pos+len(t) < len(p.src) {
		next = p.src[p.pos+len(t)]
	}
	switch t {
	case "<", ">", "!":
		if next == '=' || t == "!" && next == 'i' && strings.HasPrefix(p.src[p.pos:], "!in ") {
			return false
		}
	case "==":
		if next == '~' {
			return false
		}
	case "?":
		if next == '.' || next == ':' {
			return false
		}
	}
	p.pos += len(t)
	return true
}

// word takes a keyword.
func (p *exprParser) word(w string) bool {
	p.space()
	if !strings.HasPrefix(p.src[p.pos:], w) {
		return false
	}
	if e := p.pos + len(w); e < len(p.src) && identByte(p.src[e], false) {
		return false
	}
	p.pos += len(w)
	return true
}

func identByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c >= 0x80 || !first && c >= '0' && c <= '9'
}

func (p *exprParser) ident() string {
	p.space()
	start := p.pos
	for p.pos < len(p.src) && identByte(p.src[p.pos], p.pos == start) {
		p.pos++
	}
	return p.src[start:p.pos]
}

func (p *exprParser) ternary() (*exprNode, error) {
	if p.depth++; p.depth > 100 {
		return nil, p.fail("the expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	c, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	switch {
	case p.token("?:"):
		b, err := p.ternary()
		return &exprNode{op: "?:", args: []*exprNode{c, b}}, err
	case p.token("?"):
		a, err := p.ternary()
		if err != nil {
			return nil, err
		}
		if !p.token(":") {
			return nil, p.fail("a : is expected")
		}
		b, err := p.ternary()
		return &exprNode{op: "?", args: []*exprNode{c, a, b}}, err
	}
	return c, nil
}

// levels are the binary operators from weak to strong.
var levels = [][]string{{"||"}, {"&&"}, {"==~", "=~", "==", "!="}, {"<=", ">=", "<", ">", "!in", "in"}, {"+", "-"}, {"*", "/", "%"}}

// relational is the level of <, in, as and instanceof.
const relational = 3

func (p *exprParser) typeOperator() string {
	for _, op := range []string{"instanceof", "as"} {
		if p.word(op) {
			return op
		}
	}
	return ""
}

func (p *exprParser) binary(level int) (*exprNode, error) {
	if level == len(levels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		if level == relational {
			if op := p.typeOperator(); op != "" {
				left, err = p.typed(left, op)
				continue
			}
		}
		op := ""
		for _, o := range levels[level] {
			if o == "in" && p.word(o) || o == "!in" && p.word(o) || o != "in" && o != "!in" && p.token(o) {
				op = o
				break
			}
		}
		if op == "" {
			return left, nil
		}
		if op == "==~" || op == "=~" {
			left, err = p.pattern(left, op)
			continue
		}
		var right *exprNode
		if right, err = p.binary(level + 1); err == nil {
			left = &exprNode{op: op, args: []*exprNode{left, right}}
		}
	}
	return nil, err
}

// pattern reads the pattern behind =~ (somewhere) or ==~ (the whole text).
func (p *exprParser) pattern(left *exprNode, op string) (*exprNode, error) {
	p.space()
	at := p.pos
	n, err := p.unary()
	if err != nil {
		return nil, err
	}
	if n.op != "const" || n.value.kind != exprText {
		p.pos = at
		return nil, p.fail("a pattern in quotes or slashes is expected")
	}
	return p.match(left, op, n.value.s, at)
}

func (p *exprParser) match(left *exprNode, op, pattern string, at int) (*exprNode, error) {
	r, err := javaregex.Compile(pattern, 0)
	if err != nil {
		p.pos = at
		return nil, p.fail("%s", err.Error())
	}
	return &exprNode{op: "match", name: op, args: []*exprNode{left}, regex: r}, nil
}

func (p *exprParser) unary() (*exprNode, error) {
	switch {
	case p.token("!"):
		n, err := p.unary()
		return &exprNode{op: "!", args: []*exprNode{n}}, err
	case p.token("+"):
		return p.unary()
	case p.token("-"):
		n, err := p.unary()
		return &exprNode{op: "neg", args: []*exprNode{n}}, err
	}
	return p.postfix()
}

func (p *exprParser) postfix() (*exprNode, error) {
	n, err := p.primary()
	for err == nil {
		safe := p.token("?.")
		switch {
		case safe || p.token("."):
			n, err = p.member(n, safe)
		case p.token("["):
			var i *exprNode
			if i, err = p.ternary(); err == nil {
				n = &exprNode{op: "index", args: []*exprNode{n, i}}
				if !p.token("]") {
					err = p.fail("a ] is expected")
				}
			}
		default:
			return n, nil
		}
	}
	return nil, err
}

// member reads what follows a dot: a property, or a method and its arguments.
func (p *exprParser) member(n *exprNode, safe bool) (*exprNode, error) {
	p.space()
	at := p.pos
	name := p.ident()
	if name == "" {
		if c := p.pos; c < len(p.src) && (p.src[c] == '\'' || p.src[c] == '"') {
			q, err := p.quoted()
			if err == nil && q.op != "const" {
				err = p.fail("a plain name is expected")
			}
			if err != nil {
				return nil, err
			}
			name = q.value.s
		}
	}
	if name == "" {
		return nil, p.fail("a property or method is expected")
	}
	if !p.token("(") {
		return &exprNode{op: "get", name: name, safe: safe, args: []*exprNode{n}}, nil
	}
	args, err := p.list(")")
	if err != nil {
		return nil, err
	}
	want, known := exprMethods[name]
	if !known || len(args) < want[0] || len(args) > want[1] {
		p.pos = at
		return nil, p.fail("the method %s with %d arguments is not supported", name, len(args))
	}
	if name == "matches" {
		if args[0].op != "const" || args[0].value.kind != exprText {
			p.pos = at
			return nil, p.fail("a pattern in quotes is expected")
		}
		return p.match(n, "==~", args[0].value.s, at)
	}
	if name == "split" {
		return p.splitting(n, args[0], safe, at)
	}
	out := &exprNode{op: "call", name: name, safe: safe, args: append([]*exprNode{n}, args...)}
	if name == "replaceAll" || name == "replaceFirst" {
		return out, p.replacing(out, at)
	}
	return out, nil
}

// splitting compiles the pattern of split.
func (p *exprParser) splitting(n, pattern *exprNode, safe bool, at int) (*exprNode, error) {
	if pattern.op != "const" || pattern.value.kind != exprText {
		p.pos = at
		return nil, p.fail("a pattern in quotes is expected")
	}
	r, err := javaregex.Compile(pattern.value.s, 0)
	if err != nil {
		p.pos = at
		return nil, p.fail("%s", err.Error())
	}
	return &exprNode{op: "call", name: "split", safe: safe, args: []*exprNode{n}, regex: r}, nil
}

// replacing compiles the pattern and the replacement of replaceAll and replaceFirst.
func (p *exprParser) replacing(n *exprNode, at int) (err error) {
	pattern, repl := n.args[1], n.args[2]
	if pattern.op != "const" || pattern.value.kind != exprText || repl.op != "const" || repl.value.kind != exprText {
		p.pos = at
		return p.fail("a pattern and a replacement in quotes are expected")
	}
	if n.regex, err = javaregex.Compile(pattern.value.s, 0); err == nil {
		n.replacement, err = n.regex.CompileReplacement(repl.value.s)
	}
	if err != nil {
		p.pos = at
		return p.fail("%s", err.Error())
	}
	return nil
}

func (p *exprParser) list(end string) ([]*exprNode, error) {
	var out []*exprNode
	for !p.token(end) {
		if len(out) > 0 && !p.token(",") {
			return nil, p.fail("a , or %s is expected", end)
		}
		n, err := p.ternary()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (p *exprParser) primary() (*exprNode, error) {
	if p.space(); p.pos >= len(p.src) {
		return nil, p.fail("the expression ends too early")
	}
	switch c := p.src[p.pos]; {
	case c == '(':
		p.pos++
		n, err := p.ternary()
		if err == nil && !p.token(")") {
			err = p.fail("a ) is expected")
		}
		return n, err
	case c == '[':
		p.pos++
		args, err := p.list("]")
		return &exprNode{op: "list", args: args}, err
	case c == '\'' || c == '"':
		return p.quoted()
	case c == '/':
		return p.slashy()
	case c >= '0' && c <= '9':
		return p.number()
	}
	at := p.pos
	name := p.ident()
	switch name {
	case "true", "false":
		return constNode(exprVal{kind: exprBool, i: int64(len("false") - len(name))}), nil // 1 for true
	case "null":
		return constNode(exprVal{}), nil
	case "key", "value", "keySchema", "valueSchema", "topic", "header":
		return &exprNode{op: "var", name: name}, nil
	case "headers":
		p.pos = at
		return nil, p.fail("headers is not known; it is called header")
	}
	p.pos = at
	if name == "" {
		name = p.src[p.pos : p.pos+1]
	}
	return nil, p.fail("%s is not known; known are key, value, keySchema, valueSchema, topic and header", name)
}

func constNode(v exprVal) *exprNode { return &exprNode{op: "const", value: v} }

// slashy reads a pattern between slashes.
func (p *exprParser) slashy() (*exprNode, error) {
	var sb strings.Builder
	for p.pos++; p.pos < len(p.src); p.pos++ {
		switch c := p.src[p.pos]; {
		case c == '/':
			p.pos++
			return constNode(exprVal{kind: exprText, s: sb.String()}), nil
		case c == '\\' && p.pos+1 < len(p.src) && p.src[p.pos+1] == '/':
			p.pos++
			sb.WriteByte('/')
		default:
			sb.WriteByte(c)
		}
	}
	return nil, p.fail("a / is expected at the end of the pattern")
}

// quoted reads a text in quotes; within double quotes $name and ${…} are replaced.
func (p *exprParser) quoted() (*exprNode, error) {
	q := p.src[p.pos]
	p.pos++
	var parts []*exprNode
	var sb strings.Builder
	flush := func() {
		if sb.Len() > 0 || len(parts) == 0 {
			parts = append(parts, constNode(exprVal{kind: exprText, s: sb.String()}))
			sb.Reset()
		}
	}
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == q:
			flush()
			if len(parts) == 1 {
				return parts[0], nil
			}
			return &exprNode{op: "text", args: parts}, nil
		case c == '\\' && p.pos < len(p.src):
			sb.WriteByte(unescape(p.src[p.pos]))
			p.pos++
		case c == '$' && q == '"':
			flush()
			n, err := p.inserted()
			if err != nil {
				return nil, err
			}
			parts = append(parts, n)
		default:
			sb.WriteByte(c)
		}
	}
	return nil, p.fail("the text does not end")
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	}
	return c
}

// inserted reads what follows a $ within double quotes.
func (p *exprParser) inserted() (*exprNode, error) {
	if p.pos < len(p.src) && p.src[p.pos] == '{' {
		p.pos++
		n, err := p.ternary()
		if err == nil && !p.token("}") {
			err = p.fail("a } is expected")
		}
		return n, err
	}
	n, err := p.primary()
	for err == nil && p.pos+1 < len(p.src) && p.src[p.pos] == '.' && identByte(p.src[p.pos+1], true) {
		p.pos++
		n, err = p.member(n, false)
	}
	return n, err
}

func (p *exprParser) number() (*exprNode, error) {
	start := p.pos
	for p.pos < len(p.src) && (p.src[p.pos] >= '0' && p.src[p.pos] <= '9' || p.src[p.pos] == '_') {
		p.pos++
	}
	frac := p.pos+1 < len(p.src) && p.src[p.pos] == '.' && p.src[p.pos+1] >= '0' && p.src[p.pos+1] <= '9'
	if frac {
		for p.pos++; p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9'; {
			p.pos++
		}
	}
	if e := p.pos; e < len(p.src) && p.src[e]|0x20 == 'e' {
		if e++; e < len(p.src) && (p.src[e] == '+' || p.src[e] == '-') {
			e++
		}
		if e < len(p.src) && p.src[e] >= '0' && p.src[e] <= '9' {
			for e < len(p.src) && p.src[e] >= '0' && p.src[e] <= '9' {
				e++
			}
			if e-p.pos > 6 {
				return nil, p.fail("the exponent of a number is too large")
			}
			p.pos = e
		}
	}
	text := strings.ReplaceAll(p.src[start:p.pos], "_", "")
	suffix := byte(0)
	if p.pos < len(p.src) && strings.IndexByte("LlGgIiDdFf", p.src[p.pos]) >= 0 {
		suffix = p.src[p.pos] | 0x20
		p.pos++
	}
	if p.pos < len(p.src) && identByte(p.src[p.pos], true) {
		return nil, p.fail("a number is not followed by a letter")
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && suffix != 'd' && suffix != 'f' {
		return constNode(exprVal{kind: exprInt, i: n}), nil
	}
	if suffix == 'd' || suffix == 'f' {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, p.fail("%s is no number", text)
		}
		return constNode(exprVal{kind: exprFloat, f: f}), nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, p.fail("%s is no number", text)
	}
	return constNode(exprVal{kind: exprDecimal, rat: r}), nil
}
