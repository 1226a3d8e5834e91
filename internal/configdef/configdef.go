// Package configdef holds one table of options per plugin and everything that
// follows from it: parsing, defaults, validation replies and documentation.
//
// A plugin declares a Def once, as data. Validate answers what Kafka Connect's
// validate endpoint answers; Parse gives the typed Values that the plugin runs
// with. An option that millrace knows and does not support says so through
// Unsupported, so that nothing is ever accepted and ignored.
package configdef

import (
	"fmt"
	"maps"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Type is the type of an option in Connect's spelling.
type Type string

// The option types of Kafka's ConfigDef.
const (
	Boolean  Type = "BOOLEAN"
	String   Type = "STRING"
	Int      Type = "INT"
	Short    Type = "SHORT"
	Long     Type = "LONG"
	Double   Type = "DOUBLE"
	List     Type = "LIST"
	Class    Type = "CLASS"
	Password Type = "PASSWORD"
)

// Importance of an option, in Connect's spelling.
type Importance string

// The importances of Kafka's ConfigDef.
const (
	High   Importance = "HIGH"
	Medium Importance = "MEDIUM"
	Low    Importance = "LOW"
)

// Width is a hint for forms, in Connect's spelling.
type Width string

// The widths of Kafka's ConfigDef.
const (
	WidthNone   Width = "NONE"
	WidthShort  Width = "SHORT"
	WidthMedium Width = "MEDIUM"
	WidthLong   Width = "LONG"
)

// Option is one row of a plugin's table.
type Option struct {
	Name       string
	Type       Type
	Default    string // as it would be written in a config; only used when HasDefault
	HasDefault bool   // false: no default (Required tells whether it must be given)
	Required   bool
	Importance Importance
	Doc        string // own words, one or two sentences
	Group      string
	Order      int // order_in_group
	Width      Width
	Display    string // display_name; "" = Name
	Dependents []string

	// Aliases are old names that still work.
	Aliases []string
	// Hidden options work, but are not listed by REST (Debezium reads a few that
	// its ConfigDef does not name).
	Hidden bool
	// Invisible options are listed with "visible": false.
	Invisible bool
	// NoValue options are listed with a null value object, as Debezium lists the
	// old names of its options.
	NoValue bool
	// Unsupported, when not "", is why millrace refuses the option and what to use
	// instead. Setting it to its default is accepted.
	Unsupported string

	// Check returns complete error texts for a value that is set, or for the
	// absence of one (value ""; set false). It runs after the type was checked.
	Check func(in Input) []string
	// Asked is run before Check when a config is validated, but not by Parse: a list
	// with an element twice is refused by Kafka's validation and cleaned up by a start.
	Asked func(in Input) []string
	// Late: the real plugin makes these checks only when it runs. Their errors are
	// listed, but do not refuse a connector; its task fails with them.
	Late bool
	// NullError is what Kafka's validator says besides about a required value that
	// is missing, since it is run on null as well; "" for nothing.
	NullError string
	// Recommend returns recommended values, given the other properties.
	Recommend func(props map[string]string) []string
}

// Input is what Option.Check sees.
type Input struct {
	Name  string
	Value string // trimmed; the default when not Set and there is one
	Set   bool
	Props map[string]string // all properties as posted
}

// Pattern allows options whose names are made by the user, such as
// column.mask.with.N.chars or topic.creation.<group>.partitions.
type Pattern struct {
	Regexp *regexp.Regexp // matches the whole name
	Doc    string
	// Check returns complete error texts; name is the matched property.
	Check func(in Input) []string
	// Unsupported as in Option.
	Unsupported string
}

// Def is a plugin's table of options.
type Def struct {
	Options  []Option
	Patterns []Pattern
	// TypeError words the error of a value of the wrong type; nil: Kafka's own
	// "Invalid value x for configuration y: …". Debezium plugins set their own.
	TypeError func(o *Option, value string) string
	// TypeErrors is TypeError for plugins that report more than one text: the type's
	// and the option's own.
	TypeErrors func(o *Option, value string) []string
	// HideValues leaves the values out of the validation answer, as Debezium's
	// source connectors do.
	HideValues bool
	// Missing words the error of a required option that is absent; nil: Kafka's
	// `Missing required configuration "x" which has no default value.`
	Missing func(o *Option) string
}

// LateChecks makes all options of the table Late and returns it.
func (d *Def) LateChecks() *Def {
	for i := range d.Options {
		d.Options[i].Late = true
	}
	return d
}

// Result is the validation of one option.
type Result struct {
	Option      *Option // nil for a property without definition that carries an error
	Name        string
	Value       *string // nil: null
	Errors      []string
	Late        int // how many of the Errors, from the end, only stop a running task (Option.Late, Problem.Late)
	Recommended []string
	Visible     bool
	NoValue     bool // the answer's value object is null
	Bad         bool // the value is not of the option's type
}

// Find returns the option of that name or alias, or nil.
func (d *Def) Find(name string) *Option {
	for i := range d.Options {
		o := &d.Options[i]
		if o.Name == name {
			return o
		}
		for _, a := range o.Aliases {
			if a == name {
				return o
			}
		}
	}
	return nil
}

// Allows reports whether one of the patterns allows a property of that name.
func (d *Def) Allows(name string) bool {
	for i := range d.Patterns {
		if d.Patterns[i].Regexp.MatchString(name) {
			return true
		}
	}
	return false
}

// lookup returns the raw value of an option, by name, then by alias.
func (o *Option) lookup(props map[string]string) (string, bool) {
	if v, ok := props[o.Name]; ok {
		return v, true
	}
	for _, a := range o.Aliases {
		if v, ok := props[a]; ok {
			return v, true
		}
	}
	return "", false
}

// Validate checks props against the table and answers one Result per option in
// table order (hidden ones only when they have errors), then one per pattern
// property with errors. It touches nothing outside.
func (d *Def) Validate(props map[string]string) []Result { return d.validate(props, true) }

func (d *Def) validate(props map[string]string, asked bool) []Result {
	out := make([]Result, 0, len(d.Options))
	for i := range d.Options {
		o := &d.Options[i]
		r := d.validateOne(o, props, asked)
		if o.Hidden && len(r.Errors) == 0 {
			continue
		}
		if d.HideValues {
			r.Value = nil
		}
		out = append(out, r)
	}
	names := make([]string, 0, len(props))
	for k := range props {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if d.Find(k) != nil {
			continue
		}
		for i := range d.Patterns {
			p := &d.Patterns[i]
			if !p.Regexp.MatchString(k) {
				continue
			}
			v := props[k]
			var errs []string
			if p.Unsupported != "" {
				errs = append(errs, fmt.Sprintf("The '%s' option is not supported by millrace: %s", k, p.Unsupported))
			} else if p.Check != nil {
				errs = p.Check(Input{Name: k, Value: strings.TrimSpace(v), Set: true, Props: props})
			}
			if len(errs) > 0 {
				out = append(out, Result{Name: k, Value: &v, Errors: errs, Visible: true})
			}
			break
		}
	}
	return out
}

func (d *Def) validateOne(o *Option, props map[string]string, asked bool) Result {
	r := Result{Option: o, Name: o.Name, Visible: !o.Invisible, NoValue: o.NoValue}
	raw, set := o.lookup(props)
	v := strings.TrimSpace(raw)
	if o.Recommend != nil {
		r.Recommended = o.Recommend(props)
	}
	switch {
	case set:
		val := raw
		r.Value = &val
		if e := typeError(o.Type, v); e != "" {
			r.Bad = true
			if d.TypeErrors != nil {
				r.Errors = append(r.Errors, d.TypeErrors(o, v)...)
				return r
			} else if d.TypeError != nil {
				e = d.TypeError(o, v)
			} else {
				e = fmt.Sprintf("Invalid value %s for configuration %s: %s", raw, o.Name, e) // as it was given
			}
			r.Errors = append(r.Errors, e)
			return r
		}
		if o.Unsupported != "" && (!o.HasDefault || !strings.EqualFold(v, o.Default)) {
			r.Errors = append(r.Errors, fmt.Sprintf("The '%s' option is not supported by millrace: %s", o.Name, o.Unsupported))
			return r
		}
	case o.HasDefault:
		val := o.Default
		v = val
		r.Value = &val
	case o.Required:
		if d.Missing != nil {
			r.Errors = append(r.Errors, d.Missing(o))
		} else {
			r.Errors = append(r.Errors, "Missing required configuration \""+o.Name+"\" which has no default value.")
		}
		if o.NullError != "" {
			r.Errors = append(r.Errors, o.NullError)
		}
		return r
	}
	in := Input{Name: o.Name, Value: v, Set: set, Props: props}
	if asked && o.Asked != nil {
		r.Errors = o.Asked(in)
	}
	if o.Check != nil && len(r.Errors) == 0 {
		r.Errors = o.Check(in)
	}
	if o.Late {
		r.Late = len(r.Errors)
	}
	return r
}

// typeError returns Kafka's reason why v is not of the type, or "".
func typeError(t Type, v string) string {
	var bits int
	switch t {
	case Boolean:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			return "Expected value to be either true or false"
		}
		return ""
	case Short:
		bits = 16
	case Int:
		bits = 32
	case Long:
		bits = 64
	case Double:
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return "Not a number of type DOUBLE"
		}
		return ""
	default:
		return ""
	}
	if _, err := strconv.ParseInt(v, 10, bits); err != nil {
		return "Not a number of type " + string(t)
	}
	return ""
}

