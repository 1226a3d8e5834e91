package capture

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/store"
	"millrace/snapshot"
)

// Keys of the source offset while an incremental snapshot runs, as Debezium's.
const (
	OffsetIncrementalKey  = "incremental_snapshot_primary_key"
	OffsetIncrementalMax  = "incremental_snapshot_maximum_key"
	OffsetIncrementalList = "incremental_snapshot_collections"
	OffsetIncrementalID   = "incremental_snapshot_correlation_id"
)

// How the scan of a table ended, in notifications.
const (
	ScanSucceeded     = "SUCCEEDED"
	ScanEmpty         = "EMPTY"
	ScanNoKey         = "NO_PRIMARY_KEY"
	ScanUnknownSchema = "UNKNOWN_SCHEMA"
	ScanFailed        = "SQL_EXCEPTION"
)

// Incremental reads tables chunk by chunk while the log streams. A chunk is read
// between two watermarks; what the log says about its rows in between wins. It
// knows the order of things; reading, watermarks and records are the engine's.
//
// Normally the watermarks are rows that are inserted into the signal table, which
// come back in the log. With ReadOnly nothing is written: the window opens at once,
// and closes when the stream has passed the end that the log had after the chunk
// was read.
//
// All methods are for the goroutine that reads the log.
type Incremental struct {
	Engine    IncrementalEngine
	Log       *slog.Logger
	Connector string // connector_name of notifications
	ReadOnly  bool
	// CatchUp makes the first window of a table an empty one, so that what was
	// done to the table before is known when its rows are read.
	CatchUp bool
	// Changed is set when the state for the offset is another one; the owner
	// clears it.
	Changed bool

	id     string // of the request, in notifications
	queue  []Collection
	cur    ChunkReader // of queue[0]; nil before its first chunk
	win    snapshot.Window
	paused bool
	stops  [][]string // patterns of stop requests that wait for the end of a chunk

	last, sent, most Place // last row that was read, that was emitted; the greatest key
	scanned          int64
	caught           bool // the first table had its empty window
	failed           bool // the chunk of this window could not be read
	tries            int  // windows in a row that failed
}

// IncrementalEngine is what a database does for an incremental snapshot.
type IncrementalEngine interface {
	// Open looks at a table and prepares reading it behind the row key and up to
	// the row most, each "" when that is not known, else as in the offset. A status
	// says why the table is not read.
	Open(ctx context.Context, c Collection, key, most string) (r ChunkReader, status string, err error)
	// Begin writes the opening watermark of chunk id. With ReadOnly it makes sure
	// that what is read next is not older than the stream; ready false: later.
	Begin(ctx context.Context, id string, began time.Time) (ready bool, err error)
	// End writes the closing watermark. With ReadOnly it notes the end of the log.
	End(ctx context.Context, id string, began time.Time) error
	// Passed reports, with ReadOnly, whether the stream has passed that end.
	Passed() bool
	// Notify sends a notification.
	Notify(n Notification)
}

// ChunkReader reads one table in chunks. An error of the query, not of the
// connection, is a *QueryError.
type ChunkReader interface {
	// Bounds are key and most of Open, as far as they could be read.
	Bounds() (key, most Place)
	// Max reads the greatest key; ok false: there are no rows.
	Max(ctx context.Context) (most Place, ok bool, err error)
	// Chunk reads the next rows. identity is "" or what tells a row from others.
	Chunk(ctx context.Context, add func(identity string, row []byte)) (n int, last Place, err error)
	// Emit makes the records of rows that are still valid.
	Emit(ctx context.Context, rows [][]byte) error
}

// Place is the key of a row: as in the offset, and as people read it.
type Place struct{ Offset, Text string }

// QueryError is a statement that the server refused, on a connection that is well.
type QueryError struct{ Err error }

// Error implements error.
func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap gives the server's error.
func (e *QueryError) Unwrap() error { return e.Err }

// Collection is a table of an incremental snapshot, in the JSON of the offset.
type Collection struct {
	ID        string  `json:"incremental_snapshot_collections_id"`
	Filter    *string `json:"incremental_snapshot_collections_additional_condition"`
	Surrogate *string `json:"incremental_snapshot_collections_surrogate_key"`
}

