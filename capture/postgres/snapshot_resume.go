package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"millrace/internal/store"
	"millrace/snapshot"
)

// An initial snapshot that was interrupted goes on where it stopped. How far it was
// is stored with the offset, under a key that Debezium does not know and ignores: it
// sees a snapshot that did not end, and takes it from the start.
//
// The snapshot that was exported is gone by then, so the rest is read in a newer one.
// Streaming still begins where the first snapshot was taken: the slot has kept the log
// since then. So every change since the first snapshot is streamed, over rows that are
// at least as old as that change (read before) or that have it already (read after).
// Per key the last record is right: changes are applied again, in order, and a row that
// was deleted meanwhile is deleted by the log. What a consumer sees in between is a row
// of a later state and then the way there once more.
//
// Rows of the rest carry the LSN of the newer snapshot, which is what they are as of.

// keyProgress is the key of the progress in the source offset.
const keyProgress = "millrace_snapshot_progress"

// mark is something that is so once a number of rows was made into records.
type mark struct {
	after int64
	do    func()
}

// resumable says what an interrupted snapshot has read, nil if it has to be taken from
// the start: nothing of it was stored, nothing is streamed behind it, or the slot does
// not reach back to its beginning any more.
func (t *task) resumable(slot *slotState) *snapshot.Progress {
	at := &t.session.at
	if !at.Snapshotting() || slot == nil {
		return nil
	}
	i := slices.IndexFunc(at.Extra, func(e store.Entry) bool { return e.Key == keyProgress })
	if i < 0 {
		return nil
	}
	var text string
	err := json.Unmarshal([]byte(at.Extra[i].Value), &text)
	var p snapshot.Progress
	if err == nil {
		p, err = snapshot.ParseProgress(text)
	}
	switch {
	case err != nil:
		t.log.Warn("the progress of the interrupted snapshot cannot be read; it is taken from the start", "error", err)
		return nil
	case slot.Confirmed > at.LSN || slot.Restart > at.LSN:
		t.log.Warn("the slot has moved on since the interrupted snapshot began; it is taken from the start",
			"slot", t.opts.Slot.Name, "confirmed", slot.Confirmed.String(), "snapshot", at.LSN.String())
		return nil
	}
	return &p
}

// start moves the session to where the snapshot was taken and stores that, so that an
// interruption finds it.
func (r *snapshotReader) start(ctx context.Context) error {
	s := r.session
	if !r.resumed {
		extra := withoutProgress(s.at.Extra)
		s.moveTo(&Position{LSN: r.at, TxID: r.info.TxID, TsUsec: r.info.TsUsec})
		s.at.Extra = extra
	} else {
		r.before = r.progress
		r.before.Read = slices.Clone(r.before.Read)
		i := slices.IndexFunc(r.tables, func(st *snapshotTable) bool { return st.name == r.before.Table })
		if i >= 0 && r.before.Rows > 0 && r.before.Print == r.tables[i].reading() {
			r.look.Resume(i)
		}
		r.log.Info("an interrupted snapshot goes on", "tables_done", len(r.progress.Done), "table", r.progress.Table, "rows", r.progress.Rows, "streaming_from", s.at.LSN.String())
	}
	s.at.Snapshot, s.at.LastRow, s.at.Completed = r.kind, false, false
	if !r.resumes {
		return nil
	}
	r.save()
	return s.send(ctx, r.idle)
}

// begin notes that a table is being read, and cuts it into chunks. It returns how many
// of its rows were read before an interruption.
func (r *snapshotReader) begin(st *snapshotTable) (rows int64) {
	r.mark(func() { r.progress.Begin(st.name, st.reading()) })
	before := &snapshot.Progress{}
	if r.before.Table == st.name && r.before.Print == st.reading() {
		before = &r.before
	}
	st.chunks = []snapshot.PageChunk{{Pages: snapshot.Pages{From: 0, To: -1}}}
	if st.size.paged {
		st.chunks = before.Chunks(st.size.pages, r.chunkSize(st))
	}
	return before.Rows
}

// reading identifies the reading of a table by pages: it is another one once the table
// was rewritten, and its rows lie elsewhere.
func (st *snapshotTable) reading() string { return st.print() + "/" + st.size.file }

// mark notes what is so once all rows that have come are records.
func (r *snapshotReader) mark(do func()) {
	if r.resumes {
		r.marks = append(r.marks, mark{r.came, do})
	}
}

// settle brings the stored progress to the rows that are records; the one that is held
// back for its marker is not yet.
func (r *snapshotReader) settle() {
	n := 0
	for n < len(r.marks) && r.marks[n].after <= r.rows {
		r.marks[n].do()
		n++
	}
	if n > 0 {
		r.marks = slices.Delete(r.marks, 0, n)
		r.save()
	}
}

// save puts the progress into the position that is sent next.
func (r *snapshotReader) save() {
	text, _ := json.Marshal(r.progress.String())
	r.session.at.Extra = append(withoutProgress(r.session.at.Extra), store.Entry{Key: keyProgress, Value: string(text)})
}

// withoutProgress is a copy without the progress of a snapshot.
func withoutProgress(extra []store.Entry) []store.Entry {
	var out []store.Entry
	for _, e := range extra {
		if !strings.EqualFold(e.Key, keyProgress) {
			out = append(out, e)
		}
	}
	return out
}
