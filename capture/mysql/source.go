package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"millrace/capture"
	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// drainTimeout bounds an orderly stop.
const drainTimeout = 30 * time.Second

// Source is the task of a MySQL or MariaDB connector. It implements worker.Source.
type Source struct {
	opts    *Options
	log     *slog.Logger
	metrics *metrics.Task
	inbox   capture.Inbox
	current atomic.Pointer[pacedConn] // of the log
}

// NewSource makes the task of a connector from its properties; it connects to
// nothing. m may be nil in tests.
func NewSource(flavor Flavor, connector string, taskID int, props map[string]string, log *slog.Logger, m *metrics.Task) (*Source, error) {
	opts, err := ParseOptions(flavor, connector, taskID, props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	return &Source{opts: opts, log: log, metrics: m}, nil
}

// Partition is the source partition, {"server":"<topic.prefix>"}.
func (s *Source) Partition() []byte {
	p, _ := json.Marshal(map[string]string{"server": s.opts.Prefix})
	return p
}

// Signal implements worker.Signaled.
func (s *Source) Signal(id, kind string, data []byte) error {
	var incremental error
	if !s.opts.Signals.ReadOnly && s.opts.SignalTable == "" {
		incremental = errors.New("an incremental snapshot needs a table for its watermarks: create one (CREATE TABLE debezium_signal (id VARCHAR(64) PRIMARY KEY, type VARCHAR(32) NOT NULL, data TEXT)), set signal.data.collection=DATABASE.debezium_signal and capture the table; or set read.only=true, with GTIDs on the server; or ask for a snapshot of type BLOCKING")
	}
	if err := s.inbox.Put(id, kind, data, incremental); err != nil {
		return err
	}
	if c := s.current.Load(); c != nil {
		c.wake()
	}
	return nil
}

// Run implements worker.Source.
func (s *Source) Run(ctx context.Context, offset []byte, out *emit.Pipeline, started func()) error {
	if n := s.opts.QueueBytes; n > 0 {
		out.Bound(n)
	}
	if found := Preflight(ctx, s.opts, offset); ctx.Err() == nil {
		capture.LogFindings(s.log, found)
	}
	return s.run(ctx, offset, out, started)
}

// task is one run of a Source.
type task struct {
	src     *Source
	opts    *Options
	log     *slog.Logger
	metrics *metrics.Task
	out     output
	started func()
	runID   string

	interner *record.Interner
	source   *record.Schema
	changes  changeSchemas
	topics   map[string]*record.Topic
	history  schemahistory.Store
	model    *schemahistory.Model
	session  *session
	watch    *watch

	// Of the attempt that runs now.
	db     *sql.DB
	server *server
}

func (s *Source) run(ctx context.Context, offset []byte, out output, started func()) error {
	p, err := ParseOffset(offset)
	if err != nil {
		return fault(err, "Delete the connector's offsets or write them anew", "The connector %q cannot read its stored offset", s.opts.Connector)
	}
	t := &task{src: s, opts: s.opts, log: s.log, metrics: s.metrics, out: out, started: started, runID: capture.UUID(), interner: &record.Interner{}, topics: map[string]*record.Topic{}}
	adjust := t.opts.Modes.SchemaName
	t.source = t.interner.Intern(sourceSchema(t.opts.Flavor, adjust))
	t.changes = newChangeSchemas(t.interner, t.opts.Flavor, adjust, t.source)
	t.session = newSession(t, p)
	for _, w := range s.opts.Warnings {
		s.log.Warn(w)
	}
	if t.history, err = t.openHistory(ctx); err != nil {
		if ctx.Err() != nil {
			return t.drain(ctx)
		}
		return err
	}
	defer func() { _ = t.history.Close() }()
	closeTopic, err := t.openSignalTopic()
	if err != nil {
		return err
	}
	defer closeTopic()
	var stop func()
	t.watch, stop = startWatch(ctx, t)
	defer stop()
	return t.loop(ctx, p != nil)
}

// loop runs attempts until the task is asked to stop or an error is final.
func (t *task) loop(ctx context.Context, have bool) error {
	for failures := 0; ; {
		t.session.read = false
		err := t.attempt(ctx, &have)
		if ctx.Err() != nil || err == nil {
			return t.drain(ctx)
		}
		if cause := t.out.Cause(); cause != nil {
			return cause
		}
		if t.session.read {
			failures = 0
		}
		if !retriable(err) || t.opts.Retries >= 0 && failures >= t.opts.Retries {
			return t.explain(err)
		}
		failures++
		wait := t.opts.RetryWait
		if failures == 1 && t.session.read {
			wait = min(wait, time.Second)
		}
		if t.metrics != nil {
			t.metrics.Disconnected()
		}
		t.log.Warn("the connection to the database failed; trying again", "error", err, "attempt", failures, "wait", wait.String())
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.out.Err():
			timer.Stop()
			return t.out.Cause()
		case <-ctx.Done():
			timer.Stop()
			return t.drain(ctx)
		}
	}
}

func (t *task) explain(err error) error {
	var said *errs.Error
	if errors.As(err, &said) && said.Cause == nil {
		return err // it says all there is to say
	}
	hint := ""
	if strings.Contains(err.Error(), "replicate anonymous transaction") {
		hint = "SET GLOBAL gtid_mode = 'ON_PERMISSIVE' lets the server send what it logged without GTIDs; set it to ON once the connector is behind that"
	}
	return fault(err, hint, "The connector %q failed at %s:%d", t.opts.Connector, t.opts.Conn.Host, t.opts.Conn.Port)
}

