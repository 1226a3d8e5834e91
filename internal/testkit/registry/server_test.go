package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// levels in the order of the verdicts of the table.
var levels = []string{"BACKWARD", "FORWARD", "FULL", "NONE"}

func record(fields string) string {
	return `{"type":"record","name":"R","namespace":"a","fields":[{"name":"id","type":"int"}` + fields + `]}`
}

// changes are pairs of schemas and who accepts the second after the first: one
// letter for each level, y or n.
var changes = []struct{ name, old, new, verdict string }{
	{"same", record(""), record(""), "yyyy"},
	{"add without default", record(""), record(`,{"name":"b","type":"int"}`), "nyny"},
	{"add with default", record(""), record(`,{"name":"b","type":"int","default":1}`), "yyyy"},
	{"drop without default", record(`,{"name":"b","type":"int"}`), record(""), "ynny"},
	{"drop with default", record(`,{"name":"b","type":["null","int"],"default":null}`), record(""), "yyyy"},
	{"widen", record(`,{"name":"b","type":"int"}`), record(`,{"name":"b","type":"long"}`), "ynny"},
	{"narrow", record(`,{"name":"b","type":"double"}`), record(`,{"name":"b","type":"float"}`), "nyny"},
	{"text to bytes", record(`,{"name":"b","type":"string"}`), record(`,{"name":"b","type":"bytes"}`), "yyyy"},
	{"other type", record(`,{"name":"b","type":"int"}`), record(`,{"name":"b","type":"string"}`), "nnny"},
	{"nullable", record(`,{"name":"b","type":"int"}`), record(`,{"name":"b","type":["null","int"],"default":null}`), "ynny"},
	{"not null", record(`,{"name":"b","type":["null","int"],"default":null}`), record(`,{"name":"b","type":"int"}`), "nyny"},
	{"order of a union", record(`,{"name":"b","type":["null","int"],"default":null}`), record(`,{"name":"b","type":["int","null"],"default":1}`), "yyyy"},
	{"other namespace", record(""), strings.Replace(record(""), `"a"`, `"b"`, 1), "yyyy"},
	{"other name", record(""), strings.Replace(record(""), `"R"`, `"Q"`, 1), "nnny"},
	{"nested", record(`,{"name":"b","type":["null",{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}]}`),
		record(`,{"name":"b","type":["null",{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]}]}`), "nyny"},
	{"items", record(`,{"name":"b","type":{"type":"array","items":"int"}}`), record(`,{"name":"b","type":{"type":"array","items":"long"}}`), "ynny"},
	{"map values", record(`,{"name":"b","type":{"type":"map","values":"int"}}`), record(`,{"name":"b","type":{"type":"map","values":"string"}}`), "nnny"},
	{"enum symbols", record(`,{"name":"b","type":{"type":"enum","name":"E","symbols":["A"]}}`), record(`,{"name":"b","type":{"type":"enum","name":"E","symbols":["A","B"]}}`), "ynny"},
	{"fixed size", record(`,{"name":"b","type":{"type":"fixed","name":"F","size":2}}`), record(`,{"name":"b","type":{"type":"fixed","name":"F","size":3}}`), "nnny"},
	{"recursive", `{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}`,
		`{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]},{"name":"v","type":"int"}]}`, "nyny"},
	{"primitive", `"int"`, `"long"`, "ynny"},
}

// TestRules: the server accepts what Avro's rules accept, and a real server, if
// MILLRACE_TEST_REGISTRY names one, gives the same verdicts, versions and codes.
func TestRules(t *testing.T) {
	_, url := Start(t)
	servers := map[string]string{"in-process": url}
	if real := os.Getenv("MILLRACE_TEST_REGISTRY"); real != "" {
		servers["real"] = real
	}
	for name, url := range servers {
		tag := "rules-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
		for i, c := range changes {
			for j, level := range levels {
				for _, suffix := range []string{"", "_TRANSITIVE"} {
					if level == "NONE" && suffix != "" {
						continue
					}
					subject := tag + strconv.Itoa(i) + level + suffix
					ask(t, "PUT", url+"/config/"+subject, map[string]any{"compatibility": level + suffix})
					first, _ := ask(t, "POST", url+"/subjects/"+subject+"/versions", map[string]any{"schema": c.old})
					code, body := ask(t, "POST", url+"/subjects/"+subject+"/versions", map[string]any{"schema": c.new})
					want := map[byte]int{'y': 200, 'n': 409}[c.verdict[j]]
					if first != 200 || code != want {
						t.Errorf("%s: %s under %s: %d, then %d (%v), want %d", name, c.name, level+suffix, first, code, body, want)
					}
					_, versions := ask(t, "GET", url+"/subjects/"+subject+"/versions", nil)
					n := 1
					if want == 200 && c.new != c.old {
						n = 2
					}
					if l, _ := versions.([]any); len(l) != n {
						t.Errorf("%s: %s under %s: versions %v, want %d", name, c.name, level+suffix, versions, n)
					}
					ask(t, "DELETE", url+"/subjects/"+subject, nil)
				}
			}
		}
	}
}

