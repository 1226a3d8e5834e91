package rest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"millrace/emit"
	"millrace/internal/configdef"
	"millrace/internal/worker"
)

// watch counts the tasks of each connector that run at this moment, in whatever
// worker.
type watch struct {
	mu      sync.Mutex
	running map[string]int
	twice   []string
}

func (w *watch) add(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[name] += n
	if w.running[name] > 1 {
		w.twice = append(w.twice, name)
	}
}

func (w *watch) snapshot() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for k, v := range w.running {
		out[k] = v
	}
	return out
}

type watched struct {
	w    *watch
	name string
}

func (s *watched) Partition() []byte { return []byte(`{"p":1}`) }

func (s *watched) Run(ctx context.Context, _ []byte, out *emit.Pipeline, started func()) error {
	s.w.add(s.name, 1)
	defer s.w.add(s.name, -1)
	started()
	<-ctx.Done()
	return out.Drain(context.WithoutCancel(ctx))
}

// Workers come and go while connectors are made, paused, resumed, restarted and
// deleted. After every round each connector runs exactly where and as it should,
// and at no moment do two tasks of one connector run.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	boot := newKafka(t)
	see := &watch{running: map[string]int{}}
	plugin := worker.Plugin{Class: "test.WatchedConnector", Kind: worker.KindSource, TaskClass: "test.WatchedTask", Def: &configdef.Def{},
		NewSource: func(e worker.TaskEnv) (worker.Source, error) { return &watched{see, e.Connector}, nil }}
	r := rand.New(rand.NewPCG(7, 7))
	workers := []*testWorker{startWorkerOn(t, boot, plugin)}
	want := map[string]string{}
	for round := range 100 {
		any := workers[r.IntN(len(workers))]
		switch r.IntN(5) {
		case 0:
			if len(workers) < 3 {
				workers = append(workers, startWorkerOn(t, boot, plugin))
			}
		case 1:
			if len(workers) > 1 {
				i := r.IntN(len(workers))
				workers[i].stop()
				workers = append(workers[:i:i], workers[i+1:]...)
			}
		case 2, 3:
			name := fmt.Sprintf("c%d", r.IntN(6))
			if want[name] == "" {
				tell(t, any, "PUT", "/connectors/"+name+"/config", `{"connector.class":"test.WatchedConnector"}`)
				want[name] = "RUNNING"
			} else if r.IntN(4) == 0 {
				tell(t, any, "DELETE", "/connectors/"+name, "")
				delete(want, name)
			} else if want[name] == "RUNNING" {
				tell(t, any, "PUT", "/connectors/"+name+"/pause", "")
				want[name] = "PAUSED"
			} else {
				tell(t, any, "PUT", "/connectors/"+name+"/resume", "")
				want[name] = "RUNNING"
			}
		case 4:
			for name := range want {
				tell(t, any, "POST", "/connectors/"+name+"/restart?includeTasks=true", "")
				break
			}
		}
		settle(t, workers, see, want, round)
	}
	if len(see.twice) > 0 {
		t.Errorf("two tasks at once: %v", see.twice)
	}
}

// tell sends a request that must succeed.
func tell(t *testing.T, w *testWorker, method, path, body string) {
	t.Helper()
	if code, got := ask(t, w, method, path, body); code/100 != 2 {
		t.Fatalf("%s %s: %d %v", method, path, code, got)
	}
}

// settle waits until every worker shows what is wanted and exactly that runs.
func settle(t *testing.T, workers []*testWorker, see *watch, want map[string]string, round int) {
	t.Helper()
	var problem string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		problem = ""
		running := see.snapshot()
		for name, state := range want {
			n := 0
			if state == "RUNNING" {
				n = 1
			}
			if running[name] != n {
				problem = fmt.Sprintf("%s should be %s and runs %d times", name, state, running[name])
			}
			for _, w := range workers {
				_, st := ask(t, w, "GET", "/connectors/"+name+"/status", "")
				if look(st, "connector.state") != state || look(st, "tasks[0].state") != state || look(st, "tasks.#") != 1.0 {
					problem = fmt.Sprintf("%s should be %s: %v", name, state, st)
				}
			}
		}
		for name, n := range running {
			if n > 0 && want[name] == "" {
				problem = name + " runs and is not there"
			}
		}
		if problem == "" {
			return
		}
	}
	t.Fatalf("round %d: %s", round, problem)
}
