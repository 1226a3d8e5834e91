package emit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/record"
)

// Pipeline takes batches through transforms and converters to Kafka and stores
// offsets behind them. Send is called by one goroutine (the source's reader).
//
// Two goroutines run between Start and Drain or Abort: the encoder (transforms,
// converters, producing) and the committer (offsets). The client's own goroutines
// call slab.answered.
type Pipeline struct {
	cfg Config
	in  chan *record.Batch

	mu      sync.Mutex
	ledger  Ledger
	queued  int // bytes of batches handed over and not yet encoded
	lent    int // bytes of slabs that are being filled or wait for acknowledgement
	out     int // slabs that were submitted and not settled
	written bool

	room     chan struct{} // cap 1: bytes were given back, for Send
	slabRoom chan struct{} // cap 1: the same, for the encoder
	advanced chan struct{} // cap 1: the committable prefix has grown, for the committer
	settled  chan struct{} // cap 1: nothing is under way any more, for Drain

	stored atomic.Pointer[storedAt]
	told   atomic.Uint64 // changes when OnTopic shall be called again
	handed atomic.Int64  // when the last batch was handed over, in ns since 1970; 0 none

	cause error // written once before dead is closed
	die   sync.Once
	dead  chan struct{}

	cancel   context.CancelFunc // of what is with the client
	cancelE  context.CancelFunc // of the encoder's waits
	stopOnce sync.Once
	stop     chan struct{} // closed: no more batches will come
	encDone  chan struct{}
	comStop  chan struct{}
	comDone  chan struct{}
	comm     committer
	started  bool
	ended    bool
}

type storedAt struct{ pos record.Position }

// errAborted is the cause of a pipeline that was stopped by Abort.
var errAborted = errors.New("the pipeline was stopped")

// New makes a pipeline; nothing runs before Start.
func New(cfg Config) *Pipeline {
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 4 << 20
	}
	if cfg.FlushInterval <= 0 {
		cfg.FlushInterval = time.Minute
	}
	if cfg.FlushTimeout <= 0 {
		cfg.FlushTimeout = 5 * time.Second
	}
	if cfg.Metrics != nil {
		cfg.Metrics.Capacity(cfg.QueueBytes)
	}
	return &Pipeline{cfg: cfg,
		cancel: func() {}, cancelE: func() {},
		in:       make(chan *record.Batch, 64),
		room:     make(chan struct{}, 1),
		slabRoom: make(chan struct{}, 1),
		advanced: make(chan struct{}, 1),
		settled:  make(chan struct{}, 1),
		dead:     make(chan struct{}),
		stop:     make(chan struct{}),
		encDone:  make(chan struct{}),
		comStop:  make(chan struct{}),
		comDone:  make(chan struct{}),
	}
}

// Start starts the encode+produce goroutine and the commit timer. They are joined
// by Drain or Abort. The end of ctx is for a task whose time to stop has run out:
// nothing more is encoded, and what waits for a registry waits no longer. A task
// that is asked to stop must not end it before Drain, because what was sent must
// still be acknowledged and stored.
func (p *Pipeline) Start(ctx context.Context) {
	p.started = true
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	enc, cancelE := context.WithCancel(run)
	p.cancel, p.cancelE = cancel, cancelE
	context.AfterFunc(ctx, func() { p.kill(errAborted) }) // cut off, even while a registry does not answer
	go func() {
		defer close(p.encDone)
		if e := newEncoder(p); p.cfg.Transaction != nil {
			e.txnLoop(enc, run)
		} else {
			e.loop(enc, run)
		}
	}()
	if p.cfg.Transaction != nil { // the encoder commits
		close(p.comDone)
		return
	}
	go func() {
		defer close(p.comDone)
		p.commitLoop(run)
	}()
}

// Send hands a batch over; the pipeline releases it, also when it returns an
// error. While the queue is full it calls idle about once a second, so that the
// reader can answer keepalives; an error of idle, the end of ctx or the death of
// the pipeline ends the wait.
func (p *Pipeline) Send(ctx context.Context, b *record.Batch, idle func() error) error {
	n := b.Bytes()
	if m := p.cfg.Metrics; m != nil {
		var waited time.Duration
		if at := p.handed.Load(); at != 0 {
			waited = time.Since(time.Unix(0, at))
		}
		m.Took(len(b.Records), waited)
		defer func() { p.handed.Store(time.Now().UnixNano()) }()
	}
	if err := p.waitRoom(ctx, n, idle); err != nil {
		b.Release()
		return err
	}
	select {
	case p.in <- b:
		return nil
	default:
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var err error
		select {
		case p.in <- b:
			return nil
		case <-p.dead:
			err = p.cause
		case <-ctx.Done():
			err = ctx.Err()
		case <-tick.C:
			err = callIdle(idle)
		}
		if err != nil {
			p.credit(n)
			b.Release()
			return err
		}
	}
}

