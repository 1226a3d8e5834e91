package transform

import (
	"strings"
	"testing"

	"millrace/internal/record"
)

func TestExpressions(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"value.op == 'u'", "true"}, {`value.op != "d" || value.before.id != 2`, "true"},
		{"value.op in ['c', 'u'] && !(value.after.qty > 5)", "false"}, {"value.after.qty > 5", "true"},
		{"value.after.price == 1.5", "true"}, {"value.after.price < 2", "true"}, {"value.before.name == null", "true"},
		{"value.transaction?.id == null", "true"}, {"value.transaction.id", "!Cannot get property 'id' on null object"},
		{"value.after.nope == 1", "!nope is not a valid field name"}, {"topic.startsWith('s.') && topic == 's.items'", "true"},
		{"header.h.value == 1", "true"}, {"header['h'].value + 1", "2"}, {"header.nope == null", "true"},
		{"value.after.name ==~ /b.*t/", "true"}, {"value.after.name =~ 'ol'", "true"}, {"topic.matches('items')", "false"},
		{"value.op == 'x' ? 'a' : null", "null"}, {`"all-${value.source.table}-$topic"`, "all-items-s.items"},
		{"'p.' + value.source.table", "p.items"}, {"value.after.name ?: 'none'", "bolt"}, {"value.before.name ?: 'none'", "none"},
		{"7 % 4 + 2 * 3 - -1", "10"}, {"1 / 4", "0.25"}, {"['a','b'].contains(value.after.name)", "false"},
		{"value.after.name.toUpperCase().endsWith('LT')", "true"}, {"value.after.name.length()", "4"}, {"valueSchema.name == 's.items.Envelope'", "true"},
		{"value.getString('op')", "u"}, {"key.id == 1 && keySchema.name().startsWith('s')", "true"}, {"return value.op == 'u';", "true"},
		{"value.after.qty !in [1, 2]", "true"}, {"value.after.id <= 9223372036854775807 && value.after.id > -5", "true"},
		{"value.before == null || value.before.id < 2", "true"}, {"value.ts_ms >= 10L", "true"}, {"true && 'x'", "true"},
		{"topic.replaceAll('i(t)', '<$1>')", "s.<t>ems"}, {"topic.replaceFirst('[a-z]', 'X')", "X.items"}, {"topic.replace('.', '-')", "s-items"}, {"topic.substring(2)", "items"},
		{"topic.substring(2, 4) + topic.indexOf('t')", "it3"}, {"topic.substring(9)", "!begin 9, end 7, length 7"}, {"keySchema.field('id') != null && keySchema.field('x') == null", "true"},
		{"value.after.id > 1.0e-8 && 1e3 == 1000", "true"},
		{"topic.split('\\\\.')[1] + topic.tokenize('.i').last() + topic.lastIndexOf('m')", "itemstems5"}, {"'a1b2'.split('[0-9]').size()", "2"}, {"[].first()", "!Cannot access first() element from an empty List"},
		{"value.op instanceof String && value.after.qty instanceof Integer && value.ts_ms instanceof Long && !(value.before.name instanceof String)", "true"},
		{"value.after.qty as String", "8"}, {"('12' as int) + 1", "13"}, {"'x' as Long", "!x cannot be converted to Long"}, {"value.before.name as Integer", "null"},
		{"'1.5'.toBigDecimal() * 2", "3"}, {"value.after.price.intValue()", "1"}, {"4294967297 as int", "1"}, {"'0x1'.toDouble()", "!0x1 cannot be converted to Double"},
		{"value.op.charAt(0) == 'u' && 'a'.concat('b') == 'ab'", "true"}, {"'a'.charAt(1)", "!index 1, length 1"}, {"header.containsKey('h') && !header.containsKey('x')", "true"},
		{"value.before.name.toString()", "null"}, {"+1 - -2", "3"}, {"/* a */ value.op // the operation\n == 'u'", "true"},
		{"if (value.op == 'd') return true else return false", "false"}, {"if (value.op == 'u') { return 'a'; } else if (topic == 'x') { 'b' } else { 'c' }", "a"},
		{"if (value.op == 'd') { return 'x' }\nreturn 'y'", "y"}, {"if (value.op == 'd') 'x'", "null"},
	} {
		n, err := parseExpr(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		var b record.Batch
		r := event(t, &b, "u", row(1, nil, nil), row(1, "bolt", 8))
		b.AddHeader(r, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(1)})
		e := exprEnv{&b, r}
		v, err := e.eval(n)
		got := e.text(v)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.expr, got, c.want)
		}
	}
}