// attempt connects, takes the snapshot that is due, and streams until ctx ends
// (nil) or something fails.
func (t *task) attempt(ctx context.Context, have *bool) error {
	db, err := t.opts.Conn.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	t.db = db
	if t.server, err = look(ctx, db); err != nil {
		return err
	}
	t.server.of(t.opts)
	stream, err := t.prepare(ctx, have)
	if err == nil {
		err = t.guard()
	}
	if err != nil {
		return err
	}
	if t.started != nil {
		t.started()
		t.started = nil
	}
	if !stream {
		select {
		case <-ctx.Done():
			return nil
		case <-t.out.Err():
			return t.out.Cause()
		}
	}
	for {
		if err := t.interrupted(ctx); err != nil {
			return err
		}
		if err = t.stream(ctx); !errors.Is(err, errInterrupted) || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() == nil && t.session.hasRecords() && retriable(err) {
		if serr := t.session.send(ctx); serr != nil {
			return serr
		}
	}
	return err
}

// decision is what a start does.
type decision struct{ schema, data, stream bool }

// recovers reports whether a lost schema history is built anew.
func (o *Snapshot) recovers() bool {
	return o.Mode == "recovery" || o.Mode == "configuration_based" && o.OnSchemaError
}

// decide applies snapshot.mode.
func decide(o *Snapshot, have, unfinished, lost, again bool) decision {
	need := !have || unfinished
	d := decision{schema: need, data: need, stream: true}
	switch o.Mode {
	case "always":
		d.data = need || !again
		d.schema = d.data
	case "initial_only":
		d.stream = false
	case "when_needed":
		d.data = need || lost
		d.schema = d.data
	case "no_data", "recovery":
		d.data = false
	case "configuration_based":
		d.stream = o.Stream
		d.data = o.Data && (need || !again) || lost && o.OnDataError
		d.schema = d.data || o.Schema && need
	}
	return d
}

// prepare does everything up to streaming and leaves position and model in place.
func (t *task) prepare(ctx context.Context, have *bool) (stream bool, err error) {
	s := t.session
	if t.opts.Snapshot.Mode == "recovery" && !*have {
		return false, fault(nil, "snapshot.mode=recovery rebuilds the schema history of a connector that has an offset, and this one has none; set snapshot.mode=initial, or no_data to begin with the changes of now",
			"Could not find existing redo log information while attempting schema only recovery snapshot")
	}
	unfinished := (*have || s.at.Progress != "") && s.at.Snapshot != ""
	lost := ""
	if *have && !unfinished && t.opts.CheckPosition {
		if lost, err = t.server.lost(ctx, t.db, &s.at); err != nil {
			return false, err
		}
	}
	if !*have && t.opts.Snapshot.recovers() {
		return false, fault(nil, "snapshot.mode=recovery goes on from a stored offset, and there is none: use initial, or no_data to start without the rows that are there now",
			"Could not find existing redo log information while attempting schema only recovery snapshot")
	}
	d := decide(&t.opts.Snapshot, *have, unfinished, lost != "", !s.sentAt.IsZero())
	if d.stream {
		if err := t.server.check(t.opts.Flavor); err != nil {
			return false, err
		}
	}
	if lost != "" && !d.data {
		return false, fault(nil, "Take a new snapshot: set snapshot.mode=when_needed, or delete the connector's offsets; changes in between are lost",
			"The log at the stored position %s:%d is gone: %s", s.at.File, s.at.Pos, lost)
	}
	if d.schema || d.data {
		if t.started != nil {
			t.started()
			t.started = nil
		}
		if resumed, err := t.resumeSnapshot(ctx, d.data); err != nil {
			return false, err
		} else if !resumed {
			if err := t.snapshot(ctx, d.data); err != nil {
				return false, err
			}
		}
		*have = true
		return d.stream, nil
	}
	if t.model == nil {
		found, err := t.recover(ctx, &s.at)
		if err != nil {
			return false, err
		}
		if !found {
			return d.stream, t.lostHistory(ctx)
		}
	}
	return d.stream, nil
}

// lostHistory is a position without table versions: recovery reads them from the
// catalog, everything else stops.
func (t *task) lostHistory(ctx context.Context) error {
	if !t.opts.Snapshot.recovers() {
		t.model = nil
		t.log.Warn("snapshot.mode=recovery reads the definitions from the server, which is right if no table was changed since the stored position")
		return fault(nil, "", "The db history topic is missing. You may attempt to recover it by reconfiguring the connector to recovery.")
	}
	t.log.Warn("rebuilding the schema history from the server's definitions of now")
	s := t.session
	s.src.file, s.src.pos = s.at.File, s.at.Pos
	s.src.moved()
	s.src.tsUs = time.Now().UnixMicro()
	return t.readSchemas(ctx, t.db, true)
}

// drain ends the task in order: what was read is sent and acknowledged, the
// offset stored.
func (t *task) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if s := t.session; s.hasRecords() || s.dirty {
		if err := s.send(ctx); err != nil {
			return fmt.Errorf("send the last batch: %w", err)
		}
	}
	return t.out.Drain(ctx)
}

// contextHeaders are the headers of extended.headers.enabled.
func (t *task) contextHeaders() [][2]string {
	if !t.opts.ExtendedHeaders {
		return nil
	}
	return [][2]string{
		{"__debezium.context.connectorLogicalName", t.opts.Prefix},
		{"__debezium.context.taskId", strconv.Itoa(t.opts.TaskID)},
		{"__debezium.context.connectorName", string(t.opts.Flavor)},
		{"__debezium.context.runId", t.runID},
	}
}
