package postgres

// resumer drops what a stored position says was already processed.
//
// The server sends whole transactions in commit order, from the first whose
// commit record lies at or beyond the start LSN. The start is the end of the last
// transaction that was finished, so at most one transaction arrives twice: the
// one that the position lies in. Only inside of that one, known by the LSN of its
// commit record (or by its id, for offsets that Debezium wrote), changes are
// dropped, by their LSN and, since COPY and multi-row inserts write many rows at
// one LSN, by their number at that LSN. The rule cannot outlive that transaction,
// so it can never swallow a later one.
type resumer struct {
	active bool
	inside bool // in the transaction that the position lies in
	plain  bool // the position is a logical message outside of any transaction
	final  LSN  // commit record of the transaction; 0 unknown
	xid    int64
	proc   LSN
	events int64 // messages at proc that were processed
	seen   int64
}

// newResumer returns where to start streaming and what to drop from there.
func newResumer(p *Position) (start LSN, r resumer) {
	switch {
	case p == nil:
		return 0, r
	case p.Proc == 0: // right after a snapshot
		return max(p.LSN, p.Commit), r
	case p.Type == msgCommit:
		return max(p.Proc, p.Commit), r
	case p.Type == msgBegin && p.Final == 0: // Debezium's: the transaction comes again as a whole
		if p.Commit != 0 {
			return p.Commit, r
		}
		return p.Proc, r
	}
	r = resumer{active: true, final: p.Final, xid: p.TxID, proc: p.Proc, events: p.Events}
	if p.Type != msgBegin {
		r.events = max(p.Events, 1) // Debezium's offsets do not tell
	}
	r.plain = p.Type == msgMessage && p.Final == 0 && p.TxID == 0
	start = p.Commit
	if start == 0 {
		start = p.Proc
	}
	return start, r
}

// begin is told of a BEGIN: the LSN of the commit record and the transaction's
// id. It reports whether the transaction is the one that the position lies in.
func (r *resumer) begin(final LSN, xid int64) bool {
	if !r.active || r.plain {
		return false
	}
	if r.final != 0 {
		r.inside = final == r.final
		if final > r.final {
			r.active = false
		}
	} else {
		r.inside = xid == r.xid
	}
	r.seen = 0
	return r.inside
}

// drop reports whether a change or logical message was already processed.
// outside tells that it is a message that belongs to no transaction.
func (r *resumer) drop(at LSN, outside bool) bool {
	if !r.active {
		return false
	}
	if outside && !r.plain {
		// Messages outside of transactions come in order of their own LSN, before any
		// transaction that commits later.
		return at < r.final || r.final == 0 && at < r.proc
	}
	if outside != r.plain || !outside && !r.inside {
		return false
	}
	switch {
	case at < r.proc:
		return true
	case at > r.proc:
		r.active = false
		return false
	}
	r.seen++
	return r.seen <= r.events
}

// commit is told of a COMMIT.
func (r *resumer) commit() {
	if r.inside {
		r.active, r.inside = false, false
	}
}

// passed reports whether the server's position end proves that the transaction or
// message that the position lies in will not come again (its table left the
// publication, for instance), so that waiting for it must end. head was the end
// of the log when streaming began, which is behind everything that was processed.
func (r *resumer) passed(end, head LSN) bool {
	switch {
	case r.inside:
		return false
	case r.plain:
		return end > r.proc
	case r.final != 0:
		return end > r.final
	}
	return head != 0 && end >= head
}