// Problem is an error text that belongs to a property.
type Problem struct {
	Property, Text string
	// Late: the real connector notices only when it runs, and so the config is
	// accepted; see Option.Late.
	Late bool
}

// Errors lists the problems of results in order.
func Errors(rs []Result) []Problem {
	var out []Problem
	for _, r := range rs {
		for _, e := range r.Errors {
			out = append(out, Problem{Property: r.Name, Text: e})
		}
	}
	return out
}

// Parse returns the values to run with, or an error that lists every problem.
func (d *Def) Parse(props map[string]string) (Values, error) {
	if ps := Errors(d.validate(props, false)); len(ps) > 0 {
		var sb strings.Builder
		for i, p := range ps {
			if i > 0 {
				sb.WriteByte('\n')
			}
			sb.WriteString(p.Text)
		}
		return Values{}, fmt.Errorf("%s", sb.String())
	}
	return Values{def: d, props: props}, nil
}

// Defaulted returns values in which the properties that have problems count as not
// given: what is left to look at in a config that is refused.
func (d *Def) Defaulted(props map[string]string, problems []Problem) Values {
	if len(problems) > 0 {
		props = maps.Clone(props)
		for _, p := range problems {
			delete(props, p.Property)
		}
	}
	return Values{def: d, props: props}
}

