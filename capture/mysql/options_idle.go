package mysql

import (
	"slices"

	"millrace/capture/options"
)

// withoutEffect are options that change nothing in this connector, besides those
// that change nothing in any (options.CommonIdle).
var withoutEffect = []options.Idle{
	{Option: "database.server.id.offset", Fine: "10000", Why: "one connection reads the log, so no further replica number is needed"},
	{Option: "database.jdbc.driver", Fine: "com.mysql.cj.jdbc.Driver", Why: "millrace has its own driver"},
	{Option: "database.protocol", Fine: "jdbc:mysql", Why: "millrace has its own driver"},
	{Option: "database.allowPublicKeyRetrieval", Fine: "true", Why: "the server's key is fetched whenever a password has to be sent without TLS"},
	{Option: "use.nongraceful.disconnect", Fine: "false", Why: "a connection that does not answer is cut anyway"},
	{Option: "min.row.count.to.stream.results", Fine: "1000", Why: "rows are always streamed"},
	{Option: "snapshot.fetch.size", Fine: "0", Why: "rows are streamed without a cursor"},
	{Option: "ddl.parser.type", Fine: "default", Why: "there is one reader of statements"},
	{Option: "schema.history.internal.skip.unparseable.ddl", Fine: "false", Why: "a statement that cannot be read never stops the connector: its tables are read from the catalog"},
	{Option: "schema.history.internal.kafka.recovery.poll.interval.ms", Fine: "100", Why: "the topic is read to the end it has"},
	{Option: "schema.history.internal.kafka.recovery.attempts", Fine: "100", Why: "the topic is read to the end it has"},
	{Option: "schema.history.internal.kafka.query.timeout.ms", Fine: "3000", Why: "schema.history.internal.kafka.create.timeout.ms bounds all questions about the topic"},
	{Option: "schema.history.internal.kafka.buffer.batch.size", Fine: "1024", Why: "the statements of a snapshot are written together"},
	{Option: "event.deserialization.failure.handling.mode", Fine: "fail", Why: "event.processing.failure.handling.mode is its name now"},
	{Option: "internal.custom.retriable.exception", Why: "there are no Java exceptions"},
	{Option: "internal.legacy.snapshot.max.threads", Fine: "false", Why: "all connections of snapshot.max.threads read one table after the other, each in ranges of its key"},
	{Option: "legacy.snapshot.max.threads", Fine: "false", Why: "all connections of snapshot.max.threads read one table after the other, each in ranges of its key"},
	{Option: "binlog.buffer.size", Fine: "0", Why: "rolled-back transactions are not in the log of servers in use, so nothing is held back"},
	{Option: "database.connectionTimeZone", Why: "snapshots are read in UTC, so TIMESTAMP is the same from both paths"},
}

// idle are those of a flavor.
func idle(flavor Flavor) []options.Idle {
	if flavor == MySQL {
		return withoutEffect
	}
	out := slices.DeleteFunc(slices.Clone(withoutEffect), func(x options.Idle) bool { return onlyMySQL[x.Option] })
	return append(out, options.Idle{Option: "database.timezone", Fine: "auto", Why: "snapshots are read in UTC, so TIMESTAMP is the same from both paths"})
}
