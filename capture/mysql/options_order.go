package mysql

import "millrace/capture/options"

// optionOrder lists the options of each group in the order of the real connector.
var optionOrder = []options.Group{
	{Name: "MySQL", Options: []string{
		"topic.prefix", "database.hostname", "database.port", "database.user", "database.password", "database.query.timeout.ms",
		"database.initial.statements", "database.server.id", "database.server.id.offset", "database.ssl.keystore", "database.ssl.keystore.password",
		"database.ssl.truststore", "database.ssl.truststore.password", "database.jdbc.driver", "database.protocol", "database.ssl.mode",
	}},
	{Name: "Connector", Options: []string{
		"event.processing.failure.handling.mode", "max.batch.size", "max.queue.size", "poll.interval.ms", "max.queue.size.in.bytes",
		"provide.transaction.metadata", "skipped.operations", "snapshot.delay.ms", "streaming.delay.ms", "snapshot.include.collection.list",
		"snapshot.fetch.size", "snapshot.max.threads", "snapshot.max.threads.multiplier", "legacy.snapshot.max.threads",
		"internal.legacy.snapshot.max.threads", "snapshot.mode.custom.name", "snapshot.mode.configuration.based.snapshot.data",
		"snapshot.mode.configuration.based.snapshot.schema", "snapshot.mode.configuration.based.start.stream",
		"snapshot.mode.configuration.based.snapshot.on.schema.error", "snapshot.mode.configuration.based.snapshot.on.data.error",
		"retriable.restart.connector.wait.ms", "query.fetch.size", "errors.max.retries", "incremental.snapshot.watermarking.strategy",
		"internal.log.position.check.enable", "internal.advanced.metrics.enable", "connection.validation.timeout.ms", "executor.shutdown.timeout.ms",
		"openlineage.integration.enabled", "openlineage.integration.config.file.path", "openlineage.integration.job.namespace",
		"openlineage.integration.job.description", "openlineage.integration.job.tags", "openlineage.integration.job.owners",
		"openlineage.integration.dataset.kafka.bootstrap.servers", "extended.headers.enabled", "guardrail.collections.max",
		"guardrail.collections.limit.action", "custom.sanitize.pattern", "statistics.metrics.enabled", "decimal.handling.mode", "snapshot.lock.timeout.ms",
		"memory.management.schemas.class", "memory.management.tables.class", "connect.timeout.ms", "connect.keep.alive", "connect.keep.alive.interval.ms",
		"use.nongraceful.disconnect", "binlog.net.write.timeout", "binlog.net.read.timeout", "snapshot.mode", "snapshot.query.mode",
		"snapshot.query.mode.custom.name", "bigint.unsigned.handling.mode", "time.precision.mode", "enable.time.adjuster", "schema.name.adjustment.mode",
		"min.row.count.to.stream.results", "incremental.snapshot.chunk.size", "incremental.snapshot.allow.schema.changes", "snapshot.locking.mode",
		"ddl.parser.type",
	}},
	{Name: "History Storage", Options: []string{
		"schema.history.internal", "schema.history.internal.skip.unparseable.ddl", "schema.history.internal.store.only.captured.tables.ddl",
		"schema.history.internal.store.only.captured.databases.ddl",
	}},
	{Name: "Events", Options: []string{
		"converters", "post.processors", "tombstones.on.delete", "heartbeat.interval.ms", "heartbeat.topics.prefix", "signal.data.collection",
		"signal.poll.interval.ms", "signal.enabled.channels", "topic.naming.strategy", "notification.enabled.channels", "notification.sink.topic.name",
		"transaction.metadata.factory", "custom.metric.tags", "column.include.list", "column.exclude.list", "table.include.list", "table.exclude.list",
		"message.key.columns", "snapshot.select.statement.overrides", "column.mask.hash.([^.]+).with.salt.(.+)", "column.mask.with.(d+).chars",
		"column.truncate.to.(d+).chars", "include.schema.changes", "include.schema.comments", "column.propagate.source.type",
		"datatype.propagate.source.type", "internal.snapshot.scan.all.columns.force", "snapshot.tables.order.by.row.count", "heartbeat.action.query",
		"include.query", "table.ignore.builtin", "database.include.list", "database.exclude.list", "binlog.buffer.size",
		"event.deserialization.failure.handling.mode", "inconsistent.schema.handling.mode", "gtid.source.filter.dml.events", "gtid.ignore.on.recovery",
		"gtid.source.includes", "gtid.source.excludes", "sourceinfo.struct.maker",
	}},
}
