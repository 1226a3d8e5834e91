package worker

import (
	"fmt"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// framework is the table of options that Connect itself gives every connector,
// with the classes that some of them name.
type framework struct {
	def     configdef.Def
	classes map[string]Kind // option -> kind of plugin it names
	chosen  map[string]*Plugin
	groups  []string
}

// frameworkOf builds the table for a kind of connector and its properties: the
// transforms and predicates they name bring options of their own.
func (w *Worker) frameworkOf(kind Kind, conn *Plugin, props map[string]string) *framework {
	f := &framework{classes: map[string]Kind{}, chosen: map[string]*Plugin{}, groups: []string{"Common", "Transforms", "Predicates", "Error Handling"}}
	f.common(w, conn, props)
	f.errorHandling()
	if kind == KindSource {
		f.source(w.cfg.ExactlyOnce, conn.ExactlyOnce == nil || conn.ExactlyOnce(props))
		f.groups = append(f.groups, "Topic Creation", "Exactly Once Support", "offsets.topic")
	} else {
		f.sink()
	}
	for _, a := range distinct(configdef.SplitList(props["transforms"])) {
		f.alias(w, "transforms", "Transformation", "Transforms", a, KindTransformation, props)
	}
	for _, a := range distinct(configdef.SplitList(props["predicates"])) {
		f.alias(w, "predicates", "Predicate", "Predicates", a, KindPredicate, props)
	}
	return f
}

func distinct(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func (f *framework) add(o configdef.Option) {
	if why, ok := nullReasons[o.Name]; ok {
		o.NullError = fmt.Sprintf("Invalid value null for configuration %s: %s", o.Name, why)
	}
	f.def.Options = append(f.def.Options, o)
}

// nullReasons is what Kafka's validators say of null, besides that it is one.
var nullReasons = map[string]string{
	"tasks.max":             "Value must be non-null",
	"transforms":            "entry must be non null",
	"predicates":            "entry must be non null",
	"topic.creation.groups": "entry must be non null",
	"config.action.reload":  "String must be one of: none, restart",
	"errors.tolerance":      "String must be one of: none, all",
	"exactly.once.support":  "String must be one of (case insensitive): REQUIRED, REQUESTED",
	"transaction.boundary":  "String must be one of (case insensitive): INTERVAL, POLL, CONNECTOR",
}

// invalid is Kafka's ConfigException text.
func invalid(in configdef.Input, why string) []string {
	return []string{fmt.Sprintf("Invalid value %s for configuration %s: %s", in.Value, in.Name, why)}
}

func oneOf(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if in.Value == v {
				return nil
			}
		}
		return invalid(in, "String must be one of: "+strings.Join(values, ", "))
	}
}

func oneOfAnyCase(values ...string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, v := range values {
			if strings.EqualFold(in.Value, v) {
				return nil
			}
		}
		return invalid(in, "String must be one of (case insensitive): "+strings.Join(values, ", "))
	}
}

func atLeast(n int64) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		var v int64
		if _, err := fmt.Sscan(in.Value, &v); err == nil && v < n {
			return invalid(in, fmt.Sprintf("Value must be at least %d", n))
		}
		return nil
	}
}

func notEmpty(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return invalid(in, "String must be non-empty")
	}
	return nil
}

func noDuplicates(in configdef.Input) []string {
	list := configdef.SplitList(in.Value)
	if len(distinct(list)) != len(list) {
		return []string{fmt.Sprintf("Invalid value [%s] for configuration %s: Duplicate alias provided.", strings.Join(list, ", "), in.Name)}
	}
	return nil
}

// checkName refuses names that are empty or hold control characters.
func checkName(in configdef.Input) []string {
	if strings.TrimSpace(in.Value) == "" {
		return invalid(in, "String may not be empty")
	}
	var bad []string
	for _, r := range in.Value {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			bad = append(bad, fmt.Sprint(int(r)))
		}
	}
	if len(bad) > 0 {
		return invalid(in, "String may not contain control sequences but had the following ASCII chars: "+strings.Join(bad, ", "))
	}
	return nil
}