// Where is the table's additional condition in parentheses, "" when it has none.
func (c *Collection) Where() string {
	if c.Filter == nil || strings.TrimSpace(*c.Filter) == "" {
		return ""
	}
	return "(" + *c.Filter + ")"
}

// Running reports whether tables are left to read.
func (i *Incremental) Running() bool { return len(i.queue) > 0 }

// Paused reports whether a running snapshot was told to pause.
func (i *Incremental) Paused() bool { return i.paused }

// Reads reports whether a window on table id is waiting for its end, so that
// changes of its rows matter.
func (i *Incremental) Reads(id string) bool { return i.cur != nil && i.queue[0].ID == id }

// Waiting reports whether something may have to be done without a new event.
func (i *Incremental) Waiting() bool {
	if i.win.ID() == "" {
		return i.Running() && !i.paused
	}
	return i.ReadOnly
}

// Restore takes the state of a stored offset and returns the other entries.
func (i *Incremental) Restore(extra []store.Entry) []store.Entry {
	var rest []store.Entry
	for _, e := range extra {
		var text string
		_ = json.Unmarshal([]byte(e.Value), &text)
		switch e.Key {
		case OffsetIncrementalList:
			if err := json.Unmarshal([]byte(text), &i.queue); err != nil {
				i.Log.Warn("the incremental snapshot in the stored offset cannot be read and is not continued", "error", err)
				i.queue = nil
			}
		case OffsetIncrementalID:
			i.id = text
		case OffsetIncrementalKey:
			i.sent.Offset = text
		case OffsetIncrementalMax:
			i.most.Offset = text
		default:
			rest = append(rest, e)
		}
	}
	return rest
}

// Extra is the state for the offset.
func (i *Incremental) Extra() []store.Entry {
	if !i.Running() {
		return nil
	}
	out := []store.Entry{{Key: OffsetIncrementalList, Value: plainJSON(plainJSON(i.queue))}}
	for _, e := range []store.Entry{{Key: OffsetIncrementalID, Value: i.id}, {Key: OffsetIncrementalKey, Value: i.sent.Offset}, {Key: OffsetIncrementalMax, Value: i.most.Offset}} {
		if e.Value != "" {
			out = append(out, store.Entry{Key: e.Key, Value: plainJSON(e.Value)})
		}
	}
	return out
}

// plainJSON is JSON without escapes that only pages of the web need.
func plainJSON(v any) string {
	var sb strings.Builder
	e := json.NewEncoder(&sb)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts and structs of texts always can
	return strings.TrimSuffix(sb.String(), "\n")
}

// Execute starts a snapshot of those tables that the request names, or adds them to
// the one that runs.
func (i *Incremental) Execute(ctx context.Context, id string, req *SnapshotRequest, tables []string) error {
	idle := !i.Running()
	for _, name := range req.Resolve(tables) {
		c := Collection{ID: name}
		for _, x := range req.Conditions {
			if MatchCollection(x.Collection, name, true) {
				filter := "(" + x.Filter + ")" // so it is in the offset
				c.Filter = &filter
			}
		}
		if req.Surrogate != "" {
			c.Surrogate = &req.Surrogate
		}
		i.queue = append(i.queue, c)
	}
	if !i.Running() {
		i.Log.Warn("a snapshot was asked for, but no captured table matches", "signal", id, "collections", strings.Join(req.Collections, ","))
		return nil
	}
	i.id, i.Changed = id, true
	if !idle {
		return nil // it goes on under the new id, without another STARTED (incremental-two-signals)
	}
	i.note("STARTED", [2]string{"data_collections", i.names()})
	return i.next(ctx)
}

// Stop notes a request; it takes effect before the next chunk. No patterns mean
// all tables.
func (i *Incremental) Stop(id string, patterns []string) {
	if !i.Running() {
		i.Log.Warn("a snapshot is to be stopped, but none is running", "signal", id)
		return
	}
	i.stops = append(i.stops, patterns)
}

// Pause lets no further chunk be read.
func (i *Incremental) Pause() {
	if i.Running() && !i.paused {
		i.paused = true
		i.note("PAUSED", [2]string{"data_collections", i.names()})
	}
}

