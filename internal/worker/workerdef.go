package worker

import "millrace/internal/configdef"

// Def is the table of a distributed worker's properties, for documentation.
func Def() *configdef.Def { return workerDef(true) }

// workerDef is the table of worker properties (connect.md §2.1 to 2.3). Options
// that only mean something to a JVM are known and have no effect; the others
// work.
func workerDef(distributed bool) *configdef.Def {
	const none = "-" // no default
	d := &configdef.Def{}
	add := func(t configdef.Type, def, doc string, names ...string) {
		has := def != none
		for _, n := range names {
			o := configdef.Option{Name: n, Type: t, HasDefault: has, Doc: doc}
			if has {
				o.Default = def
			}
			d.Options = append(d.Options, o)
		}
	}
	require := func(doc string, names ...string) {
		for _, n := range names {
			d.Options = append(d.Options, configdef.Option{Name: n, Type: configdef.String, Required: distributed, Doc: doc})
		}
	}
	d.Options = append(d.Options, configdef.Option{Name: "bootstrap.servers", Type: configdef.List, Required: true, Doc: "Kafka brokers, host:port."},
		configdef.Option{Name: "key.converter", Type: configdef.Class, Required: true, Doc: "Converter of keys."},
		configdef.Option{Name: "value.converter", Type: configdef.Class, Required: true, Doc: "Converter of values."})
	require("Group of workers that share connectors.", "group.id")
	require("Compacted topic that remembers this kind of state.", "config.storage.topic", "offset.storage.topic", "status.storage.topic")
	add(configdef.String, none, "File of source offsets in standalone mode.", "offset.storage.file.filename")
	add(configdef.Class, "org.apache.kafka.connect.storage.SimpleHeaderConverter", "Converter of header values.", "header.converter")
	add(configdef.List, "http://:8083", "Addresses of the REST API.", "listeners")
	add(configdef.String, none, "What other workers and clients are told as this worker's address.", "rest.advertised.host.name", "rest.advertised.port", "rest.advertised.listener")
	add(configdef.Long, "60000", "How often source offsets are stored.", "offset.flush.interval.ms")
	add(configdef.Long, "5000", "How long a store of offsets may take.", "offset.flush.timeout.ms")
	add(configdef.Long, "5000", "How long all tasks together may take to stop.", "task.shutdown.graceful.timeout.ms")
	add(configdef.List, "", "Names of config providers.", "config.providers")
	add(configdef.String, "All", "Which client settings connectors may override: All, None, Principal or Allowlist.", "connector.client.config.override.policy")
	add(configdef.List, "", "Settings that the policy Allowlist lets through.", "connector.client.config.override.allowlist")
	add(configdef.Boolean, "true", "Switch.", "topic.creation.enable", "topic.tracking.enable", "topic.tracking.allow.reset")
	add(configdef.String, "", "CORS.", "access.control.allow.origin", "access.control.allow.methods")
	add(configdef.String, none, "Further listeners for /admin; empty switches /admin off.", "admin.listeners")
	add(configdef.Boolean, "true", "Whether the web page is served at /ui/.", "ui.enabled")
	add(configdef.Boolean, "false", "Whether the web page shows and changes nothing.", "ui.read.only")
	add(configdef.String, "", "Rules that add headers to every answer.", "response.http.headers.config")
	add(configdef.List, "", "REST extensions; basic authentication is the one there is.", "rest.extension.classes")
	add(configdef.String, none, "JAAS file of basic authentication; without it the one that KAFKA_OPTS gives to the JVM.", loginConfigProp)
	add(configdef.String, none, "Without meaning here: plugins are part of the binary.", "plugin.path", "plugin.discovery", "metric.reporters",
		"metrics.sample.window.ms", "metrics.num.samples", "metrics.recording.level", "auto.include.jmx.reporter",
		"internal.key.converter", "internal.value.converter")
	add(configdef.Int, "300000", "How long work of a vanished worker may stay unassigned.", "scheduled.rebalance.max.delay.ms")
	add(configdef.Int, "10000", "Group session timeout.", "session.timeout.ms")
	add(configdef.Int, "3000", "Group heartbeat interval.", "heartbeat.interval.ms")
	add(configdef.Int, "60000", "Group rebalance timeout.", "rebalance.timeout.ms")
	add(configdef.String, "sessioned", "Group protocol: sessioned, compatible or eager.", "connect.protocol")
	add(configdef.String, "disabled", "Exactly-once for sources: disabled, preparing or enabled.", "exactly.once.source.support")
	add(configdef.Boolean, "true", "Start tasks again that failed for a reason that may pass; false leaves them FAILED, as Connect does.", "task.auto.restart")
	add(configdef.String, "HmacSHA256", "Signature of requests between workers.", "inter.worker.key.generation.algorithm", "inter.worker.signature.algorithm", "inter.worker.verification.algorithms")
	add(configdef.Int, none, "Size of the key that signs requests.", "inter.worker.key.size")
	add(configdef.Int, "3600000", "Lifetime of the key that signs requests.", "inter.worker.key.ttl.ms")
	add(configdef.Int, "3000", "How long a worker may take to catch up with the configs.", "worker.sync.timeout.ms")
	add(configdef.Int, "300000", "Pause after a failed catch-up.", "worker.unsync.backoff.ms")
	add(configdef.Boolean, "true", "Make the storage topics when they are missing.", "internal.topics.automatic.creation.enable")
	add(configdef.String, "", "Client id prefix.", "client.id")
	add(configdef.String, "PLAINTEXT", "Security of the connections to Kafka.", "security.protocol")
	add(configdef.String, none, "Kafka client setting.", "request.timeout.ms", "retry.backoff.ms", "retry.backoff.max.ms", "reconnect.backoff.ms",
		"reconnect.backoff.max.ms", "metadata.max.age.ms", "connections.max.idle.ms", "socket.connection.setup.timeout.ms",
		"socket.connection.setup.timeout.max.ms", "send.buffer.bytes", "receive.buffer.bytes", "bootstrap.resolve.timeout.ms",
		"client.dns.lookup", "metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms", "metadata.cluster.check.enable")
	return d
}
