package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"time"

	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// Sink is one task of a JDBC sink. Put commits what it writes, so Flush has
// nothing to do.
type Sink struct {
	cfg      *config
	log      *slog.Logger
	spell    spelling
	target   target
	caseless bool // column names are compared without case
	lanes    lanes
	verify   *Verifier // nil: rows go into the tables themselves

	perSource   bool // table names depend on the source block
	shapes      map[*record.Schema]*shape
	plans       map[planID]*plan
	tables      map[string]*table
	pendingPlan planID

	src     rows
	order   []*table // tables of the batch, in order of appearance
	units   []*unit
	pending []int32 // records gathered and not written yet
	keyBuf  []byte
	holdBuf []int
	bad     []errs.BadRecord
	written map[int32]bool // by replay
	came    [2][]*table    // tables of the batch in the order of their first row and first delete
	change  change         // of the record being taken
	cursor  int32          // the record being taken
	atSight bool           // it is not known yet whether it can be a row of any table
	tries   int
	// After a retriable failure: what is dealt with already, by topic and partition,
	// and which records of that were bad.
	done   map[record.Origin]int64
	badYet map[record.Origin]error
	// Up to which offset, by topic and partition, records may have been written by a
	// COMMIT whose answer did not come.
	unsure map[record.Origin]int64
}

// New makes a task of Debezium's JDBC sink; Start connects.
func New(props map[string]string, connector string, task int, log *slog.Logger, _ *metrics.Task) (*Sink, error) {
	v, err := Def().Parse(props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	c, err := debeziumConfig(v)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	return newSink(c, log)
}

func newSink(c *config, log *slog.Logger) (*Sink, error) {
	k := &Sink{cfg: c, log: log, perSource: strings.Contains(c.tableFormat, "${source."),
		shapes: map[*record.Schema]*shape{}, plans: map[planID]*plan{}, tables: map[string]*table{},
		src: rows{topics: map[*record.Topic]record.Cell{}}}
	var err error
	k.target, k.spell, err = dial(c, log)
	if err != nil {
		return nil, err
	}
	k.caseless = c.url.dialect != dialectPostgres
	k.lanes = lanes{seed: maphash.MakeSeed(), dial: func() (target, error) {
		t, _, err := dial(c, log)
		return t, err
	}}
	if c.url.dialect != dialectSQLite { // one writer is all that SQLite allows
		k.lanes.max = c.lanes
	}
	return k, nil
}

// dial makes the target of the URL's dialect; nothing is connected yet.
func dial(c *config, log *slog.Logger) (target, spelling, error) {
	switch c.url.dialect {
	case dialectPostgres:
		p, err := newPostgres(c, log)
		if err != nil {
			return nil, nil, err
		}
		return p, p.spell, nil
	case dialectSQLite:
		s := newSQLite(c, log)
		return s, s.spell, nil
	}
	m, err := newMySQL(c, log)
	if err != nil {
		return nil, nil, err
	}
	return m, m.spell, nil
}

// Start connects to the database.
func (k *Sink) Start(ctx context.Context) error {
	err := k.target.open(ctx)
	for n := 1; n < k.cfg.attempts && (classOf(err) == errLost || classOf(err) == errBusy); n++ {
		k.log.Warn("could not connect, trying again", "error", err, "delay", k.cfg.attemptDelay)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(k.cfg.attemptDelay):
		}
		err = k.target.open(ctx)
	}
	if err != nil {
		return &errs.Error{Java: errs.ConnectException, Msg: "Could not connect to the target database", Retriable: (classOf(err) == errLost || classOf(err) == errBusy) && k.cfg.attempts == 0, Cause: err,
			Hint: "Check connection.url, connection.username and connection.password"}
	}
	return nil
}

// Flush finds everything written, since Put returns after its transactions are committed.
// It takes away what writing left in the database besides, before offsets say that all is
// done: who looks then finds the tables and nothing else.
func (k *Sink) Flush(ctx context.Context) error {
	for _, t := range append([]target{k.target}, k.lanes.extra...) {
		if x, ok := t.(interface{ tidy(context.Context) }); ok {
			x.tidy(ctx)
		}
	}
	return nil
}

// Stop closes the connections.
func (k *Sink) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = k.Flush(ctx) // a server drops a session's tables some time after it ended
	k.lanes.close()
	k.target.close()
	return nil
}

