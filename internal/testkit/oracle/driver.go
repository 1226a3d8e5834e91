package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/testkit"
)

// Driver runs cases against a daemon. It is safe for concurrent use.
type Driver struct {
	Rest     *testkit.Rest
	Servers  map[string]testkit.Endpoint // by engine: postgres, mysql, mariadb
	Kafka    string                      // bootstrap server
	Registry string                      // Schema Registry, for cases that need one
	Hub      *Hub
	Timeout  time.Duration // for each thing that is waited for
	Quiet    time.Duration // silence that ends a case
	Patience time.Duration // silence that ends it when the records differ: late ones may still come
}

// placeholder is a name of the run in a case's text.
var placeholder = regexp.MustCompile(`\{(prefix|db|slot|bootstrap|registry|pg_host|pg_port)\}`)

// session is one run of one case.
type session struct {
	*Driver
	c     *Case
	run   Run
	name  string // connector
	db    engine
	made  bool // the database is there
	inbox *Inbox
	marks int
	hex   string
	// registry reads what the converters of this case wrote; nil: they need none.
	registry *schemas
}

func digitsOf(n int32) string { return strconv.Itoa(int(n)) }

// Check runs a case and compares it with its recording. hex makes the names of
// the run: prefix p, database d, slot s, connector c. An error means that the
// case could not be run to its end.
func (d *Driver) Check(ctx context.Context, c *Case, want []Row, hex string) (res Result, err error) {
	s := &session{Driver: d, c: c, hex: hex, name: "c" + hex, run: Run{Prefix: "p" + hex, DB: "d" + hex, Slot: "s" + hex, Bootstrap: d.Kafka}}
	if s.db, err = d.engine(c, s.run); err != nil {
		return Result{Records: len(want)}, err
	}
	if c.registered {
		s.registry = &schemas{rest: testkit.Rest{URL: d.Registry}, known: map[uint32]*Object{}}
	}
	s.inbox = d.Hub.Inbox(s.run.Prefix)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, s.clean(clean))
	}()
	if err := s.db.create(ctx); err != nil {
		return Result{Records: len(want)}, fmt.Errorf("creating the database: %w", err)
	}
	s.made = true
	if err := s.play(ctx); err != nil {
		return Result{Records: len(want)}, err
	}
	s.inbox.Settle(ctx, d.Quiet)
	if res, err = s.compare(ctx, want); err != nil || len(res.Differences) == 0 {
		return res, err
	}
	s.inbox.Settle(ctx, d.Patience)
	return s.compare(ctx, want)
}

// compare compares what is there now, and what else the case asks for.
func (s *session) compare(ctx context.Context, want []Row) (Result, error) {
	var failed error
	var parse func([]byte) *Object
	if s.registry != nil {
		parse = func(b []byte) *Object {
			o, err := s.registry.parse(ctx, b)
			failed = errors.Join(failed, err)
			return o
		}
	}
	rows := Rows(s.inbox.Records(), s.run, s.c, parse)
	if failed != nil {
		return Result{Records: len(want)}, failed
	}
	if s.c.Describe {
		more, err := s.topicSettings(ctx)
		if err != nil {
			return Result{Records: len(want)}, err
		}
		rows = append(rows, more...)
	}
	if s.c.Status {
		more, err := s.taskStates(ctx)
		if err != nil {
			return Result{Records: len(want)}, err
		}
		rows = append(rows, more)
	}
	more, err := s.registered(ctx)
	if err != nil {
		return Result{Records: len(want)}, err
	}
	rows = append(rows, more...)
	if s.c.History {
		more, err := s.history(ctx)
		if err != nil {
			return Result{Records: len(want)}, err
		}
		rows = append(rows, more...)
	}
	if s.c.Offsets {
		more, err := s.offsets(ctx)
		if err != nil {
			return Result{Records: len(want)}, err
		}
		rows = append(rows, more...)
	}
	return Compare(want, rows, s.c.Loose...), nil
}

