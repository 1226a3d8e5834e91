package mysql

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"millrace/internal/javaregex"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// openHistory opens the store of table versions.
func (t *task) openHistory(ctx context.Context) (schemahistory.Store, error) {
	h := &t.opts.History
	switch h.Class {
	case classFileHistory:
		return &schemahistory.File{Path: h.File}, nil
	case classMemoryHistory:
		return &schemahistory.Memory{}, nil
	}
	prod, cons := kafkaconf.Producer(h.Producer), kafkaconf.Consumer(h.Consumer)
	for _, r := range []kafkaconf.Result{prod, cons} {
		if len(r.Problems) > 0 {
			return nil, fault(nil, "Correct the setting", "The schema history's Kafka settings are wrong: %s", r.Problems[0].Text)
		}
	}
	topic := &schemahistory.Topic{Name: h.Topic, Producer: prod.Opts, Consumer: cons.Opts}
	limit, cancel := context.WithTimeout(ctx, h.CreateTimeout)
	defer cancel()
	if err := topic.Create(limit); err != nil {
		return nil, errors.Join(err, topic.Close())
	}
	return topic, nil
}

func (t *task) partition() json.RawMessage { return json.RawMessage(t.src.Partition()) }

// recover rebuilds the model as of a stored position. found false: there is no
// history of this connector.
func (t *task) recover(ctx context.Context, at *Position) (found bool, err error) {
	t.model = t.newModel()
	changes := 0
	if t.metrics != nil {
		t.metrics.HistoryRecovery(time.Now(), 0, false)
		defer func() { t.metrics.HistoryRecovery(time.Now(), changes, true) }()
	}
	err = t.history.Load(ctx, func(e *schemahistory.Entry) error {
		var src struct{ Server string }
		if json.Unmarshal(e.Source, &src) != nil || src.Server != t.opts.Prefix {
			return nil
		}
		found = true
		p, err := ParseOffset(e.Position)
		if err != nil || p == nil || !notAfter(t.opts.Flavor, p, at) {
			return nil //nolint:nilerr // an entry without a readable position belongs to another writer
		}
		if t.opts.History.PreferDDL && e.DDL != "" {
			e.Changes = nil
		}
		changes++
		t.model.Replay(e)
		return nil
	}, func(err error) {
		t.log.Warn("an entry of the schema history cannot be read and is left out", "error", err)
	})
	if err == nil && found && t.opts.History.CapturedOnly {
		err = t.databaseCharsets(ctx)
	}
	return found, err
}

// databaseCharsets completes a history of tables only: without the character sets
// of the databases, tables made later would be decoded by the server's.
func (t *task) databaseCharsets(ctx context.Context) error {
	rows, err := query(ctx, t.db, "SELECT SCHEMA_NAME AS name, DEFAULT_CHARACTER_SET_NAME AS charset FROM information_schema.SCHEMATA")
	if err != nil {
		return fmt.Errorf("read the character sets of the databases: %w", err)
	}
	for _, r := range rows {
		if !t.model.HasCharset(r["name"]) {
			t.model.SetCharset(r["name"], r["charset"])
		}
	}
	return nil
}

func (t *task) newModel() *schemahistory.Model {
	m := schemahistory.NewModel()
	m.Comments = t.opts.Comments
	if s := t.server; s != nil {
		m.Server, m.MariaDB, m.Version, m.FoldCase = s.charset, s.mariadb, s.number, s.foldCase
	}
	return m
}

// recorded reports whether a statement goes into the history.
func (t *task) recorded(step *schemahistory.Step) bool {
	if step.Ignored {
		return false
	}
	h := &t.opts.History
	if h.CapturedOnly && len(step.Tables) > 0 {
		// A statement counts when one of its tables is captured; of several pairs of a RENAME,
		// or tables of a DROP, each then counts by its own (new) name.
		return slices.ContainsFunc(step.Tables, t.captured) && (len(step.Changes) == 0 || t.captured(step.Changes[0].ID))
	}
	if h.CapturedOnly && step.DB != "" && len(step.Changes) == 0 {
		return t.opts.Tables.Included(step.DB, "") || !h.CapturedOnly
	}
	if h.DatabasesOnly && step.DB != "" {
		return t.capturesDatabase(step.DB)
	}
	return true
}

func (t *task) capturesDatabase(db string) bool { return t.opts.Tables.IncludedSpace(db) }

// remember writes statements into the history at a position: durable before any
// record that depends on them is sent.
func (t *task) remember(ctx context.Context, at *Position, nowMs int64, steps ...*schemahistory.Step) error {
	var entries []*schemahistory.Entry
	for _, s := range steps {
		if t.opts.History.CapturedOnly && s.DB != "" && len(s.Tables)+len(s.Changes) == 0 {
			continue // published, but not kept: it is about no table
		}
		entries = append(entries, &schemahistory.Entry{Source: t.partition(), Position: at.Offset(), TsMs: nowMs, DB: s.DB, DDL: s.DDL, Changes: s.Changes})
	}
	if err := t.history.Append(ctx, entries...); err != nil {
		return fmt.Errorf("write the schema history: %w", err)
	}
	if t.metrics != nil {
		t.metrics.HistoryApplied(time.Now(), len(entries))
	}
	return nil
}

