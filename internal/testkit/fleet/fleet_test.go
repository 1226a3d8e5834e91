package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// rounds is how many things happen to the group: MILLRACE_TEST_ROUNDS, or 3.
// `MILLRACE_TEST_ROUNDS=100 go test ./internal/testkit/fleet -v -timeout 60m`
// is the long form.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("MILLRACE_TEST_ROUNDS")); err == nil {
		return n
	}
	return 3
}

const sources = 20

// patience bounds every wait for what must come.
const patience = 5 * time.Minute

// TestGroup lets three workers share 20 connectors while workers are killed, stopped
// and started and connectors are paused, resumed, restarted, deleted and made
// again. After each round every connector is where it should be. At the end every
// line that was written is in its topic, in order; without exactly-once a line may come
// again after a kill, or after a machine so slow that a worker lost its session. Two tasks of one connector at one time would
// show as lines that leap.
func TestGroup(t *testing.T) {
	t.Run("at least once", func(t *testing.T) { newFleet(t, "disabled").play(t, rounds()) })
	t.Run("exactly once", func(t *testing.T) { newFleet(t, "enabled").play(t, rounds()) })
}

// fleet is a group of daemons and what is wanted of it.
type fleet struct {
	exactlyOnce bool
	daemons     []*testkit.Daemon
	up          []bool
	tag, dir    string
	want        map[string]string // connector -> RUNNING or PAUSED
	lines       []int             // written so far, by connector
	kills       int
	handovers   []time.Duration
	rnd         *rand.Rand
}

func newFleet(t *testing.T, support string) *fleet {
	t.Helper()
	f := &fleet{exactlyOnce: support == "enabled", dir: t.TempDir(), want: map[string]string{}, lines: make([]int, sources),
		rnd: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3)), tag: testkit.Name("fleet")}
	testkit.DropTopics(t, f.tag)
	bin := testkit.Binary(t)
	props := map[string]string{"session.timeout.ms": "6000", "task.shutdown.graceful.timeout.ms": "60000", "offset.flush.interval.ms": "500", "exactly.once.source.support": support, "group.id": f.tag,
		"config.storage.topic": f.tag + "-configs", "offset.storage.topic": f.tag + "-offsets", "status.storage.topic": f.tag + "-status"}
	for range 3 {
		d := testkit.NewDaemon(t, bin, props)
		if _, err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.daemons, f.up = append(f.daemons, d), append(f.up, true)
	}
	for i := range sources {
		f.write(t, i)
		f.create(t, i)
	}
	f.settle(t, "the start")
	return f
}

func (f *fleet) name(i int) string { return fmt.Sprintf("%s-c%d", f.tag, i) }

// any is a daemon that is up.
func (f *fleet) any() *testkit.Daemon {
	for {
		if i := f.rnd.IntN(len(f.daemons)); f.up[i] {
			return f.daemons[i]
		}
	}
}

func (f *fleet) create(t *testing.T, i int) {
	t.Helper()
	f.do(t, "PUT", "/connectors/"+f.name(i)+"/config", map[string]string{"connector.class": "FileStreamSource", "tasks.max": "1",
		"file": filepath.Join(f.dir, strconv.Itoa(i)), "topic": f.tag + "-t" + strconv.Itoa(i), "batch.size": "10",
		"value.converter": "org.apache.kafka.connect.storage.StringConverter"})
	f.want[f.name(i)] = "RUNNING"
}

// do sends a request that must work out: a worker may just be gone.
func (f *fleet) do(t *testing.T, method, path string, body any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		if err = f.any().Do(ctx, method, path, body, nil); err == nil || method == "DELETE" && testkit.IsStatus(err, 404) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s %s: %v", method, path, err)
}

