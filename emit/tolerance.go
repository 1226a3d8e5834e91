package emit

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// counters are the reasons for which a record never reaches Kafka.
type counters struct{ transform, tolerated prometheus.Counter }

func bindCounters(m *metrics.Task) counters {
	if m == nil {
		n := prometheus.NewCounter(prometheus.CounterOpts{Name: "unused"})
		return counters{n, n}
	}
	return counters{m.Skipped("transform"), m.Skipped("tolerated")}
}

// Retry is Connect's retry of one operation: 300 ms doubled per attempt, a random
// delay below errors.retry.delay.max.ms once the doubling passes it, until
// errors.retry.timeout is over. Only retriable errors are tried again.
type Retry struct {
	n     int
	begun time.Time
}

// Again waits for the next try and reports whether there is one; err is why the last
// one failed.
func (r *Retry) Again(ctx context.Context, t *Tolerance, err error) bool {
	if t.RetryTimeout == 0 || !errs.Retriable(err) || ctx.Err() != nil {
		return false
	}
	now := time.Now()
	if r.n == 0 {
		r.begun = now
	}
	delay := r.delay(t.RetryMax, rand.Int64N)
	if t.RetryTimeout > 0 {
		left := t.RetryTimeout - now.Sub(r.begun)
		if left <= 0 {
			return false
		}
		delay = min(delay, left)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// delay counts the attempt and returns the pause before the next.
func (r *Retry) delay(most time.Duration, random func(int64) int64) time.Duration {
	d := 300 * time.Millisecond << min(r.n, 20)
	r.n++
	if most > 0 && d > most {
		d = time.Duration(random(int64(most)))
	}
	return d
}

// failed applies errors.tolerance to a record that a step could not take: nil
// means the record is skipped.
func (e *encoder) failed(step int, r *record.Record, err error) error {
	t := &e.cfg.Tolerance
	stage, class := e.stageName(step)
	if t.Log {
		args := []any{"connector", e.cfg.Connector, "task", e.cfg.Task, "stage", stage, "class", class, "err", err}
		if t.LogMessages {
			args = append(args, "topic", r.Topic.Name, "partition", r.Partition, "timestamp", r.Timestamp)
		}
		e.cfg.Log.Error(FailedIn(e.cfg.Connector, e.cfg.Task), args...)
	}
	if m := e.cfg.Metrics; m != nil {
		m.RecordFailed(time.Now(), t.Log)
	}
	if t.All {
		e.dropped.tolerated.Inc()
		return nil
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "Tolerance exceeded in error handler", Retriable: errs.Retriable(err), Cause: err}
}

// stageName names a step as Connect's log reporter does.
func (e *encoder) stageName(step int) (stage, class string) {
	n := len(e.cfg.Stages)
	switch step - n {
	case 0:
		return "HEADER_CONVERTER", e.cfg.HeaderClass
	case 1:
		return "KEY_CONVERTER", e.cfg.KeyClass
	case 2:
		return "VALUE_CONVERTER", e.cfg.ValueClass
	}
	return "TRANSFORMATION", e.cfg.Stages[step].Class
}

// FailedIn begins a report of a failed record as Connect's does, since alert rules on
// logs look for it.
func FailedIn(connector string, task int) string {
	return "Error encountered in task " + connector + "-" + strconv.Itoa(task)
}

// tolerated counts and logs a record that Kafka refused and errors.tolerance=all
// lets go.
func (p *Pipeline) tolerated(r *kgo.Record, err error) {
	bindCounters(p.cfg.Metrics).tolerated.Inc()
	if p.cfg.Metrics != nil {
		p.cfg.Metrics.RecordFailed(time.Now(), p.cfg.Tolerance.Log)
	}
	if p.cfg.Tolerance.Log {
		p.cfg.Log.Error(FailedIn(p.cfg.Connector, p.cfg.Task), "connector", p.cfg.Connector, "task", p.cfg.Task, "stage", "KAFKA_PRODUCE",
			"topic", r.Topic, "bytes", len(r.Key)+len(r.Value), "err", err)
	}
}
