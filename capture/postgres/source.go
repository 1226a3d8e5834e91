package postgres

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// drainTimeout bounds an orderly stop: acknowledgements, offset, confirmation.
const drainTimeout = 30 * time.Second

// Source is the task of a Postgres connector. It implements worker.Source.
type Source struct {
	opts    *Options
	log     *slog.Logger
	metrics *metrics.Task
	current atomic.Pointer[stream]
	inbox   capture.Inbox
}

// NewSource makes the task of a connector from its properties; it connects to
// nothing. m may be nil in tests.
func NewSource(connector string, taskID int, props map[string]string, log *slog.Logger, m *metrics.Task) (*Source, error) {
	opts, err := ParseOptions(connector, taskID, props)
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

// OnStored is for emit.Config.OnStored: it makes the reader confirm a stored
// position at once instead of with the next status update. It never blocks.
func (s *Source) OnStored(record.Position) {
	if st := s.current.Load(); st != nil {
		st.wake()
	}
}

// Signal implements worker.Signaled.
func (s *Source) Signal(id, kind string, data []byte) error {
	var incremental error
	if !s.opts.ReadOnly && s.opts.Signal.Table == "" {
		incremental = errors.New("an incremental snapshot needs a table for its watermarks: create one (CREATE TABLE public.debezium_signal (id VARCHAR(64) PRIMARY KEY, type VARCHAR(32) NOT NULL, data TEXT)), set signal.data.collection=public.debezium_signal and add the table to the publication; or set read.only=true; or ask for a snapshot of type BLOCKING")
	}
	if err := s.inbox.Put(id, kind, data, incremental); err != nil {
		return err
	}
	if st := s.current.Load(); st != nil {
		st.wake()
	}
	return nil
}

// Run implements worker.Source.
func (s *Source) Run(ctx context.Context, offset []byte, out *emit.Pipeline, started func()) error {
	if n := s.opts.Batch.QueueBytes; n > 0 {
		out.Bound(n)
	}
	s.preflight(ctx, offset)
	return s.run(ctx, offset, out, started)
}

// preflight says at start what `millrace doctor` would say. It only says: what cannot
// work at all fails in a moment, with the same advice, and the rest works.
func (s *Source) preflight(ctx context.Context, offset []byte) {
	if found := Preflight(ctx, s.opts, offset); ctx.Err() == nil {
		capture.LogFindings(s.log, found)
	}
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
	source   *record.Schema // source block
	topics   topics
	messages *messages
	beats    *beats
	watch    *watch
	session  *session
	noted    bool // the start's notification about the snapshot was sent
	whole    bool // transactions are read whole, whatever their size

	// Of the attempt that runs now.
	general     *pgconn.PgConn // catalog lookups
	cat         *catalog
	serverMajor int
	standby     bool
	publication string // as the server spells it
}

func (s *Source) run(ctx context.Context, offset []byte, out output, started func()) error {
	p, err := ParseOffset(offset)
	if err != nil {
		return fault(err, "Delete the connector's offsets or write them anew", "The connector %q cannot read its stored offset", s.opts.Connector)
	}
	t := &task{src: s, opts: s.opts, log: s.log, metrics: s.metrics, out: out, started: started, runID: capture.UUID(), interner: &record.Interner{}}
	t.source = t.interner.Intern(sourceSchemaFor(s.opts.Naming.SchemaName))
	n := s.opts.Naming
	t.topics = topics{byName: map[string]*record.Topic{}}
	t.topics.heartbeat, t.topics.transaction, t.topics.message = t.topics.topic(n.Heartbeat()), t.topics.topic(n.Transaction()), t.topics.topic(n.Message())
	t.messages = newMessages(t.interner, n.SchemaName, s.opts.Modes.Binary, t.source)
	t.cat = newCatalog(nil)
	t.session = newSession(t, p)
	if t.channel("kafka") {
		k := &s.opts.Signal.Kafka
		props := maps.Clone(k.Consumer)
		props["bootstrap.servers"] = k.Bootstrap
		topic, err := emit.NewSignalTopic(k.Topic, s.opts.Prefix, k.GroupID, k.PollTimeout, props, s.log)
		if err != nil {
			return fault(err, "", "Signal channel kafka configuration is invalid")
		}
		defer topic.Close()
		t.session.signals.Topic = topic
	}
	var stop func()
	t.beats, stop = startBeats(ctx, &s.opts.Conn, s.opts.Heartbeat.Query, s.log)
	defer stop()
	t.watch, stop = startWatch(ctx, t)
	defer stop()
	for _, w := range s.opts.Warnings {
		s.log.Warn(w)
	}
	err = t.loop(ctx, p)
	if err == nil && s.opts.Slot.DropOnStop {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := t.dropSlot(ctx); err != nil {
			s.log.Warn("the replication slot could not be dropped", "error", err)
		}
	}
	return err
}

// loop runs attempts until the task is asked to stop or an error is final.
func (t *task) loop(ctx context.Context, stored *Position) error {
	have := stored != nil
	for failures := 0; ; {
		t.session.read = false
		err := t.attempt(ctx, &have)
		if ctx.Err() != nil || err == nil {
			return nil
		}
		if cause := t.out.Cause(); cause != nil {
			return cause
		}
		if errors.Is(err, errSendWhole) {
			continue
		}
		if t.session.read {
			failures = 0
		}
		f := &t.opts.Failures
		again := retriable(err) || f.RetriableText != nil && f.RetriableText.Find(err.Error())
		if !again || f.Retries >= 0 && failures >= f.Retries {
			return t.explain(err)
		}
		failures++
		wait := f.RetryWait
		if failures == 1 && t.session.read {
			wait = min(wait, time.Second) // it worked until now: a restart of the server, most likely
		}
		t.log.Warn("the connection to the database failed; trying again", "error", err, "attempt", failures, "wait", wait.String())
		if err := t.pause(ctx, wait); err != nil {
			if ctx.Err() != nil {
				return t.drain(nil, ctx)
			}
			return err
		}
	}
}

// pause waits, or ends with the pipeline.
func (t *task) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.out.Err():
		return t.out.Cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt connects, takes the snapshot that is due, and streams until ctx ends
// (nil, after an orderly end) or something fails.
func (t *task) attempt(ctx context.Context, have *bool) (err error) {
	defer func() {
		closeConn(t.general)
		t.general, t.cat.conn = nil, nil
	}()
	if t.general, err = t.opts.Conn.connect(ctx, appGeneral); err != nil {
		return t.stopped(ctx, fmt.Errorf("connect to the database: %w", err))
	}
	t.cat.conn = t.general
	if err := t.cat.prime(ctx); err != nil {
		return t.stopped(ctx, err)
	}
	repl, buf, err := t.opts.Conn.connectReplication(ctx)
	if err != nil {
		return t.stopped(ctx, fmt.Errorf("open a replication connection: %w", err))
	}
	defer closeConn(repl)
	streaming, err := t.prepare(ctx, repl, have)
	if err != nil {
		return t.stopped(ctx, err)
	}
	if !streaming {
		return t.rest(ctx)
	}
	return t.stream(ctx, repl, buf)
}

// stopped is for an attempt that ends before it streams: asked to stop, it still
// drains.
func (t *task) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return t.drain(nil, ctx)
	}
	return err
}

