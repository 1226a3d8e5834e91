package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
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

// Files as the images of Debezium, Confluent and Strimzi write them: everything that
// must be changed is told at once, with what to use instead, what has no effect is told
// with the reason, and the rest is left alone.
func TestTakeoverOfKnownImages(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for name, want := range map[string][]string{
		"debezium": {"differs rest.port: Kafka Connect 3.0 has removed it: use listeners", "differs rest.host.name:", "differs plugin.path:",
			"the topic hb_configs (config.storage.topic) does not exist: no group of workers has run with these bootstrap.servers and topics"},
		"confluent": {"refused config.providers: config.providers.secret.class: millrace has no config provider", "use org.apache.kafka.common.config.provider.FileConfigProvider",
			"refused rest.extension.classes: io.confluent.connect.security.ConnectSecurityExtension is a Java class", "put a proxy in front",
			"refused producer.interceptor.classes:", "refused consumer.interceptor.classes:", "differs internal.key.converter:", "differs log4j.loggers:"},
		"strimzi": {"refused sasl.login.callback.handler.class:", "use Kafka's own OAuthBearerLoginCallbackHandler", "refused ssl.truststore.location: Failed to load the trust store",
			"refused producer.ssl.truststore.location:", "differs metric.reporters: millrace serves its metrics itself", "the settings of the connection to Kafka are refused"},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "takeover", name+".properties"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "worker.properties")
		writeFile(t, file, strings.ReplaceAll(string(data), "BROKERS", c.ListenAddrs()[0]))
		var out, errOut bytes.Buffer
		if code := realMain(t.Context(), []string{"takeover", "--check", file}, &out, &errOut); code != 1 {
			t.Errorf("%s: exit status %d", name, code)
		}
		text := out.String() + errOut.String()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the report lacks %q:\n%s", name, w, text)
			}
		}
		refused, differs := strings.LastIndex(text, "\n  refused "), strings.Index(text, "\n  differs ")
		if differs >= 0 && refused > differs {
			t.Errorf("%s: what is refused does not come first:\n%s", name, text)
		}
		if strings.Contains(text, "hunter2") || strings.Contains(text, "s3cret") {
			t.Errorf("%s: the report shows a secret", name)
		}
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
