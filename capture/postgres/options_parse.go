package postgres

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"millrace/capture/options"
	"millrace/decode/pgvalue"
	"millrace/internal/configdef"
	"millrace/internal/javaregex"
)

// ParseOptions parses a connector's properties. The error names every property
// that is wrong, one per line, in Debezium's words.
func ParseOptions(connector string, taskID int, props map[string]string) (*Options, error) {
	v, err := Def().Parse(props)
	if err != nil {
		return nil, err
	}
	return parseValues(connector, taskID, v)
}

func parseValues(connector string, taskID int, v configdef.Values) (*Options, error) {
	o := &Options{
		Connector: connector, TaskID: taskID, Prefix: v.String("topic.prefix"),
		Conn: parseConn(v), Slot: parseSlot(v), Flush: parseFlush(v),
		Incremental:     Incremental{ChunkSize: v.Int("incremental.snapshot.chunk.size"), DeleteOpen: v.Enum("incremental.snapshot.watermarking.strategy") == "insert_delete"},
		Heartbeat:       Heartbeat{Interval: v.Millis("heartbeat.interval.ms"), Query: v.String("heartbeat.action.query")},
		Signal:          parseSignal(v),
		Notify:          Notify{Channels: v.List("notification.enabled.channels"), Topic: v.String("notification.sink.topic.name")},
		Transaction:     Transaction{Metadata: v.Bool("provide.transaction.metadata")},
		Batch:           Batch{MaxRecords: v.Int("max.batch.size"), QueueSize: v.Int("max.queue.size"), QueueBytes: v.Int("max.queue.size.in.bytes"), Poll: v.Millis("poll.interval.ms")},
		Modes:           parseModes(v),
		SkipUnchanged:   v.Bool("skip.messages.without.change"),
		Tombstones:      v.Bool("tombstones.on.delete"),
		ExtendedHeaders: v.Bool("extended.headers.enabled"),
		XminInterval:    v.Millis("xmin.fetch.interval.ms"),
		ReadOnly:        v.Bool("read.only"),
		GuardTables:     v.Int("guardrail.collections.max"),
		GuardFail:       v.Enum("guardrail.collections.limit.action") == "fail",
	}
	o.MetricTags, _ = options.ParsePairs(v.String("custom.metric.tags"), ",")
	for _, step := range []func(configdef.Values) error{o.parseFilters, o.parseNaming, o.parsePublication, o.parseSnapshot, o.parseFailures, o.parseReselects} {
		if err := step(v); err != nil {
			return nil, err
		}
	}
	if o.Flush.Mode == FlushConnectorAndDriver && o.Heartbeat.Interval == 0 && !o.Transaction.Metadata {
		o.Heartbeat.Interval = 10 * time.Minute
		o.warn("heartbeat.interval.ms is taken as 600000 since lsn.flush.mode=connector_and_driver needs heartbeats or provide.transaction.metadata")
	}
	o.warnings(v)
	return o, nil
}

func (o *Options) warn(format string, args ...any) {
	o.Warnings = append(o.Warnings, fmt.Sprintf(format, args...))
}

func parseSlot(v configdef.Values) Slot {
	s := Slot{
		Name: v.String("slot.name"), DropOnStop: v.Bool("slot.drop.on.stop"), Failover: v.Bool("slot.failover"),
		MaxRetries: v.Int("slot.max.retries"), RetryDelay: v.Millis("slot.retry.delay.ms"),
		CommandTimeout: time.Duration(v.Int64("internal.create.slot.command.timeout")) * time.Second,
		Mismatch:       v.Enum("offset.mismatch.strategy"),
		CheckPosition:  v.Bool("internal.log.position.check.enable"),
	}
	if !v.IsSet("offset.mismatch.strategy") && v.Bool("internal.slot.seek.to.known.offset.on.start") {
		s.Mismatch = "trust_offset"
	}
	switch s.Mismatch {
	case "no_validation", "trust_offset", "trust_slot", "trust_greater_lsn":
	default:
		s.Mismatch = "no_validation"
	}
	s.StreamParams, _ = options.ParsePairs(v.String("slot.stream.params"), ";")
	return s
}

