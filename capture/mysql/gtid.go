package mysql

import (
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"millrace/internal/javaregex"
)

// GTIDFilter is gtid.source.includes or excludes: which sources of transactions count.
type GTIDFilter struct {
	include, exclude []*javaregex.Regexp
	rows             bool // gtid.source.filter.dml.events
}

func newGTIDFilter(include, exclude string, rows bool) (f GTIDFilter, err error) {
	f.rows = rows
	if strings.TrimSpace(include) != "" {
		if f.include, err = javaregex.CompileList(include, javaregex.CaseInsensitive); err != nil {
			return f, err
		}
	}
	if strings.TrimSpace(exclude) != "" {
		f.exclude, err = javaregex.CompileList(exclude, javaregex.CaseInsensitive)
	}
	return f, err
}

func (f *GTIDFilter) active() bool { return f.include != nil || f.exclude != nil }

// passes reports whether a source (a UUID, or domain-server) counts.
func (f *GTIDFilter) passes(source string) bool {
	matches := func(list []*javaregex.Regexp) bool {
		for _, r := range list {
			if r.MatchWhole(source) {
				return true
			}
		}
		return false
	}
	if f.include != nil {
		return matches(f.include)
	}
	return !matches(f.exclude)
}

// dropsRows reports whether rows of a transaction of this source are left out.
func (f *GTIDFilter) dropsRows(source string) bool { return f.rows && f.active() && !f.passes(source) }

func parseGTIDs(flavor Flavor, text string) (mysql.GTIDSet, error) {
	return mysql.ParseGTIDSet(string(flavor), text)
}

// sourceOf is the part of a GTID that the filters look at.
func sourceOf(flavor Flavor, gtid string) string {
	if flavor == MariaDB {
		if i := strings.LastIndexByte(gtid, '-'); i > 0 {
			return gtid[:i]
		}
		return gtid
	}
	uuid, _, _ := strings.Cut(gtid, ":")
	return uuid
}

// filterGTIDs takes the sources that do not count out of a set in text form.
func (f *GTIDFilter) filterGTIDs(flavor Flavor, set string) string {
	if !f.active() {
		return set
	}
	var keep []string
	for _, part := range strings.Split(set, ",") {
		if part = strings.TrimSpace(part); part != "" && f.passes(sourceOf(flavor, part)) {
			keep = append(keep, part)
		}
	}
	return strings.Join(keep, ",")
}

// offsetText writes a set as the real connector does: intervals of MySQL always
// as start-end, one entry per domain for MariaDB.
func offsetText(flavor Flavor, set mysql.GTIDSet) string {
	text := strings.ReplaceAll(set.String(), " ", "")
	if flavor == MariaDB {
		return text
	}
	entries := strings.Split(text, ",")
	for i, e := range entries {
		parts := strings.Split(e, ":")
		for j := 1; j < len(parts); j++ {
			if parts[j] != "" && parts[j][0] >= '0' && parts[j][0] <= '9' && !strings.Contains(parts[j], "-") {
				parts[j] += "-" + parts[j]
			}
		}
		entries[i] = strings.Join(parts, ":")
	}
	return strings.Join(entries, ",")
}
