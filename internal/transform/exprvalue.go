package transform

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/record"
)

func numeric(v exprVal) bool {
	return v.kind == exprInt || v.kind == exprFloat || v.kind == exprDecimal
}

func (e *exprEnv) equal(a, b exprVal) bool {
	if a.kind == exprNull || b.kind == exprNull {
		return a.kind == b.kind
	}
	if c, ok := compare(a, b); ok {
		return c == 0
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case exprArray:
		if e.size(a) != e.size(b) {
			return false
		}
		for i := 0; i < e.size(a); i++ {
			if !e.equal(e.item(a, i), e.item(b, i)) {
				return false
			}
		}
		return true
	case exprSchema:
		return record.Equal(a.schema, b.schema)
	case exprStruct, exprMap, exprBytes:
		return equalCells(e.b, a.c, b.c)
	}
	return false
}

// compare orders numbers, texts and booleans; null comes before everything.
func compare(a, b exprVal) (int, bool) {
	switch {
	case a.kind == exprNull || b.kind == exprNull:
		return sign(int64(min(a.kind, 1)) - int64(min(b.kind, 1))), true
	case a.kind == exprText && b.kind == exprText:
		return strings.Compare(a.s, b.s), true
	case a.kind == exprBool && b.kind == exprBool:
		return sign(a.i - b.i), true
	case !numeric(a) || !numeric(b):
		return 0, false
	case a.kind == exprInt && b.kind == exprInt:
		if a.i < b.i {
			return -1, true
		}
		return sign(min(a.i-b.i, 1)), a.i >= b.i
	case a.kind == exprFloat || b.kind == exprFloat:
		x, y := toFloat(a), toFloat(b)
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, x == y
	}
	return toRat(a).Cmp(toRat(b)), true
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func toFloat(v exprVal) float64 {
	switch v.kind {
	case exprInt:
		return float64(v.i)
	case exprDecimal:
		f, _ := v.rat.Float64()
		return f
	}
	return v.f
}

func toRat(v exprVal) *big.Rat {
	if v.kind == exprInt {
		return new(big.Rat).SetInt64(v.i)
	}
	return v.rat
}

// arithmetic is + - * / %; whole numbers divide exactly, as in Groovy.
func arithmetic(op string, a, b exprVal) (exprVal, error) {
	if !numeric(a) || !numeric(b) {
		return exprVal{}, fmt.Errorf("%s is not defined for %s and %s", op, kindNames[a.kind], kindNames[b.kind])
	}
	if a.kind == exprFloat || b.kind == exprFloat {
		return exprVal{kind: exprFloat, f: floatOp(op, toFloat(a), toFloat(b))}, nil
	}
	x, y := toRat(a), toRat(b)
	if (op == "/" || op == "%") && y.Sign() == 0 {
		return exprVal{}, fmt.Errorf("Division by zero")
	}
	r := new(big.Rat)
	switch op {
	case "+":
		r.Add(x, y)
	case "-":
		r.Sub(x, y)
	case "*":
		r.Mul(x, y)
	case "/":
		r.Quo(x, y)
	case "%":
		if !x.IsInt() || !y.IsInt() {
			return exprVal{}, fmt.Errorf("%% is not defined for numbers with fractions")
		}
		r.SetInt(new(big.Int).Rem(x.Num(), y.Num()))
	}
	if r.IsInt() && r.Num().IsInt64() && a.kind == exprInt && b.kind == exprInt {
		return exprVal{kind: exprInt, i: r.Num().Int64()}, nil
	}
	return exprVal{kind: exprDecimal, rat: r}, nil
}

func floatOp(op string, x, y float64) float64 {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	}
	return math.Mod(x, y)
}

var kindNames = [...]string{"null", "a boolean", "a number", "a number", "a decimal", "a text", "bytes", "a struct", "a list", "a map", "the headers", "a header", "a schema"}

// text is the text of a value, as Java prints it.
func (e *exprEnv) text(v exprVal) string {
	switch v.kind {
	case exprNull:
		return "null"
	case exprBool:
		return strconv.FormatBool(v.i != 0)
	case exprInt:
		return strconv.FormatInt(v.i, 10)
	case exprFloat:
		bits := 64
		if v.c.Kind() == record.Float32 {
			bits = 32
		}
		return string(appendJavaFloat(nil, v.f, bits))
	case exprDecimal:
		if !v.c.IsNull() {
			return string(appendDecimal(nil, decimalOf(e.b.Raw(v.c)), decimalScale(v.schema)))
		}
		return strings.TrimRight(strings.TrimRight(v.rat.FloatString(10), "0"), ".")
	case exprText:
		return v.s
	case exprSchema:
		return v.schema.Name
	case exprArray:
		var parts []string
		for i := 0; i < e.size(v); i++ {
			parts = append(parts, e.text(e.item(v, i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return kindNames[v.kind]
}