// Resume goes on.
func (i *Incremental) Resume(ctx context.Context) error {
	if !i.paused {
		return nil
	}
	i.paused = false
	i.note("RESUMED", [2]string{"data_collections", i.names()})
	if i.win.ID() != "" {
		return nil // the window in flight goes on by itself
	}
	return i.next(ctx)
}

// Opened takes the opening watermark of a chunk.
func (i *Incremental) Opened(id string) { i.win.Open(id) }

// Seen takes the identity of a row that the stream has a newer state of.
func (i *Incremental) Seen(identity string) { i.win.Seen(identity) }

// Unread takes the identity of a row that a transaction has changed which the chunk in
// flight did not see, wherever that lies in the log.
func (i *Incremental) Unread(identity string) { i.win.Unread(identity) }

// Truncated takes that the table being read was emptied.
func (i *Incremental) Truncated(id string) {
	if i.Reads(id) {
		i.win.Clear()
	}
}

// Altered takes that the definition of a table is another one: a chunk of it that
// is in flight is read again.
func (i *Incremental) Altered(id string) {
	if i.Reads(id) {
		i.Disconnected()
		i.tries = 0
	}
}

// Disconnected forgets what belongs to connections; the chunk in flight is read
// again.
func (i *Incremental) Disconnected() {
	i.win.Start("")
	i.cur, i.failed, i.last = nil, false, i.sent
}

// Between is called between transactions: it closes a window that the stream has
// passed, and goes on where nothing is in flight.
func (i *Incremental) Between(ctx context.Context) error {
	switch {
	case !i.Running():
		return nil
	case i.win.ID() != "":
		if i.ReadOnly && i.Engine.Passed() {
			return i.Closed(ctx, i.win.ID())
		}
		return nil
	}
	return i.next(ctx)
}

// Closed takes the closing watermark of a chunk: it emits what is left of the
// window and reads the next chunk. Those of other chunks are ignored.
func (i *Incremental) Closed(ctx context.Context, id string) error {
	rows, ok := i.win.Close(id)
	if !ok || i.cur == nil {
		return nil
	}
	if i.failed {
		i.failed = false
		if i.tries++; i.tries > 1 { // what was done to the table before has been seen by now
			i.finish(ScanFailed)
		} else {
			i.cur, i.last = nil, i.sent // the table is looked at anew: its columns may be others
		}
		return i.next(ctx)
	}
	i.tries = 0
	i.scanned += int64(i.win.Len())
	if err := i.cur.Emit(ctx, rows); err != nil {
		return err
	}
	i.sent, i.Changed = i.last, true
	return i.next(ctx)
}

// applyStops removes what the stop requests since the last chunk named, as one. The
// table under way is named last, the others in the order of the request; without
// names in that of a Java set.
func (i *Incremental) applyStops() {
	if len(i.stops) == 0 {
		return
	}
	req := SnapshotRequest{}
	for _, patterns := range i.stops {
		if len(patterns) == 0 {
			patterns = []string{"(?s).*"}
		}
		req.Collections = append(req.Collections, patterns...)
	}
	i.stops = nil
	queued := make([]string, len(i.queue))
	for j, c := range i.queue {
		queued[j] = c.ID
	}
	gone := slices.DeleteFunc(req.Resolve(queued), func(id string) bool { return !slices.Contains(queued, id) })
	if len(gone) == 0 {
		return
	}
	if at := slices.Index(gone, queued[0]); at >= 0 {
		gone = append(slices.Delete(gone, at, at+1), queued[0])
		i.forget()
	}
	i.queue = slices.DeleteFunc(i.queue, func(c Collection) bool { return slices.Contains(gone, c.ID) })
	i.paused = i.paused && i.Running()
	i.Changed = true
	id := i.id
	if !i.Running() {
		i.note("COMPLETED")
		id = UUID() // the request has ended by now
	}
	i.Engine.Notify(Notification{ID: id, Aggregate: IncrementalSnapshot, Type: "ABORTED",
		Data: [][2]string{{"connector_name", i.Connector}, {"data_collections", strings.Join(gone, ",")}}})
}

// forget drops what is known about the first table.
func (i *Incremental) forget() {
	i.Disconnected()
	i.last, i.sent, i.most = Place{}, Place{}, Place{}
	i.scanned, i.caught, i.tries = 0, false, 0
	i.paused = i.paused && i.Running()
}

