package worker

import (
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/internal/kafkaconf"
	"millrace/internal/store"
)

var quiet = slog.New(slog.DiscardHandler)

// distributedProps are the least that a distributed worker needs.
func distributedProps(more map[string]string) map[string]string {
	p := map[string]string{"bootstrap.servers": "b:1", "key.converter": "J", "value.converter": "J", "group.id": "g", "listeners": "http://h:1",
		"config.storage.topic": "c", "offset.storage.topic": "o", "status.storage.topic": "s"}
	maps.Copy(p, more)
	return p
}

// connectProps reads name, type and default of what the workers of Kafka Connect know.
func connectProps(t *testing.T) (rows [][3]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/worker-properties.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 {
			rows = append(rows, [3]string(f))
		}
	}
	if len(rows) < 130 {
		t.Fatalf("%d properties", len(rows))
	}
	return rows
}

// Every property of Kafka Connect's workers is known here, with its type and default,
// and setting it to its default is never refused.
func TestWorkerPropertiesOfConnect(t *testing.T) {
	def := Def()
	other := map[string]string{ // why the table says something else
		"listeners": "a list of one", "config.providers": "an empty list", "rest.extension.classes": "an empty list", "metric.reporters": "it has no effect",
		"inter.worker.verification.algorithms": "a list of one", "header.converter": "a class prints as a class"}
	for _, row := range connectProps(t) {
		name, typ, dflt := row[0], row[1], row[2]
		o := def.Find(name)
		switch {
		case o == nil && !(isSecurity(name) && kafkaconf.Known(name)):
			t.Errorf("%s is not known", name)
		case o == nil || noEffect[name] != "" || other[name] != "":
		case string(o.Type) != typ:
			t.Errorf("%s is a %s here and a %s in Connect", name, o.Type, typ)
		case dflt != "null" && dflt != "REQUIRED" && o.HasDefault && o.Default != dflt:
			t.Errorf("%s: default %q, Connect's is %q", name, o.Default, dflt)
		}
		if dflt == "null" || dflt == "REQUIRED" || strings.HasPrefix(dflt, "[") || strings.HasPrefix(dflt, "class ") {
			continue
		}
		if name == "sasl.mechanism" {
			continue // GSSAPI is the default and is not asked for without SASL
		}
		if _, ps := newConfig(distributedProps(map[string]string{name: dflt}), quiet, nil); len(ps) > 0 && !strings.HasPrefix(name, "sasl.kerberos.") {
			t.Errorf("%s=%s, which is the default: %v", name, dflt, ps)
		}
	}
	for _, of := range []string{"producer", "consumer", "admin"} {
		for k := range clientOptions() {
			name, ok := strings.CutPrefix(k, of+".override.")
			if ok && !kafkaconf.Known(name) && !strings.HasPrefix(name, "internal.") {
				t.Errorf("%s is not known", k)
			}
		}
	}
}

// Every option of the table is asked for when a worker's properties are read, or named
// here with the place that reads it, or has no effect and says why.
func TestNoWorkerPropertyIsIgnored(t *testing.T) {
	read := map[string]bool{"bootstrap.servers": true, // by every Kafka client
		"key.converter": true, "value.converter": true, "header.converter": true, // converterFor
		"key.converter.plugin.version": true, "value.converter.plugin.version": true, "header.converter.plugin.version": true,
		"config.providers": true, "client.id": true, // NewProviders, InternalClientID
		"config.storage.replication.factor": true, "offset.storage.replication.factor": true, "status.storage.replication.factor": true, // topicSpec
		"offset.storage.partitions": true, "status.storage.partitions": true, "internal.topics.automatic.creation.enable": true,
		"ssl.client.auth": true, // serverTLS
		// Only their defaults can be asked for.
		"bootstrap.resolve.timeout.ms": true, "metadata.cluster.check.enable": true}
	if _, ps := newConfig(distributedProps(map[string]string{"rest.extension.classes": basicAuthClass}), quiet, func(n string) { read[n] = true }); len(ps) != 1 {
		t.Fatalf("problems %v: only the JAAS file is missing", ps)
	}
	newConfig(distributedProps(nil), quiet, func(n string) { read[n] = true })
	for i := range Def().Options {
		n := Def().Options[i].Name
		if own := clientOption("admin.override.", n) != nil && kafkaconf.Known(n); !read[n] && !own && reasonOfNone(n) == "" {
			t.Errorf("%s is accepted and ignored", n)
		}
	}
}

