package transform

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/common/types"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// The languages of expressions.
const (
	languageCEL    = "cel"
	languageGroovy = "jsr223.groovy"
)

// scripted is Debezium's Filter and ContentBasedRouter.
type scripted struct {
	text   string
	expr   *exprNode  // jsr223.groovy
	cel    *celEngine // cel
	route  bool       // the result is a topic; else whether the record stays
	nulls  string
	regex  *javaregex.Regexp // nil: every topic
	match  map[*record.Topic]bool
	topics topicCache
}

const languageAdvice = "use cel, the Common Expression Language (https://cel.dev), or jsr223.groovy, of which millrace evaluates comparisons, &&, ||, !, in, ?:, arithmetic, property paths of key, value, keySchema, valueSchema, topic and header, and methods of text and lists"

func scriptedDef(option, display, doc string) *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("topic.regex", configdef.String, noDefault, configdef.Low, configdef.WidthLong, "Topic regex", "Java pattern of the topics to look at; records of others pass.", regex),
		dopt("language", configdef.String, noDefault, configdef.High, configdef.WidthMedium, "Expression language", "Language of the expression: cel (the Common Expression Language), or jsr223.groovy for what Groovy expressions of most connectors are made of. CEL knows value, key, topic, headers, keySchema, valueSchema and timestamp.", needed, func(in configdef.Input) []string {
			if in.Value == languageCEL || in.Value == languageGroovy {
				return nil
			}
			return invalid(in, "this language is not supported; "+languageAdvice)
		}),
		dopt(option, configdef.String, noDefault, configdef.High, configdef.WidthMedium, display, doc, needed, func(in configdef.Input) []string {
			var err error
			if in.Props["language"] == languageCEL {
				_, err = compileCEL(in.Value, option == "topic.expression")
			} else {
				_, err = parseExpr(in.Value)
			}
			if err != nil {
				return invalid(in, err.Error())
			}
			return nil
		}),
		dopt("null.handling.mode", configdef.String, "keep", configdef.Low, configdef.WidthShort, "Handle null records", "What becomes of records without a value: keep, drop or evaluate.", enum("evaluate", "drop", "keep")),
	}}
}

func newScripted(option string, route bool) func(configdef.Values) (Step, error) {
	return func(v configdef.Values) (Step, error) {
		t := &scripted{text: v.String(option), route: route, nulls: v.Enum("null.handling.mode")}
		var err error
		if v.String("language") == languageCEL {
			t.cel, err = compileCEL(t.text, route)
		} else {
			t.expr, err = parseExpr(t.text)
		}
		if err != nil {
			return nil, &errs.Error{Java: errs.DebeziumException, Msg: "Failed to parse expression '" + t.text + "'", Cause: err}
		}
		if r := v.String("topic.regex"); r != "" {
			t.match = map[*record.Topic]bool{}
			t.regex, err = javaregex.Compile(r, 0)
		}
		return t, err
	}
}

func (t *scripted) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if t.regex != nil {
		m, known := t.match[r.Topic]
		if !known {
			m = t.regex.MatchWhole(r.Topic.Name)
			if len(t.match) >= 1<<16 {
				clear(t.match)
			}
			t.match[r.Topic] = m
		}
		if !m {
			return true, nil
		}
	}
	if r.Value.IsNull() && t.nulls != "evaluate" {
		return t.nulls == "keep", nil
	}
	if t.cel != nil {
		return t.applyCEL(b, r)
	}
	e := exprEnv{b, r}
	v, err := e.eval(t.expr)
	if err != nil {
		return true, t.failed(r, err)
	}
	if !t.route {
		if v.kind != exprBool {
			return true, t.wrong(&e, v, "Boolean")
		}
		return v.i != 0, nil
	}
	switch v.kind {
	case exprNull:
	case exprText:
		t.send(r, v.s)
	default:
		return true, t.wrong(&e, v, "String")
	}
	return true, nil
}

// applyCEL is the work of Apply for a CEL expression.
func (t *scripted) applyCEL(b *record.Batch, r *record.Record) (bool, error) {
	v, err := t.cel.eval(b, r)
	if err != nil {
		return true, t.failed(r, err)
	}
	switch x := v.(type) {
	case types.Bool:
		if !t.route {
			return bool(x), nil
		}
	case types.Null:
		if t.route {
			return true, nil
		}
	case types.String:
		if t.route {
			t.send(r, string(x))
			return true, nil
		}
	}
	want := "Boolean"
	if t.route {
		want = "String"
	}
	return true, t.notA(fmt.Sprint(v.Value()), want)
}

// send gives the record another topic. name may belong to the batch.
func (t *scripted) send(r *record.Record, name string) {
	if n := t.topics.byName[name]; n != nil {
		r.Topic = n
	} else {
		r.Topic = t.topics.get(strings.Clone(name))
	}
}

func (t *scripted) failed(r *record.Record, err error) error {
	return &errs.Error{Java: errs.DebeziumException, Msg: "Error while evaluating expression '" + t.text + "' for a record of topic " + r.Topic.Name, Cause: err}
}

func (t *scripted) wrong(e *exprEnv, v exprVal, want string) error { return t.notA(e.text(v), want) }

func (t *scripted) notA(text, want string) error {
	return &errs.Error{Java: errs.DebeziumException, Msg: "Error while evaluating expression '" + t.text + "'",
		Cause: &errs.Error{Java: errs.DebeziumException, Msg: "Value '" + text + "' returned by the expression is not a " + want}}
}
