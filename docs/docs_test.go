// Package docs tests the documentation: its commands run, its JSON fits the
// definitions, the errors it quotes are in the code, its links lead somewhere.
package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/testkit"
	"millrace/internal/testkit/pgserver"
)

// block is fenced text of a page.
type block struct {
	page, lang, text string
	line             int
}

var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// blocks reads the fenced blocks of all pages, in the order in which a newcomer meets
// the pages: what one makes the next ones use.
func blocks(t *testing.T) (out []block) {
	t.Helper()
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var open *block
		indent := ""
		for i, line := range strings.Split(string(data), "\n") {
			m := fence.FindStringSubmatch(line)
			switch {
			case m != nil && open == nil:
				open, indent = &block{page: page, lang: m[2], line: i + 1}, m[1]
			case m != nil:
				out, open = append(out, *open), nil
			case open != nil:
				open.text += strings.TrimPrefix(line, indent) + "\n"
			}
		}
		if open != nil {
			t.Errorf("%s:%d: a block has no end", page, open.line)
		}
	}
	return out
}

// pages are those of this directory, the first steps first.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.md")
	if err != nil || len(all) < 10 {
		t.Fatalf("pages: %q, %v", all, err)
	}
	slices.SortStableFunc(all, func(a, b string) int {
		rank := func(s string) int {
			return slices.Index([]string{"", "snapshots.md", "operate.md", "five-minutes.md"}, s)
		}
		return rank(b) - rank(a)
	})
	return all
}

// TestBlocksAreOfAKind: what can be run is fenced as such, so that it is run.
func TestBlocksAreOfAKind(t *testing.T) {
	for _, b := range blocks(t) {
		if !slices.Contains([]string{"sh", "sql", "json", "properties", "mermaid", "text"}, b.lang) {
			t.Errorf("%s:%d: a block is fenced as %q; say sh, sql, json, properties, mermaid, or text for what a test cannot run", b.page, b.line, b.lang)
		}
		if b.lang != "text" {
			continue
		}
		for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			if !slices.ContainsFunc(notRun, func(x [2]string) bool { return strings.HasPrefix(strings.TrimSpace(line), x[0]) }) {
				t.Errorf("%s:%d: nothing says why %q is not run", b.page, b.line, line)
			}
		}
	}
}

// notRun are the beginnings of lines that this test does not run, and what does.
var notRun = [][2]string{
	{"make demo", "internal/demo runs it"},
	{"millrace verify ", "the command's own test runs it"},
	{"millrace takeover --check ", "the command's own test runs it"},
}

