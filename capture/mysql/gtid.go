package mysql

import (
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

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

func (s *session) onGTID(e *replication.BinlogEvent, x *replication.GTIDEvent) error {
	s.gtidPos = startOf(e)
	if x.GNO == 0 { // of a server without GTIDs
		s.setGTID("", int64(x.OriginalCommitTimestamp))
		return nil
	}
	set, err := x.GTIDNext()
	if err != nil {
		return fmt.Errorf("read a GTID: %w", err)
	}
	text := ""
	if set != nil {
		text = set.String()
	}
	s.setGTID(text, int64(x.OriginalCommitTimestamp))
	return nil
}

func (s *session) setGTID(text string, us int64) {
	s.gtid, s.gtidUs = text, us
	if text != "" {
		s.lastGTID = text
	}
	s.dropRows = text != "" && s.t.opts.GTIDs.dropsRows(sourceOf(s.t.opts.Flavor, text))
	s.src.gtid = text
	s.src.moved()
}

// addGTID adds the transaction that has ended to those that were read. A set that may
// lack one is no place to start from: it is given up, and file and position say where
// reading goes on, until a file begins with the whole set.
func (s *session) addGTID() error {
	switch {
	case s.gtid == "":
		s.done, s.at.GTIDs = nil, ""
		return nil
	case s.done == nil && s.at.GTIDs == "" && s.t.opts.Flavor == MySQL:
		return nil
	case s.done == nil:
		set, err := parseGTIDs(s.t.opts.Flavor, s.at.GTIDs)
		if err != nil {
			return err
		}
		s.done = set
	}
	if err := s.done.Update(s.gtid); err != nil {
		return fmt.Errorf("add GTID %s: %w", s.gtid, err)
	}
	s.at.GTIDs = offsetText(s.t.opts.Flavor, s.done)
	return nil
}

// fileBegins takes the set of all transactions before a log file, if what was read is
// not known as a set.
func (s *session) fileBegins(e *replication.BinlogEvent, gtids string) {
	gtids = strings.Join(strings.Fields(gtids), "")
	if s.at.GTIDs != "" || s.inTx || gtids == "" || s.at.File != s.file || s.at.Pos > startOf(e) {
		return
	}
	if set, err := parseGTIDs(s.t.opts.Flavor, gtids); err == nil {
		s.done, s.at.GTIDs = set, offsetText(s.t.opts.Flavor, set)
	}
}
