package worker

import (
	"fmt"
	"slices"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/kafkaconf"
)

// Def is the table of a distributed worker's properties, for documentation.
func Def() *configdef.Def { return workerDef(true) }

// noEffect are properties of Kafka Connect 4.3.1 that steer something which is not
// here, with the reason. They are accepted, logged at the start, and named by
// millrace takeover --check.
var noEffect = map[string]string{
	"plugin.path":               "plugins are part of the binary",
	"plugin.discovery":          "plugins are part of the binary",
	"metric.reporters":          "millrace serves its metrics itself, at GET /metrics",
	"metrics.sample.window.ms":  "rates are computed by whoever reads GET /metrics",
	"metrics.num.samples":       "rates are computed by whoever reads GET /metrics",
	"metrics.recording.level":   "all metrics are always recorded",
	"auto.include.jmx.reporter": "there is no JMX; metrics are at GET /metrics",
	"internal.key.converter":    "storage topics have one format, as in every Kafka Connect since 3.0",
	"internal.value.converter":  "storage topics have one format, as in every Kafka Connect since 3.0",
	"rest.host.name":            "Kafka Connect 3.0 has removed it: use listeners",
	"rest.port":                 "Kafka Connect 3.0 has removed it: use listeners",
}

// noEffectPrefixes is noEffect for names that the user completes.
var noEffectPrefixes = map[string]string{
	"metrics.context.":          "labels are added by whoever reads GET /metrics",
	"internal.key.converter.":   noEffect["internal.key.converter"],
	"internal.value.converter.": noEffect["internal.value.converter"],
}

// reasonOfNone is why a worker property has no effect, "" if it has one or is not known.
func reasonOfNone(property string) string {
	if why := noEffect[property]; why != "" {
		return why
	}
	for p, why := range noEffectPrefixes {
		if strings.HasPrefix(property, p) {
			return why
		}
	}
	return ""
}

// defRows collects the rows of the worker's table.
type defRows struct {
	d     configdef.Def
	check func(configdef.Input) []string // of the rows that follow
}

const noDefault = "-"

func (r *defRows) add(t configdef.Type, def, name, doc string) {
	o := configdef.Option{Name: name, Type: t, HasDefault: def != noDefault, Doc: doc, Check: r.check}
	if o.HasDefault {
		o.Default = def
	}
	r.d.Options = append(r.d.Options, o)
}

// workerDef is the table of worker properties (connect.md §2.1 to 2.3). Each takes
// effect, or is named by noEffect.
func workerDef(distributed bool) *configdef.Def {
	r := &defRows{}
	need := func(t configdef.Type, always bool, name, doc string) {
		r.d.Options = append(r.d.Options, configdef.Option{Name: name, Type: t, Required: always || distributed, Doc: doc})
	}
	need(configdef.List, true, "bootstrap.servers", "Kafka brokers, host:port.")
	need(configdef.Class, true, "key.converter", "Converter of keys, for connectors that name none; its settings follow below key.converter.")
	need(configdef.Class, true, "value.converter", "Converter of values, for connectors that name none; its settings follow below value.converter.")
	need(configdef.String, false, "group.id", "Group of workers that share connectors.")
	need(configdef.String, false, "config.storage.topic", "Compacted topic with the configs of connectors and tasks, one partition.")
	need(configdef.String, false, "offset.storage.topic", "Compacted topic with the offsets of sources.")
	need(configdef.String, false, "status.storage.topic", "Compacted topic with the states of connectors and tasks.")
	r.common()
	r.rest()
	r.distributed()
	r.clients()
	for _, name := range sortedNames(noEffect) {
		r.add(configdef.String, noDefault, name, "No effect: "+noEffect[name]+".")
	}
	return &r.d
}