// world is where the commands run: a database, a worker, a directory with the files.
type world struct {
	db     *pgserver.Server // of its own, so that what the doctor says is about this test
	daemon *testkit.Daemon
	dir    string
	env    []string
	places *strings.Replacer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{db: pgserver.New(t), dir: t.TempDir()}
	bin := testkit.Binary(t)
	w.daemon = testkit.NewDaemon(t, bin, nil)
	prefix := testkit.Name("dx")
	testkit.DropTopics(t, prefix)
	if err := os.Symlink(bin, filepath.Join(w.dir, "millrace")); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(w.daemon.URL, "http://")
	w.places = strings.NewReplacer("localhost:8083", host, "localhost:9092", testkit.Kafka(t), "dbserver1", prefix, "/tmp/", w.dir+"/")
	w.env = append(os.Environ(), "PATH="+w.dir+":"+os.Getenv("PATH"), "MILLRACE_URL="+w.daemon.URL)
	if _, err := w.daemon.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// write writes worker.properties and connector.json: those of the page, with the
// names and places of this test.
func (w *world) write(t *testing.T, b block) {
	t.Helper()
	var c struct {
		Name   string            `json:"name"`
		Config map[string]string `json:"config"`
	}
	if err := json.Unmarshal([]byte(b.text), &c); err != nil {
		t.Fatalf("%s:%d: %v", b.page, b.line, err)
	}
	for k, v := range map[string]string{"database.hostname": w.db.Host, "database.port": w.db.Port, "database.user": "postgres", "database.password": "none", "database.dbname": "postgres",
		"topic.prefix": w.places.Replace(c.Config["topic.prefix"])} {
		c.Config[k] = v
	}
	text, _ := json.Marshal(c)
	if err := os.WriteFile(filepath.Join(w.dir, "connector.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	var props strings.Builder
	for k, v := range w.daemon.Props {
		props.WriteString(k + "=" + v + "\n")
	}
	if err := os.WriteFile(filepath.Join(w.dir, "worker.properties"), []byte(props.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCommands runs every command and every statement of the pages, as somebody does
// who reads them.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	ran := 0
	for _, b := range blocks(t) {
		switch {
		case b.lang == "json" && b.page == "five-minutes.md":
			w.write(t, b)
		case b.lang == "sql":
			w.db.Exec("postgres", strings.Split(strings.TrimSuffix(strings.TrimSpace(b.text), ";"), ";\n")...)
		case b.lang == "sh":
			for _, line := range commands(b.text) {
				w.run(ctx, t, b, line)
				ran++
			}
		}
		if t.Failed() {
			return
		}
	}
	if ran < 25 {
		t.Errorf("only %d commands were found", ran)
	}
}

// commands are the lines of a block; a line that ends with \ goes on.
func commands(text string) (out []string) {
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func (w *world) run(ctx context.Context, t *testing.T, b block, line string) {
	t.Helper()
	if strings.HasPrefix(line, "millrace run ") {
		return // it runs already, with that file
	}
	line = w.places.Replace(line)
	if strings.Contains(line, " signals ") || strings.HasPrefix(line, "millrace snapshot") || strings.Contains(line, "/signals") {
		// A task that was just started takes signals in a moment.
		if err := w.daemon.WaitRunning(ctx, "inventory"); err != nil {
			t.Fatal(err)
		}
	}
	for {
		cmd := exec.CommandContext(ctx, "bash", "-c", line)
		cmd.Dir, cmd.Env = w.dir, w.env
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
			t.Logf("%s:%d: %s", b.page, b.line, line)
			return
		case ctx.Err() == nil && (bytes.Contains(out, []byte("rebalance")) || bytes.Contains(out, []byte("409")) || bytes.Contains(out, []byte("No task of")) || bytes.Contains(out, []byte("there is no topic")) || bytes.Contains(out, []byte("STOPPED state"))):
			time.Sleep(100 * time.Millisecond) // "ask again in a moment", as the pages say: the group distributes work, the first record is on its way
			continue
		}
		t.Errorf("%s:%d: %s: %v\n%s", b.page, b.line, line, err, out)
		return
	}
}

// TestConnectorsFitTheirDefinitions checks the JSON and the properties of all pages.
func TestConnectorsFitTheirDefinitions(t *testing.T) {
	var d *testkit.Daemon
	for _, b := range blocks(t) {
		if b.lang != "json" {
			continue
		}
		var c struct {
			Config map[string]string `json:"config"`
		}
		if err := json.Unmarshal([]byte(b.text), &c); err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
			continue
		}
		if c.Config == nil {
			continue
		}
		if d == nil {
			d = testkit.NewDaemon(t, testkit.Binary(t), nil)
			if _, err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var keys []struct{ Name string }
		if err := d.Do(t.Context(), http.MethodGet, "/connector-plugins/"+c.Config["connector.class"]+"/config", nil, &keys); err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
			continue
		}
		for k := range c.Config {
			known := strings.HasPrefix(k, "transforms.") || strings.HasPrefix(k, "topic.creation.") ||
				k == "read.only" // Debezium does not list it for PostgreSQL, nor does millrace then
			for _, x := range keys {
				known = known || x.Name == k
			}
			if !known {
				t.Errorf("%s:%d: %s is no setting of %s", b.page, b.line, k, c.Config["connector.class"])
			}
		}
	}
}

// TestErrorsAreThePrograms: every text that troubleshooting.md quotes is in the code.
func TestErrorsAreThePrograms(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (strings.HasPrefix(e.Name(), ".") && e.Name() != ".." || e.Name() == "testdata" || e.Name() == "docs") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			code.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	source, found := code.String(), 0
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			for _, part := range strings.Split(m[1], "…") {
				if part = strings.TrimSpace(part); len(part) > 3 {
					found++
					if !strings.Contains(source, part) {
						t.Errorf("no error of the program holds %q", part)
					}
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d texts were found", found)
	}
}

// TestLinks lead to files that are there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
			}
		}
	}
}
