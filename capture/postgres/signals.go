package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/capture"
	"millrace/decode/pgoutput"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

func (t *task) channel(name string) bool { return slices.Contains(t.opts.Signal.Channels, name) }

// signalID is the quoted name of the signal table's first column.
func (s *session) signalID() string {
	if s.signalColumn == "" {
		return quoteIdent("id")
	}
	return quoteIdent(s.signalColumn)
}

// signalRow handles a change of the signal table, whose columns are read by their
// place: id, type, data.
func (s *session) signalRow(ctx context.Context, tb *table, m []byte) error {
	ch, err := pgoutput.ParseChange(m, false)
	if err != nil {
		return err
	}
	if len(tb.rows.Spec.Columns) > 0 {
		s.signalColumn = tb.rows.Spec.Columns[0].Name
	}
	if ch.Type == pgoutput.TypeDelete {
		f, err := tupleTexts(ch.Old.Data)
		if err != nil || len(f) == 0 || !s.t.opts.Incremental.DeleteOpen {
			return err
		}
		if id, ok := strings.CutSuffix(string(f[0]), "-open"); ok {
			return s.inc.Closed(ctx, id)
		}
		return nil
	}
	f, err := tupleTexts(ch.New)
	if err != nil || ch.Type != pgoutput.TypeInsert || len(f) < 2 {
		return err
	}
	sig := capture.Signal{ID: string(f[0]), Type: string(f[1])}
	if len(f) > 2 && f[2] != nil {
		sig.Data = bytes.Clone(f[2])
	}
	switch sig.Type {
	case capture.SignalOpen:
		s.inc.Opened(strings.TrimSuffix(sig.ID, "-open"))
	case capture.SignalClose:
		return s.inc.Closed(ctx, strings.TrimSuffix(sig.ID, "-close"))
	default:
		if s.t.channel("source") {
			s.signals.Add(sig)
			s.keepSignals()
		}
	}
	return nil
}

// actOnSignals handles what is pending. It is called between transactions.
func (s *session) actOnSignals(ctx context.Context) error {
	for len(s.signals.Pending()) > 0 {
		s.keepSignals()
		err := s.act(ctx, s.signals.Pending()[0])
		if err != nil && retriable(err) {
			return err // it is acted on again after the reconnect, since the log does not bring it again
		}
		s.signals.Next()
		s.keepSignals()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) act(ctx context.Context, sig capture.Signal) error {
	s.log.Info("signal", "id", sig.ID, "type", sig.Type)
	switch sig.Type {
	case capture.SignalExecute, capture.SignalStop, capture.SignalPause, capture.SignalResume:
	case capture.SignalLog:
		s.log.Info("log signal", "id", sig.ID, "data", string(sig.Data))
		return nil
	default:
		s.log.Warn("a signal of an unknown type is ignored", "id", sig.ID, "type", sig.Type)
		return nil
	}
	req, err := sig.SnapshotRequest()
	if err != nil {
		s.log.Warn("a signal cannot be acted on", "id", sig.ID, "error", err)
		return nil
	}
	switch {
	case sig.Type == capture.SignalExecute && req.Blocking:
		return s.t.blockingSnapshot(ctx, sig.ID, req)
	case sig.Type == capture.SignalExecute:
		if !s.t.opts.ReadOnly && s.t.opts.Signal.Table == "" {
			s.log.Warn("an incremental snapshot needs signal.data.collection, or read.only=true", "signal", sig.ID)
			return nil
		}
		tables, err := s.t.captured(ctx)
		if err != nil {
			return err
		}
		names := make([]string, len(tables))
		for i, m := range tables {
			names[i] = m.Schema + "." + m.Name
		}
		return s.inc.Execute(ctx, sig.ID, req, names)
	case sig.Type == capture.SignalStop:
		s.inc.Stop(sig.ID, req.Collections)
	case sig.Type == capture.SignalPause:
		s.inc.Pause()
	case sig.Type == capture.SignalResume:
		return s.inc.Resume(ctx)
	}
	return nil
}

// between does what waits for a place between transactions.
func (s *session) between(ctx context.Context) error {
	if s.inTx {
		return nil
	}
	for _, sig := range s.t.src.inbox.Take() {
		s.signals.Add(sig)
	}
	err := s.inc.Between(ctx)
	if err == nil {
		err = s.actOnSignals(ctx)
	}
	if s.inc.Changed {
		s.inc.Changed, s.dirty = false, true
	}
	return err
}

// notify sends a notification to the channels that are enabled.
func (t *task) notify(b *record.Batch, n capture.Notification) {
	for _, c := range t.opts.Notify.Channels {
		switch c {
		case "sink":
			capture.AppendNotification(b, t.topics.topic(t.opts.Notify.Topic), n, time.Now().UnixMilli())
		case "log":
			t.log.Info("notification", "id", n.ID, "aggregate", n.Aggregate, "type", n.Type, "data", fmt.Sprint(n.Data))
		}
	}
}

// noteSnapshot notifies about an initial or blocking snapshot.
func (t *task) noteSnapshot(kind string, data ...[2]string) {
	if kind == "SKIPPED" && t.metrics != nil {
		t.metrics.SnapshotEnds(metrics.SnapshotSkipped)
	}
	if len(t.opts.Notify.Channels) == 0 {
		return
	}
	t.notify(t.session.batch(), capture.Notification{ID: capture.UUID(), Aggregate: capture.InitialSnapshot, Type: kind,
		Data: append([][2]string{{"connector_name", t.opts.Prefix}}, data...)})
}

// blockingSnapshot reads tables as an initial snapshot does, while streaming
// waits. What the stream has still to say about their rows comes behind it.
func (t *task) blockingSnapshot(ctx context.Context, id string, req *capture.SnapshotRequest) error {
	all, err := t.captured(ctx)
	if err != nil {
		return err
	}
	var tables []*tableMeta
	filters := map[string]string{}
	for _, m := range all {
		name := m.Schema + "." + m.Name
		if !slices.ContainsFunc(req.Collections, func(p string) bool { return capture.MatchCollection(p, name, true) }) {
			continue
		}
		tables = append(tables, m)
		for _, c := range req.Conditions {
			if capture.MatchCollection(c.Collection, name, true) {
				filters[name] = c.Filter
			}
		}
	}
	if len(tables) == 0 {
		t.log.Warn("a blocking snapshot was asked for, but no captured table matches", "signal", id)
		t.noteSnapshot("STARTED") // whoever waits for its end is told of it
		t.noteSnapshot("COMPLETED")
		return nil
	}
	err = t.readBlocking(ctx, tables, filters)
	if err != nil && ctx.Err() == nil && !t.session.broken {
		// Streaming goes on; the snapshot is not repeated by itself.
		t.log.Error("a blocking snapshot failed", "signal", id, "error", err)
		t.noteSnapshot("ABORTED")
		return nil
	}
	return err
}