// common are the properties of both modes.
func (r *defRows) common() {
	r.add(configdef.String, noDefault, "offset.storage.file.filename", "Standalone mode: file with the offsets of sources, in Java's format.")
	r.add(configdef.Class, "org.apache.kafka.connect.storage.SimpleHeaderConverter", "header.converter", "Converter of header values, for connectors that name none.")
	for _, c := range []string{"key", "value", "header"} {
		r.add(configdef.String, noDefault, c+".converter.plugin.version", "Release of the worker's "+c+" converter; only the one that is built in can be asked for.")
	}
	r.check = notNegative
	r.add(configdef.Long, "60000", "offset.flush.interval.ms", "How often source offsets are stored.")
	r.add(configdef.Long, "5000", "offset.flush.timeout.ms", "How long a store of offsets may take.")
	r.add(configdef.Long, "5000", "task.shutdown.graceful.timeout.ms", "How long all tasks together may take to stop.")
	r.check = nil
	r.add(configdef.List, "", "config.providers", "Names of config providers; each has config.providers.NAME.class and config.providers.NAME.param.*.")
	r.check = checkPolicy
	r.add(configdef.String, "All", "connector.client.config.override.policy", "Which client settings connectors may override: All, None, Principal or Allowlist.")
	r.check = nil
	r.add(configdef.List, "", "connector.client.config.override.allowlist", "Settings that the policy Allowlist lets through.")
	r.add(configdef.Boolean, "true", "topic.creation.enable", "Whether connectors may describe the topics they write to by topic.creation.*, which the worker then makes.")
	r.add(configdef.Boolean, "true", "topic.tracking.enable", "Whether the topics that a connector uses are remembered (GET /connectors/NAME/topics).")
	r.add(configdef.Boolean, "true", "topic.tracking.allow.reset", "Whether PUT /connectors/NAME/topics/reset may forget them.")
	r.add(configdef.Boolean, "true", "task.auto.restart", "Start tasks again that failed for a reason that may pass; false leaves them FAILED, as Connect does.")
}

// rest are the properties of the REST servers.
func (r *defRows) rest() {
	r.add(configdef.List, "http://:8083", "listeners", "Addresses of the REST API. https ones take their certificates from listeners.https.ssl.*, else from ssl.*; files that are replaced are read anew.")
	r.add(configdef.String, noDefault, "rest.advertised.host.name", "Host that other workers and clients are told; the listener's, else the machine's name.")
	r.add(configdef.Int, noDefault, "rest.advertised.port", "Port that other workers and clients are told; the listener's if not given.")
	r.add(configdef.String, noDefault, "rest.advertised.listener", "Which of the listeners is told: http or https.")
	r.add(configdef.String, "", "access.control.allow.origin", "Origins that browsers may call from (CORS); * for all.")
	r.add(configdef.String, "", "access.control.allow.methods", "Methods that browsers may use from there.")
	r.add(configdef.List, noDefault, "admin.listeners", "Further listeners for /admin; empty switches /admin off. https ones: admin.listeners.https.ssl.*.")
	r.check = checkClientAuth
	r.add(configdef.String, "none", "ssl.client.auth", "Whether https listeners ask for a client's certificate: none, requested or required.")
	r.check = nil
	r.add(configdef.Boolean, "true", "ui.enabled", "Whether the web page is served at /ui/.")
	r.add(configdef.Boolean, "false", "ui.read.only", "Whether the web page shows and changes nothing.")
	r.add(configdef.String, "", "response.http.headers.config", "Rules that add headers to every answer.")
	r.add(configdef.List, "", "rest.extension.classes", "REST extensions; basic authentication is the one there is.")
	r.add(configdef.String, noDefault, loginConfigProp, "JAAS file of basic authentication; without it the one that KAFKA_OPTS gives to the JVM.")
}

// distributed are the properties of the group and its topics.
func (r *defRows) distributed() {
	r.check = orBrokers("Replication factor")
	for _, kind := range []string{"config", "offset", "status"} {
		r.add(configdef.Short, "3", kind+".storage.replication.factor", "Replication factor of the topic when it is made; -1 is the brokers' default. Other settings of the topic follow below "+kind+".storage., such as "+kind+".storage.min.insync.replicas.")
	}
	r.check = orBrokers("Number of partitions")
	r.add(configdef.Int, "25", "offset.storage.partitions", "Partitions of the topic when it is made; -1 is the brokers' default.")
	r.add(configdef.Int, "5", "status.storage.partitions", "Partitions of the topic when it is made; -1 is the brokers' default.")
	r.check = nil
	r.add(configdef.Boolean, "true", "internal.topics.automatic.creation.enable", "Make the storage topics when they are missing (of Kafka 4.4).")
	r.check = notNegative
	r.add(configdef.Int, "300000", "scheduled.rebalance.max.delay.ms", "How long work of a vanished worker may stay unassigned. If it is not given there is no delay: a worker that stops says so, and one that died is replaced after session.timeout.ms.")
	r.check = nil
	r.add(configdef.Int, "10000", "session.timeout.ms", "How long the group waits to hear from a worker before it gives its work away.")
	r.add(configdef.Int, "3000", "heartbeat.interval.ms", "How often a worker is heard of; if it is not given, every 500 ms.")
	r.add(configdef.Int, "60000", "rebalance.timeout.ms", "How long workers may take to join a rebalance.")
	r.check = oneOfAnyCase("eager", "compatible", "sessioned")
	r.add(configdef.String, protoSessioned, "connect.protocol", "Group protocol: sessioned, compatible or eager.")
	r.check = oneOfAnyCase("DISABLED", "ENABLED", "PREPARING")
	r.add(configdef.String, "disabled", "exactly.once.source.support", "Exactly-once for sources: disabled, preparing or enabled.")
	r.check = checkMAC
	r.add(configdef.String, "HmacSHA256", "inter.worker.key.generation.algorithm", "Kind of the key that signs requests between workers: "+strings.Join(macNames(), ", ")+".")
	r.add(configdef.String, "HmacSHA256", "inter.worker.signature.algorithm", "How requests to other workers are signed.")
	r.add(configdef.List, "HmacSHA256", "inter.worker.verification.algorithms", "Which signatures of other workers are accepted.")
	r.check = nil
	r.add(configdef.Int, noDefault, "inter.worker.key.size", "Size of the key that signs requests, in bits, at least 40; by default that of the algorithm.")
	r.check = notNegative
	r.add(configdef.Int, "3600000", "inter.worker.key.ttl.ms", "How old the key that signs requests may become.")
	r.check = nil
	r.add(configdef.Int, "3000", "worker.sync.timeout.ms", "How long a worker may take to catch up with the configs.")
	r.check = notNegative
	r.add(configdef.Int, "300000", "worker.unsync.backoff.ms", "How long a worker that could not catch up waits at most before it joins the group again; it joins as soon as it has caught up, and keeps what it runs.")
	r.check = nil
}

