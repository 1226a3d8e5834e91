package oracle

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/testkit"
	"millrace/internal/testkit/registry"
)

var update = flag.Bool("update", false, "rewrite known.txt from this run; causes that stand there are kept")

// TestPostgresReplay runs every recorded PostgreSQL case against a daemon and
// compares what lands in Kafka with what Debezium wrote. Cases that known.txt
// names may differ; they fail the test when they have become equal, unless the
// cause begins with "varies".
//
//	MILLRACE_TEST_CASES=GLOB       only these cases
//	MILLRACE_TEST_CONNECT=URL      another daemon, for instance the real Kafka Connect
//	MILLRACE_TEST_PARALLEL=N       cases at a time (8)
//	MILLRACE_TEST_DIFFS=N          differences shown for each case (3)
//
// With -short it runs one case of each area.
func TestPostgresReplay(t *testing.T) {
	replay(t, "postgres")
}

// TestMySQLReplay does the same for MySQL.
func TestMySQLReplay(t *testing.T) {
	replay(t, "mysql")
}

// TestMariaDBReplay does the same for MariaDB.
func TestMariaDBReplay(t *testing.T) {
	replay(t, "mariadb")
}

// TestTransformsReplay does the same for transforms, predicates and converters.
func TestTransformsReplay(t *testing.T) {
	replay(t, "transforms")
}

// TestAvroReplay does the same for the converters of a Schema Registry. The registry
// is one in this process, or the real server that MILLRACE_TEST_REGISTRY names; the
// cases that only Confluent's own server answers as recorded are left out then.
func TestAvroReplay(t *testing.T) {
	replay(t, "avro")
}

// confluentOnly are the cases that need Confluent's own server: they record its
// texts of errors, its normal form of a schema, or a default that Apicurio refuses.
var confluentOnly = []string{"evolve-set-not-null", "names-default", "normalize-schemas", "outbox-expanded", "subject-topic-name-two-tables", "types-json"}

func replay(t *testing.T, area string) {
	paths := casePaths(t, area)
	known := knownDifferences(t, area)
	together, alone := []string{}, []string{}
	servers, kafka := map[string]testkit.Endpoint{}, testkit.Kafka(t)
	find := map[string]func(testing.TB) testkit.Endpoint{"postgres": testkit.Postgres, "mysql": testkit.MySQL, "mariadb": testkit.MariaDB}
	for _, p := range paths {
		c, err := LoadCase(p)
		if err != nil {
			t.Fatal(err)
		}
		if area == "avro" && os.Getenv("MILLRACE_TEST_REGISTRY") != "" && slices.Contains(confluentOnly, c.Name) {
			continue
		}
		if _, have := servers[c.Engine]; !have && find[c.Engine] != nil {
			servers[c.Engine] = find[c.Engine](t)
		}
		if c.Alone() {
			alone = append(alone, p)
		} else {
			together = append(together, p)
		}
	}

	rest := &testkit.Rest{URL: os.Getenv("MILLRACE_TEST_CONNECT")}
	if rest.URL == "" {
		d := testkit.NewDaemon(t, testkit.Binary(t), nil)
		if _, err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		rest = &d.Rest
	}
	tag := testkit.Name("")[:3]
	hub, err := NewHub(kafka, "p"+tag)
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	at := os.Getenv("MILLRACE_TEST_REGISTRY")
	if at == "" {
		_, at = registry.Start(t)
	}
	driver := &Driver{Registry: at, Rest: rest, Servers: servers, Kafka: kafka, Hub: hub, Timeout: 30 * time.Second, Quiet: 300 * time.Millisecond, Patience: 1500 * time.Millisecond}

	began := time.Now()
	sum := newSummary(known, number("MILLRACE_TEST_DIFFS", 3))
	limit := make(chan struct{}, number("MILLRACE_TEST_PARALLEL", 8))
	var wg sync.WaitGroup
	for i, p := range together {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			sum.run(t, driver, p, fmt.Sprintf("%s%03x", tag, i))
		})
	}
	wg.Wait()
	for i, p := range alone {
		sum.run(t, driver, p, fmt.Sprintf("%s%03x", tag, len(together)+i))
	}
	if *update {
		sum.rewrite(t, area)
	}
	t.Logf("%s: %d of %d cases, %d of %d records equal, in %s", area, sum.passed, len(paths), sum.equal, sum.records, time.Since(began).Round(time.Second))
}