func TestExpressionsRefused(t *testing.T) {
	for expr, want := range map[string]string{
		"operation != 'd'":              "column 1: operation is not known; known are key, value, keySchema, valueSchema, topic and header",
		"value.op == 'd":                "column 15: the text does not end",
		"value.op = 'd'":                `column 10: "= 'd'" is not understood here; the supported language is comparisons, &&, ||, !, in, ?:, arithmetic, property paths and methods of text and lists`,
		"value.after.each { it }":       `column 18: "{ it }" is not understood here; the supported language is comparisons, &&, ||, !, in, ?:, arithmetic, property paths and methods of text and lists`,
		"(value.op":                     "column 10: a ) is expected",
		"new groovy.json.JsonSlurper()": "column 1: new is not known; known are key, value, keySchema, valueSchema, topic and header",
		"value.after.name.padLeft(2)":   "column 18: the method padLeft with 1 arguments is not supported",
		"value.after.id as Date":        `column 19: the class "Date" is not supported behind as`,
		"value.op.split(topic)":         "column 10: a pattern in quotes is expected",
		"if (value.op == 'd') 1; true":  "column 25: a return is expected in the if before, since a statement follows it",
		"if value.op == 'd'":            "column 4: a ( is expected",
		"if (value.op == 'd') { 1":      "column 25: a } is expected",
		"value.op ==~ '('":              "column 14: Unclosed group near index 1\n(",
		"":                              "column 1: the expression ends too early",
		"headers.x":                     "column 1: headers is not known; it is called header",
		strings.Repeat("(", 200) + "1":  "column 100: the expression is nested too deeply",
		"value.op == 'u' && ":           "column 20: the expression ends too early",
	} {
		_, err := parseExpr(expr)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", expr, err, want)
		}
	}
	_, err := find(t, "io.debezium.transforms.Filter").NewStep(map[string]string{"language": "jsr223.graal.js", "condition": "true"})
	if err == nil || !strings.Contains(err.Error(), "jsr223.groovy") {
		t.Error(err)
	}
}

func TestScripted(t *testing.T) {
	groovy := func(class string, kv ...string) Step {
		return newStep(t, class, append(kv, "language", "jsr223.groovy")...)
	}
	const debeziumFilter = "io.debezium.transforms.Filter"
	for _, c := range []struct {
		step Step
		tomb bool
		keep bool
		want string // topic, or ! and the error's last part
	}{
		{groovy(debeziumFilter, "condition", "value.op == 'u'"), false, true, "s.items"},
		{groovy(debeziumFilter, "condition", "value.op == 'c'"), false, false, "s.items"},
		{groovy(debeziumFilter, "condition", "value.op == 'c'", "topic.regex", "other"), false, true, "s.items"},
		{groovy(debeziumFilter, "condition", "value.op"), false, true, "!Value 'u' returned by the expression is not a Boolean"},
		{groovy(debeziumFilter, "condition", "value.op == 'c'"), true, true, "s.items"},
		{groovy(debeziumFilter, "condition", "true", "null.handling.mode", "drop"), true, false, "s.items"},
		{groovy("ContentBasedRouter", "topic.expression", "value == null ? 'nulls' : (value.after.id == 1 ? 'ones' : null)"), false, true, "ones"},
		{groovy("ContentBasedRouter", "topic.expression", "value == null ? 'nulls' : 'x'", "null.handling.mode", "evaluate"), true, true, "nulls"},
		{groovy("ContentBasedRouter", "topic.expression", "1"), false, true, "!Value '1' returned by the expression is not a String"},
	} {
		var b record.Batch
		r := event(t, &b, "u", row(1, "a", 1), row(1, "b", 1))
		if c.tomb {
			r.ValueSchema, r.Value = nil, record.Cell{}
		}
		keep, err := c.step.Apply(&b, r)
		got := r.Topic.Name
		if err != nil {
			got = "!" + err.Error()[strings.Index(err.Error(), "Value '"):]
		}
		if keep != c.keep || got != c.want {
			t.Errorf("%v %s, want %v %s", keep, got, c.keep, c.want)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"value.op == 'u' && value.after.id in [1, 2.5]", `"a${value.op}b" =~ /x/`, "header['h'].value ?: -1 % 2", "!value.before?.name.isEmpty()", "topic[0]", "if (value.op == 'd') { return 1 } else value.after.id as Long", "topic.split('[.]').last() instanceof String // x", "/* c */ +topic.tokenize('.')[-1].toInteger()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseExpr(s)
		if err != nil {
			return
		}
		var b record.Batch
		e := exprEnv{&b, event(t, &b, "u", row(1, "a", 1), row(1, "b", nil))}
		if v, err := e.eval(n); err == nil {
			e.text(v)
		}
	})
}
