package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/capture"
	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// Signals that only sources with a schema history or a binary log have.
const (
	signalSchemaChanges = "schema-changes"
	signalSetPosition   = "set-binlog-position"
)

// errInterrupted ends streaming for something that is done without it.
var errInterrupted = errors.New("streaming is interrupted")

// interruption is what streaming was ended for.
type interruption struct {
	id   string
	snap *capture.SnapshotRequest // a blocking snapshot
	to   *Position                // another place of the log
}

// watermark is a row of the signal table that opens or closes a window.
type watermark struct {
	id    string
	close bool
}

// openSignalTopic opens the Kafka channel, if it is enabled.
func (t *task) openSignalTopic() (closeTopic func(), err error) {
	o := &t.opts.Signals
	if !slices.Contains(o.Channels, "kafka") {
		return func() {}, nil
	}
	props := map[string]string{}
	maps.Copy(props, o.Consumer)
	props["bootstrap.servers"] = o.Servers
	topic, err := emit.NewSignalTopic(o.Topic, t.opts.Prefix, o.Group, o.Wait, props, t.log)
	if err != nil {
		return nil, fault(err, "", "Signal channel kafka configuration is invalid")
	}
	t.session.signals.Topic = topic
	return topic.Close, nil
}

// signalRow takes a change of the signal table, whose columns are read by their
// place: id, type, data. Watermarks act once the row is counted.
func (s *session) signalRow(b *record.Batch, op emit.Op, old, row *myvalue.Row) {
	c := row.Value
	switch op {
	case emit.OpDelete:
		if c = old.Value; !s.t.opts.Signals.DeleteOpen {
			return
		}
	case emit.OpCreate:
	default:
		return
	}
	var f [3]string
	for i, x := range b.Children(c) {
		if i < len(f) && (x.Kind() == record.String || x.Kind() == record.Bytes) {
			f[i] = string(b.Raw(x))
		}
	}
	if op == emit.OpDelete {
		if id, ok := strings.CutSuffix(f[0], "-open"); ok {
			s.marks = append(s.marks, watermark{id, true})
		}
		return
	}
	switch f[1] {
	case capture.SignalOpen:
		s.marks = append(s.marks, watermark{strings.TrimSuffix(f[0], "-open"), false})
	case capture.SignalClose:
		s.marks = append(s.marks, watermark{strings.TrimSuffix(f[0], "-close"), true})
	default:
		if slices.Contains(s.t.opts.Signals.Channels, "source") {
			s.signals.Add(capture.Signal{ID: f[0], Type: f[1], Data: json.RawMessage(f[2])})
		}
	}
}

// skippedSignal takes the signal of a row that was emitted before a restart in the
// middle of its transaction: signals are acted on when that ends, so it was not.
func (s *session) skippedSignal(tb *table, kind binlog.Kind) {
	if tb.signal && kind == binlog.Insert {
		b := &record.Batch{}
		row, _ := tb.rows.Image(b, &s.after, nil)
		s.signalRow(b, emit.OpCreate, nil, &row)
		s.marks = nil
	}
}

// watermarks acts on those that the last row brought.
func (s *session) watermarks(ctx context.Context) error {
	marks := s.marks
	s.marks = nil
	for _, m := range marks {
		if !m.close {
			s.inc.Opened(m.id)
		} else if err := s.inc.Closed(ctx, m.id); err != nil {
			return err
		}
	}
	return nil
}

// seen tells the window of an incremental snapshot about a change of a row.
func (s *session) seen(tb *table, op emit.Op) error {
	x := s.reading.ident
	if len(tb.wire.Columns) < len(x.version.Columns) || tb.version != x.version {
		return nil // of another definition; the statement between them has the chunk read again
	}
	if op != emit.OpDelete {
		id, err := x.ofImage(tb.wire, &s.after, &s.before)
		if err != nil {
			return err
		}
		s.inc.Seen(id)
	}
	if op != emit.OpCreate {
		id, err := x.ofImage(tb.wire, &s.before, nil)
		if err != nil {
			return err
		}
		s.inc.Seen(id)
	}
	return nil
}

// between does what waits for a place between transactions.
func (s *session) between(ctx context.Context) error {
	if s.inTx || s.skipEvent > 0 || s.skipRow > 0 || s.t.model == nil {
		return nil
	}
	err := s.inc.Between(ctx)
	for err == nil && s.interrupt == nil {
		sig, ok := s.signals.Next()
		if !ok {
			break
		}
		err = s.act(ctx, sig)
	}
	if s.inc.Changed {
		s.inc.Changed, s.dirty = false, true
	}
	if err == nil && s.interrupt != nil {
		return errInterrupted
	}
	return err
}

// act does what a signal asks for. A signal that cannot be acted on is logged.
func (s *session) act(ctx context.Context, sig capture.Signal) error {
	s.log.Info("signal", "id", sig.ID, "type", sig.Type)
	var wrong error
	switch sig.Type {
	case capture.SignalExecute, capture.SignalStop, capture.SignalPause, capture.SignalResume:
		req, err := sig.SnapshotRequest()
		if err == nil {
			return s.actOnSnapshot(ctx, sig, req)
		}
		wrong = err
	case capture.SignalLog:
		s.log.Info("log signal", "id", sig.ID, "data", string(sig.Data))
	case signalSchemaChanges:
		err := s.schemaChanges(ctx, sig)
		if !errors.As(err, new(*badSignal)) {
			return err
		}
		wrong = err
	case signalSetPosition:
		wrong = s.setPosition(sig)
	default:
		wrong = fmt.Errorf("there is no type %q", sig.Type)
	}
	if wrong != nil {
		s.log.Warn("a signal cannot be acted on and is ignored", "id", sig.ID, "error", wrong)
	}
	return nil
}

