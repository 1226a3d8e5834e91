package oracle

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

// Case is one scenario.
type Case struct {
	Name   string     `yaml:"-"` // file name without extension
	About  string     `yaml:"about"`
	Setup  string     `yaml:"setup"`  // SQL before the connector exists
	Config Config     `yaml:"config"` // on top of the driver's defaults; null removes a default
	Stream string     `yaml:"stream"` // SQL once it streams: the short form of steps
	Steps  []Step     `yaml:"steps"`
	Ready  string     `yaml:"ready"` // stream (default), snapshot or none: when steps begin
	End    string     `yaml:"end"`   // marker (default): wait for a last change; settle: only for silence
	Ignore []string   `yaml:"ignore_topics"`
	Unique bool       `yaml:"distinct"` // equal records count once (heartbeats: how many is a matter of time)
	Normal *Normalise `yaml:"normalise"`
	// Streamed waits for a second marker before the first step, so that a commit
	// was streamed before it.
	Streamed   *bool    `yaml:"streamed"`
	Engine     string   `yaml:"engine"`     // postgres, mysql or mariadb; "": the area's name
	Status     bool     `yaml:"status"`     // compare the state of the tasks, and why they failed
	Describe   bool     `yaml:"describe"`   // compare partitions and settings of the topics
	Timestamps bool     `yaml:"timestamps"` // compare the time of the Kafka records
	Loose      []string `yaml:"loose"`      // fields whose differences do not count
	History    bool     `yaml:"history"`    // compare the schema history
	Offsets    bool     `yaml:"offsets"`    // stop the connector at the end and compare the offset it left
	// Registry is sent to the Schema Registry before the connector exists.
	Registry   []Request `yaml:"registry"`
	registered bool      // it names {registry}: what is registered is compared too
}

// Alone reports whether a case needs its server for itself: it sees transactions or
// positions of others, or sets a variable of the server.
func (c *Case) Alone() bool {
	if c.Engine == "postgres" {
		return false
	}
	on := func(k, v string) bool { x := c.Config[k]; return x != nil && *x == v }
	text := strings.ToLower(c.Setup)
	for _, s := range c.Steps {
		text += strings.ToLower(s.SQL)
	}
	return on("provide.transaction.metadata", "true") || len(c.Normal.Relative) > 0 || c.Offsets || strings.Contains(text, "set global") || strings.Contains(text, "flush ") ||
		on("include.schema.changes", "true") && on("snapshot.mode", "no_data")
}

// Step is one thing to do; its fields are done in the order they stand here.
type Step struct {
	SQL      string   `yaml:"sql"`
	Sleep    float64  `yaml:"sleep"` // seconds
	Sync     *any     `yaml:"sync"`  // wait until a change made now has arrived
	Stop     *any     `yaml:"stop"`
	Resume   *any     `yaml:"resume"`
	Config   Config   `yaml:"config"` // put over the case's config
	Restart  *any     `yaml:"restart"`
	Produce  *Message `yaml:"produce"`
	WaitFor  string   `yaml:"wait_for"`
	State    string   `yaml:"wait_state"`
	Ready    string   `yaml:"ready"`
	Registry *Request `yaml:"registry"`
}

// Message is a record that a step writes to a topic (a signal).
type Message struct {
	Topic string `yaml:"topic"`
	Key   string `yaml:"key"`
	Value string `yaml:"value"`
}

// Normalise is what a case adds to the normalisation.
type Normalise struct {
	IDs     []string    `yaml:"ids"`     // fields whose text is numbered
	Clocks  []string    `yaml:"clocks"`  // fields that hold times
	Any     []string    `yaml:"any"`     // fields and headers whose value does not count
	Replace [][2]string `yaml:"replace"` // regular expression and text, on all text
	Split   *bool       `yaml:"split"`   // number commit positions apart from change positions
	// Relative names positions (pos) of the stream to show as their distance from
	// the topic's first one.
	Relative []string `yaml:"relative"`
	replace  []replacement
}

