package options

import (
	"fmt"
	"strings"

	"millrace/internal/configdef"
)

// ReselectClass is the post processor that works here.
const ReselectClass = "io.debezium.processors.reselect.ReselectColumnsPostProcessor"

// Reselect is a post processor that reads columns again from the table.
type Reselect struct {
	Name        string
	Columns     *ColumnFilter // on space.table:column
	Unavailable bool          // read again what the log did not hold
	Nulls       bool          // read again nulls
	UseEventKey bool          // look up by the record's key instead of the primary key
	Fail        bool          // a miss is an error rather than a warning
}

// ParseReselects reads the options of all post.processors, in their order.
func ParseReselects(v configdef.Values) ([]Reselect, error) {
	var out []Reselect
	for _, name := range v.List("post.processors") {
		r, err := ParseReselect(name, v.Props())
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, nil
}

// ParseReselect reads the options below <name>.reselect.
func ParseReselect(name string, props map[string]string) (*Reselect, error) {
	p := name + ".reselect."
	flag := func(key string, def bool) bool {
		if s, ok := props[p+key]; ok {
			return strings.EqualFold(strings.TrimSpace(s), "true")
		}
		return def
	}
	mode := strings.ToLower(strings.TrimSpace(props[p+"error.handling.mode"]))
	if mode != "" && mode != "warn" && mode != "fail" {
		return nil, fmt.Errorf("%serror.handling.mode: Value must be one of warn, fail", p)
	}
	c, err := NewReselectFilter(props[p+"columns.include.list"], props[p+"columns.exclude.list"])
	if err != nil {
		return nil, fmt.Errorf("%scolumns: %w", p, err)
	}
	return &Reselect{Name: name, Columns: c, Unavailable: flag("unavailable.values", true), Nulls: flag("null.values", true),
		UseEventKey: flag("use.event.key", false), Fail: mode == "fail"}, nil
}

func customConverters(in configdef.Input) []string {
	if in.Value == "" {
		return nil
	}
	name := configdef.SplitList(in.Value)[0]
	return []string{"millrace cannot load the Java class " + in.Props[name+".type"] + " of the converter " + name +
		"; use the handling modes (time.precision.mode, decimal.handling.mode, binary.handling.mode) or a transform (TimestampConverter, Cast, MaskField)"}
}

func postProcessors(in configdef.Input) []string {
	var out []string
	for _, name := range configdef.SplitList(in.Value) {
		if class := strings.TrimSpace(in.Props[name+".type"]); class != ReselectClass {
			out = append(out, "millrace cannot load the Java class "+class+" of the post processor "+name+"; only "+ReselectClass+" works")
		} else if _, err := ParseReselect(name, in.Props); err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}
