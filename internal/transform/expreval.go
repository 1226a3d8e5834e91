package transform

import (
	"fmt"
	"math/big"
	"strings"

	"millrace/internal/record"
)

// exprKind is the kind of a value of an expression.
type exprKind uint8

const (
	exprNull exprKind = iota
	exprBool
	exprInt
	exprFloat
	exprDecimal
	exprText
	exprBytes
	exprStruct
	exprArray // of the record, or list constants
	exprMap
	exprHeaders
	exprHeader
	exprSchema
)

// exprVal is a value of an expression. Text belongs to the batch or the expression
// and is valid while the record is.
type exprVal struct {
	kind   exprKind
	i      int64
	f      float64
	s      string
	c      record.Cell
	schema *record.Schema
	rat    *big.Rat
	list   []exprVal
}

// exprEnv is the record that an expression is evaluated on.
type exprEnv struct {
	b *record.Batch
	r *record.Record
}

// wrap makes a value of a cell.
func (e *exprEnv) wrap(s *record.Schema, c record.Cell) exprVal {
	v := exprVal{c: c, schema: s}
	switch c.Kind() {
	case record.Null:
		return exprVal{}
	case record.Boolean:
		v.kind = exprBool
		if c.Bool() {
			v.i = 1
		}
	case record.Float32, record.Float64:
		v.kind, v.f = exprFloat, c.Float()
	case record.String:
		v.kind, v.s = exprText, e.b.Str(c)
	case record.Bytes:
		v.kind = exprBytes
		if s != nil && s.Name == nameDecimal {
			v.kind, v.rat = exprDecimal, decimalRat(decimalOf(e.b.Raw(c)), decimalScale(s))
		}
	case record.Struct:
		v.kind = exprStruct
	case record.Array:
		v.kind = exprArray
	case record.Map:
		v.kind = exprMap
	default:
		v.kind, v.i = exprInt, c.Int()
	}
	return v
}

func decimalRat(n *big.Int, scale int) *big.Rat {
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		return new(big.Rat).SetInt(p.Mul(p, n))
	}
	return new(big.Rat).SetFrac(n, p)
}

func schemaVal(s *record.Schema) exprVal {
	if s == nil {
		return exprVal{}
	}
	return exprVal{kind: exprSchema, schema: s}
}

func boolVal(b bool) exprVal {
	if b {
		return exprVal{kind: exprBool, i: 1}
	}
	return exprVal{kind: exprBool}
}

// truth is what Groovy takes for true.
func (e *exprEnv) truth(v exprVal) bool {
	switch v.kind {
	case exprNull:
		return false
	case exprBool, exprInt:
		return v.i != 0
	case exprFloat:
		return v.f != 0
	case exprDecimal:
		return v.rat.Sign() != 0
	case exprText:
		return v.s != ""
	case exprArray, exprMap:
		return e.size(v) > 0
	}
	return true
}

func (e *exprEnv) size(v exprVal) int {
	switch {
	case v.kind == exprMap:
		return v.c.Len() / 2
	case v.list != nil:
		return len(v.list)
	}
	return v.c.Len()
}

// item is element i of an array.
func (e *exprEnv) item(v exprVal, i int) exprVal {
	if v.list != nil {
		return v.list[i]
	}
	var s *record.Schema
	if v.schema != nil {
		s = v.schema.Elem
	}
	return e.wrap(s, e.b.Child(v.c, i))
}

func (e *exprEnv) eval(n *exprNode) (exprVal, error) {
	switch n.op {
	case "const":
		return n.value, nil
	case "var":
		return e.variable(n.name), nil
	case "list", "text":
		return e.several(n)
	}
	a, err := e.eval(n.args[0])
	if err != nil {
		return a, err
	}
	switch n.op {
	case "get":
		if a.kind == exprStruct && a.schema != nil {
			return e.field(a, n)
		}
		return e.property(a, n.name, n.safe)
	case "call":
		return e.call(a, n)
	case "match":
		if a.kind == exprNull {
			return boolVal(false), nil
		}
		text := e.text(a)
		if n.name == "=~" {
			return boolVal(n.regex.Find(text)), nil
		}
		return boolVal(n.regex.MatchWhole(text)), nil
	case "!":
		return boolVal(!e.truth(a)), nil
	case "as":
		if a.kind == exprNull && n.name != "Boolean" {
			return a, nil
		}
		return e.converted(a, n.name)
	case "instanceof":
		return boolVal(instanceOf(a, n.name)), nil
	case "neg":
		return arithmetic("-", exprVal{kind: exprInt}, a)
	case "&&":
		if !e.truth(a) {
			return boolVal(false), nil
		}
	case "||":
		if e.truth(a) {
			return boolVal(true), nil
		}
	case "?:":
		if e.truth(a) {
			return a, nil
		}
		return e.eval(n.args[1])
	case "?":
		if e.truth(a) {
			return e.eval(n.args[1])
		}
		return e.eval(n.args[2])
	}
	b, err := e.eval(n.args[1])
	if err != nil {
		return b, err
	}
	return e.operate(n.op, a, b)
}