func (f *framework) common(w *Worker, conn *Plugin, props map[string]string) {
	common := func(n int, o configdef.Option) {
		o.Order = n
		if o.Group == "" {
			o.Group = "Common"
		}
		f.add(o)
	}
	common(1, configdef.Option{Name: "name", Type: configdef.String, Required: true, Importance: configdef.High, Width: configdef.WidthMedium, Display: "Connector name",
		Doc: "Name of the connector; no two connectors of a cluster have the same.", Check: checkName})
	common(2, configdef.Option{Name: "connector.class", Type: configdef.String, Required: true, Importance: configdef.High, Width: configdef.WidthLong, Display: "Connector class",
		Doc: "Java class name of the connector, or its short form: the simple name, with or without the ending Connector."})
	v := VersionOf(conn)
	common(3, versionOption("connector.plugin.version", "Connector version", "Release of the connector; only the one that is built in can be asked for.", conn, configdef.Medium, configdef.WidthMedium, v))
	common(4, configdef.Option{Name: "tasks.max", Type: configdef.Int, HasDefault: true, Default: "1", Importance: configdef.High, Width: configdef.WidthShort, Display: "Tasks max",
		Doc: "Most tasks that the connector may be split into.", Check: atLeast(1)})
	common(5, configdef.Option{Name: "tasks.max.enforce", Type: configdef.Boolean, HasDefault: true, Default: "true", Importance: configdef.Low, Width: configdef.WidthShort, Display: "Enforce tasks max",
		Doc: "Deprecated. Fail a connector that makes more tasks than tasks.max; no connector of millrace does."})
	n := 6
	for _, c := range []struct{ key, title string }{{"key.converter", "Key converter"}, {"value.converter", "Value converter"}, {"header.converter", "Header converter"}} {
		kind := KindConverter
		if c.key == "header.converter" {
			kind = KindHeaderConverter
		}
		def := w.className(w.cfg.Props[c.key], kind)
		if def == "" && kind == KindHeaderConverter {
			def = "org.apache.kafka.connect.storage.SimpleHeaderConverter"
		}
		f.classes[c.key] = kind
		common(n, configdef.Option{Name: c.key, Type: configdef.Class, HasDefault: true, Default: def, Importance: configdef.Low, Width: configdef.WidthShort, Display: c.title + " class",
			Doc: "Converter between Connect's values and the bytes in Kafka; the worker's own when not given. Its options follow under " + c.key + ".", Recommend: w.classesOf(kind)})
		class, ok := props[c.key]
		if !ok {
			class = def
		}
		p := w.reg.Find(strings.TrimSpace(class), kind)
		f.chosen[c.key] = p
		vo := versionOption(c.key+".plugin.version", c.title+" version", "Release of the converter; only the one that is built in can be asked for.", p, configdef.Low, configdef.WidthShort, VersionOf(p))
		vo.Invisible = p == nil
		if !ok {
			vo.Check = nil // the worker's converter is what it is
		}
		common(n+1, vo)
		n += 2
	}
	common(12, configdef.Option{Name: "transforms", Group: "Transforms", Type: configdef.List, HasDefault: true, Importance: configdef.Low, Width: configdef.WidthLong, Display: "Transforms",
		Doc: "Names of the transforms that records pass, in order; each is described under transforms.<name>.", Check: noDuplicates})
	common(13, configdef.Option{Name: "predicates", Group: "Predicates", Type: configdef.List, HasDefault: true, Importance: configdef.Low, Width: configdef.WidthLong, Display: "Predicates",
		Doc: "Names of the predicates that transforms may use; each is described under predicates.<name>.", Check: noDuplicates})
	common(14, configdef.Option{Name: "config.action.reload", Type: configdef.String, HasDefault: true, Default: "restart", Importance: configdef.Low, Width: configdef.WidthMedium, Display: "Reload Action",
		Doc: "What to do when a config provider says that a value has changed: restart or none. The providers of files, directories and the environment never say so: restart the connector.", Check: oneOf("none", "restart")})
}

// versionOption is <plugin>.plugin.version: the built-in release or an error.
func versionOption(name, title, doc string, p *Plugin, imp configdef.Importance, width configdef.Width, v string) configdef.Option {
	o := configdef.Option{Name: name, Type: configdef.String, HasDefault: p != nil, Default: v, Importance: imp, Width: width, Display: title, Doc: doc}
	if p != nil {
		o.Recommend = func(map[string]string) []string { return []string{v} }
		o.Check = func(in configdef.Input) []string { return versionProblem(p, in.Value) }
	}
	return o
}

