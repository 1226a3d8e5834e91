package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/capture"
	"millrace/internal/testkit"
	"millrace/internal/worker"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// TestDoctorText compares the table with testdata/doctor.txt; -rewrite renews it.
func TestDoctorText(t *testing.T) {
	d := &diagnosis{Connector: "shop", Notes: []string{"Kafka was not looked at."}, Findings: []capture.Finding{
		{Check: "config", State: capture.StateOK, Found: "every property is valid"},
		{Check: "connection", Subject: "db.example.com:5432/shop", State: capture.StateOK, Found: "PostgreSQL 17.5, primary"},
		{Check: "wal_level", State: capture.StateFailed, Found: "wal_level is replica; logical decoding needs logical", SQL: []string{"ALTER SYSTEM SET wal_level = 'logical'"}, Do: "Restart PostgreSQL afterwards"},
		{Check: "grant", Subject: "public.a_table_with_quite_a_long_name_indeed", State: capture.StateFailed, Found: "role cdc may not read the table, so the snapshot would stop",
			SQL: []string{`GRANT USAGE ON SCHEMA "public" TO "cdc"`, `GRANT SELECT ON TABLE "public"."a_table_with_quite_a_long_name_indeed" TO "cdc"`}},
		{Check: "dead slots", Subject: "old", State: capture.StateWarning, Found: "nobody reads this slot (database shop), and it keeps 11.6 GiB of WAL and old catalog rows", SQL: []string{"SELECT pg_drop_replication_slot('old')"}},
	}}
	for i := range doctorFold + 3 {
		d.add(capture.Finding{Check: "table", Subject: "public.t" + string(rune('a'+i)), State: capture.StateOK, Found: "primary key (id)"})
	}
	d.count()
	got := d.text(false)
	file := filepath.Join("testdata", "doctor.txt")
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if !bytes.Contains(d.text(true), []byte("\x1b[31mFAILED \x1b[0m")) || bytes.Contains(got, []byte("\x1b")) {
		t.Error("colours are not where they should be")
	}
}

// TestDoctorTopics are the verdicts on topics that do not exist.
func TestDoctorTopics(t *testing.T) {
	for _, c := range []struct {
		missing         []string
		auto            string
		creates, routed bool
		want            capture.State
	}{
		{nil, "false", false, false, capture.StateOK},
		{[]string{"a"}, "true", false, false, capture.StateOK},
		{[]string{"a"}, "false", true, false, capture.StateOK},
		{[]string{"a"}, "false", false, false, capture.StateFailed},
		{[]string{"a"}, "", false, false, capture.StateWarning},
		{[]string{"a"}, "false", false, true, capture.StateWarning},
	} {
		f := topicsFinding(&worker.TopicsReport{Missing: c.missing, AutoCreate: c.auto}, "k:9092", 1, c.creates, c.routed)
		if f.State != c.want || (f.State != capture.StateOK) != strings.Contains(f.Do, "kafka-topics.sh --bootstrap-server k:9092 --create --topic a") {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// TestDoctorCommand runs the command against real servers.
func TestDoctorCommand(t *testing.T) {
	db := testkit.NewDatabase(t, "doctorcmd")
	kafka := testkit.Kafka(t)
	db.Exec(t, `CREATE TABLE orders(id int PRIMARY KEY); CREATE TABLE log(line text)`)
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	props := map[string]string{"name": "shop", "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": db.Host, "database.port": db.Port,
		"database.user": db.User, "database.password": "${file:" + write("secrets.properties", "pw=secret-word\n") + ":pw}", "database.dbname": db.Name, "topic.prefix": db.Name,
		"plugin.name": "pgoutput", "slot.name": db.Name, "publication.name": db.Name, "table.include.list": "public.orders"}
	if db.Password != "" {
		props["database.password"] = db.Password
	}
	flat := func(p map[string]string) string { b, _ := json.Marshal(p); return string(b) }
	good := write("good.json", flat(props))
	props["table.include.list"] = "public.orders,public.log"
	nested := write("nested.json", `{"name":"shop","config":`+flat(props)+`}`)
	delete(props, "topic.prefix")
	invalid := write("invalid.json", flat(props))
	var lines []string
	props["topic.prefix"] = db.Name
	for k, v := range props {
		lines = append(lines, k+"="+v)
	}
	java := write("shop.properties", strings.Join(lines, "\n"))
	workerFile := write("worker.properties", strings.Join([]string{"bootstrap.servers=" + kafka, "offset.storage.file.filename=" + filepath.Join(dir, "offsets.dat"),
		"config.providers=file", "config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider",
		"key.converter=org.apache.kafka.connect.json.JsonConverter", "value.converter=org.apache.kafka.connect.json.JsonConverter"}, "\n"))
	down := write("down.properties", strings.Join([]string{"bootstrap.servers=" + kafka, "offset.storage.file.filename=" + filepath.Join(dir, "offsets.dat"),
		"config.providers=file", "config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider",
		"key.converter=org.apache.kafka.connect.json.JsonConverter", "value.converter=io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url=http://user:secret-word@127.0.0.1:1"}, "\n"))
	for _, c := range []struct {
		name   string
		args   []string
		status int
		texts  []string // in the output
	}{
		{"good", []string{good, "--worker", workerFile}, 0, []string{"public.orders", "primary key (id)", "brokers that answer: ", "first start", "shop: 0 failed"}},
		{"nested, a table without a key", []string{nested, "--worker", workerFile}, 1, []string{`ALTER TABLE "public"."log" REPLICA IDENTITY FULL;`, "FAILED"}},
		{"properties", []string{java, "--worker", workerFile}, 1, []string{`ALTER TABLE "public"."log" REPLICA IDENTITY FULL;`}},
		{"not valid", []string{invalid}, 1, []string{"topic.prefix", "nothing else was looked at"}},
		{"registry", []string{good, "--worker", down}, 1, []string{"schema registry", "http://127.0.0.1:1 cannot be used: Connection refused"}},
		{"json", []string{nested, "--worker", workerFile, "--json"}, 1, []string{`"state": "failed"`}},
		{"no file", nil, 2, nil},
		{"help", []string{"--help"}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if got := realMain(t.Context(), append([]string{"doctor"}, c.args...), &out, &errOut); got != c.status {
				t.Errorf("status %d, want %d:\n%s%s", got, c.status, &out, &errOut)
			}
			for _, x := range c.texts {
				if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), x) { // whatever the wrapping
					t.Errorf("%q is not in:\n%s", x, &out)
				}
			}
			if all := out.String() + errOut.String(); strings.Contains(all, "secret-word") || strings.Contains(all, "\x1b") {
				t.Errorf("a secret or a colour is in:\n%s", all)
			}
			if c.name == "help" && !strings.Contains(errOut.String(), "cat > shop.json") {
				t.Errorf("help does not teach:\n%s", &errOut)
			}
			if c.name == "json" {
				var d diagnosis
				if err := json.Unmarshal(out.Bytes(), &d); err != nil || d.OK || d.Failed == 0 || d.Connector != "shop" {
					t.Errorf("%v %+v", err, d)
				}
			}
		})
	}
}
