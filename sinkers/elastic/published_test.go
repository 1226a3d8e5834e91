package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/internal/testkit"
)

// TestPublishedConnector runs a connector as it was published, hosts and the name
// of its topic aside, behind a PostgreSQL source: inserts and updates arrive; the
// tombstone of a delete stops the task, as behavior.on.null.values says by default,
// with a text that names the setting; set, the document is deleted.
func TestPublishedConnector(t *testing.T) {
	url := os.Getenv("MILLRACE_TEST_ELASTICSEARCH")
	if url == "" {
		t.Skip("MILLRACE_TEST_ELASTICSEARCH is not set; scripts/check-sinks starts the server")
	}
	s := &server{t: t, url: url}
	db := testkit.NewDatabase(t, "es")
	testkit.DropTopics(t, db.Name)
	db.Exec(t, `create table customers (id int primary key, name text, balance numeric(10,2)); alter table customers replica identity full;
		insert into customers select i, 'customer ' || i, i * 1.25 from generate_series(1, 500) i`)
	d := testkit.NewDaemon(t, testkit.Binary(t), map[string]string{"offset.flush.interval.ms": "500"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := d.Start(ctx); err != nil {
		t.Fatal(err)
	}
	plain := "org.apache.kafka.connect.json.JsonConverter"
	begin := func(name string, config map[string]string) {
		t.Helper()
		if err := d.Do(ctx, "PUT", "/connectors/"+db.Name+name+"/config", config, nil); err != nil {
			t.Fatal(err)
		}
	}
	begin("source", map[string]string{"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput", "topic.prefix": db.Name, "slot.name": db.Name,
		"publication.name": db.Name, "database.hostname": db.Host, "database.port": db.Port, "database.user": db.User, "database.password": db.Password + "x", "database.dbname": db.Name,
		"key.converter": plain, "value.converter": plain, "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"})
	text, err := os.ReadFile("testdata/es-sink-connector.json")
	if err != nil {
		t.Fatal(err)
	}
	var published struct{ Config map[string]string }
	if err := json.Unmarshal([]byte(strings.NewReplacer("http://elasticsearch-host:9200", url, "dbserver1", db.Name).Replace(string(text))), &published); err != nil {
		t.Fatal(err)
	}
	begin("sink", published.Config)
	for _, name := range []string{"source", "sink"} {
		if err := d.WaitRunning(ctx, db.Name+name); err != nil {
			t.Fatal(err)
		}
	}
	index := db.Name + ".public.customers"
	t.Cleanup(func() { deleteIndex(t, url, index) })
	after := func(id string) string {
		var doc struct {
			Source struct{ After json.RawMessage } `json:"_source"`
		}
		out, err := json.Marshal(s.call("GET", "/"+index+"/_doc/"+id, ""))
		if err == nil {
			err = json.Unmarshal(out, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(doc.Source.After)
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-ctx.Done():
				t.Fatalf("waited in vain for %s", what)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	await("the snapshot", func() bool {
		s.call("POST", "/"+index+"/_refresh", "")
		n, _ := s.call("GET", "/"+index+"/_count", "")["count"].(float64)
		return n == 500
	})
	db.Exec(t, `update customers set name = 'renamed' where id = 7; insert into customers values (501, 'new', 1)`)
	await("the update", func() bool { return strings.Contains(after("7"), "renamed") && strings.Contains(after("501"), `"new"`) })
	db.Exec(t, `delete from customers where id = 8`)
	await("the task's failure", func() bool {
		var st testkit.Status
		if err := d.Do(ctx, http.MethodGet, "/connectors/"+db.Name+"sink/status", nil, &st); err != nil {
			t.Fatal(err)
		}
		return len(st.Tasks) == 1 && st.Tasks[0].State == "FAILED" && strings.Contains(st.Tasks[0].Trace, "behavior.on.null.values")
	})
	published.Config["behavior.on.null.values"] = "delete"
	begin("sink", published.Config)
	await("the delete", func() bool { return fmt.Sprint(s.call("GET", "/"+index+"/_doc/8", "")["found"]) == "false" })
	if doc := after("7"); !strings.Contains(doc, "renamed") {
		t.Errorf("document 7 is %s", doc)
	}
}

func deleteIndex(t *testing.T, url, index string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, url+"/"+index, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}