func (w *Worker) classesOf(kind Kind) func(map[string]string) []string {
	return func(map[string]string) []string {
		var out []string
		for _, p := range w.reg.List(kind) {
			out = append(out, p.Class)
		}
		return out
	}
}

// className is the full name of a plugin that a short name stands for.
func (w *Worker) className(name string, kind Kind) string {
	if p := w.reg.Find(strings.TrimSpace(name), kind); p != nil {
		return p.Class
	}
	return strings.TrimSpace(name)
}

func (f *framework) errorHandling() {
	n := 0
	add := func(o configdef.Option) {
		n++
		o.Group, o.Order, o.Importance, o.HasDefault = "Error Handling", n, configdef.Medium, true
		f.add(o)
	}
	add(configdef.Option{Name: "errors.retry.timeout", Type: configdef.Long, Default: "0", Width: configdef.WidthMedium, Display: "Retry Timeout for Errors",
		Doc: "Milliseconds for which a failed step is tried again; 0 tries once, -1 for ever."})
	add(configdef.Option{Name: "errors.retry.delay.max.ms", Type: configdef.Long, Default: "60000", Width: configdef.WidthMedium, Display: "Maximum Delay Between Retries for Errors",
		Doc: "Longest pause between two tries, in milliseconds."})
	add(configdef.Option{Name: "errors.tolerance", Type: configdef.String, Default: "none", Width: configdef.WidthShort, Display: "Error Tolerance",
		Doc: "none: a record that cannot be converted or transformed fails the task; all: it is skipped.", Check: oneOf("none", "all")})
	add(configdef.Option{Name: "errors.log.enable", Type: configdef.Boolean, Default: "false", Width: configdef.WidthShort, Display: "Log Errors",
		Doc: "Write a log line for every tolerated error."})
	add(configdef.Option{Name: "errors.log.include.messages", Type: configdef.Boolean, Default: "false", Width: configdef.WidthShort, Display: "Log Error Details",
		Doc: "Say in that line which record it was: topic, partition, offset, time; never key or value."})
}

func (f *framework) source(exactlyOnce, capable bool) {
	f.add(configdef.Option{Name: "topic.creation.groups", Group: "Topic Creation", Order: 1, Type: configdef.List, HasDefault: true, Importance: configdef.Low, Width: configdef.WidthLong,
		Display: "Topic Creation Groups", Doc: "Names of groups of topics that are created with settings of their own, under topic.creation.<name>.", Check: noDuplicates})
	eos := "Exactly Once Support"
	f.add(configdef.Option{Name: "exactly.once.support", Group: eos, Order: 2, Type: configdef.String, HasDefault: true, Default: "requested", Importance: configdef.Medium, Width: configdef.WidthShort,
		Display: "Exactly once support", Doc: "required: refuse the config unless records and offsets can be written in one transaction; requested: do so if possible.",
		Check: func(in configdef.Input) []string {
			if ps := oneOfAnyCase("REQUIRED", "REQUESTED")(in); len(ps) > 0 {
				return ps
			}
			var out []string
			if strings.EqualFold(in.Value, "required") {
				if !exactlyOnce {
					out = append(out, "This worker does not have exactly-once source support enabled.")
				}
				if !capable {
					out = append(out, "The connector does not support exactly-once semantics with the provided configuration.")
				}
			}
			return out
		}})
	f.add(configdef.Option{Name: "transaction.boundary", Group: eos, Order: 3, Type: configdef.String, HasDefault: true, Default: "poll", Importance: configdef.Medium, Width: configdef.WidthShort,
		Display: "Transaction Boundary", Doc: "Where transactions end with exactly-once: after each batch (poll), after a time (interval), or where the connector says (connector).",
		Check: func(in configdef.Input) []string {
			if ps := oneOfAnyCase("INTERVAL", "POLL", "CONNECTOR")(in); len(ps) > 0 {
				return ps
			}
			if strings.EqualFold(in.Value, "connector") { // none of the built-in ones does
				return []string{"The connector does not support connector-defined transaction boundaries with the given configuration. Please reconfigure it to use a different transaction boundary definition."}
			}
			return nil
		}})
	f.add(configdef.Option{Name: "transaction.boundary.interval.ms", Group: eos, Order: 4, Type: configdef.Long, Importance: configdef.Low, Width: configdef.WidthShort,
		Display: "Transaction boundary interval", Doc: "Milliseconds between transactions with transaction.boundary=interval; the worker's flush interval when not given.",
		Check: func(in configdef.Input) []string {
			if !in.Set {
				return nil
			}
			return atLeast(0)(in)
		}})
	f.add(configdef.Option{Name: "offsets.storage.topic", Group: "offsets.topic", Order: 1, Type: configdef.String, Importance: configdef.Low, Width: configdef.WidthLong,
		Display: "Offsets topic", Doc: "A topic of the connector's own for its offsets.", Check: notEmpty})
}