// Put writes a batch. Everything gathered is one transaction, except that a new
// plan (its table may have to change) and batch.size end one.
func (k *Sink) Put(ctx context.Context, b *record.Batch) error {
	k.begin(b)
	for i := range b.Records {
		err := k.take(ctx, int32(i))
		if err == nil {
			continue
		}
		switch {
		case aboutRecord(err):
			write := k.flush
			if k.atSight && !k.cfg.isolate && !k.cfg.plain {
				write = func(ctx context.Context) error { return k.replay(ctx, k.pending, int32(i)) }
			}
			if e := write(ctx); e != nil {
				return k.fail(ctx, e)
			}
			k.bad = append(k.bad, errs.BadRecord{Index: i, Err: wrapFlush(err)})
			if !k.cfg.isolate {
				return k.refuse()
			}
		default:
			return k.fail(ctx, err)
		}
	}
	if err := k.flush(ctx); err != nil {
		return k.fail(ctx, err)
	}
	k.tries = 0
	clear(k.done)
	clear(k.badYet)
	clear(k.unsure)
	if len(k.bad) > 0 {
		return &errs.RecordError{Bad: k.bad}
	}
	return nil
}

// aboutRecord tells whether an error of take concerns this record only.
func aboutRecord(err error) bool {
	var e *errs.Error
	return errors.As(err, &e) && e.Java == errs.DataException && classOf(err) == errOther
}

func (k *Sink) begin(b *record.Batch) {
	for _, t := range k.order {
		t.gather.reset()
	}
	k.order, k.pending, k.bad = k.order[:0], k.pending[:0], nil
	k.src.b = b
	if cap(k.src.row) < len(b.Records) {
		k.src.row = make([]record.Cell, len(b.Records))
	}
	k.src.row = k.src.row[:len(b.Records)]
	clear(k.src.topics)
	for kind, tables := range k.came {
		for _, t := range tables {
			t.came[kind] = false
		}
		k.came[kind] = tables[:0]
	}
}

// take gathers one record, writing what is gathered first when it must.
func (k *Sink) take(ctx context.Context, i int32) error {
	b := k.src.b
	r := &b.Records[i]
	k.cursor, k.atSight = i, true
	if len(k.done) > 0 {
		if upTo, ok := k.done[record.Origin{Topic: r.Origin.Topic, Partition: r.Origin.Partition}]; ok && r.Origin.Offset <= upTo {
			if err := k.badYet[r.Origin]; err != nil {
				k.bad = append(k.bad, errs.BadRecord{Index: int(i), Err: err})
			}
			return nil
		}
	}
	var err error
	ch := &k.change
	if *ch, err = k.classify(b, r); err != nil || ch.op == opNothing {
		return err
	}
	if k.perSource && r.Value.IsNull() {
		return nil // a tombstone does not say which table; the delete before it does
	}
	k.src.row[i] = ch.row
	if k.cfg.keyMode == keyKafka {
		if _, ok := k.src.topics[r.Origin.Topic]; !ok {
			k.src.topics[r.Origin.Topic] = b.StringCell(r.Origin.Topic.Name)
		}
	}
	p, fresh, err := k.planFor(b, r, ch)
	if err != nil {
		return err
	}
	if fresh && len(k.pending) > 0 && !k.fits(p) {
		// Writing may take other records anew, and forget the tables: this one then begins again.
		if err := k.flush(ctx); err != nil {
			return err
		}
		return k.take(ctx, i)
	}
	if fresh {
		if err := k.ensure(ctx, p, ch.op == opDelete || ch.op == opTruncate); err != nil {
			return err
		}
		if !p.skip || k.verify != nil {
			k.plans[k.pendingPlan] = p
		}
	}
	if p.skip { // nothing to delete from; the table may come later, so the plan is not kept
		return nil
	}
	if p.keyless || ch.op == opDelete && p.keys == 0 {
		return k.noKey(r)
	}
	if ch.op == opDelete && k.cfg.keyMode == keyRecordValue && ch.row.IsNull() {
		return refusal("A delete of topic " + r.Topic.Name + " has no `before` to take the key from, but primary.key.mode is record_value")
	}
	return k.gather(ctx, i, ch.op, p)
}

