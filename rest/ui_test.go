package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page is a browser tab with Kafka Connect UI (lensesio/kafka-connect-ui): the calls
// of its kafka-connect-api.factory.js with the headers that its AngularJS sends.
type page struct {
	t *testing.T
	w *testWorker
}

// req is the factory's req: GET, POST, PUT and DELETE with JSON both ways, an answer
// of 2xx, and JSON that is read whatever its shape.
func (p *page) req(method, path string, body any) any {
	p.t.Helper()
	var text string
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		text = string(b)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.w.srv.URL+path, strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil { // AngularJS drops the header of a request without data
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		p.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, b, err)
	}
	if len(b) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		p.t.Fatalf("%s %s: %s: %v", method, path, b, err)
	}
	return v
}

// shows waits until the connector's page shows a state of its task. The page asks for
// the status without the factory, and lives with a 404 just after the creation.
func (p *page) shows(name, state string) {
	p.t.Helper()
	var got map[string]any
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, got = ask(p.t, p.w, "GET", "/connectors/"+name+"/status", ""); look(got, "tasks[0].state") == state && look(got, "connector.state") == state {
			return
		}
	}
	p.t.Fatalf("%s never shows %s: %v", name, state, got)
}

// A session with the UI: the list, a new connector with validation, its page with
// info, status, tasks and config, an edit, pause, resume, restarts and its end.
func TestKafkaConnectUI(t *testing.T) {
	p := &page{t, startWorker(t)}
	if got := p.req("GET", "/connectors", nil); fmt.Sprint(got) != "[]" {
		t.Errorf("connectors %v", got)
	}
	classes := fmt.Sprint(p.req("GET", "/connector-plugins/", nil)) // with the slash
	if !strings.Contains(classes, "org.apache.kafka.connect.file.FileStreamSourceConnector") {
		t.Errorf("plugins %s", classes)
	}
	file := filepath.Join(t.TempDir(), "in")
	appendLine(t, file, "line")
	config := map[string]any{"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "topic": "ui"}
	// The form is made of what validate answers for a half-filled config.
	form := p.req("PUT", "/connector-plugins/FileStreamSourceConnector/config/validate", map[string]any{"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "name": "ui-1"})
	if look(form, "error_count") == 0.0 || look(form, "configs[0].definition.display_name") == nil {
		t.Errorf("form %v", form)
	}
	config["file"] = file
	config["name"] = "ui-1"
	if got := p.req("PUT", "/connector-plugins/FileStreamSourceConnector/config/validate", config); look(got, "error_count") != 0.0 {
		t.Errorf("validation %v", got)
	}
	delete(config, "name") // transformNewConnectorRequestFromConfig
	if got := p.req("POST", "/connectors", map[string]any{"name": "ui-1", "config": config}); look(got, "name") != "ui-1" || look(got, "config.name") != "ui-1" {
		t.Errorf("created %v", got)
	}
	p.shows("ui-1", "RUNNING")
	if got := p.req("GET", "/connectors/ui-1", nil); look(got, "tasks[0].task") != 0.0 || look(got, "config.topic") != "ui" {
		t.Errorf("info %v", got)
	}
	if got := p.req("GET", "/connectors/ui-1/tasks", nil); look(got, "[0].config.file") != file {
		t.Errorf("tasks %v", got)
	}
	edited, ok := p.req("GET", "/connectors/ui-1/config", nil).(map[string]any)
	if !ok {
		t.Fatal("no config")
	}
	edited["batch.size"] = 10 // the editor sends numbers as numbers
	if got := p.req("PUT", "/connectors/ui-1/config", edited); look(got, "config.'batch.size'") != "10" {
		t.Errorf("edited %v", got)
	}
	p.req("PUT", "/connectors/ui-1/pause", nil)
	p.shows("ui-1", "PAUSED")
	p.req("PUT", "/connectors/ui-1/resume", nil)
	p.shows("ui-1", "RUNNING")
	p.req("POST", "/connectors/ui-1/restart", nil)
	p.req("POST", "/connectors/ui-1/tasks/0/restart", nil)
	p.shows("ui-1", "RUNNING")
	p.req("DELETE", "/connectors/ui-1", nil)
	if got := p.req("GET", "/connectors", nil); fmt.Sprint(got) != "[]" {
		t.Errorf("connectors %v", got)
	}
}
