package transform

import (
	"fmt"
	"strings"
	"testing"

	"millrace/internal/record"
)

func celEvent(t testing.TB, b *record.Batch) *record.Record {
	r := event(t, b, "u", row(1, nil, nil), row(1, "bolt", 8))
	b.AddHeader(r, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(1)})
	b.AddHeader(r, record.Header{Key: "h", Schema: record.PlainInt32, Value: record.Int32Cell(2)})
	return r
}

func TestCEL(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"value.op == 'u' && value.after.qty > 5", "true"},
		{"value.op in ['c', 'r']", "false"},
		{"value.after.price == 1.5 && value.after.price < 2", "true"},
		{"value.before.name == null", "true"},
		{"value.after.id == 1.0 && value.after.id in [1u, 2]", "true"},
		{"has(value.after.name) && !has(value.after.nope)", "true"},
		{"value.after.nope == 1", "!no such key: nope"},
		{"value.transaction == null || value.transaction.id == 'x'", "true"},
		{"value.before == null ? false : value.before.name != value.after.name", "true"},
		{"topic.startsWith('s.') && topic.matches('s[.]items') && valueSchema.name.endsWith('.Envelope')", "true"},
		{"headers.h == 2 && headers['h'] == 2 && !('x' in headers) && size(headers) == 2", "true"},
		{"key.id == 1 && keySchema.type == 'struct'", "true"},
		{"value.after == value.after && value.after != value.before", "true"},
		{"value.after.exists(k, k == 'name') && size(value.after) > 3", "true"},
		{"value.after.name.upperAscii() + '-' + string(value.after.qty)", "!String"},
		{"timestamp == null", "true"},
		{"value.after", "!Boolean"},
	} {
		s, err := compileCEL(c.expr, false)
		got := ""
		if err == nil {
			var b record.Batch
			v, e := s.eval(&b, celEvent(t, &b))
			if err = e; err == nil {
				got = fmt.Sprint(v.Value())
				if got != "true" && got != "false" {
					got = "!Boolean"
				}
			}
		}
		if err != nil {
			got = "!" + err.Error()
		}
		if c.want == "!String" {
			if !strings.Contains(got, "the expression gives string") {
				t.Errorf("%s: %s", c.expr, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.expr, got, c.want)
		}
	}
}

func TestCELRefused(t *testing.T) {
	for expr, want := range map[string]string{
		"operation != 'd'":               "column 1: operation is not known; known are value, key, topic, headers, keySchema, valueSchema and timestamp",
		"value.op == 'd":                 "column 13: Syntax error: token recognition error at: ''d'",
		"value.op = 'd'":                 "column 10: Syntax error: token recognition error at: '= '",
		"topic.matches('(')":             "column 15: invalid matches argument",
		"topic":                          "column 1: the expression gives string; it must give true or false",
		"topic + 1 == 'x'":               "column 7: found no matching overload for '_+_' applied to '(string, int)'",
		"value.op == 'u' &&\n  nope > 1": "line 2, column 3: nope is not known; known are value, key, topic, headers, keySchema, valueSchema and timestamp",
		strings.Repeat("(", 300) + "1":   "column 0: expression recursion limit exceeded: 100",
	} {
		_, err := compileCEL(expr, false)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", expr, err, want)
		}
	}
	p := find(t, "io.debezium.transforms.Filter")
	if _, err := p.NewStep(map[string]string{"language": "cel", "condition": "value.op ="}); err == nil || !strings.Contains(err.Error(), "column 10") {
		t.Error(err)
	}
}

func TestCELSteps(t *testing.T) {
	for _, c := range []struct {
		class, option, expr string
		keep                bool
		want                string
	}{
		{"io.debezium.transforms.Filter", "condition", "value.op == 'u'", true, "s.items"},
		{"io.debezium.transforms.Filter", "condition", "value.op == 'c'", false, "s.items"},
		{"io.debezium.transforms.Filter", "condition", "value.op", true, "!Value 'u' returned by the expression is not a Boolean"},
		{"ContentBasedRouter", "topic.expression", "value.after.id == 1 ? 'ones' : null", true, "!"},
		{"ContentBasedRouter", "topic.expression", "value.after.id == 1 ? 'ones' : topic", true, "ones"},
		{"ContentBasedRouter", "topic.expression", "'p.' + value.source.table", true, "p.items"},
		{"ContentBasedRouter", "topic.expression", "null", true, "s.items"},
		{"ContentBasedRouter", "topic.expression", "value.after.id", true, "!Value '1' returned by the expression is not a String"},
	} {
		var b record.Batch
		r := celEvent(t, &b)
		s, err := find(t, c.class).NewStep(map[string]string{"language": "cel", c.option: c.expr})
		if c.want == "!" {
			if err == nil {
				t.Errorf("%s was accepted", c.expr)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		keep, err := s.Apply(&b, r)
		got := r.Topic.Name
		if err != nil {
			got = "!" + err.Error()[max(0, strings.Index(err.Error(), "Value '")):]
		}
		if keep != c.keep || got != c.want {
			t.Errorf("%s: %v %s, want %v %s", c.expr, keep, got, c.keep, c.want)
		}
	}
}

func FuzzCEL(f *testing.F) {
	for _, s := range []string{"value.op == 'u' && value.after.id in [1, 2.5]", "headers.h + 1 > 2", "has(value.before.name)", "value.after.all(k, k != '')", "string(value.after.qty).matches('[0-9]+')", "topic.split('.')[0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 {
			return
		}
		e, err := compileCEL(s, false)
		if err != nil {
			return
		}
		var b record.Batch
		if v, err := e.eval(&b, celEvent(t, &b)); err == nil {
			_ = fmt.Sprint(v.Value())
		}
	})
}
