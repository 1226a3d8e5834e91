package options

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// Check is one check of an option's value; the texts are without the wrapping
// that Invalid adds.
type Check func(in configdef.Input) []string

// Invalid words a problem as Debezium does.
func Invalid(name, problem string) string {
	return fmt.Sprintf("The '%s' value is invalid: %s", name, problem)
}

// Checks makes an Option.Check of several, in order.
func Checks(cs ...Check) func(configdef.Input) []string {
	if len(cs) == 0 {
		return nil
	}
	return func(in configdef.Input) []string {
		var out []string
		for _, c := range cs {
			for _, p := range c(in) {
				out = append(out, Invalid(in.Name, p))
			}
		}
		return out
	}
}

// TypeErrors is configdef.Def.TypeErrors for Debezium's source connectors: the
// text of the type, then those of the option's own checks, which read the value
// once more and say so in their own words.
func TypeErrors(o *configdef.Option, value string) []string {
	text := ""
	switch o.Type {
	case configdef.Boolean:
		text = "Either 'true' or 'false' is expected"
	case configdef.Int:
		text = "An integer is expected"
	case configdef.Short:
		text = "A short value is expected"
	case configdef.Long:
		text = "A long value is expected"
	case configdef.Double:
		text = "A double value is expected"
	}
	out := []string{Invalid(o.Name, text)}
	if o.Check != nil {
		out = append(out, o.Check(configdef.Input{Name: o.Name, Value: value, Set: true})...)
	}
	return out
}

func one(bad bool, text string) []string {
	if bad {
		return []string{text}
	}
	return nil
}

// given reports that the option has a value, from the user or by default.
func given(in configdef.Input) bool { return in.Set || in.Value != "" }

// Required asks for a value.
func Required(in configdef.Input) []string { return one(in.Value == "", "A value is required") }

// IsBoolean is the second check some Boolean options have.
func IsBoolean(in configdef.Input) []string {
	bad := given(in) && !strings.EqualFold(in.Value, "true") && !strings.EqualFold(in.Value, "false")
	return one(bad, "Either 'true' or 'false' is expected")
}

func number(in configdef.Input, bits int, least int64, text string) []string {
	if !given(in) {
		return nil
	}
	n, err := strconv.ParseInt(in.Value, 10, bits)
	return one(err != nil || n < least, text)
}

// IsInteger is the second check some integer options have.
func IsInteger(in configdef.Input) []string { return number(in, 32, -1<<31, "An integer is expected") }

// PositiveInt asks for an int above zero.
func PositiveInt(in configdef.Input) []string {
	return number(in, 32, 1, "A positive, non-zero integer value is expected")
}

// NonNegativeInt asks for an int of zero or more.
func NonNegativeInt(in configdef.Input) []string {
	return number(in, 32, 0, "An non-negative integer is expected")
}

// PositiveLong asks for a long above zero.
func PositiveLong(in configdef.Input) []string {
	return number(in, 64, 1, "A positive, non-zero long value is expected")
}

// NonNegativeLong asks for a long of zero or more.
func NonNegativeLong(in configdef.Input) []string {
	return number(in, 64, 0, "A non-negative long value is expected")
}

// OneOf asks for one of the values, in any case. The text lists them as Debezium
// does, in the order of a Java hash set.
func OneOf(values ...string) Check {
	values = slices.Clone(values)
	slices.SortStableFunc(values, func(a, b string) int { return bucket(a) - bucket(b) })
	return func(in configdef.Input) []string {
		if !given(in) {
			return nil
		}
		for _, v := range values {
			if strings.EqualFold(v, in.Value) {
				return nil
			}
		}
		return []string{"Value must be one of " + strings.Join(values, ", ")}
	}
}

// bucket is where a HashSet of up to 12 strings keeps one.
func bucket(s string) int {
	h := uint32(0)
	for i := range len(s) {
		h = 31*h + uint32(s[i])
	}
	return int((h ^ h>>16) & 15)
}