// TestTransitive: only a transitive level looks at more than the latest version.
func TestTransitive(t *testing.T) {
	_, url := Start(t)
	steps := []string{record(`,{"name":"b","type":"int"}`), record(""), record(`,{"name":"b","type":["null","string"],"default":null}`)}
	for level, want := range map[string]int{"BACKWARD": 200, "BACKWARD_TRANSITIVE": 409} {
		ask(t, "PUT", url+"/config/"+level, map[string]any{"compatibility": level})
		var code int
		for _, s := range steps {
			code, _ = ask(t, "POST", url+"/subjects/"+level+"/versions", map[string]any{"schema": s})
		}
		if code != want {
			t.Errorf("%s: %d", level, code)
		}
	}
}

// TestAnswers: ids are by text, versions by subject, and errors have their codes.
func TestAnswers(t *testing.T) {
	s, url := Start(t)
	post := func(subject, schema string) map[string]any {
		t.Helper()
		_, body := ask(t, "POST", url+"/subjects/"+subject+"/versions", map[string]any{"schema": schema})
		m, _ := body.(map[string]any)
		return m
	}
	a, b, again := post("a", record("")), post("b", " "+record("")), post("a", record(""))
	if a["id"] != b["id"] || a["version"] != 1.0 || again["version"] != 1.0 || post("a", record(`,{"name":"x","type":["null","int"],"default":null}`))["version"] != 2.0 {
		t.Errorf("%v %v %v", a, b, again)
	}
	if s.Requests("POST", "/subjects/a/versions") != 3 {
		t.Error("requests are not counted")
	}
	for _, c := range []struct {
		method, path string
		body         any
		code         float64
		text         string
	}{
		{"GET", "/subjects/none/versions/latest", nil, 40401, "Subject 'none' not found."},
		{"GET", "/subjects/a/versions/9", nil, 40402, "Version 9 not found."},
		{"POST", "/subjects/a", map[string]any{"schema": `"string"`}, 40403, "Schema not found"},
		{"GET", "/schemas/ids/99", nil, 40403, "Schema 99 not found"},
		{"GET", "/config/a", nil, 40408, "Subject 'a' does not have subject-level compatibility configured"},
		{"PUT", "/config/a", map[string]any{"compatibility": "SOME"}, 42203, "Invalid compatibility level."},
		{"POST", "/subjects/x/versions", map[string]any{"schema": `{"type":"record","name":"R","namespace":"a-b","fields":[]}`}, 42201, `Namespace part "a-b" is invalid: Illegal character in: a-b`},
		{"POST", "/subjects/x/versions", map[string]any{"schema": record(`,{"name":"1","type":"int"}`)}, 42201, "Illegal initial character: 1"},
		{"POST", "/subjects/x/versions", map[string]any{"schema": record(`,{"name":"d","type":"double","default":"NaN"}`)}, 42201, `Invalid default for field d: "NaN" not a "double"`},
		{"POST", "/subjects/x/versions", map[string]any{"schema": record(`,{"name":"d","type":"Nowhere"}`)}, 42201, "Undefined schema: a.Nowhere"},
		{"POST", "/subjects/x/versions", map[string]any{"schema": record(`,{"name":"id","type":"int"}`)}, 42201, "Duplicate field id"},
		{"POST", "/subjects/a/versions", map[string]any{"schema": "{}", "schemaType": "JSON"}, 40901, "Incompatible because of different schema type"},
	} {
		code, body := ask(t, c.method, url+c.path, c.body)
		m, _ := body.(map[string]any)
		text, _ := m["message"].(string)
		if m["error_code"] != c.code || code != int(c.code)/100 || !strings.Contains(text, c.text) {
			t.Errorf("%s %s: %d %v", c.method, c.path, code, body)
		}
	}
}

func ask(t *testing.T, method, url string, body any) (int, any) {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out any
	_ = json.NewDecoder(res.Body).Decode(&out) // a DELETE may answer nothing
	return res.StatusCode, out
}
