package options

import (
	"strings"
	"sync"

	"millrace/internal/javaregex"
)

// TableFilterConfig is the texts a TableFilter is made of.
type TableFilterConfig struct {
	SpaceInclude, SpaceExclude string // comma-separated patterns; "" none
	TableInclude, TableExclude string
	// Builtin reports tables of the database itself, which are never captured; may be nil.
	Builtin func(space, table string) bool
	// Always are identifiers captured whatever the lists say (the signal table).
	Always []string
}

// TableFilter decides which tables are captured. It is safe for concurrent use.
type TableFilter struct {
	spaceIn, spaceEx, tableIn, tableEx []*javaregex.Regexp
	builtin                            func(space, table string) bool
	always                             map[string]bool

	mu    sync.RWMutex
	cache map[[2]string]bool
}

// NewTableFilter compiles the lists. Errors are Java's pattern errors.
func NewTableFilter(c TableFilterConfig) (*TableFilter, error) {
	f := &TableFilter{builtin: c.Builtin, always: map[string]bool{}, cache: map[[2]string]bool{}}
	for _, x := range []struct {
		text string
		into *[]*javaregex.Regexp
	}{{c.SpaceInclude, &f.spaceIn}, {c.SpaceExclude, &f.spaceEx}, {c.TableInclude, &f.tableIn}, {c.TableExclude, &f.tableEx}} {
		list, err := compileList(x.text)
		if err != nil {
			return nil, err
		}
		*x.into = list
	}
	for _, a := range c.Always {
		f.always[strings.ToLower(a)] = true
	}
	return f, nil
}

// compileList compiles a list; a blank text gives nil, which means no list at all.
func compileList(text string) ([]*javaregex.Regexp, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return javaregex.CompileList(text, javaregex.CaseInsensitive)
}

// maxCached bounds the caches by name: a database that makes tables without end
// must not fill memory.
const maxCached = 1 << 16

// Included reports whether a table is captured.
func (f *TableFilter) Included(space, table string) bool {
	id := [2]string{space, table}
	f.mu.RLock()
	in, ok := f.cache[id]
	f.mu.RUnlock()
	if ok {
		return in
	}
	in = f.decide(space, table)
	f.mu.Lock()
	if len(f.cache) >= maxCached {
		clear(f.cache)
	}
	f.cache[id] = in
	f.mu.Unlock()
	return in
}

func (f *TableFilter) decide(space, table string) bool {
	id := space + "." + table
	if f.always[strings.ToLower(id)] {
		return true
	}
	if f.builtin != nil && f.builtin(space, table) {
		return false
	}
	return passes(f.spaceIn, f.spaceEx, space) && passes(f.tableIn, f.tableEx, id)
}

// passes applies an include list if there is one, else the exclude list.
func passes(in, ex []*javaregex.Regexp, name string) bool {
	if in != nil {
		return javaregex.AnyWhole(in, name)
	}
	return !javaregex.AnyWhole(ex, name)
}

// Always reports whether the table is captured only or also because it is named
// outside the lists (the signal table).
func (f *TableFilter) Always(space, table string) bool {
	return f.always[strings.ToLower(space+"."+table)]
}

// Rank is the place of the first include pattern that matches the table: snapshots
// read tables in this order and by name within it. Without a list it is 0.
func (f *TableFilter) Rank(space, table string) int {
	for i, r := range f.tableIn {
		if r.MatchWhole(space + "." + table) {
			return i
		}
	}
	return len(f.tableIn)
}

// Patterns returns the include list of tables as written, for messages.
func (f *TableFilter) Patterns() []string {
	out := make([]string, len(f.tableIn))
	for i, r := range f.tableIn {
		out[i] = r.String()
	}
	return out
}

// Matches reports for each include pattern whether it matches one of the
// identifiers, so that a mistyped name can be reported.
func (f *TableFilter) Matches(ids []string) []bool {
	out := make([]bool, len(f.tableIn))
	for i, r := range f.tableIn {
		for _, id := range ids {
			if r.MatchWhole(id) {
				out[i] = true
				break
			}
		}
	}
	return out
}

// NameList is a list of patterns on table identifiers.
type NameList struct{ list []*javaregex.Regexp }

// NewNameList compiles a comma-separated list; an empty one gives nil.
func NewNameList(text string) (*NameList, error) {
	list, err := compileList(text)
	if err != nil || list == nil {
		return nil, err
	}
	return &NameList{list}, nil
}

// Match reports whether the table is named: as space.table or "space"."table". A
// nil list names every table.
func (l *NameList) Match(space, table string) bool {
	return l == nil || javaregex.AnyWhole(l.list, space+"."+table) || javaregex.AnyWhole(l.list, `"`+space+`"."`+table+`"`)
}

// PrefixFilter filters logical decoding messages by their prefix.
type PrefixFilter struct{ in, ex []*javaregex.Regexp }

// NewPrefixFilter compiles the two lists.
func NewPrefixFilter(include, exclude string) (*PrefixFilter, error) {
	in, err := compileList(include)
	if err != nil {
		return nil, err
	}
	ex, err := compileList(exclude)
	if err != nil {
		return nil, err
	}
	return &PrefixFilter{in, ex}, nil
}

// Included reports whether messages with the prefix give records.
func (f *PrefixFilter) Included(prefix string) bool { return passes(f.in, f.ex, prefix) }

// IncludedSpace reports whether a database or schema passes the lists, whatever
// its tables.
func (f *TableFilter) IncludedSpace(space string) bool {
	return (f.builtin == nil || !f.builtin(space, "")) && passes(f.spaceIn, f.spaceEx, space)
}
