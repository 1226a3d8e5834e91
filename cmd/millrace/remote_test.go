package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/internal/remote"
)

// commandLine runs a command against a worker's API.
func commandLine(t *testing.T, h http.HandlerFunc, args ...string) (code int, out, errOut string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	t.Setenv("MILLRACE_URL", srv.URL)
	var o, e bytes.Buffer
	code = realMain(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestStatusTable(t *testing.T) {
	var out strings.Builder
	list := []remote.Status{
		{Name: "a", Type: "source", Connector: remote.State{State: "RUNNING", Worker: "w:1"}, Tasks: []remote.State{{ID: 0, State: "FAILED", Trace: "x.Y: The connector failed\n\tat z\nCaused by: u.V: broken\n\t... Mend it\n"}}},
		{Name: "longer-name", Type: "sink", Connector: remote.State{State: "PAUSED", Worker: "w:2"}, Tasks: []remote.State{{State: "PAUSED"}, {ID: 1, State: "RUNNING"}}},
	}
	if err := statusTable(&out, list, false); err != nil {
		t.Fatal(err)
	}
	want := "CONNECTOR    TYPE    STATE   TASKS   WORKER\na            source  FAILED  0 of 1  w:1\nlonger-name  sink    PAUSED  1 of 2  w:2\n\na, task 0: The connector failed: broken\n  what to do: Mend it\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestRemoteCommands(t *testing.T) {
	const all = `{"a":{"info":{"name":"a"},"status":{"name":"a","type":"source","connector":{"state":"RUNNING","worker_id":"w"},"tasks":[{"id":0,"state":"RUNNING"}]}}}`
	var asked []string
	looks := 0 // at the connector that stops: its task ends a moment later
	worker := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		switch {
		case r.URL.Path == "/connectors":
			_, _ = io.WriteString(w, all)
		case r.URL.Path == "/connectors/new/config" && r.Method == http.MethodGet:
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"message":"not found"}`)
		case strings.HasSuffix(r.URL.Path, "/config") && r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"topic.prefix":"p","signal.data.collection":"public.sig"}`)
		case strings.HasSuffix(r.URL.Path, "/offsets") && r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"offsets":[]}`)
		case strings.HasSuffix(r.URL.Path, "/offsets"):
			_, _ = io.WriteString(w, `{"message":"done so"}`)
		case r.URL.Path == "/connectors/a/status":
			tasks := []string{`{"id":0,"state":"RUNNING"}`, ""}[min(looks, 1)]
			looks++
			_, _ = io.WriteString(w, `{"name":"a","connector":{"state":"STOPPED"},"tasks":[`+tasks+`]}`)
		case r.URL.Path == "/connectors/old/signals":
			w.WriteHeader(404)
		default:
			w.WriteHeader(202)
		}
	}
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"name":"new","config":{"connector.class":"x"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args       []string
		code       int
		out, asked string
	}{
		{[]string{"status"}, 0, "a          source  RUNNING  1 of 1  w", "GET /connectors?expand=status&expand=info "},
		{[]string{"status", "nobody"}, 1, "", ""},
		{[]string{"pause", "a", "b/c"}, 0, "b/c: pause", "PUT /connectors/b%2Fc/pause "},
		{[]string{"restart", "--failed", "a"}, 0, "a: restart", "POST /connectors/a/restart?includeTasks=true&onlyFailed=true "},
		{[]string{"delete", "a"}, 0, "a: delete", "DELETE /connectors/a "},
		{[]string{"delete"}, 2, "", ""},
		{[]string{"stop", "a"}, 0, "a: stop", "GET /connectors/a/status "},
		{[]string{"stop", "a", "--wait", "0"}, 0, "a: stop", "PUT /connectors/a/stop "},
		{[]string{"apply", file}, 0, "new: created", `PUT /connectors/new/config {"connector.class":"x","name":"new"}`},
		{[]string{"offsets", "a"}, 0, `"offsets": []`, "GET /connectors/a/offsets "},
		{[]string{"offsets", "a", "--reset"}, 0, "done so", "DELETE /connectors/a/offsets "},
		{[]string{"offsets", "a", "--set", file}, 0, "done so", `PATCH /connectors/a/offsets {"name":"new","config":{"connector.class":"x"}}`},
		{[]string{"snapshot", "a", "--table", "public.t"}, 0, "execute-snapshot taken", "GET /connectors/a/config "},
		{[]string{"snapshot", "old", "--table", "public.t"}, 0, "INSERT INTO public.sig (id, type, data)", "GET /connectors/old/config "}, // a worker of Kafka Connect
		{[]string{"snapshot", "a"}, 1, "", ""},
		{[]string{"completion", "bash"}, 0, "complete -F _millrace millrace", ""},
		{[]string{"completion", "tcsh"}, 2, "", ""},
		{[]string{"restart", "--frob", "a"}, 2, "", ""},
	} {
		asked = nil
		code, out, errOut := commandLine(t, worker, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || c.asked != "" && !slices.Contains(asked, c.asked) {
			t.Errorf("millrace %s: status %d, asked %q\n%s%s", strings.Join(c.args, " "), code, asked, out, errOut)
		}
	}
	if looks != 2 {
		t.Errorf("stop looked %d times, want 2: once while the task ends, once when it has, and not at all with --wait 0", looks)
	}
	if _, _, errOut := commandLine(t, worker, "restart"); !strings.Contains(errOut, "Restart connectors and their tasks.\n") {
		t.Errorf("usage does not say what the command does:\n%s", errOut)
	}
	if _, _, errOut := commandLine(t, worker, "restart", "--frob"); errOut != "millrace restart: unknown flag: --frob; see millrace restart --help\n" {
		t.Errorf("an unknown flag: %s", errOut)
	}
	_, out, _ := commandLine(t, worker, "status", "--json")
	var list []remote.Status
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0].Name != "a" {
		t.Errorf("--json: %s", out)
	}
}

func TestPayloadWithoutSchema(t *testing.T) {
	tl := &tailer{}
	for in, want := range map[string]string{
		`{"schema":{"type":"int32"},"payload":7}`: `7`,
		`{"schema":1,"payload":2,"more":3}`:       `{"schema":1,"payload":2,"more":3}`,
		`plain text`:                              `plain text`,
	} {
		if got := string(tl.payload([]byte(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