func TestWorkerSettingsThatAreRefused(t *testing.T) {
	for _, x := range []struct{ key, value, text string }{
		{"offset.storage.replication.factor", "three", "Not a number of type SHORT"},
		{"status.storage.partitions", "0", "must be greater than zero"},
		{"offset.storage.partitions", "-2", "or -1 to use broker's default"},
		{"connector.client.config.override.policy", "com.example.Mine", "use All, None, Principal, Allowlist"},
		{"connect.protocol", "fancy", "eager, compatible, sessioned"},
		{"exactly.once.source.support", "maybe", "DISABLED, ENABLED, PREPARING"},
		{"inter.worker.signature.algorithm", "HmacMD5", "HmacSHA256, HmacSHA1"},
		{"inter.worker.signature.algorithm", "HmacSHA512", "must be present in inter.worker.verification.algorithms"},
		{"inter.worker.verification.algorithms", "", "At least one signature verification algorithm"},
		{"inter.worker.key.size", "8", "at least 40 bits"},
		{"ssl.client.auth", "sometimes", "required, requested, none"},
		{"rest.advertised.port", "http", "Not a number of type INT"},
		{"metadata.cluster.check.enable", "false", "leave it out"},
		{"client.dns.lookup", "resolve_canonical_bootstrap_servers_only", "list the canonical broker names"},
		{"security.protocol", "TLS", "must be one of"},
		{"config.providers.v.class", "com.bettercloud.VaultConfigProvider", "DirectoryConfigProvider"},
		{"config.providers.v.param.allowed.path", "/x", "it has allowed.paths"},
	} {
		p := distributedProps(map[string]string{x.key: x.value})
		if strings.HasPrefix(x.key, "config.providers.v.") {
			p["config.providers"] = "v"
			if x.key != "config.providers.v.class" {
				p["config.providers.v.class"] = fileProvider
			}
		}
		if _, err := NewConfig(p, quiet); err == nil || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s=%s: %v, want %q", x.key, x.value, err, x.text)
		}
	}
	for k, v := range map[string]string{"connector.client.config.override.policy": policyPackage + "None" + policySuffix, "connect.protocol": "Compatible", "exactly.once.source.support": "ENABLED",
		"inter.worker.key.size": "256", "ssl.client.auth": "NONE", "status.storage.partitions": "-1"} {
		if _, err := NewConfig(distributedProps(map[string]string{k: v}), quiet); err != nil {
			t.Errorf("%s=%s: %v", k, v, err)
		}
	}
	// All of them are told at once.
	_, err := NewConfig(distributedProps(map[string]string{"listeners": "tcp://h:1", "config.providers": "v", "offset.flush.interval.ms": "soon"}), quiet)
	for _, part := range []string{"listeners:", "config.providers.v.class", "offset.flush.interval.ms"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %s", err, part)
		}
	}
}

// What the clients of all connectors would be refused for is told at the start.
func TestClientSettingsAreToldAtTheStart(t *testing.T) {
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, nil))
	if _, err := NewConfig(distributedProps(map[string]string{"producer.interceptor.classes": "com.example.Audit", "consumer.group.protocol": "consumer", "admin.listeners.https.ssl.client.auth": "none", "producer.acks": "1"}), log); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "will fail"); n != 2 || !strings.Contains(logged.String(), "property=producer.interceptor.classes") || !strings.Contains(logged.String(), "property=consumer.group.protocol") {
		t.Errorf("logged %s", logged.String())
	}
}

func TestSigning(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for props, want := range map[string]int{"": 32, "HmacSHA512": 64, "HmacSHA1 168": 21} {
		alg, bits, _ := strings.Cut(props, " ")
		m := map[string]string{}
		if alg != "" {
			m = map[string]string{"inter.worker.key.generation.algorithm": alg, "inter.worker.signature.algorithm": alg, "inter.worker.verification.algorithms": "HmacSHA256," + alg}
		}
		if bits != "" {
			m["inter.worker.key.size"] = bits
		}
		c, err := NewConfig(distributedProps(m), quiet)
		if err != nil {
			t.Fatal(err)
		}
		k := c.signing.newKey(now)
		if c.signing.keyBytes != want || c.signing.stale(k, now.Add(59*time.Minute)) || !c.signing.stale(k, now.Add(time.Hour)) || !c.signing.stale(store.SessionKey{}, now) {
			t.Errorf("%q: %+v", props, c.signing)
		}
		k.Algorithm = "HmacSHA224"
		if !c.signing.stale(k, now) {
			t.Error("a key of another algorithm stays in use")
		}
	}
	// RFC 4231, test case 2.
	k := store.SessionKey{Key: "SmVmZQ=="}
	if got := mac(k, "hmacsha256", []byte("what do ya want for nothing?")); len(got) != 32 || got[0] != 0x5b || got[31] != 0x43 {
		t.Errorf("HMAC %x", got)
	}
	if mac(k, "HmacMD5", nil) != nil || mac(store.SessionKey{}, "HmacSHA256", nil) != nil {
		t.Error("signed without a key or algorithm")
	}
}

// What has no effect is told with the reason, and only that.
func TestNotes(t *testing.T) {
	c, err := NewConfig(distributedProps(map[string]string{"plugin.path": "/p", "metrics.context.x": "y", "config.storage.partitions": "3", "status.storage.cleanup.policy": "delete",
		"status.storage.min.insync.replicas": "2", "reconnect.backoff.ms": "10", "retry.backoff.ms": "10", "producer.acks": "all", "rest.port": "8083", "no.such": "1",
		"ssl.keymanager.algorithm": "PKIX", "ssl.client.auth": "none", "key.converter.schemas.enable": "false", "topic.creation.default.partitions": "1"}), quiet)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range c.notes() {
		if n.Text == "" {
			t.Errorf("%s has no reason", n.Property)
		}
		got = append(got, n.Property)
	}
	want := "config.storage.partitions metrics.context.x no.such plugin.path reconnect.backoff.ms rest.port ssl.keymanager.algorithm status.storage.cleanup.policy topic.creation.default.partitions"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
