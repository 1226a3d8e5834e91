package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"millrace/internal/testkit"
	"millrace/internal/testkit/pgserver"
)

// limit bounds the whole run; it takes about half a minute on an idle machine, and four
// minutes on a tenth of one.
const limit = 15 * time.Minute

// schema is what the source has: a table that is changed, one that never is, one
// that a later connector captures, and the table of signals.
const schema = `
create table public.customers (id int primary key, name text not null, email text, credit numeric(10,2));
alter table public.customers replica identity full;
insert into public.customers select n, 'Name ' || n, 'n' || n || '@example.com', n * 1.5 from generate_series(1, 200) n;
create table public.countries (code text primary key, name text);
insert into public.countries values ('ch', 'Switzerland'), ('is', 'Iceland');
create table public.signals (id text primary key, type text not null, data text);
create table public.orders (id int primary key, customer int);
insert into public.orders values (1, 1), (2, 1);`

// tool is a program or directory that scripts/browser names. Where CI is set, a
// missing one must never look like a passing test.
func tool(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" && os.Getenv("CI") != "" {
		t.Fatalf("%s is not set; run the tests with `make test`", name)
	}
	if v == "" {
		t.Skipf("%s is not set; eval \"$(scripts/browser)\" sets it", name)
	}
	return v
}

// TestPage lets main.mjs use the page. The script asks for what it cannot do itself
// (SQL, stopping and starting the database and another worker) by lines that begin with @.
func TestPage(t *testing.T) {
	tool(t, "MILLRACE_TEST_BROWSER")
	tool(t, "MILLRACE_TEST_NODE_MODULES")
	db := pgserver.New(t, "max_slot_wal_keep_size = 256MB")
	db.Exec("postgres", strings.Split(strings.TrimSuffix(schema, ";"), ";")...)
	bin := testkit.Binary(t)
	daemon := testkit.NewDaemon(t, bin, nil)
	shown := testkit.NewDaemon(t, bin, map[string]string{"ui.read.only": "true"})
	other := testkit.NewDaemon(t, bin, sameGroup(daemon))
	prefix := testkit.Name("br")
	testkit.DropTopics(t, prefix)
	for _, d := range []*testkit.Daemon{daemon, shown} {
		if _, err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	settings, err := json.Marshal(map[string]string{
		"url": daemon.URL, "readOnly": shown.URL, "other": other.URL, "host": db.Host, "port": db.Port, "prefix": prefix,
		"browser": os.Getenv("MILLRACE_TEST_BROWSER"), "modules": os.Getenv("MILLRACE_TEST_NODE_MODULES"), "shots": os.Getenv("MILLRACE_TEST_SHOTS"),
	})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(ctx, "node", "main.mjs", string(settings))
	node.Stderr = os.Stderr
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatalf("node: %v", err)
	}
	serve(t, db, other, out, in)
	if err := node.Wait(); err != nil {
		t.Errorf("the browser's run failed (%v); screenshots are in %s", err, os.Getenv("MILLRACE_TEST_SHOTS"))
	}
}

// sameGroup are the properties of another worker of the daemon's group.
func sameGroup(d *testkit.Daemon) map[string]string {
	out := map[string]string{}
	for _, k := range []string{"group.id", "config.storage.topic", "offset.storage.topic", "status.storage.topic"} {
		out[k] = d.Props[k]
	}
	return out
}

// serve does what the script asks for until it ends.
func serve(t *testing.T, db *pgserver.Server, other *testkit.Daemon, out io.Reader, in io.Writer) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		what, asked := strings.CutPrefix(lines.Text(), "@")
		if !asked {
			t.Log(lines.Text())
			continue
		}
		switch verb, rest, _ := strings.Cut(what, " "); verb {
		case "sql":
			db.Exec("postgres", rest)
		case "stop":
			db.Stop()
		case "start":
			db.Start()
		case "join":
			if _, err := other.Start(t.Context()); err != nil {
				t.Fatalf("another worker: %v", err)
			}
		case "leave":
			if err := other.Stop(t.Context()); err != nil {
				t.Fatalf("another worker: %v", err)
			}
		default:
			t.Errorf("the script asks for %q", what)
		}
		if _, err := fmt.Fprintln(in, "done"); err != nil {
			t.Errorf("answer the script: %v", err)
			return
		}
	}
}
