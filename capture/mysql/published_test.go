package mysql

import (
	"encoding/json"
	"slices"
	"testing"

	"millrace/internal/testkit"
)

// published is a config as it is found on the web. Hosts, credentials and the names
// that tests must not share are put in; everything else stays.
const published = `{
  "name": "mysql-cdc-source",
  "config": {
    "connector.class": "io.debezium.connector.mysql.MySqlConnector",
    "database.hostname": "mysql-host",
    "database.port": "3306",
    "database.user": "debezium",
    "database.password": "secret",
    "database.server.id": "1",
    "topic.prefix": "myapp",
    "database.include.list": "mydb",
    "schema.history.internal.kafka.bootstrap.servers": "kafka:9092",
    "schema.history.internal.kafka.topic": "schema-changes"
  }
}`

func TestPublishedExample(t *testing.T) {
	r := newRig(t, MySQL)
	var conn struct{ Config map[string]string }
	if err := json.Unmarshal([]byte(published), &conn); err != nil {
		t.Fatal(err)
	}
	topic := testkit.Name("schema-changes-")
	testkit.DropTopics(t, topic)
	for _, k := range []string{"database.hostname", "database.port", "database.user", "database.password", "database.server.id"} {
		conn.Config[k] = r.props[k]
	}
	conn.Config["database.include.list"] = r.name
	conn.Config["schema.history.internal.kafka.bootstrap.servers"] = testkit.Kafka(t)
	conn.Config["schema.history.internal.kafka.topic"] = topic
	delete(conn.Config, "connector.class") // it has chosen this package
	r.props = conn.Config

	r.exec("create table a (id int primary key, v varchar(20)); insert into a values (1, 'there before')")
	out := newSink()
	x := r.start(nil, out)
	r.streaming(out)
	r.exec("insert into a values (2, 'new'); update a set v = 'changed' where id = 1; alter table a add n int; delete from a where id = 2")
	want := []string{"a r {id:1} {id:1 v:there before}", "a c {id:2} {id:2 v:new}", "a u {id:1} {id:1 v:changed}", "a d {id:2} null", "a tombstone {id:2}"}
	if got := texts(out.wait(t, len(want))); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	// The history is in the topic: another process goes on.
	r.exec("insert into a values (3, 'later', 4)")
	r.expect(out.last(), "a c {id:3} {id:3 n:4 v:later}")
}