func (s *session) actOnSnapshot(ctx context.Context, sig capture.Signal, req *capture.SnapshotRequest) error {
	o := &s.t.opts.Signals
	switch {
	case sig.Type == capture.SignalExecute && req.Blocking:
		s.interrupt = &interruption{id: sig.ID, snap: req}
	case sig.Type == capture.SignalExecute && !o.ReadOnly && s.t.opts.SignalTable == "":
		s.log.Warn("an incremental snapshot needs signal.data.collection, or read.only=true", "signal", sig.ID)
	case sig.Type == capture.SignalExecute && o.ReadOnly && !s.t.server.gtid:
		s.log.Warn("an incremental snapshot without watermarks needs gtid_mode=ON on the server; or set signal.data.collection and read.only=false", "signal", sig.ID)
	case sig.Type == capture.SignalExecute:
		return s.inc.Execute(ctx, sig.ID, req, s.snapshotTables(req))
	case sig.Type == capture.SignalStop:
		s.inc.Stop(sig.ID, req.Collections)
	case sig.Type == capture.SignalPause:
		s.inc.Pause()
	case sig.Type == capture.SignalResume:
		return s.inc.Resume(ctx)
	}
	return nil
}

// snapshotTables are the captured tables; the signal table only when it is named.
func (s *session) snapshotTables(req *capture.SnapshotRequest) []string {
	var out []string
	for _, id := range s.t.model.IDs() {
		name := id.DB + "." + id.Name
		if s.t.captured(id) && (name != s.t.opts.SignalTable || slices.Contains(req.Collections, name)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// badSignal is a signal whose data cannot be read.
type badSignal struct{ error }

// schemaChanges takes table definitions as the schema history holds them.
func (s *session) schemaChanges(ctx context.Context, sig capture.Signal) error {
	var d struct {
		Database string          `json:"database"`
		Changes  json.RawMessage `json:"changes"`
	}
	if err := json.Unmarshal(sig.Data, &d); err != nil {
		return &badSignal{err}
	}
	if d.Database == "" || len(d.Changes) == 0 {
		return &badSignal{errors.New("it lacks database or changes")}
	}
	at := s.ddlPosition()
	name, _ := json.Marshal(d.Database)
	line := fmt.Sprintf(`{"source":%s,"position":%s,"ts_ms":%d,"databaseName":%s,"ddl":"","tableChanges":%s}`, s.t.partition(), at.Offset(), s.now.UnixMilli(), name, d.Changes)
	e, err := schemahistory.ParseEntry([]byte(line))
	if err != nil {
		return &badSignal{err}
	}
	step := &schemahistory.Step{DB: d.Database, Changes: e.Changes}
	for _, c := range e.Changes {
		step.Tables = append(step.Tables, c.ID)
	}
	if len(e.Changes) == 0 {
		return nil
	}
	if err := s.t.remember(ctx, at, s.now.UnixMilli(), step); err != nil {
		return err
	}
	s.t.model.Replay(e)
	s.forget(step)
	if s.t.opts.SchemaChanges {
		s.appendSchemaChange(step, record.Cell{})
		s.dirty = true
	}
	return nil
}

// setPosition lets streaming go on at another place of the log.
func (s *session) setPosition(sig capture.Signal) error {
	var d struct {
		File  string `json:"binlog_filename"`
		Pos   int64  `json:"binlog_position"`
		GTIDs string `json:"gtid_set"`
	}
	if err := json.Unmarshal(sig.Data, &d); err != nil {
		return err
	}
	switch {
	case d.GTIDs != "" && d.File != "", d.GTIDs == "" && (d.File == "" || d.Pos <= 0):
		return errors.New("it needs binlog_filename and binlog_position, or gtid_set")
	case d.GTIDs != "" && !s.t.server.gtid:
		return errors.New("the server has no GTIDs (gtid_mode)")
	case d.GTIDs != "":
		if _, err := parseGTIDs(s.t.opts.Flavor, d.GTIDs); err != nil {
			return err
		}
	}
	to := &Position{TsSec: s.at.TsSec, ServerID: s.at.ServerID, File: d.File, Pos: d.Pos, GTIDs: strings.ReplaceAll(d.GTIDs, " ", ""), Extra: s.at.Extra}
	if d.GTIDs != "" { // which file that is in, the server will say
		to.File, to.Pos = s.at.File, s.at.Pos
	}
	s.interrupt = &interruption{id: sig.ID, to: to}
	return nil
}

// interrupted does what streaming was ended for. A blocking snapshot that fails for
// a reason that passes is begun anew by the next attempt.
func (t *task) interrupted(ctx context.Context) error {
	s := t.session
	why := s.interrupt
	if why == nil {
		return nil
	}
	if why.snap != nil {
		err := t.blockingSnapshot(ctx, why.id, why.snap)
		if err != nil {
			return err
		}
		s.interrupt = nil
		return s.send(ctx)
	}
	s.interrupt = nil
	lost, err := t.server.lost(ctx, t.db, why.to)
	if err != nil {
		return err
	}
	if lost != "" {
		t.log.Warn("a signal cannot be acted on and is ignored", "id", why.id, "error", "the log at that place is gone: "+lost)
		return nil
	}
	t.log.Warn("streaming goes on at another place of the log, as a signal said", "signal", why.id, "from", string(s.at.Offset()), "to", string(why.to.Offset()))
	s.at = *why.to
	clear(s.byName)
	found, err := t.recover(ctx, &s.at)
	if err != nil {
		return err
	}
	if !found {
		return t.lostHistory(ctx)
	}
	s.dirty = true
	return s.send(ctx)
}
