package postgres

import "millrace/capture/options"

// optionOrder lists the options of each group in the order of the real connector.
var optionOrder = []options.Group{
	{Name: "Postgres", Options: []string{
		"topic.prefix", "database.hostname", "database.port", "database.user", "database.password", "database.dbname", "database.query.timeout.ms",
		"plugin.name", "slot.name", "publication.name", "publication.autocreate.mode", "replica.identity.autoset.values", "slot.drop.on.stop",
		"slot.failover", "slot.stream.params", "database.initial.statements", "database.sslmode", "database.sslcert", "database.sslpassword",
		"database.sslrootcert", "database.sslkey", "slot.max.retries", "slot.retry.delay.ms", "database.sslfactory", "status.update.interval.ms",
		"lsn.flush.timeout.ms", "lsn.flush.timeout.action", "database.tcpKeepAlive", "xmin.fetch.interval.ms", "skipped.operations",
		"lsn.flush.mode", "flush.lsn.source",
	}},
	{Name: "Connector", Options: []string{
		"event.processing.failure.handling.mode", "max.batch.size", "max.queue.size", "poll.interval.ms", "max.queue.size.in.bytes",
		"provide.transaction.metadata", "snapshot.delay.ms", "streaming.delay.ms", "snapshot.include.collection.list", "snapshot.fetch.size",
		"snapshot.max.threads", "snapshot.max.threads.multiplier", "legacy.snapshot.max.threads", "internal.legacy.snapshot.max.threads",
		"snapshot.mode.custom.name", "snapshot.mode.configuration.based.snapshot.data", "snapshot.mode.configuration.based.snapshot.schema",
		"snapshot.mode.configuration.based.start.stream", "snapshot.mode.configuration.based.snapshot.on.schema.error", "snapshot.mode.configuration.based.snapshot.on.data.error",
		"retriable.restart.connector.wait.ms", "query.fetch.size", "errors.max.retries", "incremental.snapshot.watermarking.strategy",
		"internal.log.position.check.enable", "internal.advanced.metrics.enable", "connection.validation.timeout.ms", "executor.shutdown.timeout.ms",
		"openlineage.integration.enabled", "openlineage.integration.config.file.path", "openlineage.integration.job.namespace",
		"openlineage.integration.job.description", "openlineage.integration.job.tags", "openlineage.integration.job.owners", "openlineage.integration.dataset.kafka.bootstrap.servers",
		"extended.headers.enabled", "guardrail.collections.max", "guardrail.collections.limit.action", "custom.sanitize.pattern",
		"statistics.metrics.enabled", "decimal.handling.mode", "time.precision.mode", "snapshot.lock.timeout.ms", "memory.management.schemas.class",
		"memory.management.tables.class", "snapshot.mode", "snapshot.isolation.mode", "snapshot.query.mode", "snapshot.query.mode.custom.name",
		"snapshot.locking.mode.custom.name", "snapshot.locking.mode", "hstore.handling.mode", "binary.handling.mode", "schema.name.adjustment.mode",
		"interval.handling.mode", "schema.refresh.mode", "incremental.snapshot.chunk.size", "unavailable.value.placeholder", "message.prefix.include.list",
		"message.prefix.exclude.list", "publish.via.partition.root",
	}},
	{Name: "Events", Options: []string{
		"converters", "post.processors", "tombstones.on.delete", "heartbeat.interval.ms", "heartbeat.topics.prefix", "signal.data.collection",
		"signal.poll.interval.ms", "signal.enabled.channels", "topic.naming.strategy", "notification.enabled.channels", "notification.sink.topic.name",
		"transaction.metadata.factory", "custom.metric.tags", "column.include.list", "column.exclude.list", "table.include.list",
		"table.exclude.list", "table.ignore.builtin", "schema.include.list", "schema.exclude.list", "message.key.columns", "snapshot.select.statement.overrides",
		"column.mask.hash.([^.]+).with.salt.(.+)", "column.mask.with.(d+).chars", "column.truncate.to.(d+).chars", "include.schema.comments",
		"column.propagate.source.type", "datatype.propagate.source.type", "internal.snapshot.scan.all.columns.force", "snapshot.tables.order.by.row.count",
		"heartbeat.action.query", "include.unknown.datatypes", "sourceinfo.struct.maker",
	}},
}
