package capture

import (
	"slices"
	"strings"

	"millrace/internal/javaregex"
)

// Resolve finds the tables that the request's patterns name, in the order of the
// patterns.
func (r *SnapshotRequest) Resolve(tables []string) []string {
	var out []string
	for _, p := range r.Collections {
		for _, id := range tables {
			if MatchCollection(p, id, false) && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

var unquote = strings.NewReplacer(`"`, "", "`", "")

// MatchCollection matches a pattern or name of a signal with a table's name, quoted
// or not; fold ignores the case of letters.
func MatchCollection(pattern, id string, fold bool) bool {
	if pattern == id || unquote.Replace(pattern) == id {
		return true
	}
	var flags javaregex.Flags
	if fold {
		flags = javaregex.CaseInsensitive
	}
	re, err := javaregex.Compile(pattern, flags)
	return err == nil && re.MatchWhole(id)
}