func parseFlush(v configdef.Values) Flush {
	f := Flush{Mode: FlushConnector, Timeout: v.Millis("lsn.flush.timeout.ms"), TimeoutAction: v.Enum("lsn.flush.timeout.action"), StatusInterval: v.Millis("status.update.interval.ms")}
	if m := v.Enum("lsn.flush.mode"); m != "" {
		f.Mode = FlushMode(m)
	} else if v.IsSet("flush.lsn.source") && !v.Bool("flush.lsn.source") {
		f.Mode = FlushManual
	}
	return f
}

func parseSignal(v configdef.Values) Signal {
	s := Signal{
		Table: unquoteTable(v.String("signal.data.collection")), Channels: v.List("signal.enabled.channels"),
		Poll: v.Millis("signal.poll.interval.ms"), File: v.String("signal.file"),
		Kafka: SignalKafka{
			Topic: v.String("signal.kafka.topic"), Bootstrap: v.String("signal.kafka.bootstrap.servers"), GroupID: v.String("signal.kafka.groupId"),
			PollTimeout: v.Millis("signal.kafka.poll.timeout.ms"), Consumer: v.Prefixed("signal.consumer."),
		},
	}
	if s.Kafka.Topic == "" {
		s.Kafka.Topic = v.String("topic.prefix") + "-signal"
	}
	return s
}

// unquoteTable turns "schema"."table" into schema.table.
func unquoteTable(s string) string {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, `"`) {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, `""`, "\x00"), `"`, "")
}

// Java classes of Avro converters, which turn field name adjustment on.
const (
	confluentAvro = "io.confluent.connect.avro.AvroConverter"
	apicurioAvro  = "io.apicurio.registry.utils.converter.AvroConverter"
)

func parseModes(v configdef.Values) pgvalue.Modes {
	field := v.Enum("field.name.adjustment.mode")
	if field == "none" {
		for _, k := range []string{"key.converter", "value.converter"} {
			if c := strings.TrimSpace(v.Props()[k]); c == confluentAvro || c == apicurioAvro {
				field = "avro"
			}
		}
	}
	return pgvalue.Modes{
		Decimal: v.Enum("decimal.handling.mode"), Time: v.Enum("time.precision.mode"), Binary: v.Enum("binary.handling.mode"),
		Hstore: v.Enum("hstore.handling.mode"), Interval: v.Enum("interval.handling.mode"), MoneyDigits: v.Int("money.fraction.digits"),
		IncludeUnknown: v.Bool("include.unknown.datatypes"), Placeholder: placeholderBytes(v.String("unavailable.value.placeholder")),
		FieldName: options.FieldAdjuster(field), SchemaName: options.SchemaAdjuster(v.Enum("schema.name.adjustment.mode")),
	}
}

func placeholderBytes(s string) []byte {
	if h, ok := strings.CutPrefix(s, "hex:"); ok {
		if b, err := hex.DecodeString(h); err == nil {
			return b
		}
	}
	return []byte(s)
}

// builtin reports what belongs to the server or to extensions, as Debezium lists it.
func builtin(schema, table string) bool {
	switch strings.ToLower(schema) {
	case "pg_catalog", "information_schema":
		return true
	}
	return strings.EqualFold(table, "spatial_ref_sys") || strings.HasPrefix(schema, "pg_temp")
}

func (o *Options) parseFilters(v configdef.Values) error {
	c := options.TableFilterConfig{
		SpaceInclude: v.String("schema.include.list"), SpaceExclude: v.String("schema.exclude.list"),
		TableInclude: v.String("table.include.list"), TableExclude: v.String("table.exclude.list"),
	}
	if v.Bool("table.ignore.builtin") {
		c.Builtin = builtin
	}
	if o.Signal.Table != "" {
		c.Always = []string{o.Signal.Table}
	}
	var err error
	if o.Tables, err = options.NewTableFilter(c); err != nil {
		return err
	}
	if o.Columns, err = options.NewColumnFilter(v.String("column.include.list"), v.String("column.exclude.list")); err != nil {
		return err
	}
	if o.ColumnRules, err = options.NewColumnRules(v.Props()); err != nil {
		return err
	}
	if o.KeyColumns, err = options.NewKeyColumns(v.String("message.key.columns")); err != nil {
		return err
	}
	if o.Messages, err = options.NewPrefixFilter(v.String("message.prefix.include.list"), v.String("message.prefix.exclude.list")); err != nil {
		return err
	}
	o.Skipped, err = options.ParseOperations(v.String("skipped.operations"))
	return err
}

