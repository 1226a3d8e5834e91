package objectstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// uploadsAtOnce bounds the complete files of a task that are on their way.
const uploadsAtOnce = 8

// partKey is a partition.
type partKey struct {
	topic string
	id    int32
}

// Sink is one task. It implements worker.Sink and worker.Positioned.
type Sink struct {
	log      *slog.Logger
	connect  func(context.Context) (target, error)
	target   target
	layout   layout
	format   format
	lastOnly bool // a file holds the last record of its key
	compress compression
	level    int
	aside    []aside    // files of keys and headers beside those of values
	noEmpty  bool       // a file without a byte is not written
	tag      bool       // objects are tagged with their offsets
	tags     url.Values // and these
	resume   bool       // see written
	now      func() time.Time
	pause    time.Duration // before what failed is tried again; 0: as the runner likes

	all    budget
	parts  map[partKey]*part
	routes map[partKey]partKey
	bad    map[badKey]error // of the batch being put, for when it is put again

	slots   chan struct{}
	flying  sync.WaitGroup
	stopped chan struct{} // closed by Stop: uploads outlive the Put that began them
	once    sync.Once     // closes stopped
	mu      sync.Mutex    // guards done and err of files that were sent
}

type badKey struct {
	partKey
	offset int64
}

func newSink(log *slog.Logger) *Sink {
	return &Sink{log: log, now: time.Now, parts: map[partKey]*part{}, routes: map[partKey]partKey{}, bad: map[badKey]error{}, slots: make(chan struct{}, uploadsAtOnce), compress: noCompression, level: -1,
		stopped: make(chan struct{})}
}

// Start connects to the store and looks for the bucket or directory.
func (s *Sink) Start(ctx context.Context) (err error) {
	if s.target, err = s.connect(ctx); err != nil {
		return &errs.Error{Java: errs.ConnectException, Msg: err.Error(), Cause: err}
	}
	return s.target.check(ctx)
}

// Stop ends uploads that are on their way and drops what is not complete: it is
// read again.
func (s *Sink) Stop() error {
	s.once.Do(func() { close(s.stopped) })
	s.flying.Wait()
	for _, p := range s.parts {
		p.drop()
	}
	s.parts = map[partKey]*part{}
	return nil
}

// Put adds records to their files. A batch that is put again continues where it
// stopped.
func (s *Sink) Put(ctx context.Context, b *record.Batch) error {
	if err := s.resend(ctx); err != nil {
		return err
	}
	var bad []errs.BadRecord
	for i := range b.Records {
		r := &b.Records[i]
		at := partKey{r.Origin.Topic.Name, r.Origin.Partition}
		p := s.part(r)
		if p.cutting {
			if err := s.cut(ctx, p); err != nil {
				return err
			}
		}
		if r.Origin.Offset < p.next {
			if err := s.bad[badKey{at, r.Origin.Offset}]; err != nil {
				bad = append(bad, errs.BadRecord{Index: i, Err: err})
			}
			continue
		}
		err := s.take(ctx, p, b, r)
		var e *errs.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Java == errs.DataException:
			s.bad[badKey{at, r.Origin.Offset}] = err
			bad = append(bad, errs.BadRecord{Index: i, Err: err})
		default:
			return err
		}
		p.next = r.Origin.Offset + 1
	}
	clear(s.bad)
	if err := s.relieve(); err != nil {
		return err
	}
	if len(bad) > 0 {
		return &errs.RecordError{Bad: bad}
	}
	return nil
}

func (s *Sink) part(r *record.Record) *part {
	key := partKey{r.Origin.Topic.Name, r.Origin.Partition}
	p := s.parts[key]
	if p == nil {
		p = &part{topic: r.Origin.Topic, id: key.id, next: r.Origin.Offset, open: map[string]*file{}, routes: s.routes}
		s.parts[key], s.routes[key] = p, key
	}
	return p
}

// take writes one record.
func (s *Sink) take(ctx context.Context, p *part, b *record.Batch, r *record.Record) error {
	now := s.now()
	to, err := s.layout.place(p, b, r, now)
	if to.skip || err != nil || r.Origin.Offset < p.written[to.key] {
		return err
	}
	if to.cut {
		if err := s.cut(ctx, p); err != nil {
			return err
		}
	}
	f := p.open[to.key]
	var old *file // holds an earlier record of the same key
	as := r.ValueSchema
	switch {
	case f != nil && s.lastOnly:
		f, old = nil, s.detach(p, to.key)
	case f != nil && f.schema != r.ValueSchema:
		var end bool
		as, end = s.layout.evolve(f.schema, r.ValueSchema)
		if end {
			if err := s.cut(ctx, p); err != nil {
				return err
			}
			f = nil
		}
	}
	if f == nil && s.resume {
		if there, err := s.there(ctx, p, to.key, r, now); there || err != nil {
			return err
		}
	}
	if f == nil {
		f, err = s.begin(p, to.key, b, r, now)
	} else if as != r.ValueSchema && f.schema == as {
		r.Value = project(b, r.ValueSchema, r.Value, as)
		r.ValueSchema = as
	}
	if err == nil {
		if err = f.appendTo(b, r); err != nil && f.count == 0 {
			s.detach(p, to.key).discard()
		}
	}
	if err != nil {
		if old != nil {
			p.open[to.key], p.order = old, append(p.order, old)
		}
		return err
	}
	if old != nil {
		old.discard()
	}
	if p.count == 0 {
		p.begin = r.Origin.Offset
	}
	p.count++
	p.next = r.Origin.Offset + 1 // before the cut: what it fails of is done again, the record is not
	if s.layout.full(p, f) {
		return s.cut(ctx, p)
	}
	return nil
}

