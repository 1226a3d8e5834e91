package objectstore

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"millrace/internal/record"
)

// template is a compiled file.name.template: text with {{variable:parameter=value}}.
type template []templatePart

type templatePart struct {
	text             string // literal, when variable is ""
	variable         string
	parameter, value string
}

// names are what a template's variables stand for.
type names struct {
	topic     string
	partition int32
	offset    int64
	at, now   time.Time
	batch     *record.Batch
	record    *record.Record
}

var variable = regexp.MustCompile(`\{\{\s*(\w*)(?:\s*:\s*(\w+)\s*=\s*(\w+))?\s*\}\}`)

// variables are those of file names; utc_date and local_date only of old prefixes.
var variables = []string{"topic", "partition", "start_offset", "timestamp", "key"}

func parseTemplate(text string, also ...string) (template, error) {
	var out template
	at := 0
	for _, m := range variable.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			out = append(out, templatePart{text: text[at:m[0]]})
		}
		p := templatePart{variable: text[m[2]:m[3]]}
		if m[4] >= 0 {
			p.parameter, p.value = text[m[4]:m[5]], text[m[6]:m[7]]
		}
		if p.variable == "timestamp" && p.value == "YYYY" {
			p.value = "yyyy" // the old spelling
		}
		if err := p.check(also); err != nil {
			return nil, err
		}
		out = append(out, p)
		at = m[1]
	}
	if at < len(text) {
		out = append(out, templatePart{text: text[at:]})
	}
	return out, nil
}

func (p *templatePart) check(also []string) error {
	if !slices.Contains(variables, p.variable) && !slices.Contains(also, p.variable) {
		return fmt.Errorf("unsupported set of template variables, supported sets are: topic,partition,start_offset,timestamp; topic,partition,key,start_offset,timestamp; key; key,topic,partition")
	}
	if p.variable == "timestamp" && p.parameter == "" {
		return fmt.Errorf("parameter unit is required for the the variable timestamp, supported values are: yyyy|MM|dd|HH")
	}
	ok := p.parameter == ""
	switch p.variable {
	case "timestamp":
		ok = p.parameter == "unit" && units[p.value] != ""
	case "partition", "start_offset":
		ok = ok || p.parameter == "padding" && (p.value == "true" || p.value == "false")
	}
	if !ok {
		return fmt.Errorf("unsupported set of template variables parameters, supported sets are: partition:padding=true|false,start_offset:padding=true|false,timestamp:unit=yyyy|MM|dd|HH")
	}
	return nil
}

var units = map[string]string{"yyyy": "2006", "MM": "01", "dd": "02", "HH": "15"}

// uses reports whether a variable is there.
func (t template) uses(name string) bool {
	return slices.ContainsFunc(t, func(p templatePart) bool { return p.variable == name })
}

// kind checks the set of variables; keyOnly: a file holds the last value of its key.
func (t template) kind() (keyOnly bool, err error) {
	complete := t.uses("topic") && t.uses("partition") && t.uses("start_offset")
	if complete || t.uses("key") && !t.uses("start_offset") && !t.uses("timestamp") {
		return !complete, nil
	}
	return false, (&templatePart{variable: "-"}).check(nil)
}

func (t template) render(v names) string {
	var out strings.Builder
	for _, p := range t {
		switch p.variable {
		case "":
			out.WriteString(p.text)
		case "topic":
			out.WriteString(v.topic)
		case "partition":
			width := 1
			if p.value == "true" {
				width = 10
			}
			fmt.Fprintf(&out, "%0*d", width, v.partition)
		case "start_offset":
			width := 1
			if p.value == "true" {
				width = 20
			}
			fmt.Fprintf(&out, "%0*d", width, v.offset)
		case "timestamp":
			out.WriteString(v.at.Format(units[p.value]))
		case "utc_date":
			out.WriteString(v.now.UTC().Format(time.DateOnly))
		case "local_date":
			out.WriteString(v.now.Local().Format(time.DateOnly))
		case "key":
			out.WriteString(keyName(v.batch, v.record))
		}
	}
	return out.String()
}

// keyName is a key as part of a name.
func keyName(b *record.Batch, r *record.Record) string {
	if r.Key.IsNull() {
		return "null"
	}
	if text, ok := appendScalar(nil, b, r.Key); ok {
		return string(text)
	}
	var sb strings.Builder
	record.Dump(&sb, b, r.Key)
	return sb.String()
}