func (o *Options) parseNaming(v configdef.Values) error {
	n, err := options.NewNaming(options.NamingConfig{
		Strategy: v.String("topic.naming.strategy"), Prefix: o.Prefix, Delimiter: v.String("topic.delimiter"),
		HeartbeatPrefix: v.String("topic.heartbeat.prefix"), HeartbeatName: v.String("topic.heartbeat.name"), Transaction: v.String("topic.transaction"),
		Regex: v.String("topic.regex"), Replacement: v.String("topic.replacement"),
		KeyUnique: v.Bool("topic.key.enforce.uniqueness"), KeyField: v.String("topic.key.field.name"),
		KeyRegex: v.String("topic.key.field.regex"), KeyReplacement: v.String("topic.key.field.replacement"),
		AdjustSchema: o.Modes.SchemaName,
	})
	o.Naming = n
	return err
}

func (o *Options) parsePublication(v configdef.Values) error {
	p := Publication{Name: v.String("publication.name"), Mode: v.Enum("publication.autocreate.mode"), ViaPartitionRoot: v.Bool("publish.via.partition.root")}
	if v.IsSet("skipped.operations") {
		var keep []string
		for _, x := range []struct {
			op   byte
			name string
		}{{'c', "insert"}, {'u', "update"}, {'d', "delete"}, {'t', "truncate"}} {
			if !o.Skipped.Has(x.op) {
				keep = append(keep, x.name)
			}
		}
		p.Publish = strings.Join(keep, ", ")
	}
	if text := v.String("replica.identity.autoset.values"); text != "" {
		for _, e := range strings.Split(text, ",") {
			loc := identityRegexp.SubmatchIndex(e)
			if loc == nil {
				continue // Parse has refused it
			}
			table, err := javaregex.Compile(identityRegexp.Group(e, loc, "tablepredicate"), javaregex.CaseInsensitive)
			if err != nil {
				return fmt.Errorf("%s", options.Invalid("replica.identity.autoset.values", err.Error()))
			}
			id := Identity{Table: table, Value: strings.ToUpper(identityRegexp.Group(e, loc, "replicaidentity"))}
			if id.Index = identityRegexp.Group(e, loc, "indexname"); id.Index != "" {
				id.Value = "INDEX"
			}
			p.Identities = append(p.Identities, id)
		}
	}
	o.Publication = p
	return nil
}

func (o *Options) parseSnapshot(v configdef.Values) error {
	const based = "snapshot.mode.configuration.based."
	s := Snapshot{
		Mode:      v.Enum("snapshot.mode"),
		BasedData: v.Bool(based + "snapshot.data"), BasedSchema: v.Bool(based + "snapshot.schema"), BasedStream: v.Bool(based + "start.stream"),
		BasedOnSchemaError: v.Bool(based + "snapshot.on.schema.error"), BasedOnDataError: v.Bool(based + "snapshot.on.data.error"),
		Isolation: v.Enum("snapshot.isolation.mode"), Locking: v.Enum("snapshot.locking.mode"), LockTimeout: v.Millis("snapshot.lock.timeout.ms"),
		Overrides: map[string]string{}, Delay: v.Millis("snapshot.delay.ms"), StreamDelay: v.Millis("streaming.delay.ms"),
		FetchSize: v.Int("snapshot.fetch.size"), Threads: v.Int("snapshot.max.threads"), Multiplier: v.Int("snapshot.max.threads.multiplier"),
		MultiplierByTable: map[string]int{}, LegacyThreads: v.Bool("legacy.snapshot.max.threads") || strings.EqualFold(strings.TrimSpace(v.Props()["internal.legacy.snapshot.max.threads"]), "true"),
		OrderByRows: v.Enum("snapshot.tables.order.by.row.count"),
	}
	var err error
	if s.Include, err = options.NewNameList(v.String("snapshot.include.collection.list")); err != nil {
		return err
	}
	for _, table := range v.List("snapshot.select.statement.overrides") {
		q := strings.TrimSpace(v.Props()["snapshot.select.statement.overrides."+table])
		if q == "" {
			o.warn("snapshot.select.statement.overrides names %s, but snapshot.select.statement.overrides.%s is not set: the table is read whole", table, table)
			continue
		}
		s.Overrides[unquoteTable(table)] = q
	}
	for table, text := range v.Prefixed("snapshot.max.threads.multiplier.") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			o.warn("snapshot.max.threads.multiplier.%s is no positive number: snapshot.max.threads.multiplier is used", table)
			continue
		}
		s.MultiplierByTable[unquoteTable(table)] = n
	}
	o.Snapshot = s
	return nil
}

