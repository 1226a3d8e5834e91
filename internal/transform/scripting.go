package transform

import (
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/javaregex"
	"millrace/internal/record"
)

// scripted is Debezium's Filter and ContentBasedRouter.
type scripted struct {
	text   string
	expr   *exprNode
	route  bool // the result is a topic; else whether the record stays
	nulls  string
	regex  *javaregex.Regexp // nil: every topic
	match  map[*record.Topic]bool
	topics topicCache
}

const languageAdvice = "millrace evaluates jsr223.groovy: comparisons, &&, ||, !, in, ?:, arithmetic, property paths of key, value, keySchema, valueSchema, topic and header, and methods of text and lists"

func scriptedDef(option, display, doc string) *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("topic.regex", configdef.String, noDefault, configdef.Low, configdef.WidthLong, "Topic regex", "Java pattern of the topics to look at; records of others pass.", regex),
		dopt("language", configdef.String, noDefault, configdef.High, configdef.WidthMedium, "Expression language", "Language of the expression: jsr223.groovy.", needed, func(in configdef.Input) []string {
			if in.Value == "jsr223.groovy" {
				return nil
			}
			return invalid(in, "this language is not supported; "+languageAdvice)
		}),
		dopt(option, configdef.String, noDefault, configdef.High, configdef.WidthMedium, display, doc, needed, func(in configdef.Input) []string {
			if _, err := parseExpr(in.Value); err != nil {
				return invalid(in, err.Error())
			}
			return nil
		}),
		dopt("null.handling.mode", configdef.String, "keep", configdef.Low, configdef.WidthShort, "Handle null records", "What becomes of records without a value: keep, drop or evaluate.", enum("evaluate", "drop", "keep")),
	}}
}

func newScripted(option string, route bool) func(configdef.Values) (Step, error) {
	return func(v configdef.Values) (Step, error) {
		n, err := parseExpr(v.String(option))
		if err != nil {
			return nil, &errs.Error{Java: errs.DebeziumException, Msg: "Failed to parse expression '" + v.String(option) + "'", Cause: err}
		}
		t := &scripted{text: v.String(option), expr: n, route: route, nulls: v.Enum("null.handling.mode")}
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
	e := exprEnv{b, r}
	v, err := e.eval(t.expr)
	if err != nil {
		return true, &errs.Error{Java: errs.DebeziumException, Msg: "Error while evaluating expression '" + t.text + "' for a record of topic " + r.Topic.Name, Cause: err}
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
		if n := t.topics.byName[v.s]; n != nil {
			r.Topic = n
		} else {
			r.Topic = t.topics.get(strings.Clone(v.s))
		}
	default:
		return true, t.wrong(&e, v, "String")
	}
	return true, nil
}

func (t *scripted) wrong(e *exprEnv, v exprVal, want string) error {
	return &errs.Error{Java: errs.DebeziumException, Msg: "Error while evaluating expression '" + t.text + "'",
		Cause: &errs.Error{Java: errs.DebeziumException, Msg: "Value '" + e.text(v) + "' returned by the expression is not a " + want}}
}