func (k *Sink) gather(ctx context.Context, i int32, op opcode, p *plan) error {
	t := p.table
	t.note(k, op)
	g := &t.gather
	g.strict = t.info != nil && t.info.triggers && !k.cfg.reduce
	if g.rows == 0 {
		k.order = append(k.order, t)
	}
	k.pending = append(k.pending, i)
	var key []byte
	if p.keys > 0 && (k.cfg.mode != modeInsert || k.cfg.deletes) {
		k.keyBuf = appendKey(k.keyBuf[:0], &k.src, p, i)
		key = k.keyBuf
	}
	switch op {
	case opTruncate:
		g.truncate(p, i)
	case opDelete:
		g.remove(p, i, key)
	default:
		if out := k.unchanged(p, i); len(out) > 0 {
			p = p.without(out)
		}
		g.write(k.writeOp(p, i), p, i, key, k.cfg.mode != modeInsert && !p.table.unkeyed())
	}
	if k.cfg.batchSize > 0 && g.rows >= k.cfg.batchSize {
		return k.flush(ctx)
	}
	return nil
}

// writeOp is how a row is written. An insert that may be there already, since the
// answer to its COMMIT was lost, must not fail over itself.
func (k *Sink) writeOp(p *plan, i int32) unitOp {
	switch k.cfg.mode {
	case modeUpsert:
		return unitUpsert
	case modeUpdate:
		return unitUpdate
	}
	if len(k.unsure) > 0 && p.keys > 0 {
		o := k.src.b.Records[i].Origin
		if upTo, ok := k.unsure[record.Origin{Topic: o.Topic, Partition: o.Partition}]; ok && o.Offset <= upTo {
			return unitUpsert
		}
	}
	return unitInsert
}

// unchanged lists the columns whose value stands for an unchanged one.
func (k *Sink) unchanged(p *plan, i int32) []int {
	k.holdBuf = k.holdBuf[:0]
	for c := p.keys; c < len(p.cols); c++ {
		if p.cols[c].hold && isPlaceholder(k.src.b, k.src.value(&p.cols[c], i), k.cfg.placeholder) {
			k.holdBuf = append(k.holdBuf, c)
		}
	}
	return k.holdBuf
}

// flush writes what is gathered in one transaction and isolates bad records.
func (k *Sink) flush(ctx context.Context) error {
	if len(k.pending) == 0 {
		return nil
	}
	err := k.writeGathered(ctx)
	if err != nil && classOf(err) == errNoTable {
		// Somebody dropped or changed a table: read it again, make it again, once.
		k.forgetTables()
		err = k.writeAgain(ctx, k.pending)
	}
	if err != nil {
		if passes(ctx, err) {
			return err
		}
		if err = k.isolate(ctx, append([]int32(nil), k.pending...), err); err != nil {
			return err
		}
	}
	k.clearGathered()
	return nil
}

func (k *Sink) clearGathered() {
	for _, t := range k.order {
		t.gather.reset()
	}
	k.order, k.pending = k.order[:0], k.pending[:0]
}

func (k *Sink) writeGathered(ctx context.Context) error {
	k.units = k.units[:0]
	for _, t := range k.order {
		t.gather.seal()
		k.units = append(k.units, t.gather.units...)
	}
	if len(k.units) == 0 {
		return nil
	}
	return k.writeUnits(ctx, k.units)
}

// writeAgain gathers records anew, without gathering limits, and writes them in
// one transaction.
func (k *Sink) writeAgain(ctx context.Context, records []int32) error {
	records = append([]int32(nil), records...)
	k.clearGathered()
	limit := k.cfg.batchSize
	k.cfg.batchSize = 0
	defer func() { k.cfg.batchSize = limit }()
	for _, i := range records {
		if err := k.take(ctx, i); err != nil {
			return err
		}
	}
	err := k.writeGathered(ctx)
	k.pending = append(k.pending[:0], records...)
	return err
}

// isolate finds the records that the target refuses by halving, in order, so that
// records before a bad one are written before those behind it. Without
// errors.tolerance=all it only names the first bad record, and writes nothing that the
// original would not have written in front of it.
func (k *Sink) isolate(ctx context.Context, records []int32, cause error) error {
	if len(records) == 1 {
		k.bad = append(k.bad, errs.BadRecord{Index: int(records[0]), Err: wrapFlush(cause)})
		if k.cfg.isolate {
			return nil
		}
		return k.refuse()
	}
	if !k.cfg.isolate {
		if !k.cfg.plain {
			return k.replay(ctx, records, -1)
		}
		var row *badRow
		if !errors.As(cause, &row) {
			// The order of one statement per table can refuse what the records' own
			// order allows (a unique value that moves from row to row).
			return k.oneByOne(ctx, records, cause)
		}
		k.bad = append(k.bad, errs.BadRecord{Index: int(row.index), Err: wrapFlush(cause)})
		return k.refuse()
	}
	half := len(records) / 2
	for _, part := range [2][]int32{records[:half], records[half:]} {
		err := k.writeAgain(ctx, part)
		if err == nil {
			continue
		}
		if passes(ctx, err) {
			return err
		}
		if err := k.isolate(ctx, part, err); err != nil {
			return err
		}
	}
	return nil
}

