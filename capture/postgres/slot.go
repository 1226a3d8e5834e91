package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/errs"
)

// slotState is what pg_replication_slots says about the connector's slot.
type slotState struct {
	Plugin, Database   string
	Active             bool
	ActivePID          string
	Restart, Confirmed LSN
	Status             string // wal_status: reserved, extended, unreserved, lost
}

// findSlot looks the slot up; nil when there is none of that name.
func (t *task) findSlot(ctx context.Context, conn *pgconn.PgConn) (*slotState, error) {
	rows, err := query(ctx, conn, `SELECT coalesce(plugin, ''), coalesce(database, ''), active, coalesce(active_pid::text, ''), restart_lsn, confirmed_flush_lsn,
 coalesce(to_jsonb(s)->>'wal_status', ''), coalesce(to_jsonb(s)->>'two_phase', 'false') FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1`, t.opts.Slot.Name)
	if err != nil {
		return nil, fmt.Errorf("look up replication slot %q: %w", t.opts.Slot.Name, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := rows[0]
	s := &slotState{Plugin: string(r[0]), Database: string(r[1]), Active: isTrue(r[2]), ActivePID: string(r[3]), Status: string(r[6])}
	if s.Restart, err = parseLSN(r[4]); err == nil {
		s.Confirmed, err = parseLSN(r[5])
	}
	if err != nil {
		return nil, err
	}
	name := t.opts.Slot.Name
	switch {
	case s.Plugin != "pgoutput":
		return nil, fault(nil, fmt.Sprintf("Choose another slot.name, or drop the slot: SELECT pg_drop_replication_slot(%s)", quoteLiteral(name)),
			"Replication slot %q exists but uses the output plugin %q instead of pgoutput", name, s.Plugin)
	case s.Database != t.opts.Conn.Database:
		return nil, fault(nil, "Slot names are shared by all databases of a server: choose another slot.name",
			"Replication slot %q exists but belongs to database %q instead of %q", name, s.Database, t.opts.Conn.Database)
	case string(r[7]) == "true":
		return nil, fault(nil, fmt.Sprintf("Choose another slot.name (the connector makes the slot), or, when it was read to its end or its changes are not needed, drop it: SELECT pg_drop_replication_slot(%s). On PostgreSQL 18 it can be kept: psql 'dbname=%s replication=database' -c 'ALTER_REPLICATION_SLOT %s (TWO_PHASE false)'", quoteLiteral(name), s.Database, name),
			"Replication slot %q was created with two_phase, so rows of prepared transactions come before they are committed and do not come again. A connector cannot read such a slot: the rows of a transaction that is rolled back would be published", name)
	case s.Status == "lost":
		return nil, fault(nil, fmt.Sprintf("Drop the slot (SELECT pg_drop_replication_slot(%s)), delete the connector's offsets or set snapshot.mode=when_needed, and take a new snapshot; raise max_slot_wal_keep_size so that it does not happen again", quoteLiteral(name)),
			"Replication slot %q was invalidated by the server, which has removed the log that it needs; changes since %s are lost", name, s.Confirmed)
	}
	return s, nil
}

func parseLSN(b []byte) (LSN, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return pglogrepl.ParseLSN(string(b))
}

// createSlot makes the slot on a replication connection, which must stay idle as
// long as the exported snapshot is needed. It returns the position that the
// snapshot is consistent with.
func (t *task) createSlot(ctx context.Context, conn *pgconn.PgConn, name string, temporary bool) (at LSN, snapshot string, err error) {
	sql := "CREATE_REPLICATION_SLOT " + quoteIdent(name)
	if temporary {
		sql += " TEMPORARY"
	}
	sql += " LOGICAL pgoutput"
	switch {
	case !temporary && t.opts.Slot.Failover && t.serverMajor >= 17 && !t.standby:
		sql += " (FAILOVER true, SNAPSHOT 'export')"
	case t.serverMajor >= 15:
		sql += " (SNAPSHOT 'export')"
	default:
		sql += " EXPORT_SNAPSHOT"
	}
	if d := t.opts.Slot.CommandTimeout; d > 0 {
		// The server waits until all transactions that run now have ended.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, errSlotWait)
		defer cancel()
	}
	res, err := pglogrepl.ParseCreateReplicationSlot(conn.Exec(ctx, sql))
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlotWait) {
			err = errSlotWait
		}
		return 0, "", fmt.Errorf("create replication slot %q: %w", name, err)
	}
	at, err = pglogrepl.ParseLSN(res.ConsistentPoint)
	return at, res.SnapshotName, err
}

// errSlotWait: the slot could not be made in time because of running transactions.
var errSlotWait = &errs.Error{Java: errs.DebeziumException, Retriable: true,
	Msg:  "transactions that were running when the replication slot was asked for have not ended in time",
	Hint: "Look for idle ones: SELECT pid, xact_start, state, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start"}