func (e *exprEnv) operate(op string, a, b exprVal) (exprVal, error) {
	switch op {
	case "&&", "||":
		return boolVal(e.truth(b)), nil
	case "==":
		return boolVal(e.equal(a, b)), nil
	case "!=":
		return boolVal(!e.equal(a, b)), nil
	case "in", "!in":
		return boolVal(e.contains(b, a) == (op == "in")), nil
	case "index":
		return e.index(a, b)
	case "<", "<=", ">", ">=":
		c, ok := compare(a, b)
		if !ok {
			return exprVal{}, fmt.Errorf("Cannot compare %s with %s", kindNames[a.kind], kindNames[b.kind])
		}
		return boolVal(op == "<" && c < 0 || op == "<=" && c <= 0 || op == ">" && c > 0 || op == ">=" && c >= 0), nil
	case "+":
		if a.kind == exprText || b.kind == exprText {
			return exprVal{kind: exprText, s: e.text(a) + e.text(b)}, nil
		}
	}
	return arithmetic(op, a, b)
}

func (e *exprEnv) variable(name string) exprVal {
	switch name {
	case "key":
		return e.wrap(e.r.KeySchema, e.r.Key)
	case "value":
		return e.wrap(e.r.ValueSchema, e.r.Value)
	case "keySchema":
		return schemaVal(e.r.KeySchema)
	case "valueSchema":
		return schemaVal(e.r.ValueSchema)
	case "topic":
		return exprVal{kind: exprText, s: e.r.Topic.Name}
	}
	return exprVal{kind: exprHeaders}
}

// several evaluates the parts of a list or of a text with insertions.
func (e *exprEnv) several(n *exprNode) (exprVal, error) {
	if n.op == "list" {
		out := exprVal{kind: exprArray, list: make([]exprVal, 0, len(n.args))}
		for _, a := range n.args {
			v, err := e.eval(a)
			if err != nil {
				return v, err
			}
			out.list = append(out.list, v)
		}
		return out, nil
	}
	var sb strings.Builder
	for _, a := range n.args {
		v, err := e.eval(a)
		if err != nil {
			return v, err
		}
		sb.WriteString(e.text(v))
	}
	return exprVal{kind: exprText, s: sb.String()}, nil
}

// field is a field of a struct; the node remembers where it lay in the last schema.
func (e *exprEnv) field(v exprVal, n *exprNode) (exprVal, error) {
	if n.seen != v.schema {
		i, s := v.schema.Field(n.name)
		if i < 0 {
			return v, fmt.Errorf("%s is not a valid field name", n.name)
		}
		n.seen, n.index, n.field = v.schema, i, s
	}
	return e.wrap(n.field, fieldValue(e.b, v.c, n.index, n.field, true)), nil
}

// property is a field of a struct, an entry of a map, a header, or a part of a
// header or schema.
func (e *exprEnv) property(v exprVal, name string, safe bool) (exprVal, error) {
	switch v.kind {
	case exprNull:
		if safe {
			return v, nil
		}
		return v, fmt.Errorf("Cannot get property '%s' on null object", name)
	case exprStruct:
		if v.schema != nil {
			if i, s := v.schema.Field(name); i >= 0 {
				return e.wrap(s, fieldValue(e.b, v.c, i, s, true)), nil
			}
		}
		return v, fmt.Errorf("%s is not a valid field name", name)
	case exprMap:
		var s *record.Schema
		if v.schema != nil {
			s = v.schema.Elem
		}
		return e.wrap(s, mapGet(e.b, v.c, name)), nil
	case exprHeaders:
		hs := e.b.Headers(e.r)
		for i := len(hs) - 1; i >= 0; i-- {
			if hs[i].Key == name {
				return exprVal{kind: exprHeader, c: hs[i].Value, schema: hs[i].Schema}, nil
			}
		}
		return exprVal{}, nil
	case exprHeader:
		switch name {
		case "value":
			return e.wrap(v.schema, v.c), nil
		case "schema":
			return schemaVal(v.schema), nil
		}
	case exprSchema:
		return schemaProperty(v.schema, name)
	}
	return v, fmt.Errorf("No such property: %s for %s", name, kindNames[v.kind])
}