func (s *session) clean(ctx context.Context) error {
	if err := s.Rest.Do(ctx, "DELETE", "/connectors/"+s.name, nil, nil); err != nil && !testkit.IsStatus(err, 404) {
		return err
	}
	var err error
	if s.made {
		err = s.db.drop(ctx)
	}
	return errors.Join(err, s.forgetSchemas(ctx), s.Hub.Forget(ctx, s.run.Prefix))
}

func (s *session) play(ctx context.Context) error {
	if err := s.sql(ctx, s.fill(s.c.Setup)); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	for _, r := range s.c.Registry {
		if err := s.ask(ctx, r); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
	}
	if err := s.Rest.Do(ctx, "POST", "/connectors", map[string]any{"name": s.name, "config": s.config(nil)}, nil); err != nil {
		return err
	}
	if err := s.ready(ctx, s.c.Ready); err != nil {
		return err
	}
	for i, st := range s.c.Steps {
		if err := s.step(ctx, st); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if s.c.End == "marker" && s.c.Ready != "snapshot" {
		return s.sync(ctx)
	}
	return nil
}

func (s *session) step(ctx context.Context, st Step) error {
	steps := []struct {
		on bool
		do func() error
	}{
		{st.SQL != "", func() error { return s.sql(ctx, s.fill(st.SQL)) }},
		{st.Sleep > 0, func() error { return pause(ctx, time.Duration(st.Sleep*float64(time.Second))) }},
		{st.Sync != nil, func() error { return s.sync(ctx) }},
		{st.Stop != nil, func() error { return s.stop(ctx) }},
		{st.Resume != nil, func() error {
			if err := s.Rest.Do(ctx, "PUT", "/connectors/"+s.name+"/resume", nil, nil); err != nil {
				return err
			}
			return s.ready(ctx, st.Ready)
		}},
		{st.Config != nil, func() error {
			if err := s.Rest.Do(ctx, "PUT", "/connectors/"+s.name+"/config", s.config(st.Config), nil); err != nil {
				return err
			}
			return errors.Join(pause(ctx, time.Second), s.ready(ctx, st.Ready))
		}},
		{st.Restart != nil, func() error {
			if err := s.Rest.Do(ctx, "POST", "/connectors/"+s.name+"/restart?includeTasks=true", nil, nil); err != nil {
				return err
			}
			return errors.Join(pause(ctx, time.Second), s.ready(ctx, st.Ready))
		}},
		{st.Produce != nil, func() error {
			m := st.Produce
			return s.Hub.cl.ProduceSync(ctx, &kgo.Record{Topic: s.fill(m.Topic), Key: []byte(s.fill(m.Key)), Value: []byte(s.fill(m.Value))}).FirstErr()
		}},
		{st.Registry != nil, func() error { return s.ask(ctx, *st.Registry) }},
		{st.WaitFor != "", func() error { return s.wait(ctx, s.fill(st.WaitFor)) }},
		{st.State != "", func() error {
			return s.until(ctx, "task "+st.State, func(x *testkit.Status) bool { return len(x.Tasks) > 0 && x.Tasks[0].State == st.State })
		}},
	}
	for _, x := range steps {
		if x.on {
			if err := x.do(); err != nil {
				return err
			}
		}
	}
	return nil
}

// stop stops the connector and leaves its slot a moment to become free.
func (s *session) stop(ctx context.Context) error {
	if err := s.Rest.Do(ctx, "PUT", "/connectors/"+s.name+"/stop", nil, nil); err != nil {
		return err
	}
	return s.until(ctx, "STOPPED", func(x *testkit.Status) bool { return x.Connector.State == "STOPPED" && len(x.Tasks) == 0 })
}

func (s *session) until(ctx context.Context, what string, ok func(*testkit.Status) bool) error {
	end := time.Now().Add(s.Timeout)
	for {
		var st testkit.Status
		if err := s.Rest.Do(ctx, "GET", "/connectors/"+s.name+"/status", nil, &st); err == nil && ok(&st) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("connector was never %s; status %+v", what, st)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) sql(ctx context.Context, script string) error {
	return s.db.exec(ctx, script)
}

// mark makes a change in the marker table and returns its text.
func (s *session) mark(ctx context.Context) (string, error) {
	s.marks++
	m := fmt.Sprintf("zz-%s-%d-", s.hex, s.marks)
	return m, s.sql(ctx, "insert into "+s.db.markers()+"(mark) values ('"+m+"')")
}

func (s *session) wait(ctx context.Context, text string) error {
	return s.inbox.Wait(ctx, text, s.Timeout, func() error { return s.failure(ctx) })
}

// sync waits until a change made now has arrived.
func (s *session) sync(ctx context.Context) error {
	m, err := s.mark(ctx)
	if err != nil {
		return err
	}
	return s.wait(ctx, m)
}

// failure returns the trace of a failed task as an error.
func (s *session) failure(ctx context.Context) error {
	var st testkit.Status
	if err := s.Rest.Do(ctx, "GET", "/connectors/"+s.name+"/status", nil, &st); err != nil {
		return nil // the REST server may be between two states
	}
	for _, t := range st.Tasks {
		if t.State == "FAILED" {
			return fmt.Errorf("task FAILED: %s", cut(t.Trace))
		}
	}
	return nil
}

// ready waits until changes arrive: a first marker that may come with the
// snapshot, then a second one, so that a commit was streamed before the first step.
func (s *session) ready(ctx context.Context, how string) error {
	switch how {
	case "snapshot":
		return s.wait(ctx, "zz-setup")
	case "none":
		return nil
	}
	end := time.Now().Add(s.Timeout)
	for {
		m, err := s.mark(ctx)
		if err != nil {
			return err
		}
		err = s.inbox.Wait(ctx, m, 1500*time.Millisecond, nil)
		if err == nil && (s.registry != nil || s.c.Streamed != nil && *s.c.Streamed) {
			return s.sync(ctx)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNoMark) || time.Now().After(end) {
			return fmt.Errorf("never streamed: %w", err)
		}
		if err := s.failure(ctx); err != nil {
			return err
		}
	}
}

func (s *session) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(m string) string {
		switch m {
		case "{prefix}":
			return s.run.Prefix
		case "{db}":
			return s.run.DB
		case "{slot}":
			return s.run.Slot
		case "{bootstrap}":
			return s.Kafka
		case "{registry}":
			return s.Registry
		case "{pg_host}":
			return s.Servers["postgres"].Host
		}
		return s.Servers["postgres"].Port
	})
}

// config is the connector's config: the driver's defaults, the case's, then more.
func (s *session) config(more Config) map[string]string {
	c := map[string]string{
		"tasks.max": "1", "topic.prefix": s.run.Prefix,
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "true",
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "true",
		"poll.interval.ms": "50",
	}
	maps.Copy(c, s.db.config())
	over := Config{}
	for _, m := range []Config{s.c.Config, more} {
		for k, v := range m {
			over[k] = v
		}
	}
	for k, v := range over {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = s.fill(*v)
		}
	}
	if l, ok := c["table.include.list"]; ok {
		c["table.include.list"] = l + "," + strings.ReplaceAll(s.db.markers(), ".", `\.`)
	}
	return c
}

// Line prints a result the way replay scripts do.
func (r Result) Line(name string, err error, most int) string {
	switch {
	case err != nil:
		return "FAIL " + name + ": " + err.Error()
	case len(r.Differences) > 0:
		shown := r.Differences[:min(most, len(r.Differences))]
		return fmt.Sprintf("FAIL %s: %d differences\n    %s", name, len(r.Differences), strings.Join(shown, "\n    "))
	}
	b, _ := json.Marshal(r.Records) // an int always marshals
	return "ok   " + name + ": " + string(b) + " records"
}
