package options

import (
	"regexp"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// Values recommends the values of an enumeration.
func Values(vs ...string) func(map[string]string) []string {
	return func(map[string]string) []string { return vs }
}

// Group is the options of one group in the order they are listed.
type Group struct {
	Name    string
	Options []string
}

// Table puts a connector's option table together: own options, which win, and
// those that the source connectors share, in the order of the groups; then the
// hidden ones. It panics when a name is not defined, which is a programming error.
func Table(groups []Group, own []configdef.Option) []configdef.Option {
	rows := map[string]configdef.Option{}
	for _, list := range [][]configdef.Option{commonConnector, commonEvents, own} {
		for _, o := range list {
			rows[o.Name] = o
		}
	}
	var out []configdef.Option
	listed := map[string]bool{}
	for _, g := range groups {
		order := 0
		for _, name := range g.Options {
			o, ok := rows[name]
			if !ok {
				panic("options: no row for " + name)
			}
			if !o.NoValue { // an old name has the place of the new one
				order++
			}
			o.Group, o.Order = g.Name, order
			listed[name] = true
			out = append(out, o)
		}
	}
	for _, list := range [][]configdef.Option{hidden, own} {
		for _, o := range list {
			if !listed[o.Name] {
				o.Hidden = true
				out = append(out, o)
			}
		}
	}
	return out
}

// NamingStrategy checks topic.naming.strategy.
func NamingStrategy(in configdef.Input) []string {
	for _, s := range TopicNamings() {
		if in.Value == s {
			return nil
		}
	}
	if p := ClassName(in); p != nil {
		return p
	}
	return []string{"millrace cannot load the Java class " + in.Value + "; use one of " + strings.Join(TopicNamings(), ", ")}
}

// regexNaming reports whether the properties choose a strategy with a regex.
func regexNaming(props map[string]string) bool {
	s := strings.TrimSpace(props["topic.naming.strategy"])
	return s == SchemaRegexTopicNaming || s == DefaultRegexTopicNaming
}

func topicRegex(in configdef.Input) []string {
	if !regexNaming(in.Props) {
		return nil
	}
	return append(Required(in), Regex(in)...)
}

func topicReplacement(in configdef.Input) []string {
	if !regexNaming(in.Props) {
		return nil
	}
	if in.Value == "" {
		if strings.TrimSpace(in.Props["topic.regex"]) == "" {
			return Required(in)
		}
		return []string{"topic.replacement must be non-empty if topic.regex is set."}
	}
	return replacement(in, "topic.regex")
}

func keyReplacement(in configdef.Input) []string {
	if in.Value == "" {
		return one(strings.TrimSpace(in.Props["topic.key.field.regex"]) != "", "topic.key.field.replacement must be non-empty if topic.key.field.regex is set.")
	}
	return replacement(in, "topic.key.field.regex")
}

// replacement checks group references against the pattern they belong to.
func replacement(in configdef.Input, of string) []string {
	r, err := javaregex.Compile(in.Props[of], 0)
	if err != nil {
		return nil // reported there
	}
	if _, err := r.CompileReplacement(in.Value); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// signalKafka asks for the brokers when the kafka signal channel is enabled.
func signalKafka(in configdef.Input) []string {
	for _, c := range configdef.SplitList(in.Props["signal.enabled.channels"]) {
		if c == "kafka" {
			return Required(in)
		}
	}
	return nil
}

func memoryQueue(in configdef.Input) []string {
	return one(in.Set && !strings.EqualFold(in.Value, "memory"), "millrace queues changes in memory only; leave the option out")
}

// hidden are options that the connectors read but do not list.
var hidden = []configdef.Option{
	{Name: "topic.delimiter", Type: configdef.String, Default: ".", HasDefault: true, Doc: "What stands between the parts of a topic name.", Check: Checks(TopicName)},
	{Name: "topic.cache.size", Type: configdef.Int, Default: "10000", HasDefault: true, Doc: "Accepted for compatibility: names are kept per table."},
	{Name: "topic.heartbeat.prefix", Type: configdef.String, Default: "__debezium-heartbeat", HasDefault: true, Doc: "First part of the heartbeat topic's name.", Check: Checks(TopicName)},
	{Name: "topic.heartbeat.name", Type: configdef.String, Doc: "Whole name of the heartbeat topic.", Check: Checks(TopicName)},
	{Name: "topic.transaction", Type: configdef.String, Default: "transaction", HasDefault: true, Doc: "Last part of the transaction topic's name.", Check: Checks(TopicName)},
	{Name: "topic.regex", Type: configdef.String, Doc: "Pattern of topic names to route, for the regex strategies.", Check: Checks(topicRegex)},
	{Name: "topic.replacement", Type: configdef.String, Doc: "Topic name to route to, with $1 for groups.", Check: Checks(topicReplacement)},
	{Name: "topic.key.enforce.uniqueness", Type: configdef.Boolean, Default: "true", HasDefault: true, Doc: "Add a field to the key that names the table a record comes from."},
	{Name: "topic.key.field.name", Type: configdef.String, Default: "__dbz__physicalTableIdentifier", HasDefault: true, Doc: "Name of that field."},
	{Name: "topic.key.field.regex", Type: configdef.String, Doc: "Pattern that makes the field's value from the topic name.", Check: Checks(Regex)},
	{Name: "topic.key.field.replacement", Type: configdef.String, Doc: "Value of the field, with $1 for groups.", Check: Checks(keyReplacement)},
	{Name: "field.name.adjustment.mode", Type: configdef.String, Default: "none", HasDefault: true, Doc: "Make field names fit for Avro.", Check: Checks(OneOf("none", "avro_unicode", "avro"))},
	{Name: "skip.messages.without.change", Type: configdef.Boolean, Default: "false", HasDefault: true, Doc: "Drop updates that change no captured column.", Check: Checks(IsBoolean)},
	{Name: "event.converting.failure.handling.mode", Type: configdef.String, Default: "warn", HasDefault: true, Doc: "What to do with a value that cannot be converted: fail, warn or skip (null).", Check: Checks(OneOf("warn", "fail", "skip"))},
	{Name: "queue.provider.type", Type: configdef.String, Default: "memory", HasDefault: true, Doc: "Where changes wait: memory.", Check: Checks(memoryQueue)},
	{Name: "internal.custom.retriable.exception", Type: configdef.String, Doc: "Pattern of error messages after which a task restarts.", Check: Checks(Regex)},
	{Name: "signal.kafka.topic", Type: configdef.String, Doc: "Topic of the kafka signal channel; <topic.prefix>-signal when not set."},
	{Name: "signal.kafka.bootstrap.servers", Type: configdef.String, Doc: "Brokers of the kafka signal channel.", Check: Checks(signalKafka)},
	{Name: "signal.kafka.groupId", Type: configdef.String, Default: "kafka-signal", HasDefault: true, Doc: "Consumer group of the kafka signal channel."},
	{Name: "signal.kafka.poll.timeout.ms", Type: configdef.Int, Default: "0", HasDefault: true, Doc: "How long a look at the signal topic may wait, in milliseconds.", Check: Checks(NonNegativeInt)},
	{Name: "signal.file", Type: configdef.String, Default: "file-signals.txt", HasDefault: true, Doc: "File of the file signal channel."},
}

// Patterns are the options whose names the user makes.
func Patterns() []configdef.Pattern {
	length := func(in configdef.Input) []string {
		if _, err := NewColumnRules(map[string]string{in.Name: in.Value}); err != nil {
			return []string{Invalid(in.Name, strings.TrimPrefix(err.Error(), in.Name+": "))}
		}
		return nil
	}
	return []configdef.Pattern{
		{Regexp: regexp.MustCompile(`^column\.(truncate\.to\.\d+\.chars|mask\.with\.\d+\.chars|mask\.hash\.(v2\.)?[^.]+\.with\.salt\..+)$`), Doc: "Truncates, masks or hashes columns.", Check: length},
	}
}
