package options

import (
	"fmt"
	"strconv"
	"strings"

	"millrace/internal/configdef"
)

// Filters are the options that choose tables, columns and operations.
type Filters struct {
	Tables  *TableFilter
	Columns *ColumnFilter
	Rules   *ColumnRules
	Keys    *KeyColumns
	Skipped Operations
}

// ParseFilters reads them. space is what a connector calls the thing before the
// dot, "schema" or "database"; builtin tells the server's own tables; always is a
// table that is captured in any case, the signal table, or "".
func ParseFilters(v configdef.Values, space string, builtin func(space, table string) bool, always string) (f Filters, err error) {
	c := TableFilterConfig{
		SpaceInclude: v.String(space + ".include.list"), SpaceExclude: v.String(space + ".exclude.list"),
		TableInclude: v.String("table.include.list"), TableExclude: v.String("table.exclude.list"),
	}
	if v.Bool("table.ignore.builtin") {
		c.Builtin = builtin
	}
	if always != "" {
		c.Always = []string{always}
	}
	if f.Tables, err = NewTableFilter(c); err != nil {
		return f, err
	}
	if f.Columns, err = NewColumnFilter(v.String("column.include.list"), v.String("column.exclude.list")); err != nil {
		return f, err
	}
	if f.Rules, err = NewColumnRules(v.Props()); err != nil {
		return f, err
	}
	if f.Keys, err = NewKeyColumns(v.String("message.key.columns")); err != nil {
		return f, err
	}
	f.Skipped, err = ParseOperations(v.String("skipped.operations"))
	return f, err
}

// ParseNaming reads the topic naming strategy; adjust makes schema names fit
// (schema.name.adjustment.mode), nil: as they are.
func ParseNaming(v configdef.Values, adjust func(string) string) (*Naming, error) {
	return NewNaming(NamingConfig{
		Strategy: v.String("topic.naming.strategy"), Prefix: v.String("topic.prefix"), Delimiter: v.String("topic.delimiter"),
		HeartbeatPrefix: v.String("topic.heartbeat.prefix"), HeartbeatName: v.String("topic.heartbeat.name"), Transaction: v.String("topic.transaction"),
		Regex: v.String("topic.regex"), Replacement: v.String("topic.replacement"),
		KeyUnique: v.Bool("topic.key.enforce.uniqueness"), KeyField: v.String("topic.key.field.name"),
		KeyRegex: v.String("topic.key.field.regex"), KeyReplacement: v.String("topic.key.field.replacement"),
		AdjustSchema: adjust,
	})
}

// FieldMode is field.name.adjustment.mode. As in Debezium an Avro converter turns
// it on when it is not set.
func FieldMode(v configdef.Values) string {
	mode := v.Enum("field.name.adjustment.mode")
	if mode != "none" {
		return mode
	}
	for _, k := range []string{"key.converter", "value.converter"} {
		switch strings.TrimSpace(v.Props()[k]) {
		case "io.confluent.connect.avro.AvroConverter", "io.apicurio.registry.utils.converter.AvroConverter":
			return "avro"
		}
	}
	return mode
}

// SelectOverrides are the statements of snapshot.select.statement.overrides by table
// as name spells it, and what is to be said about them at start.
func SelectOverrides(v configdef.Values, name func(string) string) (statements map[string]string, warnings []string) {
	const option = "snapshot.select.statement.overrides"
	statements = map[string]string{}
	for _, table := range v.List(option) {
		q := strings.TrimSpace(v.Props()[option+"."+table])
		if q == "" {
			warnings = append(warnings, fmt.Sprintf("%s names %s, but %s.%s is not set: the table is read whole", option, table, option, table))
			continue
		}
		statements[name(table)] = q
	}
	return statements, warnings
}

// Multipliers are snapshot.max.threads.multiplier.<table> by table as name spells
// it, and what is to be said about them at start.
func Multipliers(v configdef.Values, name func(string) string) (by map[string]int, warnings []string) {
	const option = "snapshot.max.threads.multiplier"
	by = map[string]int{}
	for table, text := range v.Prefixed(option + ".") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			warnings = append(warnings, fmt.Sprintf("%s.%s is no positive number: %s is used", option, table, option))
			continue
		}
		by[name(table)] = n
	}
	return by, warnings
}

// Idle is an option that changes nothing in a connector.
type Idle struct {
	Option string
	// Fine is the value that needs no word about it.
	Fine string
	// Why says what is done instead.
	Why string
}

// CommonIdle are the options that change nothing in any connector. Nothing is
// ignored silently: whoever sets one of them to another value is told so.
var CommonIdle = []Idle{
	{"custom.metric.tags", "", "the labels of the metrics are fixed"},
	{"max.queue.size", "8192", "what waits is bounded in bytes, by max.queue.size.in.bytes"},
	{"poll.interval.ms", "500", "changes are sent on at once when the log is drained"},
	{"executor.shutdown.timeout.ms", "4000", "the worker's task.shutdown.graceful.timeout.ms says how long a task may take to stop"},
	{"query.fetch.size", "0", "streaming has no cursor"},
	{"topic.cache.size", "10000", "topic names are kept per table"},
	{"heartbeat.topics.prefix", "__debezium-heartbeat", "as in Debezium, topic.heartbeat.prefix names the topic"},
	{"custom.sanitize.pattern", ".*secret$|.*password$|.*sasl\\.jaas\\.config$|.*basic\\.auth\\.user\\.info|.*registry\\.auth\\.client-secret|.*credentials\\.json$|.*connectionstring$|.*connection\\.string$", "the values of properties are never logged"},
	{"statistics.metrics.enabled", "true", "latencies are always measured"},
	{"internal.advanced.metrics.enable", "false", "all metrics are always there"},
	{"internal.snapshot.scan.all.columns.force", "false", "the structure of all captured tables is always read at once"},
}

// IdleWarnings says which of the options are set to something that has no effect.
func IdleWarnings(v configdef.Values, idle ...[]Idle) []string {
	var out []string
	for _, list := range idle {
		for _, x := range list {
			if v.IsSet(x.Option) && !strings.EqualFold(v.String(x.Option), x.Fine) {
				out = append(out, fmt.Sprintf("%s=%s has no effect: %s", x.Option, v.String(x.Option), x.Why))
			}
		}
	}
	return out
}