// oneByOne writes each record as its own unit, all in one transaction.
func (k *Sink) oneByOne(ctx context.Context, records []int32, cause error) error {
	k.clearGathered()
	var units []*unit
	for _, i := range records {
		u, err := k.single(ctx, i)
		if err != nil {
			return err
		}
		if u != nil {
			units = append(units, u)
		}
	}
	k.pending = append(k.pending, records...)
	err := k.target.write(ctx, &k.src, units)
	if err == nil {
		return nil
	}
	if passes(ctx, err) {
		return err
	}
	at, ok := culprit(err, units)
	if !ok {
		return wrapFlush(cause)
	}
	k.bad = append(k.bad, errs.BadRecord{Index: int(at), Err: wrapFlush(err)})
	return k.refuse()
}

// culprit is the record over which a write of units of one record each failed. ok is
// false when the error is of none of them, but of the COMMIT.
func culprit(err error, units []*unit) (record int32, ok bool) {
	var row *badRow
	var failed *unitError
	switch {
	case errors.As(err, &row):
		return row.index, true
	case errors.As(err, &failed):
		return units[failed.unit].rows[0], true
	}
	return 0, false
}

// unitError says which unit of a write failed.
type unitError struct {
	unit int
	err  error
}

func (e *unitError) Error() string { return e.err.Error() }
func (e *unitError) Unwrap() error { return e.err }

// forgetTables drops what is known about the tables of the batch.
func (k *Sink) forgetTables() {
	for _, t := range k.order {
		t.info = nil
		for id, p := range k.plans {
			if p.table == t {
				delete(k.plans, id)
			}
		}
	}
}

// wrapFlush gives an error the words of the original's trace.
func wrapFlush(err error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: "JDBC sink connector failure", Cause: err}
}

// fail turns an error of the write into what the runner acts on.
func (k *Sink) fail(ctx context.Context, err error) error {
	var bad *errs.RecordError
	if errors.As(err, &bad) || ctx.Err() != nil {
		return err
	}
	switch classOf(err) {
	case errLost, errBusy:
		k.tries++
		if k.cfg.retries >= 0 && k.tries > k.cfg.retries {
			return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Failed to flush records after %d retries", k.cfg.retries), Cause: err, Hint: "flush.max.retries sets how many there are; without it they go on until the target takes the batch"}
		}
		k.remember(err)
		return &retryLater{&errs.Error{Java: errs.RetriableException, Msg: "The target database is busy or not reachable", Retriable: true, Cause: err}, k.cfg.retryDelay}
	}
	return wrapFlush(err)
}

// remember notes which records of the batch are written, so that the next Put of
// the batch does not insert them twice.
func (k *Sink) remember(err error) {
	if k.done == nil {
		k.done, k.badYet, k.unsure = map[record.Origin]int64{}, map[record.Origin]error{}, map[record.Origin]int64{}
	}
	var db *dbError
	if errors.As(err, &db) && db.unsure {
		for _, i := range k.pending {
			o := k.src.b.Records[i].Origin
			k.unsure[record.Origin{Topic: o.Topic, Partition: o.Partition}] = o.Offset
		}
	}
	for _, x := range k.bad {
		k.badYet[k.src.b.Records[x.Index].Origin] = x.Err
	}
	open := int(k.cursor)
	if len(k.pending) > 0 {
		open = int(k.pending[0])
	}
	for i := 0; i < open; i++ {
		o := k.src.b.Records[i].Origin
		k.done[record.Origin{Topic: o.Topic, Partition: o.Partition}] = o.Offset
	}
}

// retryLater is a retriable error that says when to come back.
type retryLater struct {
	cause *errs.Error
	delay time.Duration
}

func (e *retryLater) Error() string { return e.cause.Error() }

// Unwrap returns the typed error, for errors.As.
func (e *retryLater) Unwrap() error { return e.cause }

// RetryAfter is how long the runner waits before it puts the batch again.
func (e *retryLater) RetryAfter() time.Duration { return e.delay }
