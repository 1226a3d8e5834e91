package mysql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millrace/schemahistory"
	"millrace/snapshot"
	snapmysql "millrace/snapshot/mysql"
)

// progressEvery is how often a running snapshot logs its progress.
const progressEvery = 5 * time.Second

// snapshot reads the schemas and, if asked, the rows of all captured tables as of
// one position of the log.
func (t *task) snapshot(ctx context.Context, data bool) error {
	if err := wait(ctx, t.opts.Snapshot.Delay); err != nil {
		return err
	}
	threads := 0
	if data {
		threads = max(1, t.opts.Snapshot.Threads)
	}
	started := time.Now()
	v, err := t.openView(ctx, threads)
	if err != nil {
		return err
	}
	defer v.close(ctx)
	s := t.session
	place := v.place
	place.Snapshot = "INITIAL"
	place.TsSec = time.Now().Unix()
	s.at = *place
	s.src.file, s.src.pos, s.src.gtid, s.src.serverID, s.src.thread, s.src.query = place.File, place.Pos, "", 0, 0, ""
	s.src.moved()
	s.src.tsUs = time.Now().UnixMicro()
	t.model = t.newModel()
	t.noteSnapshot("STARTED")
	if err := t.applyCatalog(ctx, v.catalog, true); err != nil {
		return err
	}
	rows := int64(0)
	if data {
		job := &rowJob{kind: "INITIAL", tables: t.snapshotTables(), texts: v.catalog.text, overrides: t.opts.Snapshot.Overrides, alive: v.alive}
		if rows, err = t.readRows(ctx, v.conns, job, nil); err != nil {
			return err
		}
	}
	v.close(ctx)
	return t.endSnapshot(ctx, started, rows)
}

// endSnapshot leaves the session behind the snapshot, where streaming begins.
func (t *task) endSnapshot(ctx context.Context, started time.Time, rows int64) error {
	s := t.session
	s.now = time.Now()
	s.at.Snapshot, s.at.Progress = "", ""
	t.noteSnapshot("COMPLETED")
	if t.opts.Heartbeat > 0 {
		s.heartbeat(ctx)
	}
	s.dirty = true
	if err := s.send(ctx); err != nil {
		return err
	}
	took := time.Since(started)
	t.log.Info("snapshot ended", "rows", rows, "took", took.Round(time.Millisecond).String(), "rows_per_s", int64(float64(rows)/took.Seconds()), "file", s.at.File, "pos", s.at.Pos)
	return wait(ctx, t.opts.Snapshot.StreamDelay)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// catalog is what the server says of its databases and tables at one moment.
type catalog struct {
	tables  []schemahistory.TableID // all whose definitions are kept, in order
	text    map[schemahistory.TableID]string
	charset map[string][2]string // database -> character set, collation
}

// readCatalog reads the definitions of all tables that the history keeps.
func (t *task) readCatalog(ctx context.Context, q querier) (*catalog, error) {
	all, err := t.listTables(ctx, q)
	if err != nil {
		return nil, err
	}
	c := &catalog{text: map[schemahistory.TableID]string{}, charset: map[string][2]string{}}
	h := &t.opts.History
	for _, id := range all {
		if !t.captured(id) && (h.CapturedOnly || h.DatabasesOnly && !t.capturesDatabase(id.DB)) {
			continue
		}
		c.tables = append(c.tables, id)
		if _, have := c.charset[id.DB]; !have {
			cs, co, err := databaseCharset(ctx, q, id.DB)
			if err != nil {
				return nil, fmt.Errorf("read the character set of database %s: %w", id.DB, err)
			}
			c.charset[id.DB] = [2]string{cs, co}
		}
		text, err := showCreate(ctx, q, id)
		if err != nil && t.captured(id) {
			return nil, err
		}
		c.text[id] = text // "" for a table of others that cannot be read
	}
	return c, nil
}

// readSchemas reads the definitions of all tables into the model and the history
// and, in a snapshot, makes their records.
func (t *task) readSchemas(ctx context.Context, q querier, records bool) error {
	if t.model == nil {
		t.model = t.newModel()
	}
	c, err := t.readCatalog(ctx, q)
	if err != nil {
		return err
	}
	return t.applyCatalog(ctx, c, records)
}

// historyBatch is how many statements of a snapshot are made durable at once.
const historyBatch = 256

// applyCatalog brings the definitions into the model, the history and, if asked,
// onto the topic of schema changes, as the statements that the real connector
// makes of them.
func (t *task) applyCatalog(ctx context.Context, c *catalog, records bool) error {
	a := &catalogSteps{t: t, records: records}
	err := a.apply(ctx, "", fmt.Sprintf("SET character_set_server=%s, collation_server=%s", t.server.charset, t.server.collation))
	var dbs []string
	for _, id := range c.tables {
		if err == nil {
			err = a.apply(ctx, id.DB, "DROP TABLE IF EXISTS "+quote(id.DB)+"."+quote(id.Name))
		}
		if len(dbs) == 0 || dbs[len(dbs)-1] != id.DB {
			dbs = append(dbs, id.DB)
		}
	}
	for _, db := range dbs {
		cs := c.charset[db]
		for _, ddl := range []string{"DROP DATABASE IF EXISTS " + quote(db), "CREATE DATABASE " + quote(db) + " CHARSET " + cs[0] + " COLLATE " + cs[1], "USE " + quote(db)} {
			if err == nil {
				err = a.apply(ctx, db, ddl)
			}
		}
		for _, id := range c.tables {
			if text := c.text[id]; id.DB == db && text != "" && err == nil {
				err = a.apply(ctx, db, text)
			}
		}
	}
	if err != nil {
		return err
	}
	return a.flush(ctx)
}

// catalogSteps collects the statements of a snapshot.
type catalogSteps struct {
	t       *task
	records bool
	steps   []*schemahistory.Step
}

func (a *catalogSteps) apply(ctx context.Context, db, ddl string) error {
	for _, step := range a.t.model.Apply(db, ddl) {
		if step.Ignored {
			continue
		}
		if step.DDL == "" || !strings.HasPrefix(ddl, "CREATE TABLE") {
			step.DDL = ddl
		}
		a.steps = append(a.steps, &step)
	}
	if len(a.steps) < historyBatch {
		return nil
	}
	return a.flush(ctx)
}

// flush makes the statements durable, then their records.
func (a *catalogSteps) flush(ctx context.Context) error {
	s := a.t.session
	s.now = time.Now()
	at := s.at
	at.Snapshot = "INITIAL" // also when only the history is written anew
	if err := a.t.remember(ctx, &at, s.now.UnixMilli(), a.steps...); err != nil {
		return err
	}
	for _, step := range a.steps {
		if a.records && a.t.opts.SchemaChanges {
			s.appendSchemaChange(step, s.src.marker(s.batch(), snapshot.True))
		}
		if s.full() {
			if err := s.send(ctx); err != nil {
				return err
			}
		}
	}
	a.steps = a.steps[:0]
	return nil
}

// snapshotView is what a snapshot reads from: connections that see one moment of
// the database, its place in the log, and the definitions of that moment.
type snapshotView struct {
	conns   snapmysql.View
	place   *Position
	catalog *catalog
	alive   func(context.Context) // keeps a lock's connection open; nil: there is no lock
	release func(context.Context)
}

// close ends the view and the locks. It may be called several times.
func (v *snapshotView) close(ctx context.Context) {
	v.conns.Close()
	v.conns = nil
	if v.release != nil {
		v.release(ctx)
	}
}
