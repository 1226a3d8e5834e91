package postgres

import (
	"context"
	"errors"
	"fmt"

	"millrace/capture"
	"millrace/internal/errs"
)

// From these amounts on, log that a slot keeps is worth a warning. Slots that
// nobody reads get one whatever they keep, since they never stop growing.
const (
	muchLag   = 1 << 30
	hugeDebt  = 10 << 30
	unlimited = -1
)

// slotRow is a row of pg_replication_slots as the preflight sees it.
type slotRow struct {
	name, kind, database, status string
	active                       bool
	kept, lag                    int64 // bytes: log kept; log not yet confirmed
	restart, confirmed           string
	app, pid                     string
}

const slotRowsSQL = `SELECT s.slot_name, s.slot_type, coalesce(s.database, ''), coalesce(to_jsonb(s)->>'wal_status', ''), s.active,
 coalesce(pg_wal_lsn_diff(l.at, s.restart_lsn), 0)::bigint, coalesce(pg_wal_lsn_diff(l.at, s.confirmed_flush_lsn), 0)::bigint,
 coalesce(s.restart_lsn::text, 'none'), coalesce(s.confirmed_flush_lsn::text, 'none'), coalesce(a.application_name, ''), coalesce(s.active_pid::text, '')
 FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
 CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS at) l
 WHERE NOT s.temporary ORDER BY 6 DESC, 1`

func (d *doctor) slots(ctx context.Context) ([]slotRow, error) {
	rows, err := query(ctx, d.conn, slotRowsSQL)
	if err != nil {
		return nil, fmt.Errorf("read the replication slots: %w", err)
	}
	out := make([]slotRow, len(rows))
	for i, r := range rows {
		out[i] = slotRow{name: string(r[0]), kind: string(r[1]), database: string(r[2]), status: string(r[3]), active: isTrue(r[4]), kept: num(r[5]), lag: num(r[6]),
			restart: string(r[7]), confirmed: string(r[8]), app: string(r[9]), pid: string(r[10])}
	}
	return out, nil
}

// slotState looks at the connector's own slot.
func (d *doctor) slotState(ctx context.Context) error {
	if err := d.check.slot(ctx); err != nil {
		return err
	}
	name := d.o.Slot.Name
	all, err := d.slots(ctx)
	if err != nil {
		return err
	}
	var own *slotRow
	for i := range all {
		if all[i].name == name {
			own = &all[i]
		}
	}
	if own == nil {
		if !d.problems("slot", name) {
			d.ok("slot", name, "does not exist yet; the connector makes it")
		}
		return nil
	}
	if d.problems("slot", name) {
		f := &d.Findings[len(d.Findings)-1]
		if !own.active {
			f.SQL = []string{dropSlotSQL(name)}
			f.Do = "Only if nobody needs the slot; otherwise choose another slot.name"
		}
		return nil
	}
	limit, err := d.keepLimit(ctx)
	if err != nil {
		return err
	}
	d.Findings = append(d.Findings, ownSlot(own, limit))
	return nil
}

func dropSlotSQL(name string) string {
	return "SELECT pg_drop_replication_slot(" + quoteLiteral(name) + ")"
}

// keepLimit is max_slot_wal_keep_size in bytes, unlimited for none or a server
// without the setting (before 13).
func (d *doctor) keepLimit(ctx context.Context) (int64, error) {
	r, err := d.query1(ctx, `SELECT CASE WHEN coalesce(current_setting('max_slot_wal_keep_size', true), '-1') = '-1' THEN -1 ELSE pg_size_bytes(current_setting('max_slot_wal_keep_size')) END`)
	if err != nil {
		return 0, err
	}
	return num(r[0]), nil
}

