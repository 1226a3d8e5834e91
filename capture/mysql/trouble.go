package mysql

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"
)

// Events that cannot be captured, and what the log then lacks.

// ignorable is the flag of events that readers who do not know them may pass over.
const ignorable = 0x80

// Event types run up to these; what is behind them is of servers to come.
const (
	lastMySQLType   = replication.GTID_TAGGED_LOG_EVENT
	firstMariaType  = replication.MARIADB_ANNOTATE_ROWS_EVENT
	lastMariaDBType = replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1
)

// other handles an event that has no meaning of its own in a stream of rows.
func (s *session) other(e *replication.BinlogEvent, sum bool) error {
	t := e.Header.EventType
	switch {
	case t == replication.INCIDENT_EVENT:
		return s.unusable(e, "The server has lost changes that it should have logged ("+incidentText(e, sum)+"), so they are missing in the log",
			"Read the tables anew (a signal of type blocking or incremental, or delete the connector's offsets); event.processing.failure.handling.mode=warn goes on behind the gap")
	case t == replication.EXECUTE_LOAD_QUERY_EVENT:
		s.statementDML("LOAD DATA")
	case t > lastMySQLType && (t < firstMariaType || t > lastMariaDBType) && e.Header.Flags&ignorable == 0:
		return s.unusable(e, "The server logs events of a type that is not known here ("+t.String()+"), and that readers must not pass over",
			"Use a version of millrace that knows this server, or set event.processing.failure.handling.mode=warn to pass over such events and lose what they hold")
	}
	return nil
}

// unusable does what event.processing.failure.handling.mode says.
func (s *session) unusable(e *replication.BinlogEvent, what, cure string) error {
	switch s.t.opts.OnBadEvent {
	case "fail":
		return fault(nil, cure, "%s, at %s:%d", what, s.file, startOf(e))
	case "warn":
		s.log.Warn("an event is passed over, as event.processing.failure.handling.mode says", "why", what, "file", s.file, "pos", startOf(e),
			"look", fmt.Sprintf("mysqlbinlog --start-position=%d --stop-position=%d %s", startOf(e), e.Header.LogPos, s.file))
	}
	return nil
}

// incidentText is what an INCIDENT event says: a number, a length and a text.
func incidentText(e *replication.BinlogEvent, sum bool) string {
	p, err := body(e, sum)
	if err != nil || len(p) < 3 || len(p) < 3+int(p[2]) {
		return "an incident without a message"
	}
	return string(p[3 : 3+int(p[2])])
}

// plainDML are statements that a server with binlog_format STATEMENT or MIXED logs in
// place of rows.
var plainDML = regexp.MustCompile(`(?is)^\s*(?:/\*.*?\*/\s*)*(INSERT|UPDATE|DELETE|REPLACE|LOAD\s+DATA)\s`)

// statementDML warns about changes that are in the log as statements, which nobody can
// turn into rows.
func (s *session) statementDML(text string) {
	m := plainDML.FindStringSubmatch(text + " ")
	if m == nil || strings.Contains(text, "mysql.rds_") { // a hosted server's own book-keeping
		return
	}
	verb := strings.ToUpper(m[1])
	if !s.warned["statement "+verb] {
		s.warned["statement "+verb] = true
		s.log.Warn("a change is in the log as a statement and not as rows, so it is lost; further ones of its kind are not logged", "statement", verb, "file", s.file, "pos", s.src.pos,
			"cure", "SET GLOBAL binlog_format = 'ROW', and let no session change it")
	}
}
