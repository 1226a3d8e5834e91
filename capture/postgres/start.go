package postgres

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// decision is what a start does: take a snapshot, stream.
type decision struct {
	snapshot, stream bool
	forget           bool // the stored offset is of no use and is replaced by the snapshot
}

// decide applies snapshot.mode. unfinished says that the stored offset lies in a
// snapshot that did not end; lost that the log at the stored position is gone;
// again that this is a reconnect within one run.
func decide(o *Snapshot, have, unfinished, lost, again bool) (decision, error) {
	need := !have || unfinished
	d := decision{stream: true}
	switch o.Mode {
	case "always":
		d.snapshot = need || !again
	case "initial", "custom":
		d.snapshot = need
	case "initial_only":
		d.snapshot, d.stream = need, false
	case "when_needed":
		d.snapshot = need || lost
		d.forget = lost
	case "configuration_based":
		d.stream = o.BasedStream
		d.snapshot = o.BasedData && (need || !again) || lost && o.BasedOnDataError
		d.forget = lost && o.BasedOnDataError
	case "no_data":
		if unfinished {
			return d, fault(nil, "Set snapshot.mode=initial to take it anew, or delete the connector's offsets",
				"The snapshot before this start did not finish, and snapshot.mode=no_data cannot repeat it: rows would be missing")
		}
	}
	return d, nil
}

// prepare does everything up to streaming: publication, slot, snapshot. It leaves
// the position to stream from in the session. have tells whether there is a
// position at all, and is set once there is.
func (t *task) prepare(ctx context.Context, repl *pgconn.PgConn, have *bool) (streaming bool, err error) {
	if err := t.look(ctx); err != nil {
		return false, err
	}
	tables, err := t.captured(ctx)
	if err != nil {
		return false, err
	}
	slot, err := t.findSlot(ctx, t.general)
	if err != nil {
		return false, err
	}
	s := t.session
	again := s.confirmed != 0 || !s.sentAt.IsZero()
	unfinished := *have && s.at.Snapshotting()
	lost := false
	if *have && !unfinished {
		start, _ := newResumer(&s.at)
		lost = slot == nil || slot.Restart > start || slot.Confirmed > start
	}
	d, err := decide(&t.opts.Snapshot, *have, unfinished, lost, again)
	if err != nil {
		return false, err
	}
	exported, at := "", LSN(0)
	if d.stream {
		if err := t.ensurePublication(ctx, t.general, tables); err != nil {
			return false, err
		}
		if err := t.setIdentities(ctx, t.general, tables); err != nil {
			return false, err
		}
		if slot == nil {
			if slot, exported, err = t.newSlot(ctx, repl, *have, unfinished || d.snapshot); err != nil {
				return false, err
			}
			at = slot.Confirmed
		}
	}
	if t.started != nil {
		t.started()
		t.started = nil
	}
	if d.snapshot {
		if d.forget {
			t.log.Warn("the log at the stored position is gone; taking a new snapshot as snapshot.mode says")
		}
		if err := t.snapshot(ctx, tables, slot, exported, at); err != nil {
			return false, err
		}
		*have, t.noted = true, true
	} else if !t.noted {
		t.noted = true
		t.noteSnapshot("SKIPPED")
	}
	if !d.snapshot && !*have && d.stream {
		s.moveTo(&Position{LSN: slot.Confirmed})
		*have = true
	}
	if !d.stream {
		return false, nil
	}
	if !d.snapshot {
		p, err := t.checkPosition(ctx, t.general, &s.at, slot)
		if err != nil {
			return false, err
		}
		if p != &s.at {
			s.moveTo(p)
		}
	}
	return true, nil
}

// newSlot makes the slot when there is none. have tells that there is a position,
// fresh that a snapshot follows; a position without a slot and without a snapshot
// is a gap.
func (t *task) newSlot(ctx context.Context, repl *pgconn.PgConn, have, fresh bool) (slot *slotState, exported string, err error) {
	s := t.session
	if have && !fresh && !t.opts.Slot.DropOnStop {
		start, _ := newResumer(&s.at)
		return nil, "", t.unavailable(start, fmt.Sprintf("replication slot %q does not exist any more", t.opts.Slot.Name))
	}
	t.log.Info("creating replication slot", "slot", t.opts.Slot.Name)
	at, exported, err := t.createSlot(ctx, repl, t.opts.Slot.Name, false)
	if err != nil {
		return nil, "", err
	}
	if have && !fresh {
		t.log.Warn("the slot was dropped at the last stop, as slot.drop.on.stop says; changes since then are lost", "slot", t.opts.Slot.Name)
		s.moveTo(&Position{LSN: at, Proc: at, Commit: at, Type: msgCommit})
	}
	return &slotState{Plugin: "pgoutput", Restart: at, Confirmed: at}, exported, nil
}

// look asks what server this is.
func (t *task) look(ctx context.Context) error {
	rows, err := exec(ctx, t.general, "SELECT current_setting('server_version_num'), pg_is_in_recovery(), current_setting('wal_level'), CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END")
	if err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	v, _ := strconv.Atoi(string(rows[0][0]))
	t.serverMajor, t.standby = v/10000, isTrue(rows[0][1])
	if wal := string(rows[0][2]); wal != "logical" {
		return fault(nil, "Set it and restart the server: ALTER SYSTEM SET wal_level = logical", "The server at %s:%d has wal_level=%s; changes can only be read with wal_level=logical", t.opts.Conn.Host, t.opts.Conn.Port, wal)
	}
	if t.session.headAtStart, err = parseLSN(rows[0][3]); err != nil {
		return err
	}
	// A publication is found as written, or in lower case, as the server keeps names
	// that are not quoted.
	name := t.opts.Publication.Name
	t.publication = name
	found, err := query(ctx, t.general, "SELECT pubname FROM pg_catalog.pg_publication WHERE pubname IN ($1, $2) ORDER BY pubname = $1 DESC", name, strings.ToLower(name))
	if err != nil {
		return fmt.Errorf("look up publication %q: %w", name, err)
	}
	if len(found) > 0 {
		t.publication = string(found[0][0])
	}
	return nil
}

// captured lists the tables that pass the filters, in the order of the include
// list and by name within it.
func (t *task) captured(ctx context.Context) ([]*tableMeta, error) {
	all, err := t.cat.tables(ctx, "c.relkind IN ('r', 'p') AND c.relpersistence <> 't'")
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, m := range all {
		if t.opts.Tables.Included(m.Schema, m.Name) {
			out = append(out, m)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		return t.opts.Tables.Rank(out[i].Schema, out[i].Name) < t.opts.Tables.Rank(out[j].Schema, out[j].Name)
	})
	if n := t.opts.GuardTables; n > 0 && len(out) > n {
		text := fmt.Sprintf("%d tables are captured, more than guardrail.collections.max=%d allows", len(out), n)
		if t.opts.GuardFail {
			return nil, fault(nil, "Narrow table.include.list, or raise the limit", "%s", text)
		}
		t.log.Warn(text)
	}
	return out, nil
}