// RegexList asks for a comma-separated list of Java patterns.
func RegexList(in configdef.Input) []string {
	if _, err := javaregex.CompileList(in.Value, javaregex.CaseInsensitive); err != nil {
		return []string{"A comma-separated list of valid regular expressions is expected, but " + err.Error()}
	}
	return nil
}

// Regex asks for one Java pattern.
func Regex(in configdef.Input) []string {
	if _, err := javaregex.Compile(in.Value, javaregex.CaseInsensitive); err != nil {
		return []string{"A valid regular expressions is expected, but " + err.Error()}
	}
	return nil
}

// Without asks that another option is not given too; label is how it is named.
func Without(other, label string) Check {
	return func(in configdef.Input) []string {
		_, both := in.Props[other]
		return one(in.Set && both, fmt.Sprintf("%q is already specified", label))
	}
}

// PairList asks for k1=v1,k2=v2.
func PairList(in configdef.Input) []string {
	_, bad := ParsePairs(in.Value, ",")
	return one(len(bad) > 0, "A equivalent-separated map of valid key/value pairs is expected, for example: k1=v1,k2=v2")
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9_.\-]+$`)

// TopicName asks for the characters that a topic's or a host's name may have.
func TopicName(in configdef.Input) []string {
	return one(in.Value != "" && !topicName.MatchString(in.Value), in.Value+" has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)")
}

// Prefix is TopicName for topic.prefix, where an empty name is an error of its own.
func Prefix(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return []string{" has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)"}
	}
	return TopicName(in)
}

// CustomName asks for the name of a custom implementation when mode is "custom",
// and refuses one that is given, since Java classes cannot be loaded.
func CustomName(mode string) Check {
	return func(in configdef.Input) []string {
		custom := strings.EqualFold(strings.TrimSpace(in.Props[mode]), "custom")
		if custom && in.Value == "" {
			return []string{fmt.Sprintf("%s cannot be empty when %s 'custom' is defined", in.Name, mode)}
		}
		return one(custom, fmt.Sprintf("millrace cannot load the Java class %s; choose one of the other values of %s", in.Value, mode))
	}
}

// SkippedOperations checks skipped.operations.
func SkippedOperations(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return []string{"Invalid operation"}
	}
	if _, err := ParseOperations(in.Value); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// MaxQueueSize checks max.queue.size against max.batch.size.
func MaxQueueSize(in configdef.Input) []string {
	n, err := strconv.Atoi(in.Value)
	if err != nil {
		return nil
	}
	batch := 2048
	if b, err := strconv.Atoi(strings.TrimSpace(in.Props["max.batch.size"])); err == nil {
		batch = b
	}
	return append(one(n <= 0, "A positive queue size is required"), one(n <= batch, "Must be larger than the maximum batch size")...)
}

// KeyColumnsList checks message.key.columns.
func KeyColumnsList(in configdef.Input) []string {
	if !in.Set {
		return nil
	}
	var out []string
	if in.Value == "" {
		out = append(out, "Must not be empty")
	}
	for _, b := range KeyColumnsProblems(in.Value) {
		out = append(out, b+" has an invalid format (expecting '"+KeyColumnsFormat+"')")
	}
	return out
}

// ClassName asks for something that can be a Java class.
func ClassName(in configdef.Input) []string {
	return one(in.Set && !className.MatchString(in.Value), "A Java class name is expected")
}

var className = regexp.MustCompile(`^[\pL_$][\pL\pN_$]*(\.[\pL_$][\pL\pN_$]*)*$`)

// NotificationTopic checks notification.sink.topic.name.
func NotificationTopic(in configdef.Input) []string {
	for _, c := range configdef.SplitList(in.Props["notification.enabled.channels"]) {
		if c == "sink" && in.Value == "" {
			return []string{"Notification topic name must be provided when kafka notification channel is enabled"}
		}
	}
	return nil
}

// SignalCollection checks signal.data.collection of a connector with one task.
func SignalCollection(in configdef.Input) []string {
	return one(len(configdef.SplitList(in.Value)) > 1, "For single task connector only one signal data collection is permitted.")
}