func callIdle(idle func() error) error {
	if idle == nil {
		return nil
	}
	return idle()
}

// waitRoom counts n bytes as queued as soon as they fit; a batch larger than the
// whole queue passes when nothing else is under way.
func (p *Pipeline) waitRoom(ctx context.Context, n int, idle func() error) error {
	var tick *time.Ticker
	for {
		select {
		case <-p.dead:
			return p.cause
		default:
		}
		p.mu.Lock()
		used := p.queued + p.lent
		ok := used == 0 || used+n <= p.cfg.QueueBytes
		if ok {
			p.queued += n
		}
		p.mu.Unlock()
		if ok {
			return nil
		}
		if tick == nil {
			tick = time.NewTicker(time.Second)
			defer tick.Stop()
		}
		select {
		case <-p.room:
		case <-p.dead:
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := callIdle(idle); err != nil {
				return err
			}
		}
	}
}

// credit gives back bytes of a batch.
func (p *Pipeline) credit(n int) {
	p.mu.Lock()
	p.queued -= n
	p.mu.Unlock()
	wake(p.room)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Err is closed when the pipeline died; Cause tells why.
func (p *Pipeline) Err() <-chan struct{} { return p.dead }

// Cause returns the error the pipeline died of, or nil.
func (p *Pipeline) Cause() error {
	select {
	case <-p.dead:
		return p.cause
	default:
		return nil
	}
}

// kill makes the pipeline dead; the first cause wins.
func (p *Pipeline) kill(err error) {
	p.die.Do(func() {
		p.cause = err
		close(p.dead)
		p.cancelE()
	})
}

// Stored is the newest position whose offset is durable, nil if none yet: the
// only thing a source may confirm to its log. Safe from any goroutine.
func (p *Pipeline) Stored() record.Position {
	if s := p.stored.Load(); s != nil {
		return s.pos
	}
	return nil
}

// Acknowledged is the newest position up to which Kafka has everything, nil if none
// yet; its offset need not be stored. Safe from any goroutine.
func (p *Pipeline) Acknowledged() record.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, _ := p.ledger.Committable()
	return end
}

// ForgetTopics makes OnTopic be called again for every topic that records are
// sent to from now on (a reset of the active topics). Safe from any goroutine.
func (p *Pipeline) ForgetTopics() { p.told.Add(1) }

// Drain ends cleanly: waits until everything sent is acknowledged, stores the
// last offset, stops the goroutines and closes the client. Bounded by ctx. On a
// dead pipeline it still stores what was acknowledged before the failure, as
// Connect does, and returns the cause; a transactional one stores nothing then.
func (p *Pipeline) Drain(ctx context.Context) error {
	if p.ended {
		return p.Cause()
	}
	p.ended = true
	p.stopOnce.Do(func() { close(p.stop) })
	if !p.started {
		p.cfg.Client.Close()
		return nil
	}
	wait, cancel := waitBudget(ctx, p.cfg.FlushTimeout)
	err := p.awaitAcks(wait)
	cancel()
	close(p.comStop)
	<-p.comDone
	if p.cfg.Transaction == nil {
		if serr := p.store(ctx); err == nil && serr != nil {
			err = serr
		}
	}
	if c := p.Cause(); c != nil {
		err = c
	}
	p.finish()
	return err
}

// waitBudget leaves time for storing the offset at the end of ctx's time.
func waitBudget(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(reserve, time.Until(end)/4)))
}

// awaitAcks waits until the encoder has ended and nothing is under way.
func (p *Pipeline) awaitAcks(ctx context.Context) error {
	select {
	case <-p.encDone:
	case <-ctx.Done():
		return drainError(ctx)
	}
	if p.Cause() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.FlushTimeout)
		defer cancel()
	}
	_ = p.cfg.Client.Flush(ctx) // ends lingering; what matters is counted below
	for {
		p.mu.Lock()
		out := p.out
		p.mu.Unlock()
		if out == 0 {
			return nil
		}
		select {
		case <-p.settled:
		case <-ctx.Done():
			return drainError(ctx)
		}
	}
}

// Abort stops at once without storing anything more.
func (p *Pipeline) Abort() {
	if p.ended {
		return
	}
	p.ended = true
	p.kill(errAborted)
	p.stopOnce.Do(func() { close(p.stop) })
	if !p.started {
		p.cfg.Client.Close()
		return
	}
	p.cancel()
	close(p.comStop)
	<-p.comDone
	p.finish()
}

// finish ends the encoder and the client and gives back what was not sent.
func (p *Pipeline) finish() {
	p.cancel()
	p.cfg.Client.Close() // answers every promise that is still open
	<-p.encDone
	for {
		select {
		case b := <-p.in:
			b.Release()
		default:
			return
		}
	}
}
