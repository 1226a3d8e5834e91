package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/worker"
)

// The check reads what a running group has stored, tells per property what works,
// differs and is refused, shows no secret and writes nothing.
func TestTakeoverCheck(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dir, at := t.TempDir(), freePorts(t, 1)[0]
	jsonClass := "org.apache.kafka.connect.json.JsonConverter"
	props := map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "group.id": "g", "key.converter": jsonClass, "value.converter": jsonClass,
		"config.storage.topic": "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1", "heartbeat.interval.ms": "100", "listeners": "http://" + at, "plugin.path": "/plugins"}
	secured(t, props)
	k := &asker{t: t, client: http.DefaultClient}
	file := filepath.Join(dir, "in")
	writeFile(t, file, "line\n")
	k.until("PUT", "http://"+at+"/connectors/fine/config", fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"t","stray.option":"hunter2"}`, file),
		func(code int, _ string) bool { return code == 201 })
	k.until("GET", "http://"+at+"/connectors/fine/offsets", "", func(_ int, text string) bool { return strings.Contains(text, "position") })
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	alien := &kgo.Record{Topic: "configs", Key: []byte("connector-alien"), Value: []byte(`{"properties":{"connector.class":"com.example.Alien","name":"alien"}}`)}
	if err := cl.ProduceSync(t.Context(), alien).FirstErr(); err != nil {
		t.Fatal(err)
	}
	k.until("GET", "http://"+at+"/connectors/alien/status", "", func(_ int, text string) bool { return strings.Contains(text, "FAILED") })
	var sb strings.Builder
	for name, v := range props {
		fmt.Fprintf(&sb, "%s=%s\n", name, v)
	}
	propsFile := filepath.Join(dir, "worker.properties")
	writeFile(t, propsFile, sb.String())
	before := ends(t, cl)
	var out, errOut bytes.Buffer
	if code := realMain(t.Context(), []string{"takeover", "--check", propsFile}, &out, &errOut); code != 1 {
		t.Errorf("exit status %d: %s", code, errOut.String())
	}
	for _, want := range []string{
		"differs plugin.path: plugins are part of the binary",
		"refused connector.class: millrace has no connector com.example.Alien",
		"differs stray.option: not an option of this connector",
		"works   (tasks): 1 task configs are as millrace would write them",
		`works   (offsets): goes on for {"filename":"` + file + `"} at {"position":5}`,
		"1 workers of the group g run at this moment",
		"2 connectors: 0 work, 1 differ in something, 1 are refused",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	realMain(t.Context(), []string{"takeover", "--check", "--json", propsFile}, &out, &errOut)
	var in worker.Inspection
	if err := json.Unmarshal(out.Bytes(), &in); err != nil || len(in.Connectors) != 2 || in.Verdict != worker.Refused {
		t.Errorf("JSON %+v, %v", in, err)
	}
	if strings.Contains(out.String()+errOut.String(), "hunter2") {
		t.Error("the report shows a value")
	}
	if after := ends(t, cl); after != before {
		t.Errorf("the check wrote something: %s, before %s", after, before)
	}
}

// ends are the end offsets of the config and offset topics.
func ends(t *testing.T, cl *kgo.Client) string {
	t.Helper()
	os, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), "configs", "offsets")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(os.KOffsets())
}
