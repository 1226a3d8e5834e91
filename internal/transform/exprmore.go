package transform

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/record"
)

// exprTypes are the classes behind as and instanceof: a short name for each of the
// names that people write.
var exprTypes = map[string]string{
	"String": "String", "CharSequence": "String", "java.lang.String": "String",
	"int": "Integer", "Integer": "Integer", "long": "Long", "Long": "Long", "double": "Double", "Double": "Double", "float": "Double", "Float": "Double",
	"BigDecimal": "BigDecimal", "boolean": "Boolean", "Boolean": "Boolean", "Number": "Number",
	"Struct": "Struct", "org.apache.kafka.connect.data.Struct": "Struct", "List": "List", "Map": "Map",
}

// typed reads the class behind as or instanceof.
func (p *exprParser) typed(left *exprNode, op string) (*exprNode, error) {
	p.space()
	at := p.pos
	name := p.ident()
	for p.pos < len(p.src) && p.src[p.pos] == '.' {
		p.pos++
		name += "." + p.ident()
	}
	to, ok := exprTypes[name]
	if !ok || op == "as" && (to == "Struct" || to == "List" || to == "Map" || to == "Number") {
		p.pos = at
		return nil, p.fail("the class %q is not supported behind %s", name, op)
	}
	return &exprNode{op: op, name: to, args: []*exprNode{left}}, nil
}

// statement reads an expression, or an if whose branches are statements.
func (p *exprParser) statement() (*exprNode, error) {
	if p.depth++; p.depth > 100 {
		return nil, p.fail("the expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	if !p.word("if") {
		p.word("return")
		n, err := p.ternary()
		p.token(";")
		return n, err
	}
	if !p.token("(") {
		return nil, p.fail("a ( is expected")
	}
	cond, err := p.ternary()
	if err == nil && !p.token(")") {
		err = p.fail("a ) is expected")
	}
	if err != nil {
		return nil, err
	}
	then, returns, err := p.block()
	if err != nil {
		return nil, err
	}
	other := constNode(exprVal{})
	switch {
	case p.word("else"):
		other, _, err = p.block()
	case p.more() && !returns:
		err = p.fail("a return is expected in the if before, since a statement follows it")
	case p.more():
		other, err = p.statement()
	}
	return &exprNode{op: "?", args: []*exprNode{cond, then, other}}, err
}

// more reports whether a statement follows within the same braces.
func (p *exprParser) more() bool {
	p.space()
	return p.pos < len(p.src) && p.src[p.pos] != '}'
}

// block reads a branch of an if; returns tells that it begins with return.
func (p *exprParser) block() (n *exprNode, returns bool, err error) {
	braces := p.token("{")
	p.space()
	rest := p.src[p.pos:]
	returns = strings.HasPrefix(rest, "return") && (len(rest) == 6 || !identByte(rest[6], false))
	n, err = p.statement()
	if err == nil && braces && !p.token("}") {
		err = p.fail("a } is expected")
	}
	p.token(";")
	return n, returns, err
}

// instanceOf tells whether a value is of a class.
func instanceOf(v exprVal, class string) bool {
	switch v.kind {
	case exprText:
		return class == "String"
	case exprBool:
		return class == "Boolean"
	case exprStruct:
		return class == "Struct"
	case exprArray:
		return class == "List"
	case exprMap:
		return class == "Map"
	case exprInt:
		long := v.c.Kind() == record.Int64 || v.c.Kind() == record.Null && int64(int32(v.i)) != v.i
		small := v.c.Kind() == record.Int8 || v.c.Kind() == record.Int16
		return class == "Number" || class == "Long" && long || class == "Integer" && !long && !small
	case exprFloat:
		return class == "Number" || class == "Double"
	case exprDecimal:
		return class == "Number" || class == "BigDecimal"
	}
	return false
}

// converted is Groovy's as, and the methods toInteger, intValue and their like.
func (e *exprEnv) converted(v exprVal, class string) (exprVal, error) {
	switch class {
	case "String":
		return exprVal{kind: exprText, s: e.text(v)}, nil
	case "Boolean":
		return boolVal(e.truth(v)), nil
	}
	var r *big.Rat
	switch v.kind {
	case exprInt:
		r = new(big.Rat).SetInt64(v.i)
	case exprFloat:
		r = new(big.Rat).SetFloat64(v.f)
	case exprDecimal:
		r = v.rat
	case exprText:
		r = rationalText(v.s, class)
	}
	if r == nil {
		return v, fmt.Errorf("%s cannot be converted to %s", e.text(v), class)
	}
	switch class {
	case "Double":
		f, _ := r.Float64()
		return exprVal{kind: exprFloat, f: f}, nil
	case "BigDecimal":
		return exprVal{kind: exprDecimal, rat: r}, nil
	}
	n := new(big.Int).Quo(r.Num(), r.Denom())
	low := int64(new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()) // as Java narrows
	if class == "Integer" {
		low = int64(int32(low))
	}
	return exprVal{kind: exprInt, i: low}, nil
}

// rationalText reads a text as a number of a class; nil: it is none.
func rationalText(s, class string) *big.Rat {
	s = strings.TrimSpace(s)
	if class == "Integer" || class == "Long" {
		n, err := strconv.ParseInt(s, 10, map[string]int{"Integer": 32, "Long": 64}[class])
		if err != nil {
			return nil
		}
		return new(big.Rat).SetInt64(n)
	}
	if len(s) > 64 || strings.ContainsAny(s, "/_xXpP") {
		return nil
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if n, err := strconv.Atoi(s[i+1:]); err != nil || n > 400 || n < -400 {
			return nil
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return r
}

// conversions are the methods that are another way to write as.
var conversions = map[string]string{
	"toInteger": "Integer", "intValue": "Integer", "toLong": "Long", "longValue": "Long", "toDouble": "Double", "doubleValue": "Double", "toBigDecimal": "BigDecimal",
}

// listMethod is the methods that make or read lists; ok false: it is none of them.
func (e *exprEnv) listMethod(v exprVal, n *exprNode, arg exprVal) (out exprVal, ok bool, err error) {
	texts := func(parts []string) exprVal {
		out := exprVal{kind: exprArray, list: make([]exprVal, len(parts))}
		for i, s := range parts {
			out.list[i] = exprVal{kind: exprText, s: s}
		}
		return out
	}
	switch {
	case n.name == "split" && v.kind == exprText:
		return texts(n.regex.Split(v.s)), true, nil
	case n.name == "tokenize" && v.kind == exprText && arg.kind == exprText:
		return texts(strings.FieldsFunc(v.s, func(r rune) bool { return strings.ContainsRune(arg.s, r) })), true, nil
	case (n.name == "first" || n.name == "last") && v.kind == exprArray:
		size := e.size(v)
		if size == 0 {
			return v, true, fmt.Errorf("Cannot access %s() element from an empty List", n.name)
		}
		return e.item(v, map[string]int{"first": 0, "last": size - 1}[n.name]), true, nil
	case n.name == "containsKey" && v.kind == exprMap:
		return boolVal(e.contains(v, arg)), true, nil
	case n.name == "containsKey" && v.kind == exprHeaders && arg.kind == exprText:
		h, err := e.property(v, arg.s, false)
		return boolVal(h.kind != exprNull), true, err
	}
	return v, false, nil
}
