package worker

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/store"
)

var update = flag.Bool("update", false, "rewrite the expected output of script files")

// TestMachineScripts drives machines by scripts: a command, "----", what the
// machine answers. The connector's config log is kept by the script itself, so a
// command changes it and tells the machine as the supervisor would.
func TestMachineScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/machine/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { runScript(t, f) })
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{conn: &store.Connector{Name: "c", Target: store.Started}, m: NewMachine(true)}
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		cmd, _, _ := strings.Cut(block, "\n----")
		for _, line := range strings.Split(cmd, "\n") {
			fmt.Fprintln(&out, line)
		}
		last := cmd[strings.LastIndexByte(cmd, '\n')+1:]
		fmt.Fprint(&out, "----\n")
		if !strings.HasPrefix(last, "#") {
			for _, a := range s.run(t, last) {
				fmt.Fprintln(&out, a)
			}
		}
		fmt.Fprintf(&out, "(%s)\n\n", s.m)
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(data) {
		t.Errorf("%s differs; run with -update and read the diff. got:\n%s", file, got)
	}
}

type script struct {
	conn *store.Connector
	m    *Machine
}

// run does one command and follows the answers that need one, as the supervisor
// does: a connector that starts tells so at once.
func (s *script) run(t *testing.T, line string) []string {
	f := strings.Fields(line)
	var acts []Action
	switch f[0] {
	case "load":
		s.conn.Config, s.conn.Target = store.NewHash(), store.TargetState(f[1])
		s.tasks(t, f[2])
		acts = s.m.Load(s.conn)
	case "assigned-elsewhere":
		s.m = NewMachine(false)
	case "config":
		s.conn.Config = store.NewHash()
		acts = s.m.ConfigChanged(s.conn)
	case "tasks":
		s.tasks(t, f[1])
		acts = s.m.TasksChanged(s.conn)
	case "target":
		s.conn.Target = store.TargetState(f[1])
		acts = s.m.TargetChanged(s.conn.Target)
	case "task-failed":
		s.m.TaskFailed(number(t, f[1]))
	case "restart":
		var p RestartPlan
		marked := false
		for _, x := range f[1:] {
			switch x {
			case "connector":
				p.Connector = true
			case "marked":
				marked = true
			default:
				p.Tasks = append(p.Tasks, number(t, x))
			}
		}
		acts = s.m.Restart(p, marked)
	case "assign":
		var tasks []int
		for _, x := range f[2:] {
			tasks = append(tasks, number(t, x))
		}
		acts = s.m.Assign(f[1] == "connector", tasks)
	case "removed":
		acts = s.m.Removed()
	case "shutdown":
		acts = s.m.Shutdown()
	default:
		t.Fatalf("unknown command %q", line)
	}
	var out []string
	for len(acts) > 0 {
		a := acts[0]
		acts = acts[1:]
		out = append(out, a.String())
		if a.Kind == StartConnector {
			acts = append(acts, s.m.ConnectorStarted(len(f) > 1 && f[len(f)-1] == "fails")...)
		}
	}
	return out
}

func (s *script) tasks(t *testing.T, n string) {
	s.conn.Tasks = nil
	for range number(t, n) {
		s.conn.Tasks = append(s.conn.Tasks, store.NewHash())
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
