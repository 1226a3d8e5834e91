package mysql

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
	"millrace/snapshot"
	snapmysql "millrace/snapshot/mysql"
)

// rowJob says which rows a snapshot reads.
type rowJob struct {
	kind      string // INITIAL, BLOCKING
	tables    []schemahistory.TableID
	texts     map[schemahistory.TableID]string // SHOW CREATE TABLE
	overrides map[string]string                // db.table -> statement
	alive     func(context.Context)            // nil: nothing is kept alive
	// note tells what becomes of a table; nil: nobody is told.
	note func(kind, table string, rows int64)
}

// rowProgress is what the offset says of a snapshot under way: which tables, in
// their reading order, are done, and what is left of the first that is not.
type rowProgress struct {
	Plan  string `json:"plan"` // fingerprint of tables, columns and statements
	Table string `json:"table"`
	snapmysql.Progress
}

// rowTable is a table that is read.
type rowTable struct {
	*table
	query snapmysql.Table
	names []string // columns of the result
	place []int    // for each of them the column of the table
	track *snapmysql.Tracker
	tsUs  int64
	count int64 // rows emitted
	noted int64 // of them in the metric
}

// rowReader reads tables row by row, one row behind, since the last row of a table
// and of all is marked.
type rowReader struct {
	t       *task
	job     *rowJob
	tables  []*rowTable
	current int // the first table that is not done
	plan    string
	ahead   *snapshot.Lookahead
	started time.Time
	logged  time.Time
	line    []byte
	raw     [][]byte
	fields  [][]byte
	rows    int64
}

// errSnapshotChanged: what an earlier run left cannot be gone on with.
var errSnapshotChanged = errors.New("the tables of the snapshot are others than before")

// readRows reads the rows of a job's tables. from is what an earlier run left, nil
// for none.
func (t *task) readRows(ctx context.Context, view snapmysql.View, job *rowJob, from *rowProgress) (n int64, err error) {
	r := &rowReader{t: t, job: job, started: time.Now(), logged: time.Now()}
	if err := r.choose(ctx); err != nil {
		return 0, err
	}
	r.ahead = &snapshot.Lookahead{Emit: func(i int, line []byte, m snapshot.Marker) error { return r.emit(ctx, i, line, m) }}
	if from != nil && !r.resume(from) {
		return 0, errSnapshotChanged
	}
	defer r.note() // what was emitted is in the batch, whatever ended the reading
	r.announce(ctx)
	defer func() { r.announceEnd(err) }()
	for i := r.current; i < len(r.tables); i++ {
		rt := r.tables[i]
		if err := r.table(ctx, view, i, rt); err != nil {
			if ctx.Err() != nil {
				return r.rows, ctx.Err()
			}
			if rt.query.SQL != "" && !retriable(err) {
				return r.rows, fault(err, "Correct the statement, with the database in front of each table", "The property snapshot.select.statement.overrides.%s does not work", rt.name)
			}
			return r.rows, fmt.Errorf("read the rows of table %s: %w", rt.name, err)
		}
	}
	_, err = r.ahead.End()
	if t.metrics != nil { // the last row of a table comes behind it
		for _, rt := range r.tables {
			r.tally(rt)
		}
	}
	return r.rows, err
}

