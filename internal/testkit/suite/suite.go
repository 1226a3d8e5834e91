package suite

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"
)

// Patience bounds every wait for something that must come.
const Patience = 3 * time.Minute

// Prefix is topic.prefix of every scenario.
const Prefix = "srv"

// Driver is one server.
type Driver interface {
	// Dialect is the SQL that the server speaks: Postgres, MySQL or MariaDB.
	Dialect() *Dialect
	// Open makes a database of this test's own and whatever a connector needs to read
	// it, and removes both when the test ends. props are the scenario's properties,
	// which win over the driver's own; {db} in them stands for what is before the dot
	// of a table's full name and is for the driver to fill in (see Fill).
	Open(t *testing.T, props map[string]string) Database
}

// Database is a database and the properties of a connector on it.
type Database interface {
	// Exec runs statements one by one in one session. Each commits by itself unless
	// the statements say begin and commit.
	Exec(t *testing.T, statements ...string)
	// Run runs the source from an offset (nil: none) into out until ctx ends, and
	// returns its error, as Source.Run does. Calls do not overlap. When the source
	// wants to be told of stored positions it sets out.OnStored first.
	Run(ctx context.Context, t *testing.T, offset []byte, out *Sink) error
}

// Fill replaces {db} in the values of properties.
func Fill(props map[string]string, db string) map[string]string {
	out := make(map[string]string, len(props))
	for k, v := range props {
		out[k] = strings.ReplaceAll(v, "{db}", db)
	}
	return out
}

// endTable gets one row behind the last step: what came twice or too much is seen
// before it.
const endTable = "suite_end"

// Run runs every scenario that the driver's dialect knows.
func Run(t *testing.T, d Driver) {
	for i := range scenarios {
		s := scenarios[i].in(d.Dialect())
		if s == nil {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			t.Run("live", func(t *testing.T) { live(t, d, s) })
			t.Run("restarted", func(t *testing.T) { restarted(t, d, s) })
		})
	}
}

// open makes the scenario's database.
func open(t *testing.T, d Driver, s *Scenario, more map[string]string) Database {
	t.Helper()
	props := map[string]string{"topic.prefix": Prefix, "snapshot.mode": "initial", "retriable.restart.connector.wait.ms": "100"}
	maps.Copy(props, s.Props)
	maps.Copy(props, more)
	db := d.Open(t, props)
	db.Exec(t, "create table "+endTable+" (id int primary key)")
	db.Exec(t, s.Setup.SQL...)
	return db
}

// live runs the scenario with one source, and then resumes behind each record.
func live(t *testing.T, d Driver, s *Scenario) {
	db := open(t, d, s, map[string]string{"max.batch.size": "1"})
	out := s.sink()
	out.Hold() // nothing is confirmed, so that the log can be read again from everywhere
	x := start(t, db, nil, out)
	out.expect(t, x, s.Setup.Want)
	snapshot := len(s.Setup.Want)
	want := append([]string(nil), s.Setup.Want...)
	for _, step := range s.Steps {
		db.Exec(t, step.SQL...)
		want = append(want, step.Want...)
		out.expect(t, x, want)
	}
	x.end(t)
	out.exactly(t, want)
	if s.Beats {
		out.beaten(t)
	}
	if t.Failed() {
		return
	}
	t.Run("resumed", func(t *testing.T) { resumed(t, db, s, out, want, snapshot) })
}

// resumed starts a source from every offset behind the snapshot.
func resumed(t *testing.T, db Database, s *Scenario, first *Sink, want []string, snapshot int) {
	done := -1
	for _, e := range first.Ends() {
		if e.Records <= snapshot || e.Records == done || e.Records >= len(want) {
			continue // in the snapshot, or no record since the last
		}
		done = e.Records
		out := s.sink()
		out.Hold()
		x := start(t, db, e.Offset, out)
		out.expect(t, x, want[e.Records:])
		x.end(t)
		out.exactly(t, want[e.Records:])
		if t.Failed() {
			t.Fatalf("resumed behind record %d, %s, from %s", e.Records, want[e.Records-1], e.Offset)
		}
	}
	if done < 0 {
		t.Error("there was no offset to resume from")
	}
}

// restarted makes each step while no source runs, and stops the source behind it.
func restarted(t *testing.T, d Driver, s *Scenario) {
	db := open(t, d, s, nil)
	steps := append([]Step{s.Setup}, s.Steps...)
	var offset []byte
	for i, step := range steps {
		if i > 0 {
			db.Exec(t, step.SQL...)
		}
		out := s.sink()
		x := start(t, db, offset, out)
		if i == 0 && len(step.Want) == 0 {
			out.position(t, x)
		}
		out.expect(t, x, step.Want)
		x.end(t)
		out.exactly(t, step.Want)
		if t.Failed() {
			t.Fatalf("in step %d, %q", i, step.SQL)
		}
		if ends := out.Ends(); len(ends) > 0 {
			offset = ends[len(ends)-1].Offset
		}
	}
}

// running is a source that runs.
type running struct {
	stop context.CancelFunc
	done chan error
}

// start runs a source until end, or the end of the test.
func start(t *testing.T, db Database, offset []byte, out *Sink) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x := &running{stop: cancel, done: make(chan error, 1)}
	go func() { x.done <- db.Run(ctx, t, offset, out) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-x.done:
			x.done <- err
		case <-time.After(Patience):
			t.Error("the source did not stop")
		}
	})
	return x
}

// end stops the source in order.
func (x *running) end(t *testing.T) {
	t.Helper()
	x.stop()
	select {
	case err := <-x.done:
		x.done <- err
		if err != nil {
			t.Fatalf("the source ended with: %v", err)
		}
	case <-time.After(Patience):
		t.Fatal("the source did not end")
	}
}
