package mysql

import (
	"fmt"
	"strings"

	"millrace/internal/configdef"
)

// withoutEffect are options that change nothing here, and the values that need no
// word about it; nothing is ignored silently.
var withoutEffect = []struct{ option, fine, why string }{
	{"post.processors", "", "columns are not read again by this connector"},
	{"legacy.snapshot.max.threads", "false", "all connections of snapshot.max.threads read one table after the other, each in ranges of its key"},
	{"binlog.buffer.size", "0", "rolled-back transactions are not in the log of servers in use, so nothing is held back"},
	{"database.connectionTimeZone", "", "snapshots are read in UTC, so TIMESTAMP is the same from both paths"},
	{"custom.metric.tags", "", "the labels of the metrics are fixed"},
	{"event.converting.failure.handling.mode", "warn", "a value that cannot be converted becomes null and is logged"},
}

// withoutEffect adds a warning for each of those that is set to something else.
func (o *Options) withoutEffect(v configdef.Values) {
	for _, x := range withoutEffect {
		if text := strings.TrimSpace(v.Props()[x.option]); text != "" && !strings.EqualFold(text, x.fine) {
			o.Warnings = append(o.Warnings, fmt.Sprintf("%s=%s has no effect: %s", x.option, text, x.why))
		}
	}
}