type replacement struct {
	re   *regexp.Regexp
	with string
}

// Config is connector config; a nil value removes the default.
type Config map[string]*string

// UnmarshalYAML keeps numbers as they are spelled and writes booleans as Java does.
func (c *Config) UnmarshalYAML(n *yaml.Node) error {
	*c = Config{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i].Value, n.Content[i+1]
		switch {
		case v.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: %s is no single value", v.Line, k)
		case v.Tag == "!!null":
			(*c)[k] = nil
		case v.Tag == "!!bool":
			s := strings.ToLower(v.Value)
			(*c)[k] = &s
		default:
			s := v.Value
			(*c)[k] = &s
		}
	}
	return nil
}

// LoadCase reads a case. A field that the driver does not know is an error.
func LoadCase(path string) (*Case, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Case{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Ready: "stream", End: "marker"}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Normal == nil {
		c.Normal = &Normalise{}
	}
	if area := filepath.Base(filepath.Dir(path)); area == "postgres" { // recorded with these, without saying so
		yes := true
		c.Streamed, c.Normal.Split = cmp.Or(c.Streamed, &yes), cmp.Or(c.Normal.Split, &yes)
	}
	if c.registered = bytes.Contains(text, []byte("{registry}")); c.registered && c.Normal.Split == nil {
		yes := true
		c.Normal.Split = &yes
	}
	c.Engine = cmp.Or(c.Engine, filepath.Base(filepath.Dir(path)))
	if c.Engine == "transforms" {
		c.Engine = "postgres"
	}
	group := regexp.MustCompile(`\\(\d)`) // Python's spelling of a group in a replacement
	for _, r := range c.Normal.Replace {
		re, err := regexp.Compile(r[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.Normal.replace = append(c.Normal.replace, replacement{re, group.ReplaceAllString(r[1], "$${$1}")})
	}
	if c.Stream != "" {
		c.Steps = append([]Step{{SQL: c.Stream}}, c.Steps...)
	}
	return c, nil
}

// Row is one normalised record.
type Row = *Object

// LoadRecording reads NAME.expected.json. Schemas are stored once and put back
// into every record that names them.
func LoadRecording(path string) ([]Row, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, err := ParseJSON(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, fmt.Errorf("%s is no object", path)
	}
	s, _ := o.Get("schemas")
	schemas, ok1 := s.(*Object)
	r, _ := o.Get("records")
	records, ok2 := r.([]Value)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%s holds no schemas and records", path)
	}
	rows := make([]Row, 0, len(records))
	for i, r := range records {
		row, ok := r.(*Object)
		if !ok {
			return nil, fmt.Errorf("%s: record %d is no object", path, i)
		}
		for _, part := range []string{"key", "value"} {
			x, _ := row.Get(part)
			if err := putSchema(schemas, x); err != nil {
				return nil, fmt.Errorf("%s: record %d: %s: %w", path, i, part, err)
			}
		}
		rows = append(rows, row)
	}
	if reg, ok := o.Get("registered"); ok {
		more, err := registeredRows(schemas, reg)
		if err != nil {
			return nil, fmt.Errorf("%s: registered: %w", path, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// putSchema puts a schema back into what names it: JsonConverter's envelope, or
// what a registry's converter wrote.
func putSchema(schemas *Object, x Value) error {
	o, ok := x.(*Object)
	if !ok {
		return nil
	}
	if len(o.Keys) == 1 && (o.Keys[0] == "avro" || o.Keys[0] == "jsonschema") {
		o, _ = o.Vals[0].(*Object)
	} else if !o.has("schema", "payload") {
		return nil
	}
	name, _ := o.Get("schema")
	if name == nil {
		return nil
	}
	s, ok := schemas.Get(name.(string))
	if !ok {
		return fmt.Errorf("schema %v is not in the file", name)
	}
	o.Set("schema", s)
	return nil
}

// registeredRows makes the rows of the subjects of a recording.
func registeredRows(schemas *Object, reg Value) (out []Row, err error) {
	subjects, ok := reg.(*Object)
	if !ok {
		return nil, errSyntax
	}
	for i, name := range subjects.Keys {
		o, ok := subjects.Vals[i].(*Object)
		if !ok {
			return nil, errSyntax
		}
		v, _ := o.Get("versions")
		names, _ := v.([]Value)
		versions := []Value{}
		for _, n := range names {
			s, ok := schemas.Get(fmt.Sprint(n))
			if !ok {
				return nil, fmt.Errorf("schema %v is not in the file", n)
			}
			versions = append(versions, s)
		}
		o.Set("versions", versions)
		out = append(out, object("topic", "~registered "+name, "key", nil, "value", object("registered", o)))
	}
	return out, nil
}

// Result is the outcome of comparing one case.
type Result struct {
	Records, Equal int      // of the recording
	Differences    []string // empty: the case passes
}

// Compare compares what landed with a recording, topic by topic, record by
// record. Differences in fields named loose do not count.
func Compare(want, got []Row, loose ...string) Result {
	w, g := byTopic(want), byTopic(got)
	names := map[string]bool{}
	for t := range w {
		names[t] = true
	}
	for t := range g {
		names[t] = true
	}
	topics := make([]string, 0, len(names))
	for t := range names {
		topics = append(topics, t)
	}
	sort.Strings(topics)
	res := Result{Records: len(want)}
	for _, t := range topics {
		x, y := w[t], g[t]
		if len(x) != len(y) {
			res.Differences = append(res.Differences, fmt.Sprintf("%s: %d records expected, got %d", t, len(x), len(y)))
		}
		for i := range min(len(x), len(y)) {
			var d []string
			differences(x[i], y[i], "", &d)
			d = slices.DeleteFunc(d, func(line string) bool {
				return slices.ContainsFunc(loose, func(f string) bool { return strings.Contains(line, "."+f+":") })
			})
			if len(d) == 0 {
				res.Equal++
			}
			for _, s := range d {
				res.Differences = append(res.Differences, fmt.Sprintf("%s[%d]%s", t, i, s))
			}
		}
	}
	return res
}

func byTopic(rows []Row) map[string][]Row {
	m := map[string][]Row{}
	for _, r := range rows {
		t, _ := r.Get("topic")
		s, _ := t.(string)
		m[s] = append(m[s], r)
	}
	return m
}

// differences appends one line for each difference between two values. The
// order of fields counts, except in a notification's additional_data.
func differences(want, got Value, at string, out *[]string) {
	switch w := want.(type) {
	case *Object:
		g, ok := got.(*Object)
		if !ok {
			break
		}
		if !sameFields(w, g, !strings.HasSuffix(at, ".additional_data")) {
			*out = append(*out, fmt.Sprintf("%s: fields %v expected, got %v", at, w.Keys, g.Keys))
		}
		for i, k := range w.Keys {
			if x, ok := g.Get(k); ok {
				differences(w.Vals[i], x, at+"."+k, out)
			}
		}
		return
	case []Value:
		g, ok := got.([]Value)
		if !ok {
			break
		}
		if len(w) != len(g) {
			*out = append(*out, fmt.Sprintf("%s: %d items expected, got %d", at, len(w), len(g)))
		}
		for i := range min(len(w), len(g)) {
			name := fmt.Sprint(i)
			if o, ok := w[i].(*Object); ok {
				if f, ok := o.Get("field"); ok {
					name = fmt.Sprint(f)
				}
			}
			differences(w[i], g[i], at+"["+name+"]", out)
		}
		return
	case nil, bool, Int, string:
		switch got.(type) {
		case nil, bool, Int, string:
			if want == got {
				return
			}
		}
	}
	*out = append(*out, fmt.Sprintf("%s: expected %s, got %s", at, cut(Print(want)), cut(Print(got))))
}

func sameFields(a, b *Object, ordered bool) bool {
	if ordered {
		return strings.Join(a.Keys, "\x00") == strings.Join(b.Keys, "\x00")
	}
	return a.has(b.Keys...)
}

func cut(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}