// clients are the settings of the worker's own Kafka clients.
func (r *defRows) clients() {
	r.add(configdef.String, "", "client.id", "Part of the names of the worker's Kafka clients.")
	own := []string{"security.protocol", "request.timeout.ms", "retry.backoff.ms", "retry.backoff.max.ms", "reconnect.backoff.ms",
		"reconnect.backoff.max.ms", "metadata.max.age.ms", "connections.max.idle.ms", "socket.connection.setup.timeout.ms",
		"socket.connection.setup.timeout.max.ms", "send.buffer.bytes", "receive.buffer.bytes", "client.dns.lookup",
		"metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms"}
	for _, name := range own {
		doc := "Setting of the worker's own Kafka clients; if it is not given, the client's default."
		if why := kafkaconf.Effectless(name); why != "" {
			doc = "No effect: " + why + "."
		}
		o := configdef.Option{Name: name, Type: configdef.String, Doc: doc}
		if x := clientOption("admin.override.", name); x != nil {
			o.Type = x.Type
		}
		r.d.Options = append(r.d.Options, o)
	}
	r.check = unlessDefault("0", "millrace tries the brokers until they answer")
	r.add(configdef.Long, "0", "bootstrap.resolve.timeout.ms", "Of Kafka 4.4; only 0, no limit, can be asked for.")
	r.check = unlessDefault("true", "the client does not connect to brokers of another cluster")
	r.add(configdef.Boolean, "true", "metadata.cluster.check.enable", "Of Kafka 4.4; only true can be asked for.")
	r.check = nil
}

// unlessDefault refuses every value but the one that holds here.
func unlessDefault(def, why string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		if strings.EqualFold(in.Value, def) {
			return nil
		}
		return []string{fmt.Sprintf("%s=%s is not supported by millrace: %s; leave it out", in.Name, in.Value, why)}
	}
}

func notNegative(in configdef.Input) []string { return atLeast(0)(in) }

// orBrokers refuses what is neither positive nor -1, the brokers' default.
func orBrokers(what string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		if in.Value == "0" || strings.HasPrefix(in.Value, "-") && in.Value != "-1" {
			return invalid(in, what+" must be greater than zero, or -1 to use broker's default")
		}
		return nil
	}
}

func checkClientAuth(in configdef.Input) []string {
	return oneOf("required", "requested", "none")(configdef.Input{Name: in.Name, Value: strings.ToLower(in.Value)})
}

// policies are the override policies of Connect, by short name.
var policies = []string{"All", "None", "Principal", "Allowlist"}

const (
	policyPackage = "org.apache.kafka.connect.connector.policy."
	policySuffix  = "ConnectorClientConfigOverridePolicy"
)

// policyOf is the short name of an override policy, which may be given as in Connect
// by its class too; "" for one that is not here.
func policyOf(v string) string {
	short := strings.TrimSuffix(strings.TrimPrefix(v, policyPackage), policySuffix)
	if slices.Contains(policies, short) {
		return short
	}
	return ""
}

func checkPolicy(in configdef.Input) []string {
	if policyOf(in.Value) == "" {
		return invalid(in, "millrace has no such policy and loads no Java class; use "+strings.Join(policies, ", "))
	}
	return nil
}
