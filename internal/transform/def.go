package transform

import (
	"fmt"
	"slices"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// opt is one option as Kafka's own transforms declare theirs: no group, no width.
func opt(name string, t configdef.Type, def string, imp configdef.Importance, doc string, checks ...func(configdef.Input) []string) configdef.Option {
	o := configdef.Option{Name: name, Type: t, Importance: imp, Width: configdef.WidthNone, Order: -1, Doc: doc}
	switch def {
	case required:
		o.Required = true
	case noDefault:
	default:
		o.Default, o.HasDefault = def, true
	}
	if len(checks) > 0 {
		o.Check = func(in configdef.Input) []string {
			for _, c := range checks {
				if p := c(in); len(p) > 0 {
					return p
				}
			}
			return nil
		}
	}
	return o
}

// Markers in place of a default.
const (
	required  = "\x00required"
	noDefault = "\x00none"
)

// orNull adds what Kafka's validator says of a value that is missing.
func orNull(o configdef.Option, text string) configdef.Option {
	o.NullError = text
	return o
}

// nullText is Kafka's ConfigException for a missing value.
func nullText(name, why string) string {
	return fmt.Sprintf("Invalid value null for configuration %s: %s", name, why)
}

// late marks an option whose checks Connect makes when the task runs.
func late(o configdef.Option) configdef.Option {
	o.Late = true
	return o
}

// someList is a list that may not be empty, as Kafka's ValidList words it.
func someList(name, doc string) configdef.Option {
	o := orNull(opt(name, configdef.List, required, configdef.High, doc, func(in configdef.Input) []string {
		if in.Set && len(configdef.SplitList(in.Value)) == 0 {
			return []string{fmt.Sprintf("Configuration '%s' must not be empty. Valid values include: any non-empty value", in.Name)}
		}
		return filledList(in)
	}), fmt.Sprintf("Configuration '%s' values must not be null.", name))
	o.Asked = distinctList
	return o
}

// distinct is a list whose elements may be neither empty nor there twice.
func distinct(o configdef.Option) configdef.Option {
	o.Check, o.Asked = filledList, distinctList
	return o
}

// filledList refuses empty elements.
func filledList(in configdef.Input) []string {
	if slices.Contains(configdef.SplitList(in.Value), "") {
		return []string{fmt.Sprintf("Configuration '%s' values must not be empty.", in.Name)}
	}
	return nil
}

// distinctList refuses a list with an element twice; a start leaves one of them.
func distinctList(in configdef.Input) []string {
	list := configdef.SplitList(in.Value)
	for i, x := range list {
		if slices.Contains(list[:i], x) {
			return []string{fmt.Sprintf("Configuration '%s' values must not be duplicated.", in.Name)}
		}
	}
	return nil
}

// fillOption is replace.null.with.default, which most steps have.
func fillOption() configdef.Option {
	return opt("replace.null.with.default", configdef.Boolean, "true", configdef.Medium, "Put a field's default where it is null.")
}

// invalid is Kafka's ConfigException text.
func invalid(in configdef.Input, why string) []string {
	return []string{fmt.Sprintf("Invalid value %s for configuration %s: %s", in.Value, in.Name, why)}
}

func listText(s string) string { return "[" + strings.Join(configdef.SplitList(s), ", ") + "]" }

func nonEmptyList(in configdef.Input) []string {
	if in.Set && len(configdef.SplitList(in.Value)) == 0 {
		return []string{fmt.Sprintf("Invalid value [] for configuration %s: Empty list", in.Name)}
	}
	return nil
}

func nonEmpty(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return invalid(in, "String must be non-empty")
	}
	return nil
}

func oneOf(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if in.Value == v {
				return nil
			}
		}
		if !in.Set && in.Value == "" {
			return nil
		}
		return invalid(in, "String must be one of: "+strings.Join(values, ", "))
	}
}

// enum is oneOf as Debezium's transforms word it; case does not matter.
func enum(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if strings.EqualFold(in.Value, v) {
				return nil
			}
		}
		return invalid(in, "Value must be one of "+strings.Join(values, ", "))
	}
}

func regex(in configdef.Input) []string {
	if !in.Set {
		return nil
	}
	if _, err := javaregex.Compile(in.Value, 0); err != nil {
		return invalid(in, "Invalid regex: "+err.Error())
	}
	return nil
}

// replacementFor checks group references against the pattern in another option.
func replacementFor(option, def string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		p, ok := in.Props[option]
		if !ok {
			p = def
		}
		r, err := javaregex.Compile(p, 0)
		if err != nil {
			return nil // reported with that option
		}
		if _, err := r.CompileReplacement(in.Value); err != nil {
			return invalid(in, err.Error())
		}
		return nil
	}
}
