package objectstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// template is a compiled file.name.template: text with {{variable:parameter=value}}.
type template []templatePart

type templatePart struct {
	text             string // literal, when variable is ""; otherwise how the variable was written
	variable         string
	parameter, value string
}

// names are what a template's variables stand for.
type names struct {
	topic     string
	partition int32
	offset    int64     // below 0: stays as it was written
	at        time.Time // likewise when it is zero
	key       string
	now       time.Time
	bare      bool // of aws.s3.prefix, which has dates and no key
}

var variable = regexp.MustCompile(`\{\{\s*(\w+)?(:?)([\w=]+)?\s*\}\}`)

// oldYear is the spelling of years that was allowed once.
var oldYear = regexp.MustCompile(`\{\{\s*timestamp\s*:\s*unit\s*=\s*YYYY\s*\}\}`)

// parseTemplate compiles a template. Variables that it does not know are text.
func parseTemplate(text string) (template, error) {
	text = oldYear.ReplaceAllStringFunc(text, func(s string) string { return strings.Replace(s, "YYYY", "yyyy", 1) })
	var out template
	at := 0
	for _, m := range variable.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			out = append(out, templatePart{text: text[at:m[0]]})
		}
		p := templatePart{text: text[m[0]:m[1]]}
		if m[2] < 0 {
			return nil, fmt.Errorf("Variable name hasn't been set for template: %s", text)
		}
		p.variable = text[m[2]:m[3]]
		if m[6] < 0 && m[5] > m[4] {
			return nil, fmt.Errorf("Wrong variable with parameter definition")
		}
		if m[6] >= 0 {
			var ok bool
			if p.parameter, p.value, ok = strings.Cut(text[m[6]:m[7]], "="); !ok || p.parameter == "" || p.value == "" {
				return nil, fmt.Errorf("Parameter value for variable `%s` and parameter `%s` has not been set", p.variable, p.parameter)
			}
		}
		if p.variable == "timestamp" && units[p.value] == "" {
			return nil, fmt.Errorf("parameter unit is required for the the variable timestamp, supported values are: yyyy|MM|dd|HH")
		}
		out = append(out, p)
		at = m[1]
	}
	if at < len(text) {
		out = append(out, templatePart{text: text[at:]})
	}
	return out, nil
}

var units = map[string]string{"yyyy": "2006", "MM": "01", "dd": "02", "HH": "15"}

// grouping is what files are made of.
type grouping int

const (
	byStart  grouping = iota // what came since the last commit, by the offset it begins with
	byKey                    // the same of each key
	lastOnly                 // the last record of each key
)

// grouping follows from the set of variables.
func (t template) grouping() (grouping, error) {
	rest := map[string]bool{}
	for _, p := range t {
		if p.variable != "" {
			rest[p.variable] = true
		}
	}
	if len(rest) == 0 {
		return 0, fmt.Errorf("RecordGrouper requires that the template [%s] has variables defined. Supported variables are: %s", t, variableSets)
	}
	take := func(names ...string) bool {
		for _, n := range names {
			if !rest[n] {
				return false
			}
		}
		for _, n := range names {
			delete(rest, n)
		}
		return true
	}
	if take("topic", "partition", "start_offset") {
		keyed := take("key")
		if len(rest) > 0 && !rest["timestamp"] {
			return 0, fmt.Errorf("unsupported set of template variables, supported sets are: %s", variableSets)
		}
		if keyed {
			return byKey, nil
		}
		return byStart, nil
	}
	if take("key") && (len(rest) == 0 || rest["topic"] || rest["partition"]) {
		return lastOnly, nil
	}
	return 0, fmt.Errorf("unsupported set of template variables, supported sets are: %s", variableSets)
}

const variableSets = "topic,partition,start_offset,timestamp; topic,partition,key,start_offset,timestamp; key; key,topic,partition"

// String is the template as it was written.
func (t template) String() string {
	var out strings.Builder
	for _, p := range t {
		out.WriteString(p.text)
	}
	return out.String()
}

// render fills in the variables that v has; others stay as they were written.
func (t template) render(v names) string {
	var out strings.Builder
	padded := func(p templatePart, n int64, width int) {
		digits := strconv.FormatInt(n, 10)
		if strings.EqualFold(p.value, "true") && !(v.bare && p.variable == "partition") {
			out.WriteString(strings.Repeat("0", max(0, width-len(digits))))
		}
		out.WriteString(digits)
	}
	for _, p := range t {
		switch {
		case p.variable == "topic":
			out.WriteString(v.topic)
		case p.variable == "partition":
			padded(p, int64(v.partition), 10)
		case p.variable == "start_offset" && v.offset >= 0:
			padded(p, v.offset, 20)
		case p.variable == "timestamp" && !v.at.IsZero():
			out.WriteString(v.at.Format(units[p.value]))
		case p.variable == "utc_date" && v.bare:
			out.WriteString(v.now.UTC().Format(time.DateOnly))
		case p.variable == "local_date" && v.bare:
			out.WriteString(v.now.Local().Format(time.DateOnly))
		case p.variable == "key" && !v.bare:
			out.WriteString(v.key)
		default:
			out.WriteString(p.text)
		}
	}
	return out.String()
}

// keyNames makes keys part of names: what Java's toString makes of them.
type keyNames struct {
	text convert.Converter // a StringConverter
	plan plan
	buf  []byte
}

func (k *keyNames) name(b *record.Batch, r *record.Record) string {
	if r.Key.IsNull() {
		return "null"
	}
	if r.Key.Kind() == record.String {
		return string(b.Raw(r.Key))
	}
	var err error
	if k.buf, err = k.plan.append(k.buf[:0], k.text, b, r.Topic, r.KeySchema, r.Key); err != nil {
		return "null" // no value of Connect is without a text
	}
	return string(k.buf)
}
