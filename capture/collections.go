package capture

import (
	"slices"
	"strings"

	"millrace/internal/javaregex"
	"millrace/internal/store"
)

// Resolve finds the tables that the request's patterns name, in the order of the
// patterns; those of one pattern come as Debezium's map of tables has them. A pattern that names none is taken for the name of a table itself, which
// is then reported as unknown, as Debezium does.
func (r *SnapshotRequest) Resolve(tables []string) []string {
	var out []string
	m := store.NewHash()
	for _, id := range tables {
		m.Put(id, "")
	}
	known := m.Entries()
	for _, p := range r.Collections {
		found := p == ""
		for _, e := range known {
			id := e.Key
			if !MatchCollection(p, id, false) {
				continue
			}
			if found = true; !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		if !found && !slices.Contains(out, p) {
			out = append(out, p)
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
