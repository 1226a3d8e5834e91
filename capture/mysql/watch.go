package mysql

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// watchEvery is how often the server is asked where its log ends, and watchTimeout
// how long an answer may take.
const (
	watchEvery   = 5 * time.Second
	watchTimeout = 5 * time.Second
)

// watch tells the metrics where the task is in the server's log, and how long the
// server keeps what is not read yet. It asks on a connection of its own: a server that
// is slow to answer does not hold up the stream, and a long snapshot is watched as well.
//
// Places are counted in bytes over all files that the server had when it was first
// asked.
type watch struct {
	t     *task
	place *metrics.Place
	wg    sync.WaitGroup
	db    *sql.DB

	mu   sync.Mutex
	read logPlace // up to which the stream was read; no file: it was not opened yet

	files   map[string]uint64 // bytes before a file, by its name
	newest  string            // the last of them
	expires float64           // seconds after which the server deletes a file; NaN never
}

// startWatch starts it; stop joins it. Without metrics it does nothing.
func startWatch(ctx context.Context, t *task) (w *watch, stop func()) {
	w = &watch{t: t}
	if t.metrics == nil {
		return w, func() {}
	}
	w.place = t.metrics.SourcePlace()
	ctx, cancel := context.WithCancel(ctx)
	w.wg.Go(func() { w.run(ctx) })
	return w, func() { cancel(); w.wg.Wait() }
}

// reached notes how far the stream was read. It is called before the reader waits.
func (w *watch) reached(file string, pos uint32) {
	if w == nil || w.place == nil || file == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = logPlace{file: file, pos: int64(pos)}
}

func (w *watch) run(ctx context.Context) {
	defer func() {
		w.close()
		w.place.Unknown()
	}()
	known := true
	for wait := time.Second; ; wait = watchEvery {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.place.Unknown()
			w.close()
			if known { // once, not every few seconds; the stream has its own words when the server is away
				w.t.log.Warn("the server does not say where its log ends, so there are no figures about it for now", "error", err)
			}
		}
		known = err == nil
	}
}

func (w *watch) close() {
	if w.db != nil {
		_ = w.db.Close()
		w.db, w.files = nil, nil
	}
}

// look asks once.
func (w *watch) look(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if w.db == nil {
		if w.db, err = w.t.opts.Conn.open(ctx); err != nil {
			return err
		}
		w.db.SetMaxOpenConns(1)
	}
	head, err := (&server{}).place(ctx, w.db)
	if err != nil {
		return err
	}
	if _, known := w.files[head.File]; !known {
		if err := w.list(ctx); err != nil {
			return err
		}
	}
	end, ok := w.count(head.File, head.Pos)
	if !ok {
		return nil // the log was rotated in between; the next look will tell
	}
	var reached []metrics.Reached
	note := func(s metrics.Stage, file string, pos, sec int64) {
		if at, ok := w.count(file, pos); ok {
			reached = append(reached, metrics.Reached{Stage: s, At: at, Written: sec * 1e6})
		}
	}
	w.mu.Lock()
	read := w.read
	w.mu.Unlock()
	note(metrics.StageRead, read.file, read.pos, 0)
	if a, ok := w.t.out.(interface{ Acknowledged() record.Position }); ok {
		if p, _ := a.Acknowledged().(*Position); p != nil {
			note(metrics.StageAcknowledged, p.File, p.Pos, p.TsSec)
		}
	}
	kept := metrics.UnknownKept()
	if p, _ := w.t.out.Stored().(*Position); p != nil {
		note(metrics.StageConfirmed, p.File, p.Pos, p.TsSec)
		if from, ok := w.count(p.File, 0); ok {
			kept.Bytes = float64(end - min(from, end)) // whole files are kept
		}
		if p.TsSec > 0 && p.File != head.File {
			kept.Expires = max(0, w.expires-time.Since(time.Unix(p.TsSec, 0)).Seconds())
		} else if p.File == head.File {
			kept.Expires = w.expires // the file that is written to is kept
		}
	}
	w.place.Set(time.Now(), end, reached...)
	w.place.Keep(kept)
	return nil
}

