package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"millrace/internal/configdef"
)

// ValidateServer makes the checks of a configuration that need the server, within a
// limit. run returns what it found, and the error that kept it from looking on; words
// puts that as the real connector does, for the property database.hostname.
func ValidateServer(ctx context.Context, limit time.Duration, run func(ctx context.Context) ([]configdef.Problem, error), words func(err error) string) []configdef.Problem {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := run(ctx)
	switch {
	case err == nil:
		return found
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return []configdef.Problem{{Property: "database.hostname", Text: fmt.Sprintf("Connection validation timed out after %d ms", limit.Milliseconds())}}
	}
	return append(found, configdef.Problem{Property: "database.hostname", Text: words(err)})
}

// UnreadableOffset adds that the stored offset cannot be read.
func (c *Checkup) UnreadableOffset(err error) {
	c.Add(StateFailed, "stored offset", "", err.Error()).Do = "Delete the connector's offsets (PUT …/stop, then DELETE …/offsets), or write them anew"
}

// preflightLines bounds what a preflight logs.
const preflightLines = 20

// LogFindings says at the start of a task what `millrace doctor` would say. It only
// says: what cannot work at all fails in a moment, with the same advice.
func LogFindings(log *slog.Logger, found []Finding) {
	for i, f := range found {
		if i == preflightLines {
			log.Warn(fmt.Sprintf("preflight: %d more findings; see millrace doctor", len(found)-i))
			return
		}
		text := "preflight: " + f.Check
		if f.Subject != "" {
			text += " " + f.Subject
		}
		var fix []any
		if len(f.SQL) > 0 {
			fix = append(fix, "sql", strings.Join(f.SQL, "; "))
		}
		if f.Do != "" {
			fix = append(fix, "do", f.Do)
		}
		log.Warn(text+": "+f.Found, fix...)
	}
}
