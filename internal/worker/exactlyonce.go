package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/store"
)

// Exactly-once sources (KIP-618), from the worker's side. A task starts in this
// order: the leader fences the tasks of the configs before (once per commit of task
// configs), the task's producer claims its transactional id, the task makes sure
// that it is still wanted, and only then its offset is read. So nothing that an
// earlier task wrote can become visible after the offset was read.

// transactionalID is the id under which a task writes, as Connect names it.
func (c *Config) transactionalID(connector string, task int) string {
	return fmt.Sprintf("%s-%s-%d", c.GroupID, connector, task)
}

// leaderID is the transactional id of the group's leader, "" when leaders do not
// fence each other.
func (c *Config) leaderID() string {
	if !c.LeaderTransactions {
		return ""
	}
	return "connect-cluster-" + c.GroupID
}

// FenceTasks answers the internal PUT …/fence on the leader: tasks of the committed
// configs before these can write no more.
func (w *Worker) FenceTasks(ctx context.Context, name string) error {
	w.fencing.Lock()
	defer w.fencing.Unlock()
	if err := w.configs.Sync(ctx); err != nil {
		return err
	}
	c := w.configs.Get(name)
	if c == nil {
		return notFound(name)
	}
	p := w.reg.Connector(className(c.Config.Strings()))
	if p == nil || p.Kind != KindSource {
		return statusErrorf(400, "Connector %s is not a source connector", name)
	}
	if !c.Unfenced {
		return nil
	}
	if c.Fenced > 0 && (c.Fenced != 1 || len(c.Tasks) != 1) { // a single task fences its one predecessor itself
		for i := range c.Fenced {
			if err := w.fenceTask(ctx, w.cfg.transactionalID(name, i)); err != nil {
				return err
			}
		}
	}
	if err := w.configs.Sync(ctx); err != nil {
		return err
	}
	if now := w.configs.Get(name); now == nil || !sameTasks(now.Tasks, c.Tasks) {
		return statusErrorf(409, "Failed to perform zombie fencing for connector %s because its task configurations have changed since the request", name)
	}
	return w.configs.PutFencing(ctx, name, len(c.Tasks))
}

// fenceTask claims a transactional id and lets it go: whoever holds it can write no
// more, and its open transaction is aborted.
func (w *Worker) fenceTask(ctx context.Context, id string) error {
	for {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr(id), 60000
		req.ProducerID, req.ProducerEpoch = -1, -1
		resp, err := req.RequestWith(ctx, w.admin)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) || !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("fence the producer %s: %w", id, err)
		}
	}
}

// fence has the leader fence the tasks before this one, and waits for it.
func (t *runningTask) fence(ctx context.Context) error {
	for {
		err := t.fenceOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		var se *StatusError
		if errors.As(err, &se) && se.Code == http.StatusBadRequest {
			return err
		}
		// The group is rebalancing, or the key that signs requests is changing.
		t.log.Info("earlier tasks are not fenced yet; trying again", "error", err)
		if !sleep(ctx, retryTasks) {
			return ctx.Err()
		}
	}
}

func (t *runningTask) fenceOnce(ctx context.Context) error {
	self, leader := t.w.Leader()
	if self {
		return t.w.FenceTasks(ctx, t.s.name)
	}
	if leader == "" {
		return errors.New("the group has no leader at the moment")
	}
	return t.w.internalCall(ctx, http.MethodPut, leader, "/connectors/"+url.PathEscape(t.s.name)+"/fence", nil)
}

// wanted reports whether this is still the task that the group and the configs
// want here.
func (t *runningTask) wanted() bool {
	if !t.live.Load() {
		return false
	}
	if v := t.w.view.Load(); v != nil && v.lost {
		return false
	}
	c := t.w.configs.Get(t.s.name)
	if c == nil || c.Target == store.Stopped || t.id >= len(c.Tasks) || c.Tasks[t.id] != t.config {
		return false
	}
	self, _ := t.w.Owner(t.s.name, t.id)
	return self
}

// claim makes the producer of a transactional task the only one with its id. ok
// false: the task is not wanted any more and will be stopped.
func (t *runningTask) claim(ctx context.Context, cl *kgo.Client) (ok bool, err error) {
	if err := t.fence(ctx); err != nil {
		return false, err
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return false, &errs.Error{Java: errs.ConnectException, Msg: "claim the transactional id " + t.w.cfg.transactionalID(t.s.name, t.id),
			Hint: "The principal needs WRITE and DESCRIBE on it", Retriable: true, Cause: err}
	}
	return t.wanted(), nil
}

// transaction is how a task's pipeline writes its transactions.
func (t *runningTask) transaction(props map[string]string, o *taskOffsets) *emit.Transaction {
	if !t.w.cfg.ExactlyOnce {
		return nil
	}
	tx := &emit.Transaction{Offset: o.record, Committed: o.committed}
	if strings.EqualFold(strings.TrimSpace(props["transaction.boundary"]), "interval") {
		tx.Interval = t.w.cfg.FlushInterval
		if d, err := time.ParseDuration(strings.TrimSpace(props["transaction.boundary.interval.ms"]) + "ms"); err == nil {
			tx.Interval = max(d, time.Millisecond)
		}
	}
	return tx
}
