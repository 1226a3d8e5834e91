package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/internal/errs"
	"millrace/internal/store"
	"millrace/internal/testkit"
)

func TestRevivalPauses(t *testing.T) {
	now := time.Unix(0, 0)
	r := &revival{}
	var got []string
	for range 8 {
		got = append(got, r.pause(now, now.Add(time.Second)).String())
	}
	if s := strings.Join(got, " "); s != "1s 2s 4s 8s 16s 32s 1m0s 1m0s" {
		t.Errorf("pauses %s", s)
	}
	if d := r.pause(now, now.Add(healthyFor)); d != firstRevival {
		t.Errorf("after a long good run the pause is %v", d)
	}
}

func TestTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&errs.Error{Msg: "x", Retriable: true}, true},
		{&errs.Error{Java: errs.ConfigException, Msg: "x"}, false},
		{fmt.Errorf("write: %w", kerr.NotLeaderForPartition), true},
		{&errs.Error{Msg: "x", Cause: kerr.ProducerFenced}, true},
		{&errs.Error{Msg: "x", Cause: kerr.TopicAuthorizationFailed}, false},
		{errors.New("x"), false},
	} {
		if got := transient(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// A task that failed for a reason that may pass runs again by itself, with its
// trace to be seen until then; with task.auto.restart=false, and after errors that
// do not pass, it stays as it is.
func TestTasksAreRestarted(t *testing.T) {
	w := oddWorker(t, testkit.Log(t), nil)
	put(t, w, "c", odd("flaky"))
	await(t, "running again", func() bool {
		ch := make(chan bool, 1)
		w.send("c", func(_ context.Context, s *supervisor) { ch <- s.tasks[0] != nil && s.revivals[0] != nil })
		return <-ch
	})
	if st := state(t, w, "c", store.StateRunning); st.Trace != "" {
		t.Errorf("trace %q", st.Trace)
	}
	off := oddWorker(t, testkit.Log(t), map[string]string{"task.auto.restart": "false"})
	put(t, off, "c", odd("flaky"))
	if st := state(t, off, "c", store.StateFailed); !strings.HasPrefix(st.Trace, errs.RetriableException+": not now") {
		t.Errorf("trace %q", st.Trace)
	}
	await(t, "the failure is dealt with", func() bool {
		ch := make(chan bool, 1)
		off.send("c", func(_ context.Context, s *supervisor) { ch <- len(s.tasks) == 0 && len(s.revivals) == 0 })
		return <-ch
	})
}
