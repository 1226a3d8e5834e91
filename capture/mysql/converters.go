package mysql

import (
	"fmt"
	"slices"
	"strings"

	"millrace/decode/myvalue"
	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// The bundled converters that have a counterpart here, by the class name without
// its package (the packages binlog, mysql and mariadb all hold them).
const (
	tinyIntConverter  = "TinyIntOneToBooleanConverter"
	zeroDateConverter = "ZeroDateFallbackConverter"
	jdbcSinkConverter = "JdbcSinkDataTypesConverter"
)

// converter is one entry of the option converters.
type converter struct {
	class    string
	selector []*javaregex.Regexp // of db.table.column; nil: all
	anyWidth bool                // length.checker=false
	types    []string            // target.types; empty: all that have a fallback
	fallback map[string]string   // by type: DATE, DATETIME, TIMESTAMP
	sinks    []sinkForm
}

// sinkForm is one selector of JdbcSinkDataTypesConverter.
type sinkForm struct {
	columns []*javaregex.Regexp // of db.table.column
	form    myvalue.Sink
}

// converterClass is the name of a converter class that works here; "": none.
func converterClass(class string) string {
	name, ok := strings.CutPrefix(strings.TrimSpace(class), "io.debezium.connector.")
	_, name, found := strings.Cut(name, ".converters.")
	if ok && found && (name == tinyIntConverter || name == zeroDateConverter || name == jdbcSinkConverter) {
		return name
	}
	return ""
}

func checkConverters(in configdef.Input) []string {
	var out []string
	for _, name := range configdef.SplitList(in.Value) {
		if class := in.Props[name+".type"]; converterClass(class) == "" {
			out = append(out, "millrace cannot load the Java class "+class+" of the converter "+name+"; only "+tinyIntConverter+", "+zeroDateConverter+
				" and "+jdbcSinkConverter+" work. Use the handling modes (time.precision.mode, decimal.handling.mode, binary.handling.mode) or a transform (TimestampConverter, Cast, MaskField)")
		} else if _, err := parseConverter(name, in.Props); err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

func parseConverter(name string, props map[string]string) (*converter, error) {
	c := &converter{class: converterClass(props[name+".type"]), anyWidth: strings.EqualFold(strings.TrimSpace(props[name+".length.checker"]), "false"),
		types: configdef.SplitList(strings.ToUpper(props[name+".target.types"])), fallback: map[string]string{}}
	if s := strings.TrimSpace(props[name+".selector"]); s != "" {
		var err error
		if c.selector, err = javaregex.CompileList(s, javaregex.CaseInsensitive); err != nil {
			return nil, fmt.Errorf("%s.selector: %w", name, err)
		}
	}
	if c.class == jdbcSinkConverter {
		return c, c.parseSinks(name, props)
	}
	for _, typ := range []string{"date", "datetime", "timestamp"} {
		if text := strings.TrimSpace(props[name+".fallback."+typ]); text != "" {
			c.fallback[strings.ToUpper(typ)] = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
		}
	}
	return c, nil
}

// parseSinks reads the selectors of JdbcSinkDataTypesConverter; the first one that
// names a column decides.
func (c *converter) parseSinks(name string, props map[string]string) error {
	float := myvalue.SinkDouble
	if strings.EqualFold(strings.TrimSpace(props[name+".treat.real.as.double"]), "false") {
		float = myvalue.SinkFloat
	}
	for _, x := range []struct {
		key  string
		form myvalue.Sink
	}{{"selector.boolean", myvalue.SinkBoolean}, {"selector.real", float}, {"selector.string", myvalue.SinkString}} {
		s := strings.TrimSpace(props[name+"."+x.key])
		if s == "" {
			continue
		}
		list, err := javaregex.CompileList(s, javaregex.CaseInsensitive)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", name, x.key, err)
		}
		c.sinks = append(c.sinks, sinkForm{list, x.form})
	}
	return nil
}

func (o *Options) parseConverters(v configdef.Values) error {
	for _, name := range v.List("converters") {
		c, err := parseConverter(name, v.Props())
		if err != nil {
			return err
		}
		o.Converters = append(o.Converters, c)
	}
	return nil
}

// convert sets what the converters say about a column.
func (o *Options) convert(table string, col *myvalue.Column) {
	base, _, _ := strings.Cut(col.TypeName, " ")
	for _, c := range o.Converters {
		if !c.selects(table + "." + col.Name) {
			continue
		}
		switch c.class {
		case tinyIntConverter:
			col.Boolean = col.Boolean || base == "TINYINT" && (col.Length == 1 || c.anyWidth)
		case jdbcSinkConverter:
			for _, x := range c.sinks {
				if slices.ContainsFunc(x.columns, func(re *javaregex.Regexp) bool { return re.MatchWhole(table + "." + col.Name) }) {
					col.Sink = x.form
					break
				}
			}
		case zeroDateConverter:
			if text := c.fallback[base]; text != "" && (len(c.types) == 0 || slices.Contains(c.types, base)) {
				col.ZeroDate = text
			}
		}
	}
}

func (c *converter) selects(column string) bool {
	for _, re := range c.selector {
		if re.MatchWhole(column) {
			return true
		}
	}
	return c.selector == nil
}
