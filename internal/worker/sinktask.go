package worker

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/emit"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/javaregex"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/transform"
)

// RecordError is what a sink returns for records that are bad by themselves.
type RecordError = errs.RecordError

// SinkConfig is what a sink task runs with. Everything is required unless said
// otherwise.
type SinkConfig struct {
	Connector string
	Task      int
	// Consumer are the Kafka client options of the task (seeds, security,
	// consumer.override.*), without group and topics. They win over the task's own
	// fetch sizes and balancers.
	Consumer []kgo.Opt
	// Member are those of a member of a group; they win, too.
	Member []kgo.Opt
	Group  string // "": connect-<Connector>
	// Topics is the list to read; or Pattern, a Java regular expression that a whole
	// topic name must match.
	Topics  []string
	Pattern string
	// Beside is how many tasks of the connector run on this worker, this one included;
	// 0 is one.
	Beside int
	// MaxPollRecords bounds a batch (consumer.override.max.poll.records); 0: 8192.
	MaxPollRecords int

	Key, Value convert.Converter
	Header     convert.HeaderConverter
	// KeyClass, ValueClass and HeaderClass are the converters' Java names, for
	// error reports.
	KeyClass, ValueClass, HeaderClass string
	Stages                            []transform.Stage // may be empty
	Tolerance                         emit.Tolerance
	DLQ                               *DeadLetters // nil: none
	// CommitInterval is offset.flush.interval.ms, CommitTimeout offset.flush.timeout.ms.
	CommitInterval, CommitTimeout time.Duration
	// OnTopic is told each topic once that a record was taken from (active topics), and
	// again after TopicEpoch has changed. Both may be nil.
	OnTopic    func(topic string)
	TopicEpoch func() uint64
	Log        *slog.Logger
	Metrics    *metrics.Task
}

// SinkTask polls a consumer group and drives one Sink: poll, decode, transform,
// Put, and on the commit interval and on revocation Flush and commit. While a Put
// runs, in a goroutine that Run joins, Run decodes the next chunk; everything else
// is done by Run itself. Rebalances are blocked while a Put runs, and group
// callbacks, which come from the client's goroutine, are kept apart from Run by mu:
// calls to the Sink never overlap.
type SinkTask struct {
	cfg        SinkConfig
	sink       Sink
	positioned Positioned // sink, if it holds records back; nil otherwise
	cl         *kgo.Client
	dlq        *dlqWriter

	paused  atomic.Bool
	wakeMu  sync.Mutex
	wakeFn  context.CancelFunc
	match   *javaregex.Regexp // of Pattern, where Go's regexp cannot express it; nil otherwise
	rematch time.Time         // next look for topics when match is used

	mu       sync.Mutex // guards what follows and every call to sink
	assigned map[string]map[int32]*sinkPart
	closing  bool          // the last commit is made
	stopping bool          // no more tries
	dirty    bool          // something was put since the last commit
	waited   time.Duration // of the poll that is worked off
	failed   error         // a callback's fatal error, for Run to return

	topics   map[string]*record.Topic
	used     usedTopics
	tallies  map[*record.Topic]*tally
	clocks   map[*record.Schema]clock
	slots    [2]chunk
	inflight *chunk      // being put, nil: none
	fence    cutter      // of the Put in flight
	result   chan error  // of the Put in flight
	waiting  atomic.Bool // a rebalance waits for AllowRebalance

	strangers map[string]*stranger // see madeAnew
	member    *kgo.Client          // cl, for callbacks that are not given it: they may come before cl is set
}

// chunk is what is decoded and put at once.
type chunk struct {
	batch record.Batch
	parts []*sinkPart   // of batch.Records, by index
	raws  []*kgo.Record // of batch.Records, by index; without a dead letter queue they have lost key, value and headers
	sizes []int         // bytes of key and value of batch.Records, by index
	all   []chunkEntry  // all records of the chunk, dropped ones too
	took  time.Duration // of the first Put; written before result is sent
}

// sinkPart is one assignment of a partition; a new assignment is a new sinkPart,
// so that records read under an old one can be told apart.
type sinkPart struct {
	topic     string
	partition int32
	next      int64 // offset to commit: behind what was processed, or where reading begins; -1: not known
	read      int64 // offset behind the last record that was taken up
	committed int64
	epoch     int32
	revoked   bool
}

type chunkEntry struct {
	part *sinkPart
	rec  *kgo.Record
}

