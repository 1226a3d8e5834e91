package transform

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"millrace/internal/record"
)

// celVariables are what a CEL expression knows, with what each one is.
var celVariables = []struct {
	name string
	typ  *cel.Type
}{
	{"value", cel.DynType},       // the value; structs are maps by field name; null for a tombstone
	{"key", cel.DynType},         // the key, likewise
	{"topic", cel.StringType},    // the topic
	{"headers", cel.DynType},     // the headers by name; of several with one name the last
	{"keySchema", cel.DynType},   // the key's schema: type, name, version, optional; null without schema
	{"valueSchema", cel.DynType}, // the value's schema, likewise
	{"timestamp", cel.DynType},   // the Kafka time of the record, or null
}

// celEngine is a compiled CEL expression. It belongs to one step.
type celEngine struct {
	program cel.Program
	at      celRecord
}

// compileCEL checks an expression and compiles it. The error names line and column.
func compileCEL(text string, route bool) (*celEngine, error) {
	opts := []cel.EnvOption{ext.Strings(), ext.Lists(), ext.Math(), cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true), cel.EagerlyValidateDeclarations(true),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateComprehensionNestingLimit(4)),
		cel.ParserRecursionLimit(100), cel.ParserExpressionSizeLimit(100_000)}
	for _, v := range celVariables {
		opts = append(opts, cel.Variable(v.name, v.typ))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, celIssues(issues)
	}
	want, what := cel.BoolType, "true or false"
	if route {
		want, what = cel.StringType, "the name of a topic, or null"
	}
	out := ast.OutputType()
	if !out.IsExactType(cel.DynType) && !out.IsExactType(want) && !(route && out.IsExactType(cel.NullType)) {
		return nil, &exprError{1, fmt.Sprintf("the expression gives %s; it must give %s", out, what)}
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, err
	}
	e := &celEngine{program: program}
	e.at.headers.rec = &e.at
	return e, nil
}

// celIssues words what the compiler complains about, with its place.
func celIssues(issues *cel.Issues) error {
	var parts []string
	for _, e := range issues.Errors() {
		at := fmt.Sprintf("column %d: ", e.Location.Column()+1)
		if e.Location.Line() > 1 {
			at = fmt.Sprintf("line %d, ", e.Location.Line()) + at
		}
		msg := e.Message
		if name, ok := strings.CutPrefix(msg, "undeclared reference to '"); ok {
			name, _, _ = strings.Cut(name, "'")
			msg = name + " is not known; known are value, key, topic, headers, keySchema, valueSchema and timestamp"
		}
		parts = append(parts, at+msg)
	}
	return fmt.Errorf("%s", strings.Join(parts, "; "))
}

// eval runs the expression on a record.
func (e *celEngine) eval(b *record.Batch, r *record.Record) (ref.Val, error) {
	e.at.b, e.at.r, e.at.used = b, r, 0
	v, _, err := e.program.Eval(&e.at)
	return v, err
}

// celRecord gives the variables of a record to CEL. Nothing is converted before it
// is asked for.
type celRecord struct {
	b       *record.Batch
	r       *record.Record
	headers celHeaders
	structs [8]celStruct // for the first structs that an expression asks for
	used    int
}

// structOf is the CEL value of a struct, without an allocation for the first ones.
func (a *celRecord) structOf(s *record.Schema, c record.Cell) *celStruct {
	if a.used == len(a.structs) {
		return &celStruct{rec: a, schema: s, cell: c}
	}
	v := &a.structs[a.used]
	a.used++
	v.rec, v.schema, v.cell = a, s, c
	return v
}

// ResolveName implements interpreter.Activation.
func (a *celRecord) ResolveName(name string) (any, bool) {
	switch name {
	case "value":
		return a.wrap(a.r.ValueSchema, a.r.Value), true
	case "key":
		return a.wrap(a.r.KeySchema, a.r.Key), true
	case "topic":
		return types.String(a.r.Topic.Name), true
	case "headers":
		return &a.headers, true
	case "keySchema":
		return celSchema(a.r.KeySchema), true
	case "valueSchema":
		return celSchema(a.r.ValueSchema), true
	case "timestamp":
		if a.r.Timestamp == record.NoTimestamp {
			return types.NullValue, true
		}
		return types.Timestamp{Time: millis(a.r.Timestamp)}, true
	}
	return nil, false
}

// Parent implements interpreter.Activation; there is none.
func (a *celRecord) Parent() cel.Activation { return nil }

// celSchema is a schema as a map.
func celSchema(s *record.Schema) ref.Val {
	if s == nil {
		return types.NullValue
	}
	return types.NewStringInterfaceMap(types.DefaultTypeAdapter, map[string]any{"type": s.Type.String(), "name": s.Name, "version": int64(s.Version), "optional": s.Optional})
}