// write appends numbered lines to a connector's file.
func (f *fleet) write(t *testing.T, i int) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(f.dir, strconv.Itoa(i)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for range 25 {
		f.lines[i]++
		if _, err := fmt.Fprintf(file, "%d\n", f.lines[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fleet) play(t *testing.T, n int) {
	for round := range n {
		what := f.act(t)
		for range 5 {
			f.write(t, f.rnd.IntN(sources))
		}
		f.settle(t, fmt.Sprintf("round %d (%s)", round, what))
	}
	for i := range sources { // everything runs to its end
		if f.want[f.name(i)] == "" {
			f.create(t, i)
		}
		f.do(t, "PUT", "/connectors/"+f.name(i)+"/resume", nil)
		f.want[f.name(i)] = "RUNNING"
	}
	f.settle(t, "the end")
	records, again := 0, 0
	for i := range sources {
		r, a := f.check(t, i)
		records, again = records+r, again+a
	}
	slices.Sort(f.handovers)
	if len(f.handovers) > 0 {
		t.Logf("hand-over after a clean stop: median %v, longest %v, of %d tasks", f.handovers[len(f.handovers)/2], f.handovers[len(f.handovers)-1], len(f.handovers))
	}
	t.Logf("%d rounds, %d kills: %d records of %d connectors, %d repeated", n, f.kills, records, sources, again)
}

// act does something to the group.
func (f *fleet) act(t *testing.T) string {
	t.Helper()
	i := f.rnd.IntN(sources)
	name := f.name(i)
	switch n := f.rnd.IntN(10); {
	case n < 4:
		return f.worker(t, f.rnd.IntN(len(f.daemons)))
	case n < 6 && f.want[name] == "RUNNING":
		f.do(t, "PUT", "/connectors/"+name+"/pause", nil)
		f.want[name] = "PAUSED"
		return "pause"
	case n < 7 && f.want[name] != "":
		f.do(t, "DELETE", "/connectors/"+name, nil)
		delete(f.want, name)
		return "delete"
	case f.want[name] == "":
		f.create(t, i)
		return "create"
	case f.want[name] == "PAUSED":
		f.do(t, "PUT", "/connectors/"+name+"/resume", nil)
		f.want[name] = "RUNNING"
		return "resume"
	}
	f.do(t, "POST", "/connectors/"+name+"/restart?includeTasks=true", nil)
	return "restart"
}

// worker starts a worker that is down; one that is up it kills or stops, unless it
// is the last.
func (f *fleet) worker(t *testing.T, i int) string {
	t.Helper()
	d := f.daemons[i]
	if !f.up[i] {
		if _, err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.up[i] = true
		return "start a worker"
	}
	left := 0
	for _, up := range f.up {
		if up {
			left++
		}
	}
	if left == 1 {
		return "nothing"
	}
	f.up[i] = false
	if f.rnd.IntN(2) == 0 {
		f.kills++
		d.Kill()
		return "kill a worker"
	}
	f.stop(t, d)
	return "stop a worker"
}

// stop stops a worker and notes how long its tasks took to run elsewhere.
func (f *fleet) stop(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id := strings.TrimPrefix(d.URL, "http://")
	var moving []string
	for name, st := range f.states(t) {
		if st == "RUNNING RUNNING "+id || strings.HasSuffix(st, "RUNNING "+id) {
			moving = append(moving, name)
		}
	}
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop(ctx) }()
	for len(moving) > 0 && ctx.Err() == nil {
		now := f.states(t)
		moving = slices.DeleteFunc(moving, func(name string) bool {
			if !strings.Contains(now[name], " RUNNING ") || strings.HasSuffix(now[name], id) {
				return false
			}
			f.handovers = append(f.handovers, time.Since(began).Round(time.Millisecond))
			return true
		})
		time.Sleep(10 * time.Millisecond)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if len(moving) > 0 {
		t.Fatalf("nobody took over %v", moving)
	}
}

// states are the connectors as one of the workers sees them: the connector's state,
// its task's, and where that is.
func (f *fleet) states(t *testing.T) map[string]string {
	t.Helper()
	var all map[string]struct {
		Status struct {
			Connector struct{ State string }
			Tasks     []struct {
				State    string
				WorkerID string `json:"worker_id"`
			}
		}
	}
	out := map[string]string{}
	if err := f.any().Do(t.Context(), "GET", "/connectors?expand=status", nil, &all); err != nil {
		return out // it may be starting
	}
	for name, x := range all {
		out[name] = x.Status.Connector.State
		for _, task := range x.Status.Tasks {
			out[name] += " " + task.State + " " + task.WorkerID
		}
	}
	return out
}

// settle waits until each connector is where it should be, on a worker that is up.
func (f *fleet) settle(t *testing.T, when string) {
	t.Helper()
	alive := map[string]bool{}
	for i, d := range f.daemons {
		if f.up[i] {
			alive[strings.TrimPrefix(d.URL, "http://")] = true
		}
	}
	var problem string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now := f.states(t)
		problem = ""
		if len(now) != len(f.want) {
			problem = fmt.Sprintf("%d connectors instead of %d", len(now), len(f.want))
		}
		for name, state := range f.want {
			words := strings.Fields(now[name])
			if len(words) != 3 || words[0] != state || words[1] != state || !alive[words[2]] {
				problem = fmt.Sprintf("%s should be %s and is %q", name, state, now[name])
			}
		}
		if problem == "" {
			return
		}
	}
	t.Fatalf("%s: %s", when, problem)
}

// check reads a connector's topic to the last line.
func (f *fleet) check(t *testing.T, i int) (records, again int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	topic := f.tag + "-t" + strconv.Itoa(i)
	cl := testkit.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer cl.Close()
	last, most := 0, 0
	for most < f.lines[i] {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: %d of %d lines", topic, most, f.lines[i])
		}
		fs.EachRecord(func(r *kgo.Record) {
			n, err := strconv.Atoi(string(r.Value))
			switch {
			case err != nil || n > last+1:
				t.Errorf("%s leaps from line %d to %s", topic, last, r.Value)
			case n <= last:
				again++ // a step back
			}
			records++
			last, most = n, max(most, n)
		})
	}
	if f.exactlyOnce && again > 0 {
		t.Errorf("%s steps back %d times", topic, again)
	}
	return records, again
}