// incrementalState tells the metrics what the incremental snapshot does.
func (t *task) incrementalState() {
	if t.metrics == nil {
		return
	}
	state := metrics.IncrementalNone
	switch i := &t.session.inc; {
	case i.Running() && i.Paused():
		state = metrics.IncrementalPaused
	case i.Running():
		state = metrics.IncrementalRunning
	}
	t.metrics.Incremental(state)
}

// announce tells the metrics which tables a snapshot will read, and about how many
// rows of them.
func (r *rowReader) announce(ctx context.Context) {
	m := r.t.metrics
	if m == nil {
		return
	}
	var dbs []any
	for _, rt := range r.tables {
		if !slices.Contains(dbs, any(rt.id.DB)) {
			dbs = append(dbs, rt.id.DB)
		}
	}
	if len(dbs) == 0 {
		dbs = []any{""}
	}
	rows, err := query(ctx, r.t.db, "SELECT table_schema AS db, table_name AS name, table_rows AS n FROM information_schema.tables WHERE table_schema IN (?"+strings.Repeat(", ?", len(dbs)-1)+")", dbs...)
	if err != nil {
		rows = nil // estimates are not worth a failure; the next statement will tell
	}
	estimates := map[schemahistory.TableID]int64{}
	for _, x := range rows {
		estimates[schemahistory.TableID{DB: x["db"], Name: x["name"]}], _ = strconv.ParseInt(x["n"], 10, 64)
	}
	m.SnapshotBegins(len(r.tables))
	for i, rt := range r.tables {
		m.SnapshotTable(rt.name, estimates[rt.id], 0)
		if i < r.current {
			m.SnapshotTableDone(rt.name)
		}
	}
	m.SnapshotRemaining(len(r.tables) - r.current)
}

// announceEnd tells how it ended.
func (r *rowReader) announceEnd(err error) {
	switch m := r.t.metrics; {
	case m == nil:
	case err != nil:
		m.SnapshotEnds(metrics.SnapshotAborted)
	default:
		m.SnapshotEnds(metrics.SnapshotCompleted)
	}
}

// about is how many rows the server's statistics say that a table has, 0 unknown.
func about(ctx context.Context, q querier, id schemahistory.TableID) int64 {
	rows, err := query(ctx, q, "SELECT table_rows AS n FROM information_schema.tables WHERE table_schema = ? AND table_name = ?", id.DB, id.Name)
	if err != nil || len(rows) == 0 {
		return 0 // an estimate is not worth a failure; the next statement will tell
	}
	n, _ := strconv.ParseInt(rows[0]["n"], 10, 64)
	return max(0, n)
}

// count is a place in bytes; ok is false for a file that is not known.
func (w *watch) count(file string, pos int64) (at uint64, ok bool) {
	base, ok := w.files[file]
	return base + uint64(max(0, pos)), ok && file != ""
}

// list asks for the files of the log and how long they are kept. Files that are known
// keep their place, so that what was counted goes on.
func (w *watch) list(ctx context.Context) error {
	rows, err := query(ctx, w.db, "SHOW BINARY LOGS")
	if err != nil {
		return err
	}
	before := w.files
	if _, goesOn := before[w.newest]; !goesOn {
		before = nil
	}
	base, found := uint64(0), map[string]uint64{}
	for _, r := range rows {
		name := r["log_name"]
		if at, known := before[name]; known {
			base = at
		}
		found[name] = base
		size, _ := strconv.ParseUint(r["file_size"], 10, 64)
		base += size
		w.newest = name
	}
	w.files, w.expires = found, math.NaN()
	vars, err := query(ctx, w.db, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_expire_logs_seconds', 'expire_logs_days', 'binlog_expire_logs_auto_purge')")
	if err != nil {
		return err
	}
	for _, v := range vars {
		n, _ := strconv.ParseFloat(v["value"], 64)
		switch strings.ToLower(v["variable_name"]) {
		case "binlog_expire_logs_seconds":
			if n > 0 {
				w.expires = n
			}
		case "expire_logs_days":
			if n > 0 && math.IsNaN(w.expires) {
				w.expires = n * 86400
			}
		case "binlog_expire_logs_auto_purge":
			if strings.EqualFold(v["value"], "OFF") {
				w.expires = math.NaN()
				return nil
			}
		}
	}
	return nil
}