func (f *framework) sink() {
	f.add(configdef.Option{Name: "topics", Group: "Common", Order: 4, Type: configdef.List, HasDefault: true, Importance: configdef.High, Width: configdef.WidthLong,
		Display: "Topics", Doc: "Topics to read, separated by commas.", Check: checkTopics})
	f.add(configdef.Option{Name: "topics.regex", Group: "Common", Order: 4, Type: configdef.String, HasDefault: true, Importance: configdef.High, Width: configdef.WidthLong,
		Display: "Topics regex", Doc: "Java regular expression; topics whose whole name matches are read. Either this or topics.", Check: checkTopicsRegex})
	f.add(configdef.Option{Name: "errors.deadletterqueue.topic.name", Group: "Error Handling", Order: 6, Type: configdef.String, HasDefault: true, Importance: configdef.Medium, Width: configdef.WidthMedium,
		Display: "Dead Letter Queue Topic Name", Doc: "Topic that records go to which cannot be processed; empty for none."})
	f.add(configdef.Option{Name: "errors.deadletterqueue.topic.replication.factor", Group: "Error Handling", Order: 7, Type: configdef.Short, HasDefault: true, Default: "3", Importance: configdef.Medium, Width: configdef.WidthMedium,
		Display: "Dead Letter Queue Topic Replication Factor", Doc: "Replication factor of that topic when it must be created."})
	f.add(configdef.Option{Name: "errors.deadletterqueue.context.headers.enable", Group: "Error Handling", Order: 8, Type: configdef.Boolean, HasDefault: true, Default: "false", Importance: configdef.Medium, Width: configdef.WidthMedium,
		Display: "Enable Error Context Headers", Doc: "Add headers to those records that say where they came from and what went wrong."})
}

const (
	noTopics   = "Must configure one of topics or topics.regex"
	bothTopics = "topics and topics.regex are mutually exclusive options, but both are set."
)

func blank(s string) bool { return strings.TrimSpace(s) == "" }

func checkTopics(in configdef.Input) []string {
	var out []string
	list := configdef.SplitList(in.Value)
	empty := false
	for _, t := range list {
		empty = empty || t == ""
	}
	switch {
	case len(distinct(list)) != len(list):
		out = append(out, "Configuration 'topics' values must not be duplicated.")
	case empty:
		out = append(out, "Configuration 'topics' values must not be empty.")
	}
	regex := in.Props["topics.regex"]
	if blank(in.Value) && blank(regex) {
		return append(out, noTopics)
	}
	if !blank(in.Value) && !blank(regex) {
		out = append(out, bothTopics)
	}
	if dlq := strings.TrimSpace(in.Props["errors.deadletterqueue.topic.name"]); dlq != "" {
		for _, t := range list {
			if t == dlq {
				return append(out, fmt.Sprintf("The DLQ topic '%s' may not be included in the list of topics ('topics=[%s]') consumed by the connector", dlq, strings.Join(list, ", ")))
			}
		}
	}
	return out
}

func checkTopicsRegex(in configdef.Input) []string {
	topics := in.Props["topics"]
	if blank(in.Value) {
		if blank(topics) {
			return []string{noTopics}
		}
		return nil
	}
	re, err := javaregex.Compile(in.Value, 0)
	var out []string
	if err != nil {
		out = invalid(in, "Invalid regex: "+err.Error())
	}
	if !blank(topics) {
		out = append(out, bothTopics)
	}
	if len(out) > 0 {
		return out
	}
	if dlq := strings.TrimSpace(in.Props["errors.deadletterqueue.topic.name"]); dlq != "" && re.MatchWhole(dlq) {
		return []string{fmt.Sprintf("The DLQ topic '%s' may not be matched by the regex for the topics ('topics.regex=%s') consumed by the connector", dlq, in.Value)}
	}
	return nil
}