func (o *Options) parseFailures(v configdef.Values) error {
	f := Failures{
		Event: v.Enum("event.processing.failure.handling.mode"), Convert: v.Enum("event.converting.failure.handling.mode"),
		Retries: v.Int("errors.max.retries"), RetryWait: v.Millis("retriable.restart.connector.wait.ms"), ShutdownWait: v.Millis("executor.shutdown.timeout.ms"),
	}
	if text := v.String("internal.custom.retriable.exception"); text != "" {
		r, err := javaregex.Compile(text, 0)
		if err != nil {
			return err
		}
		f.RetriableText = r
	}
	o.Failures = f
	return nil
}

func (o *Options) parseReselects(v configdef.Values) error {
	for _, name := range v.List("post.processors") {
		r, err := options.ParseReselect(name, v.Props())
		if err != nil {
			return err
		}
		o.RereadColumns = append(o.RereadColumns, *r)
	}
	return nil
}

// renamed are options of older versions that now do nothing at all; a user who
// still sets one should hear of it.
var renamed = map[string]string{
	"database.server.name": "topic.prefix", "table.whitelist": "table.include.list", "table.blacklist": "table.exclude.list",
	"schema.whitelist": "schema.include.list", "schema.blacklist": "schema.exclude.list", "column.whitelist": "column.include.list",
	"column.blacklist": "column.exclude.list", "toasted.value.placeholder": "unavailable.value.placeholder", "snapshot.select.statement.override": "snapshot.select.statement.overrides",
	"sanitize.field.names": "field.name.adjustment.mode", "message.key.column": "message.key.columns", "heartbeat.topic.prefix": "topic.heartbeat.prefix",
	"publication.autocreate": "publication.autocreate.mode", "signal.data.collections": "signal.data.collection",
}

// withoutEffect are options that change nothing here, and the value that needs no
// word about it; nothing is ignored silently.
var withoutEffect = []struct{ option, fine, why string }{
	{"legacy.snapshot.max.threads", "false", "snapshot.max.threads reads large tables in pieces, one table after the other"},
	{"snapshot.fetch.size", "", "snapshots are read by COPY, without a cursor"},
	{"snapshot.tables.order.by.row.count", "disabled", "tables are read in the order of table.include.list, then by name"},
	{"custom.metric.tags", "", "the labels of the metrics are fixed"},
}

func (o *Options) warnings(v configdef.Values) {
	if !v.IsSet("plugin.name") {
		o.warn("plugin.name is not set: pgoutput is used (the real connector would look for decoderbufs on the server)")
	}
	for _, c := range o.Signal.Channels {
		switch c {
		case "source", "kafka", "file":
		default:
			o.warn("signal.enabled.channels: there is no channel %q here; known are source, kafka and file", c)
		}
	}
	for _, c := range o.Notify.Channels {
		if c != "sink" && c != "log" {
			o.warn("notification.enabled.channels: there is no channel %q here; known are sink and log", c)
		}
	}
	if _, bad := options.ParsePairs(v.String("slot.stream.params"), ";"); len(bad) > 0 {
		o.warn("slot.stream.params: %s is not of the form name=value and is left out", strings.Join(bad, "; "))
	}
	if v.IsSet("offset.mismatch.strategy") && o.Slot.Mismatch != v.Enum("offset.mismatch.strategy") {
		o.warn("offset.mismatch.strategy: %q is unknown, no_validation is used", v.String("offset.mismatch.strategy"))
	}
	if o.Failures.Convert == "fail" {
		o.warn("event.converting.failure.handling.mode=fail has no effect: a value that cannot be converted becomes null and is logged")
	}
	for _, x := range withoutEffect {
		if v.IsSet(x.option) && !strings.EqualFold(v.String(x.option), x.fine) {
			o.warn("%s=%s has no effect: %s", x.option, v.String(x.option), x.why)
		}
	}
	old := make([]string, 0, len(renamed))
	for k := range renamed {
		if _, ok := v.Props()[k]; ok {
			old = append(old, k)
		}
	}
	sort.Strings(old)
	for _, k := range old {
		o.warn("%s has no effect: the option is called %s", k, renamed[k])
	}
	o.Warnings = append(o.Warnings, driverWarnings(v)...)
}