// fetchBytes bounds one fetch, in bytes before decompression: JSON with schemas grows
// tenfold and more. Half of that for each of several tasks takes 40 MiB less with two of
// them, at the same rate. Less than what one partition gives would be slower.
func (c *SinkConfig) fetchBytes() int32 {
	if c.Beside > 1 {
		return fetchPartition
	}
	return 2 * fetchPartition
}

// fetchPartition bounds what a fetch brings of one partition, in bytes. With half of it
// a task takes 25 MiB less and is a seventh slower.
const fetchPartition = 512 << 10

// NewSinkTask makes a task; nothing runs before Run.
func NewSinkTask(cfg SinkConfig, sink Sink) *SinkTask {
	if cfg.Group == "" {
		cfg.Group = "connect-" + cfg.Connector
	}
	if cfg.MaxPollRecords <= 0 {
		cfg.MaxPollRecords = 8192
	}
	if cfg.CommitInterval <= 0 {
		cfg.CommitInterval = time.Minute
	}
	if cfg.CommitTimeout <= 0 {
		cfg.CommitTimeout = 5 * time.Second
	}
	t := &SinkTask{cfg: cfg, sink: sink, assigned: map[string]map[int32]*sinkPart{}, topics: map[string]*record.Topic{}, tallies: map[*record.Topic]*tally{}, clocks: map[*record.Schema]clock{}, result: make(chan error, 1)}
	t.positioned, _ = sink.(Positioned)
	return t
}

// RunSink runs a sink task until ctx ends (nil) or an error stops it; see SinkTask.Run.
func RunSink(ctx context.Context, cfg SinkConfig, sink Sink, started func()) error {
	return NewSinkTask(cfg, sink).Run(ctx, started)
}

// SetPaused pauses or resumes the task: a paused task keeps its place in the
// group and its partitions, reads nothing, and commits what it has written. Safe
// from any goroutine.
func (t *SinkTask) SetPaused(paused bool) {
	if t.paused.Swap(paused) == paused {
		return
	}
	t.wake()
}

// wake ends a poll that waits.
func (t *SinkTask) wake() {
	t.wakeMu.Lock()
	defer t.wakeMu.Unlock()
	if t.wakeFn != nil {
		t.wakeFn()
	}
}

