package sqlsink

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
)

// laneRows is how many rows a batch has at least for each connection that it is
// divided over: below that a second transaction costs more than it saves.
const laneRows = 500

// lanes writes large batches over several connections at once, each with the rows
// whose key falls to it, each in one transaction of its own. A key always falls to
// the same lane within a batch and batches follow each other, so the order per key
// stays. What is written twice because another lane failed ends in the same state:
// only upserts and deletes by key are divided.
//
// Only tables whose rows do not constrain each other are divided (tableInfo.solo):
// a second unique key or a foreign key could be violated by the order of lanes.
type lanes struct {
	max   int
	dial  func() (target, error)
	extra []target // the connections beside the sink's own
	units [][]*unit
	seed  maphash.Seed
	key   []byte
	errs  []error
}

// divided spreads units over lanes; nil when they must be written in one transaction.
func (k *Sink) divided(units []*unit) [][]*unit {
	l := &k.lanes
	rows := 0
	for _, u := range units {
		if !k.mayDivide(u) {
			return nil
		}
		rows += u.live
	}
	n := min(l.max, rows/laneRows)
	if n < 2 {
		return nil
	}
	for len(l.units) < n {
		l.units = append(l.units, nil)
	}
	parts := l.units[:n]
	for i := range parts {
		parts[i] = parts[i][:0]
	}
	own := make([]*unit, n)
	for _, u := range units {
		for i := range own {
			own[i] = &unit{op: u.op, plan: u.plan, rows: make([]int32, 0, 2*u.live/n)}
		}
		for _, r := range u.rows {
			if r < 0 {
				continue
			}
			l.key = appendKey(l.key[:0], &k.src, u.plan, r)
			o := own[maphash.Bytes(l.seed, l.key)%uint64(n)]
			o.rows, o.live = append(o.rows, r), o.live+1
		}
		for i, o := range own {
			if o.live > 0 {
				parts[i] = append(parts[i], o)
			}
		}
	}
	return parts
}

// mayDivide tells whether the rows of a unit can be written in any order, and
// whether equal keys are equal byte by byte.
func (k *Sink) mayDivide(u *unit) bool {
	if u.op != unitUpsert && u.op != unitDelete || u.plan.keys == 0 || u.plan.table.info.solo {
		return false
	}
	for i := range u.plan.cols {
		c := &u.plan.cols[i]
		if c.fill != nil { // made in the batch when it is read, which is one goroutine's work
			return false
		}
		if i >= u.plan.keys {
			continue
		}
		info := k.column(u.plan.table, c.name)
		if info == nil || !exactKey(c.sem.kind, info) {
			return false
		}
	}
	return true
}

// exactKey tells whether a column compares keys of a kind as their bytes do: not a
// text under a collation that knows more than bytes, not a decimal or a double.
func exactKey(m kind, info *colInfo) bool {
	switch m {
	case kindInt8, kindInt16, kindInt32, kindInt64:
		return strings.Contains(info.typ, "int")
	case kindDate, kindTimestamp:
		return temporal(info.typ)
	case kindUUID:
		return info.typ == "uuid"
	case kindString:
		return info.exact
	}
	return false
}

// writeUnits writes units in one transaction, or divided when that is faster and safe.
func (k *Sink) writeUnits(ctx context.Context, units []*unit) error {
	if k.lanes.max < 2 {
		return k.target.write(ctx, &k.src, units)
	}
	parts := k.divided(units)
	if parts == nil || !k.openLanes(ctx, len(parts)-1) {
		return k.target.write(ctx, &k.src, units)
	}
	l := &k.lanes
	l.errs = append(l.errs[:0], make([]error, len(parts))...)
	var wg sync.WaitGroup
	for i := 1; i < len(parts); i++ {
		wg.Go(func() { l.errs[i] = writePart(ctx, l.extra[i-1], &k.src, parts[i]) })
	}
	l.errs[0] = writePart(ctx, k.target, &k.src, parts[0])
	wg.Wait()
	err := worst(l.errs)
	if classOf(err) == errBusy && ctx.Err() == nil {
		k.log.Debug("lanes were in each other's way, writing the batch over one connection", "error", err)
		return k.target.write(ctx, &k.src, units)
	}
	return err
}

func writePart(ctx context.Context, t target, src *rows, units []*unit) error {
	if len(units) == 0 {
		return nil
	}
	return t.write(ctx, src, units)
}

// worst prefers what passes by itself: the batch is written again before anything
// is said about its records.
func worst(all []error) (err error) {
	for _, e := range all {
		if c := classOf(e); c == errLost || c == errBusy {
			return e
		}
		if err == nil {
			err = e
		}
	}
	return err
}

// openLanes makes the connections of the lanes when they are needed for the first
// time. A server that gives no more of them is written to over one.
func (k *Sink) openLanes(ctx context.Context, n int) bool {
	l := &k.lanes
	for len(l.extra) < n {
		t, err := l.dial()
		if err == nil {
			err = t.open(ctx)
		}
		if err == nil {
			l.extra = append(l.extra, t)
			continue
		}
		if ctx.Err() == nil {
			k.log.Warn("no further connection to the target database, going on with those that are there; write.lanes bounds them", "error", err, "connections", 1+len(l.extra))
			l.max = 1 + len(l.extra)
		}
		return false
	}
	return true
}

func (l *lanes) close() {
	for _, t := range l.extra {
		t.close()
	}
	l.extra = nil
}