// next reads the next chunk. Tables that have no rows left are finished on the way.
func (i *Incremental) next(ctx context.Context) error {
	for i.win.ID() == "" {
		if i.applyStops(); !i.Running() || i.paused {
			return nil
		}
		if i.cur == nil {
			r, status, err := i.Engine.Open(ctx, i.queue[0], i.sent.Offset, i.most.Offset)
			if err != nil {
				return err
			}
			if status != "" {
				i.finish(status)
				continue
			}
			i.cur = r
			i.sent, i.most = r.Bounds()
			i.last = i.sent
		}
		ready, err := i.window(ctx)
		var refused *QueryError
		if errors.As(err, &refused) {
			i.abort(refused)
			return nil
		}
		if err != nil || !ready {
			return err
		}
	}
	return nil
}

// abort ends the whole snapshot: no watermark can be written.
func (i *Incremental) abort(cause *QueryError) {
	i.Log.Error("the incremental snapshot is given up: its watermarks cannot be written", "error", cause.Err)
	names := i.names()
	i.note("ABORTED", [2]string{"data_collections", names})
	i.queue, i.Changed = nil, true
	i.forget()
}

// window reads one chunk between its watermarks. An error of its query is a fault
// of the table, one of a watermark is returned.
func (i *Incremental) window(ctx context.Context) (ready bool, err error) {
	id, began := UUID(), time.Now()
	if ready, err = i.Engine.Begin(ctx, id, began); err != nil || !ready {
		return false, err
	}
	i.win.Start(id)
	n := 0
	if i.CatchUp && !i.caught {
		i.caught = true
		if err := i.Engine.End(ctx, id, began); err != nil {
			return false, err
		}
		if i.ReadOnly {
			i.win.Open(id)
		}
		i.last = i.sent
		return true, nil
	}
	if n, err = i.read(ctx); err != nil {
		var refused *QueryError
		if !errors.As(err, &refused) {
			return false, err
		}
		i.failed = true
		i.Log.Error("a chunk of an incremental snapshot cannot be read", "table", i.queue[0].ID, "error", err, "again", i.tries == 0)
	}
	if err := i.Engine.End(ctx, id, began); err != nil {
		return false, err
	}
	switch {
	case n == 0 && !i.failed:
		status := ScanSucceeded
		if i.most.Offset == "" {
			status = ScanEmpty
		}
		i.finish(status)
	case i.ReadOnly:
		i.win.Open(id)
	}
	if n > 0 {
		i.note("IN_PROGRESS", [2]string{"data_collections", i.names()}, [2]string{"current_collection_in_progress", i.queue[0].ID},
			[2]string{"maximum_key", i.most.Text}, [2]string{"last_processed_key", i.last.Text})
	}
	return true, nil
}

// read reads the rows of a window.
func (i *Incremental) read(ctx context.Context) (int, error) {
	if i.most.Offset == "" { // within the window, so that what happens from here on is seen
		most, ok, err := i.cur.Max(ctx)
		if err != nil || !ok {
			return 0, err
		}
		i.most = most
	}
	n, last, err := i.cur.Chunk(ctx, i.win.Add)
	if err != nil {
		i.win.Start(i.win.ID())
		return 0, err
	}
	if n > 0 {
		i.last = last
	}
	return n, nil
}

// finish ends the first table.
func (i *Incremental) finish(status string) {
	c := i.queue[0]
	i.note("TABLE_SCAN_COMPLETED", [2]string{"data_collections", i.names()}, [2]string{"scanned_collection", c.ID},
		[2]string{"total_rows_scanned", strconv.FormatInt(i.scanned, 10)}, [2]string{"status", status})
	i.queue, i.Changed = i.queue[1:], true
	i.forget()
	if !i.Running() {
		i.note("COMPLETED")
		i.id = ""
	}
}

func (i *Incremental) names() string {
	out := make([]string, len(i.queue))
	for j, c := range i.queue {
		out[j] = c.ID
	}
	return strings.Join(out, ",")
}

func (i *Incremental) note(kind string, data ...[2]string) {
	i.Engine.Notify(Notification{ID: i.id, Aggregate: IncrementalSnapshot, Type: kind,
		Data: append([][2]string{{"connector_name", i.Connector}}, data...)})
}