// remembering is a target that knows what an object of its holds.
type remembering interface {
	// written returns the offset behind the last record of an object that is there,
	// and the time of its first one.
	written(ctx context.Context, key string) (next, first int64, ok bool, err error)
}

// there reports whether a record is in the store already, in the file that it would
// begin. Files that end by the wall clock end elsewhere when they are made again
// after a crash, so one that is there is left and the records behind it go on. The
// time of the first record tells a file of this topic from one of a topic of the
// same name before it.
func (s *Sink) there(ctx context.Context, p *part, key string, r *record.Record, now time.Time) (bool, error) {
	t, ok := s.target.(remembering)
	if !ok {
		return false, nil
	}
	name := s.layout.name(p, key, r, now)
	if r.Value.IsNull() { // a tombstone's keys stand in a file of their own
		return false, nil
	}
	next, first, ok, err := t.written(ctx, name)
	if err != nil || !ok || first != r.Timestamp || next <= r.Origin.Offset {
		return false, err
	}
	s.log.Info("a file is there from before a restart; its records are not written again", "name", name, "next", next)
	if p.written == nil {
		p.written = map[string]int64{}
	}
	p.written[key] = next
	return true, nil
}

// open is how many files are being made.
func (s *Sink) open() (n int) {
	for _, p := range s.parts {
		n += len(p.order)
	}
	return n
}

// begin opens a file, and those beside it.
func (s *Sink) begin(p *part, key string, b *record.Batch, r *record.Record, now time.Time) (*file, error) {
	f := &file{name: s.layout.name(p, key, r, now), start: r.Origin.Offset, first: r.Timestamp, schema: r.ValueSchema, body: &spool{all: &s.all}, none: r.Value.IsNull() && len(s.aside) > 0}
	var err error
	if !f.none {
		f.enc, err = s.format.open(f.body, b, r, s.open())
	}
	for i := 0; i < len(s.aside) && err == nil; i++ {
		a := s.aside[i]
		var view record.Record
		if view, err = a.record(b, r); err != nil {
			break
		}
		own := s.format.extension() + s.compress.extension()
		x := &file{name: strings.TrimSuffix(f.name, own) + a.view + a.format.extension() + a.compress.extension(), start: f.start, body: &spool{all: &s.all}, aside: a}
		if x.enc, err = a.format.open(x.body, b, &view, s.open()); err == nil {
			f.beside = append(f.beside, x)
		}
	}
	if err != nil {
		f.discard()
		return nil, err
	}
	p.open[key] = f
	p.order = append(p.order, f)
	return f, nil
}

// detach takes an open file out of its partition.
func (s *Sink) detach(p *part, key string) *file {
	f := p.open[key]
	delete(p.open, key)
	p.order = slices.DeleteFunc(p.order, func(x *file) bool { return x == f })
	return f
}

// cut completes the open files of a partition and sends them off.
func (s *Sink) cut(ctx context.Context, p *part) error {
	p.cutting = true
	for len(p.order) > 0 {
		f := p.order[0]
		for _, x := range append([]*file{f}, f.beside...) {
			if x.enc != nil {
				if err := x.enc.close(); err != nil {
					return fmt.Errorf("end the file %s: %w", x.name, err)
				}
				x.enc = nil
			}
			pack := s.compress
			if x != f {
				pack = x.aside.compress
			}
			if err := x.compress(ctx, pack, s.level); err != nil {
				return err
			}
			if x != f {
				x.last, x.count = f.last, f.count
			}
		}
		p.order = p.order[1:]
		files := f.beside
		if s.noEmpty && f.body.size() == 0 {
			f.discard()
		} else if !f.none {
			files = append([]*file{f}, files...)
		}
		f.beside = nil
		p.sent = append(p.sent, files...)
		for _, x := range files {
			if err := s.send(ctx, x); err != nil {
				return err
			}
		}
	}
	clear(p.open)
	p.count, p.cutting = 0, false
	return nil
}