// choose orders and compiles the tables.
func (r *rowReader) choose(ctx context.Context) error {
	t := r.t
	ids := slices.Clone(r.job.tables)
	slices.SortStableFunc(ids, func(a, b schemahistory.TableID) int {
		return t.opts.Tables.Rank(a.DB, a.Name) - t.opts.Tables.Rank(b.DB, b.Name)
	})
	if o := t.opts.Snapshot.OrderByRows; o == "ascending" || o == "descending" {
		if err := t.byRowCount(ctx, ids, o == "descending"); err != nil {
			return err
		}
	}
	sum := fnv.New64a()
	for _, id := range ids {
		tb, err := t.compile(t.model.Table(id), nil)
		if err != nil {
			return err
		}
		rt := &rowTable{table: tb}
		r.source(rt)
		fmt.Fprintf(sum, "%q %q %q %v\n", tb.name, rt.query.SQL, rt.names, rt.query.Key)
		r.tables = append(r.tables, rt)
	}
	r.plan = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// byRowCount sorts tables by the server's estimates.
func (t *task) byRowCount(ctx context.Context, ids []schemahistory.TableID, descending bool) error {
	rows := map[schemahistory.TableID]int64{}
	for _, id := range ids {
		res, err := query(ctx, t.db, "SHOW TABLE STATUS FROM "+quote(id.DB)+" LIKE '"+strings.NewReplacer(`\`, `\\\\`, "'", "''", "_", `\_`, "%", `\%`).Replace(id.Name)+"'")
		if err != nil {
			return fmt.Errorf("read how many rows table %s.%s has: %w", id.DB, id.Name, err)
		}
		if len(res) == 1 {
			rows[id], _ = strconv.ParseInt(res[0]["rows"], 10, 64)
		}
	}
	slices.SortStableFunc(ids, func(a, b schemahistory.TableID) int {
		if d := rows[a] - rows[b]; d < 0 != descending && d != 0 {
			return -1
		} else if d != 0 {
			return 1
		}
		return 0
	})
	return nil
}

// rangeRows is how many rows of a table a connection reads before it takes another
// range, where several read.
const rangeRows = 20_000

// source makes what is read of a table: the columns that records or the order need,
// in the order of the primary key where the rows lie in it; or the statement that
// overrides it.
func (r *rowReader) source(rt *rowTable) {
	o := &r.t.opts.Snapshot
	if rt.query.SQL = r.job.overrides[rt.name]; rt.query.SQL != "" {
		rt.track = snapmysql.NewTracker(nil, snapmysql.Fresh())
		rt.query.Names = func(names []string) error { return rt.overridden(names) }
		return
	}
	v := rt.version
	key := snapmysql.PrimaryKey(r.job.texts[rt.id])
	var keyAt []int
	for _, k := range key {
		at := v.Column(k)
		if at < 0 {
			key = nil
			break
		}
		base, _, _ := strings.Cut(v.Columns[at].TypeName, " ")
		form, ok := snapmysql.FormOf(base)
		if !ok {
			key = nil
			break
		}
		rt.query.Key = append(rt.query.Key, snapmysql.KeyColumn{Name: v.Columns[at].Name, Form: form})
	}
	if key == nil {
		rt.query.Key = nil
	}
	for i := range v.Columns {
		if rt.table.rows.Uses(i) || slices.ContainsFunc(rt.query.Key, func(k snapmysql.KeyColumn) bool { return k.Name == v.Columns[i].Name }) {
			rt.names, rt.place = append(rt.names, v.Columns[i].Name), append(rt.place, i)
		}
	}
	if len(rt.names) == 0 {
		rt.names, rt.place = []string{v.Columns[0].Name}, []int{0}
	}
	for _, k := range rt.query.Key {
		keyAt = append(keyAt, slices.Index(rt.names, k.Name))
	}
	rt.query.DB, rt.query.Table, rt.query.Columns = rt.id.DB, rt.id.Name, rt.names
	if o.Threads > 1 {
		rt.query.Step = max(1000, rangeRows/int64(max(1, o.Multiplier(rt.name))))
	}
	rt.track = snapmysql.NewTracker(keyAt, snapmysql.Fresh())
}

// overridden takes the columns of an override's result; it may leave some out.
func (rt *rowTable) overridden(names []string) error {
	rt.names, rt.place = names, make([]int, len(names))
	for i, n := range names {
		if rt.place[i] = rt.version.Column(n); rt.place[i] < 0 {
			return fault(nil, "Select only columns of the table", "The statement snapshot.select.statement.overrides.%s gives column %q, which the table does not have", rt.name, n)
		}
	}
	return nil
}

// resume goes on where an earlier run ended; false: that was another plan.
func (r *rowReader) resume(from *rowProgress) bool {
	i := slices.IndexFunc(r.tables, func(rt *rowTable) bool { return rt.name == from.Table })
	if from.Plan != r.plan || i < 0 && from.Table != "" {
		return false
	}
	if from.Table == "" {
		r.current = len(r.tables)
		return true
	}
	r.current = i
	if len(from.Open) > 0 { // some of its rows were read
		r.ahead.Resume(i)
	} else if i > 0 {
		r.ahead.Resume(-1)
	}
	rt := r.tables[i]
	if len(rt.query.Key) > 0 && rt.query.SQL == "" {
		rt.track = snapmysql.NewTracker(rt.keyPlaces(), from.Progress)
	}
	return true
}

func (rt *rowTable) keyPlaces() []int {
	out := make([]int, len(rt.query.Key))
	for i, k := range rt.query.Key {
		out[i] = slices.Index(rt.names, k.Name)
	}
	return out
}

// note brings the progress into the position.
func (r *rowReader) note() {
	p := rowProgress{Plan: r.plan}
	for ; r.current < len(r.tables); r.current++ {
		left, done := r.tables[r.current].track.Progress()
		if !done {
			p.Table, p.Progress = r.tables[r.current].name, left
			break
		}
	}
	text, err := json.Marshal(p)
	if err == nil && r.job.kind == "INITIAL" {
		r.t.session.at.Progress = string(text)
	}
}

func (r *rowReader) table(ctx context.Context, view snapmysql.View, i int, rt *rowTable) error {
	began := time.Now()
	if r.job.note != nil {
		r.job.note("IN_PROGRESS", rt.name, 0)
	}
	err := view[0].Query(ctx, "SELECT UNIX_TIMESTAMP()", nil, func(row []byte) error {
		f, err := snapmysql.Split(nil, row)
		if err != nil || len(f) != 1 {
			return snapmysql.ErrRow
		}
		sec, err := strconv.ParseInt(string(f[0]), 10, 64)
		rt.tsUs = sec * 1e6
		return err
	})
	if err != nil {
		return err
	}
	rows, err := view.Read(ctx, &rt.query, rt.track, func(id int, row []byte) error {
		r.line = append(binary.LittleEndian.AppendUint32(r.line[:0], uint32(id)), row...)
		return r.ahead.Row(i, r.line)
	})
	if err != nil {
		return err
	}
	if r.t.metrics != nil {
		r.tally(rt)
		r.t.metrics.SnapshotTableDone(rt.name)
		r.t.metrics.SnapshotRemaining(len(r.tables) - 1 - i)
	}
	if r.job.note != nil {
		r.job.note("TABLE_SCAN_COMPLETED", rt.name, rows)
	}
	r.t.log.Debug("table read", "table", rt.name, "rows", rows, "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// tally brings the rows of a table into the metric.
func (r *rowReader) tally(rt *rowTable) {
	if n := rt.count - rt.noted; n > 0 {
		r.t.metrics.SnapshotRows(rt.name).Add(float64(n))
		rt.noted = rt.count
	}
}

// metricRows is how many rows of a table go into the metric at once.
const metricRows = 1024

// emit makes the record of one row.
func (r *rowReader) emit(ctx context.Context, i int, line []byte, m snapshot.Marker) (err error) {
	t, s, rt := r.t, r.t.session, r.tables[i]
	if r.raw, err = snapmysql.Split(r.raw[:0], line[4:]); err != nil {
		return err
	}
	if len(r.raw) != len(rt.place) {
		return fmt.Errorf("a row of table %s has %d values instead of %d", rt.name, len(r.raw), len(rt.place))
	}
	if n := len(rt.version.Columns); len(r.fields) != n {
		r.fields = make([][]byte, n)
	} else if len(rt.place) < n {
		clear(r.fields)
	}
	for j, at := range rt.place {
		r.fields[at] = r.raw[j]
	}
	if r.rows%256 == 0 {
		s.now = time.Now()
		r.log(ctx, rt)
	}
	b := s.batch()
	row, fails := rt.table.rows.Texts(b, r.fields)
	if fails != nil {
		if err := s.failed(rt.table, fails); err != nil {
			return err
		}
	}
	r.rows++
	rt.count++
	if !t.opts.Skipped.Has(byte(emit.OpRead)) {
		s.src.tsUs = rt.tsUs
		s.at.TsSec = rt.tsUs / 1e6
		rt.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: s.now.UnixNano(),
			Source: s.src.cell(b, &rt.table.src, 0, s.src.marker(b, m)), Tx: record.Cell{}})
	}
	rt.track.Emitted(int(binary.LittleEndian.Uint32(line)), r.raw)
	if t.metrics != nil && rt.count%metricRows == 0 {
		r.tally(rt)
	}
	if s.full() {
		r.note()
		return s.send(ctx)
	}
	return nil
}

// log tells how far the snapshot is, and keeps a lock's connection open.
func (r *rowReader) log(ctx context.Context, rt *rowTable) {
	if now := r.t.session.now; now.Sub(r.logged) > progressEvery {
		r.logged = now
		r.t.log.Info("snapshot", "table", rt.name, "rows", r.rows, "rows_per_s", int64(float64(r.rows)/now.Sub(r.started).Seconds()))
		if r.job.alive != nil {
			r.job.alive(ctx)
		}
	}
}

// resumeSnapshot goes on with a snapshot that was interrupted, if its place in the
// log is still there and its tables are what they were; false: it has to begin
// anew. The rest is read in a view of now, and streaming begins where it would have
// begun: what was changed in between is streamed over rows that may have it already.
func (t *task) resumeSnapshot(ctx context.Context, data bool) (bool, error) {
	s := t.session
	if !data || s.at.Snapshot != "INITIAL" || s.at.Progress == "" {
		return false, nil
	}
	var from rowProgress
	if err := json.Unmarshal([]byte(s.at.Progress), &from); err != nil {
		t.log.Warn("the interrupted snapshot begins anew: its progress cannot be read", "error", err)
		return false, nil
	}
	started := time.Now()
	if why, err := t.server.lost(ctx, t.db, &s.at); err != nil || why != "" {
		if why != "" {
			t.log.Warn("the interrupted snapshot begins anew", "why", why)
		}
		return false, err
	}
	if t.model == nil {
		if found, err := t.recover(ctx, &s.at); err != nil || !found {
			if err == nil {
				t.log.Warn("the interrupted snapshot begins anew", "why", "the schema history is gone")
			}
			return false, err
		}
	}
	job := &rowJob{kind: "INITIAL", tables: t.snapshotTables(), overrides: t.opts.Snapshot.Overrides, texts: map[schemahistory.TableID]string{}}
	for _, id := range job.tables {
		if why, err := t.unchanged(ctx, id, job.texts); err != nil || why != "" {
			if err == nil {
				t.log.Warn("the interrupted snapshot begins anew", "table", id.String(), "why", why)
			}
			return false, err
		}
	}
	view, err := t.openReaders(ctx, max(1, t.opts.Snapshot.Threads))
	if err != nil {
		return false, err
	}
	defer view.Close()
	for _, c := range view {
		if err := snapmysql.Begin(ctx, c); err != nil {
			return false, err
		}
	}
	s.src.file, s.src.pos, s.src.gtid, s.src.serverID, s.src.thread, s.src.query = s.at.File, s.at.Pos, "", 0, 0, ""
	s.src.moved()
	t.log.Info("an interrupted snapshot goes on", "table", from.Table, "file", s.at.File, "pos", s.at.Pos)
	rows, err := t.readRows(ctx, view, job, &from)
	if errors.Is(err, errSnapshotChanged) {
		t.log.Warn("the interrupted snapshot begins anew", "why", "other tables or columns are to be captured now")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	view.Close()
	return true, t.endSnapshot(ctx, started, rows)
}

// unchanged reads a table's definition into texts and compares it with the model
// of the snapshot; it answers what is different.
func (t *task) unchanged(ctx context.Context, id schemahistory.TableID, texts map[schemahistory.TableID]string) (why string, err error) {
	text, err := showCreate(ctx, t.db, id)
	if err != nil {
		if ctx.Err() != nil || retriable(err) {
			return "", err
		}
		return err.Error(), nil
	}
	texts[id] = text
	fresh := t.newModel()
	fresh.SetCharset(id.DB, t.model.Charset(id.DB))
	fresh.Apply(id.DB, text)
	now, then := fresh.Table(id), t.model.Table(id)
	if now == nil || !slices.Equal(now.PrimaryKey, then.PrimaryKey) || !slices.EqualFunc(now.Columns, then.Columns, sameColumn) {
		return "its definition has changed", nil
	}
	return "", nil
}

func sameColumn(a, b schemahistory.Column) bool {
	return a.Name == b.Name && a.TypeName == b.TypeName && a.Charset == b.Charset && a.Length == b.Length && a.Scale == b.Scale && a.Optional == b.Optional && slices.Equal(a.Labels, b.Labels)
}