// ownSlot judges the connector's slot. limit is max_slot_wal_keep_size in bytes.
func ownSlot(s *slotRow, limit int64) capture.Finding {
	f := capture.Finding{Check: "slot", Subject: s.name, State: capture.StateOK}
	reader := "nobody reads it now"
	if s.active {
		reader = fmt.Sprintf("read by pid %s (%s)", s.pid, s.app)
	}
	f.Found = fmt.Sprintf("%s; confirmed up to %s, %s behind; keeps %s of WAL", reader, s.confirmed, size(s.lag), size(s.kept))
	switch {
	case s.status == "lost":
		f.State = capture.StateFailed
		f.Found = fmt.Sprintf("the server has removed WAL that the slot needs; changes since %s are lost", s.confirmed)
		f.SQL = []string{dropSlotSQL(s.name)}
		f.Do = "Then set snapshot.mode=when_needed, or delete the connector's offsets, so that the tables are read anew; and raise max_slot_wal_keep_size so that it does not happen again"
	case s.status == "unreserved":
		f.State = capture.StateFailed
		f.Found += "; the next checkpoint may remove WAL that it needs"
		f.SQL = []string{fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'", max(s.kept*2>>20, 1024)), "SELECT pg_reload_conf()"}
		f.Do = "Start the connector soon"
	case limit > 0 && s.kept > limit/2:
		f.State = capture.StateWarning
		f.Found += fmt.Sprintf(", more than half of max_slot_wal_keep_size (%s), at which the slot is lost", size(limit))
		f.SQL = []string{fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'", max(s.kept*4>>20, 1024)), "SELECT pg_reload_conf()"}
		f.Do = "Or start the connector, so that it catches up"
	case s.lag > muchLag:
		f.State = capture.StateWarning
		f.Do = "Start the connector, or see why it is behind: the metric of the slot's lag, and the sink of its records"
	}
	return f
}

// otherSlots looks for slots that nobody reads and that keep log, and at the limit
// that bounds what slots keep.
func (d *doctor) otherSlots(ctx context.Context) error {
	all, err := d.slots(ctx)
	if err != nil {
		return err
	}
	limit, err := d.keepLimit(ctx)
	if err != nil {
		return err
	}
	d.Findings = append(d.Findings, deadSlots(all, d.o.Slot.Name)...)
	d.Findings = append(d.Findings, keepFinding(all, limit))
	return nil
}

// deadSlots are the findings about slots besides own that nobody reads.
func deadSlots(all []slotRow, own string) []capture.Finding {
	var out []capture.Finding
	for i := range all {
		s := &all[i]
		if s.name == own || s.active || s.restart == "none" && s.status != "lost" {
			continue
		}
		where := "physical"
		if s.database != "" {
			where = "database " + s.database
		}
		f := capture.Finding{Check: "dead slots", Subject: s.name, State: capture.StateWarning,
			Found: fmt.Sprintf("nobody reads this slot (%s), and it keeps %s of WAL and old catalog rows", where, size(s.kept)), SQL: []string{dropSlotSQL(s.name)},
			Do: "Only if its reader is gone for good: whoever comes back cannot go on from where it was"}
		if s.status == "lost" {
			f.Found = fmt.Sprintf("nobody reads this slot (%s), and the server has removed its WAL, so nobody can any more", where)
			f.Do = ""
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return []capture.Finding{{Check: "dead slots", State: capture.StateOK, Found: "no other slot is without a reader"}}
	}
	return out
}

// keepFinding judges max_slot_wal_keep_size against what slots keep now.
func keepFinding(all []slotRow, limit int64) capture.Finding {
	f := capture.Finding{Check: "max_slot_wal_keep_size", State: capture.StateOK}
	var most int64
	for i := range all {
		most = max(most, all[i].kept)
	}
	if limit > unlimited {
		f.Found = size(limit) + "; a slot that keeps more is lost, and its connector needs a new snapshot"
		return f
	}
	f.Found = "no limit: a slot without a reader keeps WAL until the disk is full"
	if most > hugeDebt {
		f.State = capture.StateWarning
		f.Found += fmt.Sprintf("; one keeps %s already", size(most))
		f.SQL = []string{fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'", most*2>>20), "SELECT pg_reload_conf()"}
		f.Do = "Choose a size that the disk has room for; slots beyond it are lost"
	}
	return f
}

// storedOffset compares a stored offset with slot and log, as a start does.
func (d *doctor) storedOffset(ctx context.Context, offset []byte) error {
	p, err := ParseOffset(offset)
	if err != nil {
		d.UnreadableOffset(err)
		return nil
	}
	if p == nil {
		return nil
	}
	if p.Snapshotting() {
		d.ok("stored offset", "", "the first snapshot has not ended; the connector goes on with it or takes it anew")
		return nil
	}
	t := d.asTask()
	slot, err := t.findSlot(ctx, d.conn)
	switch start, _ := newResumer(p); {
	case err != nil && !isFault(err):
		return err
	case err != nil:
		return nil // told as the slot's state
	case slot == nil:
		err = t.unavailable(start, fmt.Sprintf("replication slot %q does not exist any more", d.o.Slot.Name))
	default:
		if _, err = t.checkPosition(ctx, d.conn, p, slot); err == nil {
			d.ok("stored offset", "", "%s, which the slot still holds", start)
			return nil
		}
	}
	if !isFault(err) {
		return err
	}
	state := capture.StateFailed
	if d.o.Snapshot.Mode == "when_needed" || slot == nil && d.o.Slot.DropOnStop {
		state = capture.StateWarning // the connector mends it by itself
	}
	f := d.Add(state, "stored offset", "", "")
	var e *errs.Error
	if errors.As(err, &e) {
		f.Found, f.Do = e.Msg, e.Hint
	}
	return nil
}

// isFault reports whether an error is about what was found and not about asking.
func isFault(err error) bool {
	var e *errs.Error
	return errors.As(err, &e) && e.Msg != ""
}

// size prints an amount of bytes.
func size(n int64) string {
	const unit = 1024
	f, names := float64(n), []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; f >= unit && i < len(names)-1; i++ {
		f /= unit
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, names[i])
}