// Values are the properties of a plugin with its defaults applied. The getters
// assume that Parse succeeded; asking for an option that is not in the table is
// a programming error and panics, so that no option can be read that is not
// declared.
type Values struct {
	def   *Def
	props map[string]string
	read  func(name string) // told of each option that is read; nil in production
}

// Observed returns the same values, which tell read the name of each option that is
// asked for. A test proves by it that no option is accepted and then ignored.
func (v Values) Observed(read func(name string)) Values {
	v.read = read
	return v
}

// Props returns the properties as given, for prefixes that belong to others.
func (v Values) Props() map[string]string { return v.props }

func (v Values) get(name string) (string, bool, *Option) {
	o := v.def.Find(name)
	if o == nil {
		panic("configdef: option not declared: " + name)
	}
	if v.read != nil {
		v.read(o.Name)
	}
	if raw, ok := o.lookup(v.props); ok {
		return strings.TrimSpace(raw), true, o
	}
	return o.Default, o.HasDefault, o
}

// IsSet reports whether the user gave the option.
func (v Values) IsSet(name string) bool {
	o := v.def.Find(name)
	if o == nil {
		panic("configdef: option not declared: " + name)
	}
	if v.read != nil {
		v.read(o.Name)
	}
	_, ok := o.lookup(v.props)
	return ok
}

// String returns the trimmed value, the default, or "".
func (v Values) String(name string) string { s, _, _ := v.get(name); return s }

// Bool returns the value of a Boolean option; false when there is none.
func (v Values) Bool(name string) bool {
	s, _, _ := v.get(name)
	return strings.EqualFold(s, "true")
}

// Int returns the value of a Short, Int or Long option; 0 when there is none.
func (v Values) Int(name string) int { return int(v.Int64(name)) }

// Int64 returns the value of a Short, Int or Long option; 0 when there is none.
func (v Values) Int64(name string) int64 {
	s, _, _ := v.get(name)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// Millis returns an Int or Long option counted in milliseconds as a Duration.
func (v Values) Millis(name string) time.Duration {
	return time.Duration(v.Int64(name)) * time.Millisecond
}

// Float returns the value of a Double option; 0 when there is none.
func (v Values) Float(name string) float64 {
	s, _, _ := v.get(name)
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// List returns the trimmed elements of a comma-separated option, nil when empty.
func (v Values) List(name string) []string { s, _, _ := v.get(name); return SplitList(s) }

// Enum returns the value in lower case, as Debezium compares its enumerations.
func (v Values) Enum(name string) string { return strings.ToLower(v.String(name)) }

// Prefixed returns the properties below a prefix, with the prefix removed.
func (v Values) Prefixed(prefix string) map[string]string { return Prefixed(v.props, prefix) }

// Prefixed returns the entries below a prefix, with the prefix removed.
func Prefixed(props map[string]string, prefix string) map[string]string {
	out := map[string]string{}
	for k, x := range props {
		if strings.HasPrefix(k, prefix) && len(k) > len(prefix) {
			out[k[len(prefix):]] = x
		}
	}
	return out
}

// SplitList splits at commas, trims, and drops nothing but a wholly empty text.
func SplitList(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