// number reads a whole number from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// casePaths lists the cases of an area, or with -short the first of each kind
// (the first word of the name).
func casePaths(t *testing.T, area string) []string {
	t.Helper()
	glob := os.Getenv("MILLRACE_TEST_CASES")
	all, err := filepath.Glob(filepath.Join(cases, area, cmp.Or(glob, "*")+".yaml"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no case fits %q: %v", glob, err)
	}
	if !testing.Short() || glob != "" {
		return all
	}
	var out []string
	seen := map[string]bool{}
	for _, p := range all {
		kind, _, _ := strings.Cut(filepath.Base(p), "-")
		if !seen[kind] {
			seen[kind] = true
			out = append(out, p)
		}
	}
	return out
}

// knownDifferences reads known.txt: one "AREA/CASE  cause" a line.
func knownDifferences(t *testing.T, area string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(cases, "known.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, cause, _ := strings.Cut(line, " ")
		if strings.TrimSpace(cause) == "" {
			t.Errorf("known.txt: %s has no cause", name)
		}
		a, c, ok := strings.Cut(name, "/")
		if _, err := os.Stat(filepath.Join(cases, name+".yaml")); err != nil || !ok {
			t.Errorf("known.txt names %s, which is no case", name)
		}
		if a == area {
			out[c] = strings.TrimSpace(cause)
		}
	}
	return out
}

// summary counts results; it is safe for concurrent use.
type summary struct {
	known map[string]string
	most  int

	mu                     sync.Mutex
	passed, records, equal int
	now                    map[string]string // differing cases and their causes after this run
}

func newSummary(known map[string]string, most int) *summary {
	return &summary{known: known, most: most, now: maps.Clone(known)}
}

func (s *summary) run(t *testing.T, d *Driver, path, hex string) {
	c, err := LoadCase(path)
	if err != nil {
		t.Error(err)
		return
	}
	want, err := LoadRecording(strings.TrimSuffix(path, ".yaml") + ".expected.json")
	if err != nil {
		t.Error(err)
		return
	}
	if _, listed := s.known[c.Name]; listed {
		short := *d // it will hardly arrive
		short.Timeout = 8 * time.Second
		d = &short
	}
	r, err := d.Check(t.Context(), c, want, hex)
	ok := err == nil && len(r.Differences) == 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records += r.Records
	s.equal += r.Equal
	if ok {
		s.passed++
	}
	cause, listed := s.known[c.Name]
	varies := strings.HasPrefix(cause, "varies") // it depends on when the catalog is read
	if *update && ok == listed && !varies {
		delete(s.now, c.Name)
		if !ok {
			s.now[c.Name] = "not looked at yet"
		}
		t.Logf("known.txt: %s", r.Line(c.Name, err, s.most))
		return
	}
	switch {
	case ok && listed && !varies:
		t.Errorf("%s is equal now: take it out of known.txt (%s)", c.Name, cause)
	case ok:
		if testing.Verbose() {
			t.Log(r.Line(c.Name, err, s.most))
		}
	case listed:
		if testing.Verbose() {
			t.Logf("%s (known: %s)", r.Line(c.Name, err, s.most), cause)
		}
	default:
		t.Error(r.Line(c.Name, err, s.most))
	}
}

// rewrite puts the cases of an area that differ now into known.txt.
func (s *summary) rewrite(t *testing.T, area string) {
	t.Helper()
	path := filepath.Join(cases, "known.txt")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var head, lines []string
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		switch {
		case strings.HasPrefix(l, "#"):
			head = append(head, l)
		case l != "" && !strings.HasPrefix(l, area+"/"):
			lines = append(lines, l)
		}
	}
	for name, cause := range s.now {
		lines = append(lines, area+"/"+name+"  "+cause)
	}
	slices.Sort(lines)
	if err := os.WriteFile(path, []byte(strings.Join(append(head, lines...), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
