package capture

import (
	"fmt"
	"log/slog"
	"strings"
)

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