// rest idles after a snapshot that nothing follows.
func (t *task) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return t.drain(nil, ctx)
	case <-t.out.Err():
		return t.out.Cause()
	}
}

// stream runs one streaming session.
func (t *task) stream(ctx context.Context, repl *pgconn.PgConn, buf *bufio.Reader) error {
	s := t.session
	s.disconnected()
	st, err := t.openStream(ctx, s, repl, buf)
	if err != nil {
		return t.stopped(ctx, err)
	}
	t.src.current.Store(st)
	defer t.src.current.Store(nil)
	defer st.spools.close()
	err = st.run(ctx)
	if t.out.Cause() != nil {
		return t.out.Cause()
	}
	if ctx.Err() == nil {
		if s.hasRecords() && retriable(err) {
			// What was read is good; it need not be read again after the reconnect.
			if serr := s.send(ctx, nil); serr != nil {
				return serr
			}
		}
		return err
	}
	return t.drain(st, ctx)
}

// drain ends the task in order: what was read is sent and acknowledged, the
// offset stored, and the stored position confirmed to the server.
func (t *task) drain(st *stream, ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if st != nil && !st.broken && (st.hasRecords() || st.dirty) {
		if err := st.send(ctx, st.idle); err != nil {
			return fmt.Errorf("send the last batch: %w", err)
		}
	}
	if err := t.out.Drain(ctx); err != nil {
		return err
	}
	if st != nil {
		st.finish()
	}
	return nil
}

// contextHeaders are the headers of extended.headers.enabled.
func (t *task) contextHeaders() [][2]string {
	if !t.opts.ExtendedHeaders {
		return nil
	}
	return [][2]string{
		{"__debezium.context.connectorLogicalName", t.opts.Prefix},
		{"__debezium.context.taskId", strconv.Itoa(t.opts.TaskID)},
		{"__debezium.context.connectorName", "postgresql"},
		{"__debezium.context.runId", t.runID},
	}
}
