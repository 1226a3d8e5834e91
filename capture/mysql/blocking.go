package mysql

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/capture"
	"millrace/internal/store"
	"millrace/schemahistory"
	"millrace/snapshot"
	snapmysql "millrace/snapshot/mysql"
)

// keyBlocking is our own key of the source offset: the blocking snapshot that is
// being read, so that a task that dies begins it anew.
const keyBlocking = "snapshot_blocking"

// blockingState is its value, in JSON as text.
type blockingState struct {
	ID      string                   `json:"id"`
	Request *capture.SnapshotRequest `json:"request"`
}

// restoreBlocking takes the request of a stored offset and returns the other
// entries.
func (s *session) restoreBlocking(extra []store.Entry) []store.Entry {
	var rest []store.Entry
	for _, e := range extra {
		var text string
		var x blockingState
		switch {
		case e.Key != keyBlocking:
			rest = append(rest, e)
		case json.Unmarshal([]byte(e.Value), &text) != nil || json.Unmarshal([]byte(text), &x) != nil || x.Request == nil:
			s.log.Warn("the blocking snapshot in the stored offset cannot be read and is not begun anew", "value", e.Value)
		default:
			s.interrupt = &interruption{id: x.ID, snap: x.Request}
		}
	}
	return rest
}

// blockingExtra is the entry of the offset while one is due.
func (s *session) blockingExtra() []store.Entry {
	if s.interrupt == nil || s.interrupt.snap == nil {
		return nil
	}
	text, _ := json.Marshal(blockingState{s.interrupt.id, s.interrupt.snap})
	value, _ := json.Marshal(string(text))
	return []store.Entry{{Key: keyBlocking, Value: string(value)}}
}

// blockingSnapshot reads tables as an initial snapshot does, while streaming waits.
// It needs no lock and no place of its own: the views are not older than the
// stream, and what the stream has still to say about their rows comes behind them.
// An error is one of the connection; a table that cannot be read ends the snapshot,
// and streaming goes on.
func (t *task) blockingSnapshot(ctx context.Context, id string, req *capture.SnapshotRequest) error {
	s := t.session
	job, model, err := t.blockingJob(ctx, req)
	if err != nil {
		return err
	}
	if len(job.tables) == 0 {
		t.log.Warn("a blocking snapshot was asked for, but no captured table matches", "signal", id, "collections", strings.Join(req.Collections, ","))
		return nil
	}
	started := time.Now()
	t.log.Info("blocking snapshot", "signal", id, "tables", len(job.tables))
	now, query := t.model, s.src.query
	s.at.Snapshot, t.model = "BLOCKING", model
	if s.src.file == "" {
		s.src.file, s.src.pos = s.at.File, s.at.Pos
	}
	t.noteSnapshot("STARTED")
	t.noteTables(job)
	t.blockingSchemas(job)
	rows, err := t.readBlocking(ctx, job)
	s.at.Snapshot, t.model = "", now
	s.src.gtid, s.src.query = "", query
	s.src.moved()
	s.now = time.Now()
	switch {
	case err == nil:
		t.noteSnapshot("COMPLETED")
		t.log.Info("blocking snapshot ended", "signal", id, "rows", rows, "took", time.Since(started).Round(time.Millisecond).String())
	case ctx.Err() != nil || t.out.Cause() != nil || retriable(err):
		return err
	default:
		t.log.Error("a blocking snapshot failed; streaming goes on", "signal", id, "error", err)
		t.noteSnapshot("ABORTED")
	}
	return nil
}

// blockingJob finds the tables of a request and their definitions of now, which
// may be newer than what the stream knows.
func (t *task) blockingJob(ctx context.Context, req *capture.SnapshotRequest) (*rowJob, *schemahistory.Model, error) {
	job := &rowJob{kind: "BLOCKING", texts: map[schemahistory.TableID]string{}, overrides: maps.Clone(t.opts.Snapshot.Overrides)}
	if job.overrides == nil {
		job.overrides = map[string]string{}
	}
	model := t.newModel()
	for _, name := range t.session.snapshotTables(req) {
		if !slices.ContainsFunc(req.Collections, func(p string) bool { return capture.MatchCollection(p, name, true) }) {
			continue
		}
		db, table, _ := strings.Cut(name, ".")
		id := schemahistory.TableID{DB: db, Name: table}
		text, err := showCreate(ctx, t.db, id)
		if err != nil {
			if retriable(err) {
				return nil, nil, err
			}
			t.log.Warn("a table is left out of the blocking snapshot", "table", name, "error", err)
			continue
		}
		model.SetCharset(db, t.model.Charset(db))
		model.Apply(db, text)
		if model.Table(id) == nil {
			t.log.Warn("a table is left out of the blocking snapshot: its definition cannot be read", "table", name)
			continue
		}
		job.tables, job.texts[id] = append(job.tables, id), text
		for _, c := range req.Conditions {
			if !capture.MatchCollection(c.Collection, name, true) {
				continue
			}
			filter := strings.TrimSpace(c.Filter)
			if !strings.HasPrefix(strings.ToUpper(filter), "SELECT") {
				filter = "SELECT * FROM " + quote(db) + "." + quote(table) + " WHERE " + filter
			}
			job.overrides[name] = filter
		}
	}
	return job, model, nil
}

// noteTables lets the job tell what becomes of its tables.
func (t *task) noteTables(job *rowJob) {
	names := make([]string, len(job.tables))
	for i, id := range job.tables {
		names[i] = id.DB + "." + id.Name
	}
	all := [2]string{"data_collections", strings.Join(names, ",")}
	job.note = func(kind, table string, rows int64) {
		if kind == "IN_PROGRESS" {
			t.noteSnapshot(kind, all, [2]string{"current_collection_in_progress", table})
			return
		}
		t.noteSnapshot(kind, all, [2]string{"scanned_collection", table}, [2]string{"total_rows_scanned", strconv.FormatInt(rows, 10)}, [2]string{"status", capture.ScanSucceeded})
	}
}

// blockingSchemas makes the schema change records of the tables and leaves the
// source block as their rows have it. The history stays as it is: it holds what is
// known at the stream's place.
func (t *task) blockingSchemas(job *rowJob) {
	s := t.session
	s.now = time.Now()
	s.src.gtid, s.src.thread, s.src.query, s.src.tsUs = "", 0, "", s.now.UnixMicro()
	s.src.moved()
	if t.opts.SchemaChanges {
		apply := func(id schemahistory.TableID, text string) {
			for _, step := range t.model.Apply(id.DB, text) {
				step.DDL = text
				s.appendSchemaChange(&step, s.src.marker(s.batch(), snapshot.True))
			}
		}
		for _, id := range job.tables {
			apply(id, "DROP TABLE IF EXISTS "+quote(id.DB)+"."+quote(id.Name))
		}
		for _, id := range job.tables {
			apply(id, job.texts[id])
		}
	}
	s.src.gtid = s.lastGTID
	s.src.moved()
}

func (t *task) readBlocking(ctx context.Context, job *rowJob) (int64, error) {
	view, err := t.openReaders(ctx, max(1, t.opts.Snapshot.Threads))
	if err != nil {
		return 0, err
	}
	defer view.Close()
	for _, c := range view {
		if err := snapmysql.Begin(ctx, c); err != nil {
			return 0, fmt.Errorf("open a view: %w", err)
		}
	}
	return t.readRows(ctx, view, job, nil)
}