// noDDL are statements that are dropped before they are read, as the real
// connector's filter does.
var noDDL = regexp.MustCompile(`(?is)^\s*(/\*.*?\*/\s*)*(` + strings.Join([]string{
	`DROP TEMPORARY TABLE .*`, `(INSERT INTO|DELETE FROM|UPDATE) mysql\.rds_(heartbeat2|sysinfo|monitor).*`, `FLUSH RELAY LOGS.*`, `SAVEPOINT .*`, `ROLLBACK TO .*`, `RELEASE SAVEPOINT.*`,
	`# Dummy event.*`, `REPLACE INTO .*`, `(GRANT|REVOKE) .*`, `(ANALYZE|OPTIMIZE|REPAIR)( |\s).*`,
	`(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(AGGREGATE\s+)?(ALGORITHM\s*=\s*\S+\s+)?(DEFINER\s*=\s*\S+\s+)?(SQL\s+SECURITY\s+\S+\s+)?(USER|ROLE|VIEW|FUNCTION|PROCEDURE|TRIGGER)\s.*`,
	`(INSERT|UPDATE|DELETE|LOAD DATA)\s.*`, `XA\s.*`,
}, "|") + `)\s*;?\s*$`)

// drops reports whether a statement is dropped before it is read.
func (h *History) drops(text string) bool {
	if h.Filter == nil {
		return noDDL.MatchString(text)
	}
	return slices.ContainsFunc(h.Filter, func(re *javaregex.Regexp) bool { return re.MatchWhole(text) })
}

// Flags of sql_mode in a QUERY event that change how its text is read.
const (
	modeAnsiQuotes  = 1 << 2
	modeNoBackslash = 1 << 20
)

// sqlMode takes sql_mode from the status variables of a QUERY event, where it
// comes first but for the flags (Q_FLAGS2_CODE 0, Q_SQL_MODE_CODE 1).
func sqlMode(vars []byte) (uint64, bool) {
	if len(vars) >= 5 && vars[0] == 0 {
		vars = vars[5:]
	}
	if len(vars) < 9 || vars[0] != 1 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(vars[1:]), true
}

// ddl handles the text of a QUERY event that is no transaction control. When it
// fails the model is given up, since it may have moved already: another attempt
// builds it anew, and reads the statement once more.
func (s *session) ddl(ctx context.Context, q *replication.QueryEvent) error {
	err := s.statement(ctx, q)
	if err != nil {
		s.t.model = nil
	}
	return err
}

func (s *session) statement(ctx context.Context, q *replication.QueryEvent) error {
	t, db, text := s.t, string(q.Schema), string(q.Query)
	mode, has := sqlMode(q.StatusVars)
	if t.opts.History.drops(text) || text == "FLUSH PRIVILEGES" {
		s.statementDML(text)
		return nil
	}
	if has {
		t.model.SetFlags(mode&modeAnsiQuotes != 0, mode&modeNoBackslash != 0)
	}
	steps := t.model.Apply(db, text)
	for i := range steps {
		step := &steps[i]
		if step.Unread != "" {
			if err := t.readAgain(ctx, step); err != nil {
				return err
			}
		}
		s.forget(step)
		if step.Truncated != nil {
			s.truncate(*step.Truncated)
			continue
		}
		if !t.recorded(step) {
			continue
		}
		if err := t.remember(ctx, s.ddlPosition(), s.now.UnixMilli(), step); err != nil {
			return err
		}
		if t.opts.SchemaChanges {
			s.appendSchemaChange(step, record.Cell{})
			s.dirty = true
		}
	}
	return nil
}

// reread counts a definition that was read from the catalog in mid-stream.
func (t *task) reread(reason string) {
	if t.metrics != nil {
		t.metrics.CatalogRereads(reason).Inc()
	}
}

// readAgain reads the tables of a statement that could not be followed from the
// catalog, which may be newer than the statement; rows then have the columns that
// the log's own metadata allows.
func (t *task) readAgain(ctx context.Context, step *schemahistory.Step) error {
	for _, id := range step.Tables {
		text, err := showCreate(ctx, t.db, id)
		if err != nil {
			t.log.Warn("a statement could not be followed, and its table cannot be read from the catalog", "ddl", step.DDL, "why", step.Unread, "table", id.String(), "error", err)
			continue
		}
		t.reread("statement")
		t.log.Warn("a statement could not be followed; its table was read from the catalog", "ddl", step.DDL, "why", step.Unread, "table", id.String())
		for _, x := range t.model.Apply(id.DB, text) {
			step.Changes = x.Changes
		}
	}
	return nil
}