func schemaProperty(s *record.Schema, name string) (exprVal, error) {
	switch name {
	case "name":
		if s.Name == "" {
			return exprVal{}, nil
		}
		return exprVal{kind: exprText, s: s.Name}, nil
	case "version":
		if s.Version == 0 {
			return exprVal{}, nil
		}
		return exprVal{kind: exprInt, i: int64(s.Version)}, nil
	case "type":
		return exprVal{kind: exprText, s: strings.ToUpper(s.Type.String())}, nil
	case "optional":
		return boolVal(s.Optional), nil
	}
	return exprVal{}, fmt.Errorf("No such property: %s for a schema", name)
}

func (e *exprEnv) index(v, i exprVal) (exprVal, error) {
	if i.kind == exprText {
		return e.property(v, i.s, false)
	}
	if v.kind != exprArray || i.kind != exprInt {
		return v, fmt.Errorf("Cannot index %s with %s", kindNames[v.kind], kindNames[i.kind])
	}
	n := int(i.i)
	if n < 0 {
		n += e.size(v)
	}
	if n < 0 || n >= e.size(v) {
		return exprVal{}, nil
	}
	return e.item(v, n), nil
}

// exprMethods are the methods and how many arguments they take.
var exprMethods = map[string][2]int{
	"startsWith": {1, 1}, "endsWith": {1, 1}, "contains": {1, 1}, "equals": {1, 1}, "equalsIgnoreCase": {1, 1}, "matches": {1, 1},
	"isEmpty": {0, 0}, "length": {0, 0}, "size": {0, 0}, "toLowerCase": {0, 0}, "toUpperCase": {0, 0}, "trim": {0, 0}, "toString": {0, 0},
	"get": {1, 1}, "getString": {1, 1}, "getStruct": {1, 1}, "getInt8": {1, 1}, "getInt16": {1, 1}, "getInt32": {1, 1}, "getInt64": {1, 1},
	"getFloat32": {1, 1}, "getFloat64": {1, 1}, "getBoolean": {1, 1}, "getArray": {1, 1}, "getMap": {1, 1}, "name": {0, 0}, "value": {0, 0}, "schema": {0, 0},
	"field": {1, 1}, "replace": {2, 2}, "replaceAll": {2, 2}, "replaceFirst": {2, 2}, "substring": {1, 2}, "indexOf": {1, 1}, "lastIndexOf": {1, 1},
	"concat": {1, 1}, "charAt": {1, 1}, "split": {1, 1}, "tokenize": {1, 1}, "first": {0, 0}, "last": {0, 0}, "containsKey": {1, 1},
	"toInteger": {0, 0}, "intValue": {0, 0}, "toLong": {0, 0}, "longValue": {0, 0}, "toDouble": {0, 0}, "doubleValue": {0, 0}, "toBigDecimal": {0, 0},
}

func (e *exprEnv) call(v exprVal, n *exprNode) (exprVal, error) {
	if v.kind == exprNull {
		switch {
		case n.safe:
			return v, nil
		case n.name == "toString":
			return exprVal{kind: exprText, s: "null"}, nil
		}
		return v, fmt.Errorf("Cannot invoke method %s() on null object", n.name)
	}
	var arg exprVal
	if len(n.args) > 1 {
		var err error
		if arg, err = e.eval(n.args[1]); err != nil {
			return arg, err
		}
	}
	switch n.name {
	case "equals":
		return boolVal(e.equal(v, arg)), nil
	case "contains":
		return boolVal(e.contains(v, arg)), nil
	case "toString":
		return exprVal{kind: exprText, s: e.text(v)}, nil
	case "name", "value", "schema":
		if v.kind == exprStruct && n.name == "schema" {
			return schemaVal(v.schema), nil
		}
		return e.property(v, n.name, false)
	case "field":
		if v.kind != exprSchema || arg.kind != exprText {
			break
		}
		_, fs := v.schema.Field(arg.s)
		return schemaVal(fs), nil
	case "replace", "replaceAll", "replaceFirst", "substring":
		return e.cut(v, n, arg)
	case "isEmpty", "size", "length":
		size := len([]rune(v.s))
		if v.kind != exprText {
			if v.kind != exprArray && v.kind != exprMap {
				break
			}
			size = e.size(v)
		}
		if n.name == "isEmpty" {
			return boolVal(size == 0), nil
		}
		return exprVal{kind: exprInt, i: int64(size)}, nil
	}
	if strings.HasPrefix(n.name, "get") {
		return e.index(v, arg)
	}
	if class := conversions[n.name]; class != "" {
		return e.converted(v, class)
	}
	if out, ok, err := e.listMethod(v, n, arg); ok || err != nil {
		return out, err
	}
	if v.kind != exprText {
		return v, fmt.Errorf("No method %s for %s", n.name, kindNames[v.kind])
	}
	return textMethod(n.name, v.s, arg)
}