// send uploads a file in a goroutine that Flush and Stop join.
func (s *Sink) send(ctx context.Context, f *file) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.flying.Go(func() {
		select {
		case <-s.stopped:
			cancel()
		case <-work.Done():
		}
	})
	s.flying.Go(func() {
		defer func() { <-s.slots }()
		defer cancel()
		err := s.target.put(work, f.name, f.object(s))
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.err = err; err == nil {
			f.done = true
			f.body.close()
			s.log.Debug("file written", "name", f.name, "records", f.count)
		}
	})
	return nil
}

// resend tries files again whose upload failed, and returns the error of one that
// fails again.
func (s *Sink) resend(ctx context.Context) error {
	var again []*file
	for _, p := range s.parts {
		s.mu.Lock()
		for _, f := range p.sent {
			if f.err != nil {
				if !retriable(f.err) {
					defer s.mu.Unlock()
					return f.err
				}
				f.err = nil
				again = append(again, f)
			}
		}
		s.mu.Unlock()
	}
	if len(again) == 0 {
		return nil
	}
	for _, f := range again {
		if err := s.send(ctx, f); err != nil {
			return err
		}
	}
	return s.wait()
}

// retriable: a full disk or a directory that is not there is waited for, like a
// server that does not answer.
func retriable(err error) bool {
	var e *errs.Error
	return !errors.As(err, &e) || e.Retriable
}

// wait joins all uploads and returns an error of one that failed.
func (s *Sink) wait() error {
	s.flying.Wait()
	var first error
	for _, p := range s.parts {
		kept := p.sent[:0]
		for _, f := range p.sent {
			if f.done {
				continue
			}
			kept = append(kept, f)
			if first == nil {
				first = f.err
			}
		}
		clear(p.sent[len(kept):])
		p.sent = kept
	}
	if first == nil {
		return nil
	}
	err := &errs.Error{Java: errs.ConnectException, Msg: first.Error(), Cause: first, Retriable: retriable(first)}
	if s.pause > 0 && err.Retriable {
		return &pausing{err, s.pause}
	}
	return err
}

// pausing is a retriable error that says when to come back.
type pausing struct {
	error
	pause time.Duration
}

func (e *pausing) Unwrap() error { return e.error }

// RetryAfter is how long the runner waits before it puts the batch again.
func (e *pausing) RetryAfter() time.Duration { return e.pause }

// relieve hands over what encoders hold in memory while all of them together hold
// too much, the largest first. A file that cannot be written to disk is not whole any
// more, so the error ends the task: its records are read again.
func (s *Sink) relieve() error {
	total := 0
	for _, p := range s.parts {
		for _, f := range p.order {
			total += f.held()
		}
	}
	for total > memoryBudget {
		var most *file
		for _, p := range s.parts {
			for _, f := range p.order {
				if most == nil || f.held() > most.held() {
					most = f
				}
			}
		}
		total -= most.held()
		if err := most.flush(); err != nil {
			return &errs.Error{Java: errs.ConnectException, Msg: "make the file " + most.name, Cause: err}
		}
	}
	return nil
}

// Flush completes the files that are due and waits until everything complete is in
// the store.
func (s *Sink) Flush(ctx context.Context) error {
	now := s.now()
	for _, p := range s.parts {
		if p.cutting || p.count > 0 && s.layout.due(p, now) {
			if err := s.cut(ctx, p); err != nil {
				return err
			}
		}
	}
	if err := s.resend(ctx); err != nil {
		return err
	}
	return s.wait()
}

// Durable returns the offset up to which a partition's records are in the store;
// ok is false when nothing is held back.
func (s *Sink) Durable(topic string, partition int32) (next int64, ok bool) {
	p := s.parts[partKey{topic, partition}]
	if p == nil {
		return 0, false
	}
	next = -1
	if p.count > 0 {
		next = p.begin
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range p.sent {
		if !f.done && (next < 0 || f.start < next) {
			next = f.start
		}
	}
	return next, next >= 0
}

// Due returns when the runner should flush without waiting for its interval; the
// zero time: no wish.
func (s *Sink) Due() time.Time {
	var first int64
	for _, p := range s.parts {
		if p.count > 0 && p.clock.due > 0 && (first == 0 || p.clock.due < first) {
			first = p.clock.due
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.UnixMilli(first)
}

// Revoked forgets partitions that belong to somebody else now.
func (s *Sink) Revoked(topic string, partition int32) {
	key := partKey{topic, partition}
	p := s.parts[key]
	if p == nil {
		return
	}
	s.flying.Wait()
	p.drop()
	delete(s.parts, key)
}

// drop gives back what a partition holds; no upload runs.
func (p *part) drop() {
	for _, f := range append(p.order, p.sent...) {
		f.discard()
	}
	p.order, p.sent, p.count = nil, nil, 0
}
