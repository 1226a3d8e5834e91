package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	snappg "millrace/snapshot/postgres"
)

// snapshot reads the tables and leaves the session at the position where
// streaming goes on: every transaction is either visible in the snapshot or
// streamed, none is both and none neither.
//
// A slot that was just made has exported such a snapshot. When the slot was there
// before, a temporary one exports it: its consistent point lies behind the slot's
// position, so the slot can stream from there.
//
// A snapshot that was interrupted goes on where it stopped, see resumable.
func (t *task) snapshot(ctx context.Context, tables []*tableMeta, slot *slotState, exported string, at LSN) error {
	if d := t.opts.Snapshot.Delay; d > 0 {
		t.log.Info("waiting before the snapshot", "delay", d.String())
		if err := t.pause(ctx, d); err != nil {
			return err
		}
	}
	done := t.resumable(slot)
	if exported == "" && slot != nil {
		conn, name, point, err := t.borrowSnapshot(ctx)
		if err != nil {
			return err
		}
		defer closeConn(conn)
		if exported, at = name, point; name == "" && done == nil {
			at = slot.Confirmed
		}
	}
	conn, err := t.snapshotConn(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	info, err := snappg.Begin(ctx, conn, snappg.Tx{Snapshot: exported, Serializable: t.opts.Snapshot.Isolation == "serializable"})
	if err != nil {
		return imported(err)
	}
	if at == 0 {
		at = info.LSN
	}
	r := newSnapshotReader(t, conn, "INITIAL", at, info)
	r.resumes = slot != nil // else nothing brings what changes between two snapshots
	if done != nil {
		r.progress, r.resumed = *done, true
	}
	t.noteSnapshot("STARTED")
	if err := r.choose(ctx, tables, t.opts.Snapshot.Overrides); err != nil {
		return err
	}
	defer r.closeMore()
	if err := r.openMore(ctx); err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	if d := t.opts.Snapshot.StreamDelay; d > 0 {
		t.log.Info("waiting before streaming", "delay", d.String())
		return t.pause(ctx, d)
	}
	return nil
}

// borrowSnapshot exports a snapshot by a temporary slot, whose connection must
// stay open until it was imported. If the server cannot make one, name is "" and
// the snapshot must do with a transaction of its own: streaming then repeats what
// the slot holds, which loses nothing.
func (t *task) borrowSnapshot(ctx context.Context) (conn *pgconn.PgConn, name string, at LSN, err error) {
	if conn, _, err = t.opts.Conn.connectReplication(ctx); err != nil {
		return nil, "", 0, fmt.Errorf("open a replication connection for the snapshot: %w", err)
	}
	at, name, err = t.createSlot(ctx, conn, "millrace_"+strings.ReplaceAll(capture.UUID(), "-", "")[:24], true)
	if err == nil {
		return conn, name, at, nil
	}
	closeConn(conn)
	if errors.Is(err, errSlotWait) || sqlState(err) == "53400" || t.standby {
		t.log.Warn("no temporary slot for an exact snapshot; streaming will repeat the changes that the slot still holds", "error", err)
		return nil, "", 0, nil
	}
	return nil, "", 0, err
}

// snapshotConn opens the connection that tables are read on. The initial
// statements may have changed how values are printed; only the time zone is the
// user's.
func (t *task) snapshotConn(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := t.opts.Conn.connect(ctx, appGeneral)
	if err != nil {
		return nil, fmt.Errorf("open a connection for the snapshot: %w", err)
	}
	set := ""
	for _, k := range []string{"DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "client_encoding"} {
		set += "SET " + k + " = " + quoteLiteral(settings[k]) + ";"
	}
	if _, err := exec(ctx, conn, set); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("prepare the connection for the snapshot: %w", err)
	}
	return conn, nil
}

// readBlocking reads tables while streaming waits, each row at least as new as the
// place in the log. filters are conditions or whole statements by table.
func (t *task) readBlocking(ctx context.Context, tables []*tableMeta, filters map[string]string) error {
	conn, err := t.snapshotConn(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	s := t.session
	if ok, err := s.awaitVisible(ctx, conn); err != nil {
		return err
	} else if !ok { // a row of it would be older than what was streamed
		return fault(nil, "Look for commits that wait for a synchronous standby: SELECT pid, query FROM pg_stat_activity WHERE wait_event = 'SyncRep'; then ask for the snapshot again", "Queries do not see yet what was streamed")
	}
	info, err := snappg.Begin(ctx, conn, snappg.Tx{})
	if err != nil {
		return err
	}
	overrides := maps.Clone(t.opts.Snapshot.Overrides)
	if overrides == nil {
		overrides = map[string]string{}
	}
	for name, f := range filters {
		if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(f)), "SELECT") {
			schema, table, _ := strings.Cut(name, ".")
			f = "SELECT * FROM " + quoteIdent(schema) + "." + quoteIdent(table) + " WHERE " + f
		}
		overrides[name] = f
	}
	t.noteSnapshot("STARTED")
	at := info.LSN
	if s.at.LSN != 0 { // its rows stand at the last message of the stream, and carry its transaction
		at, info.TxID = s.at.LSN, s.at.TxID
	}
	r := newSnapshotReader(t, conn, "BLOCKING", at, info)
	if err := r.choose(ctx, tables, overrides); err != nil {
		return err
	}
	defer func() { s.at.Snapshot, s.at.LastRow, s.at.Completed = "", false, false }()
	return r.read(ctx)
}