// startReplication starts streaming, waiting for a session that still holds the slot.
func (t *task) startReplication(ctx context.Context, conn *pgconn.PgConn, at LSN) error {
	args := pluginArgs(t.serverMajor, t.publication, t.opts.Slot.StreamParams, t.opts.Transaction.Metadata, t.whole)
	for try := 0; ; try++ {
		err := pglogrepl.StartReplication(ctx, conn, t.opts.Slot.Name, at, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: args})
		if err == nil {
			return nil
		}
		if sqlState(err) != "55006" { // object_in_use
			return fmt.Errorf("start replication from slot %q at %s: %w", t.opts.Slot.Name, at, err)
		}
		if try >= t.opts.Slot.MaxRetries {
			return &errs.Error{Java: errs.DebeziumException, Retriable: true, Cause: err,
				Msg:  fmt.Sprintf("Replication slot %q is in use by another session", t.opts.Slot.Name),
				Hint: fmt.Sprintf("Each connector needs a slot.name of its own. See who holds it: SELECT * FROM pg_stat_replication WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s)", quoteLiteral(t.opts.Slot.Name))}
		}
		t.log.Warn("the replication slot is held by another session; waiting", "slot", t.opts.Slot.Name, "attempt", try+1, "of", t.opts.Slot.MaxRetries, "wait", t.opts.Slot.RetryDelay.String())
		if err := sleep(ctx, t.opts.Slot.RetryDelay); err != nil {
			return err
		}
	}
}

// dropSlot drops the slot after an orderly stop, waiting for the server to notice
// that the session has ended.
func (t *task) dropSlot(ctx context.Context) error {
	conn, err := t.opts.Conn.connect(ctx, appDropSlot)
	if err != nil {
		return fmt.Errorf("drop replication slot %q: %w", t.opts.Slot.Name, err)
	}
	defer closeConn(conn)
	for try := 0; ; try++ {
		_, err := query(ctx, conn, "SELECT pg_drop_replication_slot($1)", t.opts.Slot.Name)
		switch code := sqlState(err); {
		case err == nil, code == "42704":
			return nil
		case code != "55006" || try >= 20:
			return fmt.Errorf("drop replication slot %q: %w", t.opts.Slot.Name, err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// checkPosition decides what a stored position and the slot mean together. It
// returns the position to stream from. A gap between them is never passed over in
// silence: either the user has chosen a strategy that allows it, or it is an error
// that says what is lost.
func (t *task) checkPosition(ctx context.Context, conn *pgconn.PgConn, p *Position, slot *slotState) (*Position, error) {
	start, _ := newResumer(p)
	name, how := t.opts.Slot.Name, t.opts.Slot.Mismatch
	trustSlot := how == "trust_slot" || how == "trust_greater_lsn"
	rows, err := exec(ctx, conn, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END")
	if err != nil {
		return nil, fmt.Errorf("ask for the current log position: %w", err)
	}
	head, err := parseLSN(rows[0][0])
	if err != nil {
		return nil, err
	}
	if head != 0 && start > head {
		return nil, fault(nil, "If the server was replaced or restored on purpose, delete the connector's offsets (stop it, then DELETE /connectors/NAME/offsets) and let it take a new snapshot",
			"The stored position %s lies beyond the end of the server's log, %s: this is not the server, or not the history, that the connector was reading", start, head)
	}
	if slot.Confirmed > start {
		if !trustSlot {
			return nil, fault(nil, fmt.Sprintf("To accept the gap and go on from the slot set offset.mismatch.strategy=trust_slot; to read everything anew set snapshot.mode=when_needed or delete the connector's offsets. Bytes of log in the gap: SELECT '%s'::pg_lsn - '%s'::pg_lsn", slot.Confirmed, start),
				"Replication slot %q is already confirmed up to %s, but the stored position is %s: changes between the two can no longer be read from it and would be lost. The slot was advanced, re-created, or lost in a failover", name, slot.Confirmed, start)
		}
		t.log.Warn("the slot is ahead of the stored position; going on from the slot as offset.mismatch.strategy says; changes between the two are lost",
			"slot", name, "stored", start.String(), "slot_lsn", slot.Confirmed.String(), "strategy", how)
		return &Position{LSN: slot.Confirmed, Commit: slot.Confirmed, Proc: slot.Confirmed, Type: msgCommit, TsUsec: p.TsUsec, TxID: p.TxID, Extra: p.Extra}, nil
	}
	if t.opts.Slot.CheckPosition && slot.Restart > start {
		return nil, t.unavailable(start, fmt.Sprintf("slot %q only goes back to %s", name, slot.Restart))
	}
	if start > slot.Confirmed && (how == "trust_offset" || how == "trust_greater_lsn") && t.opts.Flush.Mode != FlushManual {
		if _, err := query(ctx, conn, "SELECT pg_replication_slot_advance($1, $2::pg_lsn)", name, start.String()); err != nil {
			return nil, fmt.Errorf("advance slot %q to the stored position %s, as offset.mismatch.strategy=%s asks: %w", name, start, how, err)
		}
	}
	return p, nil
}

// unavailable is the error for a position that the server no longer has.
func (t *task) unavailable(at LSN, why string) error {
	return fault(errors.New(why), "Changes since then are lost. Use snapshot.mode=when_needed, or delete the connector's offsets, to read the tables anew",
		"The connector is trying to read the log from %s, but this position is no longer available on the server. Reconfigure the connector to use a snapshot mode when needed", at)
}

// sleep waits or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
