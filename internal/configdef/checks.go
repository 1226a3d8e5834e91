package configdef

import (
	"fmt"
	"strconv"
	"strings"
)

// Invalid words a problem of a value as Kafka's ConfigDef does.
func Invalid(in Input, format string, args ...any) []string {
	return []string{fmt.Sprintf("Invalid value %s for configuration %s: ", in.Value, in.Name) + fmt.Sprintf(format, args...)}
}

// OneOf is a Check for a value that is one of a list, in any case of letters.
func OneOf(values ...string) func(Input) []string {
	return func(in Input) []string {
		for _, v := range values {
			if strings.EqualFold(in.Value, v) {
				return nil
			}
		}
		return Invalid(in, "must be one of %s", strings.Join(values, ", "))
	}
}

// AtLeast is a Check for a whole number with a lower bound.
func AtLeast(least int64) func(Input) []string {
	return func(in Input) []string {
		if n, err := strconv.ParseInt(in.Value, 10, 64); err != nil || n < least {
			return Invalid(in, "Value must be at least %d", least)
		}
		return nil
	}
}