// Run starts the sink, joins the group and works until ctx ends, then flushes,
// commits, leaves the group and stops the sink. started is called once when the
// sink is up. The error is what the task's trace shows.
func (t *SinkTask) Run(ctx context.Context, started func()) (err error) {
	defer func() {
		if e := t.sink.Stop(); e != nil {
			t.cfg.Log.Warn("sink did not stop cleanly", "error", e)
		}
	}()
	if t.cfg.DLQ != nil { // first, as in Connect: a task that has none touches nothing
		if t.dlq, err = newDLQWriter(ctx, t.cfg.DLQ, t.cfg.Log); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		defer t.dlq.close()
	}
	if err := t.startSink(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	if t.cl, err = t.newClient(); err != nil {
		return &errs.Error{Java: errs.ConnectException, Msg: "make the Kafka consumer of the sink task", Cause: err}
	}
	defer t.cl.CloseAllowingRebalance()
	started()
	watch, unwatch := context.WithCancel(ctx)
	var wg sync.WaitGroup
	t.watchPlace(watch, &wg)
	// A task that is asked to stop may be in the midst of a Put for a while.
	end, ended := context.WithCancel(context.WithoutCancel(ctx))
	defer ended()
	t.watchStandstill(end, &wg)
	err = t.loop(ctx)
	unwatch()
	if e := t.finish(); err == nil {
		err = e
	}
	ended()
	wg.Wait()
	return err
}

// startSink starts the sink. An error fails the task at once, so that its status
// says why; one that may pass is tried again by the automatic restart.
func (t *SinkTask) startSink(ctx context.Context) error {
	if err := t.sink.Start(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (t *SinkTask) newClient() (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.Balancers(kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RebalanceTimeout(5 * time.Minute),
		kgo.FetchMaxBytes(t.cfg.fetchBytes()), kgo.FetchMaxPartitionBytes(fetchPartition),
	}
	opts = append(opts, t.cfg.Consumer...)
	opts = append(opts, t.cfg.Member...)
	opts = append(opts,
		kgo.ConsumerGroup(t.cfg.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { t.waiting.Store(true) }),
		kgo.OnPartitionsAssigned(t.onAssigned), kgo.AdjustFetchOffsetsFn(t.onFetched), kgo.OnPartitionsRevoked(t.onRevoked), kgo.OnPartitionsLost(t.onLost))
	switch {
	case t.cfg.Pattern == "":
		opts = append(opts, kgo.ConsumeTopics(t.cfg.Topics...))
	default:
		re, err := javaregex.Compile(t.cfg.Pattern, 0)
		if err != nil {
			return nil, err
		}
		anchored := "^(?:" + t.cfg.Pattern + ")$"
		if _, err := regexp.Compile(anchored); err == nil && re.Linear() {
			opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(anchored))
		} else {
			t.match = re
		}
	}
	return kgo.NewClient(opts...)
}

// loop polls until ctx ends or something fatal happens.
func (t *SinkTask) loop(ctx context.Context) error {
	last := time.Now()
	next := last.Add(t.cfg.CommitInterval)
	for {
		if t.match != nil && time.Now().After(t.rematch) {
			t.matchTopics(ctx)
		}
		if t.positioned != nil && t.inflight == nil {
			// Not at once after a commit: one that failed would be tried without pause.
			if due := t.positioned.Due(); !due.IsZero() {
				next = earlier(next, later(due, last.Add(time.Second)))
			}
		}
		fetches := t.poll(ctx, next)
		err := t.handle(ctx, fetches)
		due := !time.Now().Before(next)
		if err == nil && (due || fetches.NumRecords() == 0 || t.waiting.Load() || t.paused.Load()) {
			err = t.settleLocked(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !t.putting() {
			t.waiting.Store(false)
			t.cl.AllowRebalance()
		}
		if due {
			if err := t.commitLocked(ctx); err != nil {
				return err
			}
			last = time.Now()
			next = last.Add(t.cfg.CommitInterval)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// poll waits for records until the next commit is due, the Put in flight is done
// or the task is paused or resumed.
func (t *SinkTask) poll(ctx context.Context, next time.Time) kgo.Fetches {
	ctx, cancel := context.WithDeadline(ctx, next)
	defer cancel()
	t.wakeMu.Lock()
	t.wakeFn = cancel
	t.wakeMu.Unlock()
	if len(t.result) > 0 {
		cancel() // it was done before wakeFn was there; take what is buffered
	}
	if !t.paused.Load() {
		began := time.Now()
		fetches := t.cl.PollRecords(ctx, t.cfg.MaxPollRecords)
		t.waited = time.Since(began)
		return fetches
	}
	if err := t.commitLocked(ctx); err == nil {
		<-ctx.Done()
	}
	return nil
}

// putting reports whether a Put is in flight.
func (t *SinkTask) putting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inflight != nil
}

// handle works off what one poll gave.
func (t *SinkTask) handle(ctx context.Context, fetches kgo.Fetches) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return t.failed
	}
	for _, e := range fetches.Errors() {
		if err := t.fetchError(e); err != nil {
			return err
		}
	}
	return t.process(ctx, fetches)
}

// fetchError tells the fatal errors of a poll from those that the client gets
// over by itself.
func (t *SinkTask) fetchError(e kgo.FetchError) error {
	if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
		return nil
	}
	var loss *kgo.ErrDataLoss
	if errors.As(e.Err, &loss) {
		t.cfg.Log.Warn("records are gone from the topic before they were read", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
		return nil
	}
	if errors.Is(e.Err, kerr.UnknownTopicID) {
		return t.madeAnew(e.Topic, time.Now())
	}
	if errors.Is(e.Err, kerr.OffsetOutOfRange) { // the client gets over it unless auto.offset.reset is none
		return outOfRange(e.Topic, e.Partition)
	}
	var ke *kerr.Error
	if errors.As(e.Err, &ke) && !ke.Retriable && !errors.Is(e.Err, kerr.UnknownTopicOrPartition) {
		where := "group " + t.cfg.Group
		if e.Topic != "" {
			where += ", topic " + e.Topic
		}
		return unrecoverable(&errs.Error{Java: errs.ConnectException, Msg: "read from Kafka (" + where + ")", Cause: e.Err})
	}
	t.cfg.Log.Warn("read from Kafka, the client tries again", "group", t.cfg.Group, "topic", e.Topic, "error", e.Err)
	return nil
}

// unrecoverable wraps an error as WorkerSinkTask does; alert rules look for the text.
func unrecoverable(err error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: "Exiting WorkerSinkTask due to unrecoverable exception.", Cause: err}
}

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