// cut is the methods that make a new text of a text.
func (e *exprEnv) cut(v exprVal, n *exprNode, arg exprVal) (exprVal, error) {
	if v.kind != exprText {
		return v, fmt.Errorf("No method %s for %s", n.name, kindNames[v.kind])
	}
	if n.regex != nil {
		out := n.regex.ReplaceFirst
		if n.name == "replaceAll" {
			out = n.regex.ReplaceAll
		}
		return exprVal{kind: exprText, s: out(v.s, n.replacement)}, nil
	}
	second := exprVal{}
	if len(n.args) > 2 {
		var err error
		if second, err = e.eval(n.args[2]); err != nil {
			return second, err
		}
	}
	if n.name == "replace" {
		if arg.kind != exprText || second.kind != exprText {
			return v, fmt.Errorf("replace takes two texts")
		}
		return exprVal{kind: exprText, s: strings.ReplaceAll(v.s, arg.s, second.s)}, nil
	}
	units := []rune(v.s)
	from, to := arg.i, int64(len(units))
	if second.kind == exprInt {
		to = second.i
	}
	if arg.kind != exprInt || from < 0 || to > int64(len(units)) || from > to {
		return v, fmt.Errorf("begin %d, end %d, length %d", from, to, len(units))
	}
	return exprVal{kind: exprText, s: string(units[from:to])}, nil
}

func textMethod(name, s string, arg exprVal) (exprVal, error) {
	switch name {
	case "toLowerCase":
		return exprVal{kind: exprText, s: strings.ToLower(s)}, nil
	case "toUpperCase":
		return exprVal{kind: exprText, s: strings.ToUpper(s)}, nil
	case "trim":
		return exprVal{kind: exprText, s: strings.TrimSpace(s)}, nil
	case "equalsIgnoreCase":
		return boolVal(arg.kind == exprText && strings.EqualFold(s, arg.s)), nil
	case "charAt":
		units := []rune(s)
		if arg.kind != exprInt || arg.i < 0 || arg.i >= int64(len(units)) {
			return arg, fmt.Errorf("index %d, length %d", arg.i, len(units))
		}
		return exprVal{kind: exprText, s: string(units[arg.i])}, nil
	}
	if arg.kind != exprText {
		return arg, fmt.Errorf("the argument of %s is no text but %s", name, kindNames[arg.kind])
	}
	switch name {
	case "concat":
		return exprVal{kind: exprText, s: s + arg.s}, nil
	case "indexOf", "lastIndexOf":
		i := strings.Index(s, arg.s)
		if name == "lastIndexOf" {
			i = strings.LastIndex(s, arg.s)
		}
		if i > 0 {
			i = len([]rune(s[:i]))
		}
		return exprVal{kind: exprInt, i: int64(i)}, nil
	case "startsWith":
		return boolVal(strings.HasPrefix(s, arg.s)), nil
	}
	return boolVal(strings.HasSuffix(s, arg.s)), nil
}

// contains: a text in a text, or an equal element in a list or key in a map.
func (e *exprEnv) contains(v, what exprVal) bool {
	switch v.kind {
	case exprText:
		return what.kind == exprText && strings.Contains(v.s, what.s)
	case exprArray:
		for i := 0; i < e.size(v); i++ {
			if e.equal(e.item(v, i), what) {
				return true
			}
		}
	case exprMap:
		return what.kind == exprText && mapIndex(e.b, v.c, what.s) >= 0
	}
	return false
}
