package objectstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
)

// Java names of Confluent's S3 sink and the classes its options name.
const (
	ConfluentClass     = "io.confluent.connect.s3.S3SinkConnector"
	ConfluentTaskClass = "io.confluent.connect.s3.S3SinkTask"

	storageClass = "io.confluent.connect.s3.storage.S3Storage"
	formats      = "io.confluent.connect.s3.format."
	partitioners = "io.confluent.connect.storage.partitioner."
	roleProvider = "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider"
)

// The time-based partitioners' fixed paths.
const (
	dailyPath  = "'year'=YYYY/'month'=MM/'day'=dd"
	hourlyPath = "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH"
)

var formatClasses = []string{"json.JsonFormat", "avro.AvroFormat", "parquet.ParquetFormat", "bytearray.ByteArrayFormat"}
var partitionerClasses = []string{"DefaultPartitioner", "FieldPartitioner", "TimeBasedPartitioner", "DailyPartitioner", "HourlyPartitioner"}

// builtIn checks a class name against the ones that are built in.
func builtIn(prefix string, names []string) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		for _, n := range names {
			if in.Value == prefix+n {
				return nil
			}
		}
		return configdef.Invalid(in, "built in are %s%s", prefix, strings.Join(names, ", "+prefix))
	}
}

// DefConfluent is the option table of Confluent's S3 sink.
func DefConfluent() *configdef.Def {
	str, integer, long, yes, class := configdef.String, configdef.Int, configdef.Long, configdef.Boolean, configdef.Class
	required := func(name string, typ configdef.Type, doc string, check func(configdef.Input) []string) configdef.Option {
		return configdef.Option{Name: name, Type: typ, Required: true, Importance: configdef.High, Doc: doc, Check: whenSet(check)}
	}
	out := []configdef.Option{
		required("s3.bucket.name", str, "The bucket; below store.url=file:///directory, a directory.", nil),
		option("s3.region", str, "us-west-2", "Region of the bucket.", nil),
		text("store.url", "Address of the object store when it is not Amazon's; file:///directory writes local files.", checkAddress),
		option("s3.path.style.access.enabled", yes, "true", "Whether the bucket stands in the path and not in the host name.", nil),
		required("storage.class", class, "Must be "+storageClass+".", builtIn("", []string{storageClass})),
		required("format.class", class, "Format of the files: one of "+formats+"{"+strings.Join(formatClasses, ", ")+"}.", builtIn(formats, formatClasses)),
		required("flush.size", integer, "Records of a partition after which its files are complete.", configdef.AtLeast(1)),
		option("rotate.interval.ms", long, "-1", "Time between the first record of a file and the record that ends it, in the records' own time; needs a time-based partitioner. -1: none.", configdef.AtLeast(-1)),
		option("rotate.schedule.interval.ms", long, "-1", "Wall-clock time after which files are complete, counted from midnight in timezone. -1: none.", configdef.AtLeast(-1)),
		option("rotate.file.on.partition.change", yes, "true", "Whether files end when a record of another time partition comes; only with rotate.interval.ms.", nil),
		option("partitioner.class", class, partitioners+"DefaultPartitioner", "Directories below the topic: one of "+partitioners+"{"+strings.Join(partitionerClasses, ", ")+"}.", builtIn(partitioners, partitionerClasses)),
		option("partition.field.name", configdef.List, "", "Fields of the FieldPartitioner, dotted for nested ones.", nil),
		option("partition.duration.ms", long, "-1", "Length of a directory of the TimeBasedPartitioner.", configdef.AtLeast(-1)),
		option("path.format", str, "", "Path of the TimeBasedPartitioner as a Joda-Time pattern, such as 'dt'=YYYY-MM-dd/'hour'=HH.", checkJoda),
		option("locale", str, "", "Language of month and day names; only English is built in.", checkLocale),
		option("timezone", str, "", "Time zone of the paths, such as UTC or Europe/Berlin.", zoneName),
		option("timestamp.extractor", str, "Wallclock", "Where a record's time is taken from: Wallclock, Record or RecordField.", configdef.OneOf("Wallclock", "Record", "RecordField")),
		option("timestamp.field", str, "timestamp", "Field of RecordField: milliseconds or ISO 8601 text.", nil),
		option("topics.dir", str, "topics", "First directory.", nil),
		option("directory.delim", str, "/", "Text between directories.", nil),
		option("file.delim", str, "+", "Text between the parts of a file's name.", nil),
		option("filename.offset.zero.pad.width", integer, "10", "Digits of the offset in a file's name.", configdef.AtLeast(0)),
		secret("aws.access.key.id", "Access key; without it, AWS's default chain of credentials."),
		secret("aws.secret.access.key", "Its secret."),
		option("s3.part.size", integer, "26214400", "Files above this size are uploaded in parts of it.", configdef.AtLeast(5<<20)),
		option("s3.compression.type", str, "none", "Compression of JSON and byte files: none or gzip.", configdef.OneOf("none", "gzip")),
		option("s3.compression.level", integer, "-1", "Its level, -1 to 9.", nil),
		option("avro.codec", str, "null", "Codec of Avro files: null, deflate, snappy, bzip2 or zstandard.", configdef.OneOf("null", "deflate", "snappy", "bzip2", "zstandard")),
		option("parquet.codec", str, "snappy", "Codec of Parquet files: none, snappy, gzip, brotli, lz4 or zstd.", configdef.OneOf("none", "snappy", "gzip", "brotli", "lz4", "zstd")),
		option("schema.compatibility", str, "NONE", "NONE: any other schema ends the files. BACKWARD, FORWARD, FULL: values of compatible versions are written under one schema.", configdef.OneOf("NONE", "BACKWARD", "FORWARD", "FULL")),
		option("behavior.on.null.values", str, "fail", "What to do with tombstones: fail, ignore, or write their keys, which needs store.kafka.keys.", checkNulls),
		option("s3.part.retries", integer, "3", "How often a request is sent again at once; after that, until it works, at each commit.", configdef.AtLeast(0)),
		option("s3.retry.backoff.ms", long, "200", "First delay between those tries.", configdef.AtLeast(0)),
		option("json.decimal.format", str, "BASE64", "How JSON files hold decimals: BASE64 or NUMERIC.", configdef.OneOf("BASE64", "NUMERIC")),
		option("format.bytearray.extension", str, ".bin", "Extension of byte files.", nil),
		option("format.bytearray.separator", str, "", "Text after each record of a byte file; without it, the line separator.", nil),
		option("s3.ssea.name", str, "", "Server-side encryption: AES256 or aws:kms.", configdef.OneOf("", "AES256", "aws:kms")),
		option("s3.sse.kms.key.id", str, "", "Key of aws:kms.", nil),
		option("s3.acl.canned", str, "", "Canned access list of the objects, such as bucket-owner-full-control.", nil),
		text("s3.proxy.url", "Proxy for the store.", nil),
		option("s3.credentials.provider.class", class, "", "Empty for the default chain, or "+roleProvider+".", configdef.OneOf("", roleProvider, "com.amazonaws.auth.DefaultAWSCredentialsProviderChain", "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider")),
		text("s3.credentials.provider.sts.role.arn", "Role to assume.", nil),
		option("s3.credentials.provider.sts.role.session.name", str, "millrace", "Name of its sessions.", nil),
		text("s3.credentials.provider.sts.role.external.id", "External id of the role.", nil),
		option("retry.backoff.ms", long, "5000", "Delay before records are put again whose files could not be written.", configdef.AtLeast(0)),
		option("tombstone.encoded.partition", str, "tombstone", "Directory of the keys of tombstones with behavior.on.null.values=write.", nil),
		option("report.null.values.to.dlq", yes, "true", "Whether tombstones that are ignored go to the dead letter queue, if there is one.", nil),
		option("store.kafka.keys", yes, "false", "Whether the keys of a file's records are written into a file beside it.", nil),
		option("store.kafka.headers", yes, "false", "Whether the headers of a file's records are written into a file beside it.", nil),
		option("keys.format.class", class, formats+"avro.AvroFormat", "Format of the files of keys.", builtIn(formats, formatClasses)),
		option("headers.format.class", class, formats+"avro.AvroFormat", "Format of the files of headers: Avro, JSON or Parquet.", builtIn(formats, formatClasses[:3])),
		option("enable.conditional.writes", yes, "true", "Whether, with rotate.schedule.interval.ms, a file that was written already before a restart is left and the records behind it go on; so each record is in one file.", nil),
		option("partitioner.max.open.files", integer, "-1", "Most open files of a partition; one more completes them. -1: any number; what does not fit into memory is kept on disk.", configdef.AtLeast(-1)),
		option("s3.schema.partition.affix.type", str, "NONE", "Whether the name of the value's schema is a directory before (PREFIX) or below (SUFFIX) the partitioner's.", configdef.OneOf("NONE", "PREFIX", "SUFFIX")),
		option("s3.object.tagging", yes, "false", "Whether objects are tagged with startOffset, endOffset and recordCount.", nil),
		option("s3.object.tagging.key.value.pairs", configdef.List, "", "More tags, a list of key:value.", checkTags),
		text("s3.proxy.user", "User for the proxy.", nil),
		secret("s3.proxy.password", "Its password."),
		option("s3.wan.mode", yes, "false", "Whether Amazon's transfer acceleration is used; it must be switched on for the bucket.", nil),
		option("s3.send.digest", yes, "false", "Whether requests carry a checksum of what they send.", nil),
		option("max.files.scan.limit", integer, "100", "Has no work to do here: an object says itself where the one behind it begins, so no names are tried.", configdef.AtLeast(1)),
		option("max.write.duration.ms", long, "9223372036854775807", "Has no work to do here: records are spooled, and a task that uploads goes on answering its group.", configdef.AtLeast(1)),
		option("s3.elastic.buffer.enable", yes, "false", "Has no work to do here: buffers of parts grow with what is in them.", nil),
		option("s3.elastic.buffer.init.capacity", integer, "131072", "Has no work to do here, as s3.elastic.buffer.enable.", configdef.AtLeast(4096)),
		option("s3.http.send.expect.continue", yes, "true", "Has no work to do here: what is sent can be sent again.", nil),
		secret("s3.sse.customer.key", "Customer-provided key for server-side encryption (SSE-C): 32 bytes in base64."),
	}
	return &configdef.Def{Options: append(out, avroOptions("true")...)}
}

func checkNulls(in configdef.Input) []string {
	if strings.EqualFold(in.Value, "write") && !strings.EqualFold(strings.TrimSpace(in.Props["store.kafka.keys"]), "true") {
		return configdef.Invalid(in, "tombstones are written as their keys, so set store.kafka.keys=true; or use ignore, or turn deletes into values with ExtractNewRecordState and delete.tombstone.handling.mode=rewrite")
	}
	return configdef.OneOf("fail", "ignore", "write")(in)
}

func checkTags(in configdef.Input) []string {
	for _, x := range configdef.SplitList(in.Value) {
		if k, _, ok := strings.Cut(x, ":"); !ok || k == "" {
			return configdef.Invalid(in, "entries have the form key:value")
		}
	}
	return nil
}

func checkJoda(in configdef.Input) []string {
	if _, err := parseJoda(in.Value); err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

func checkLocale(in configdef.Input) []string {
	if in.Value == "" || strings.HasPrefix(strings.ToLower(in.Value), "en") {
		return nil
	}
	if strings.ContainsAny(in.Props["path.format"], "EMa") && (strings.Contains(in.Props["path.format"], "MMM") || strings.ContainsAny(in.Props["path.format"], "Ea")) {
		return configdef.Invalid(in, "names of months and days are English; use numbers in path.format")
	}
	return nil
}

// NewConfluent makes a task of Confluent's S3 sink; Start connects.
func NewConfluent(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := DefConfluent().Parse(props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	s := newSink(log)
	if err := confluentFormat(s, v); err != nil {
		return nil, err
	}
	if err := confluentAside(s, v); err != nil {
		return nil, err
	}
	l := &confluent{keys: len(s.aside) > 0, tombstones: v.String("tombstone.encoded.partition"), maxOpen: v.Int("partitioner.max.open.files"), affix: v.Enum("s3.schema.partition.affix.type"),
		reported: v.Bool("report.null.values.to.dlq") && reporter(v), dir: v.String("topics.dir"), delim: v.String("directory.delim"), fileDelim: v.String("file.delim"), pad: v.Int("filename.offset.zero.pad.width"),
		ext: s.format.extension() + s.compress.extension(), flushSize: v.Int("flush.size"), interval: v.Int64("rotate.interval.ms"), schedule: v.Int64("rotate.schedule.interval.ms"),
		cutOnPath: v.Bool("rotate.file.on.partition.change"), compat: strings.ToUpper(v.String("schema.compatibility")), nulls: v.Enum("behavior.on.null.values")}
	if err := l.partitioning(v); err != nil {
		return nil, err
	}
	s.layout, s.pause, s.resume = l, v.Millis("retry.backoff.ms"), l.schedule > 0 && v.Bool("enable.conditional.writes")
	if dir, ok := local(v.String("store.url")); ok {
		s.connect = func(context.Context) (target, error) {
			return &directory{filepath.Join(dir, v.String("s3.bucket.name"))}, nil
		}
		return s, nil
	}
	o := s3Options{bucket: v.String("s3.bucket.name"), region: v.String("s3.region"), endpoint: v.String("store.url"), pathStyle: v.Bool("s3.path.style.access.enabled"),
		accessKey: v.String("aws.access.key.id"), secretKey: v.String("aws.secret.access.key"), proxy: v.String("s3.proxy.url"), proxyUser: v.String("s3.proxy.user"), proxyPassword: v.String("s3.proxy.password"), accelerate: v.Bool("s3.wan.mode"), digest: v.Bool("s3.send.digest"), sse: v.String("s3.ssea.name"), kmsKey: v.String("s3.sse.kms.key.id"),
		acl: v.String("s3.acl.canned"), partSize: v.Int64("s3.part.size"), retries: v.Int("s3.part.retries"), backoff: v.Millis("s3.retry.backoff.ms")}
	if key := v.String("s3.sse.customer.key"); key != "" {
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != 32 {
			return nil, configError("s3.sse.customer.key must be 32 bytes in base64")
		}
		o.customerKey = string(raw)
	}
	if s.tag = v.Bool("s3.object.tagging"); s.tag {
		s.tags = url.Values{}
		for _, x := range v.List("s3.object.tagging.key.value.pairs") {
			k, value, _ := strings.Cut(x, ":")
			s.tags.Set(k, value)
		}
	}
	if v.String("s3.credentials.provider.class") == roleProvider {
		if o.roleARN = v.String("s3.credentials.provider.sts.role.arn"); o.roleARN == "" {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: "s3.credentials.provider.sts.role.arn is required by " + roleProvider}
		}
		o.roleSession, o.roleExternalID = v.String("s3.credentials.provider.sts.role.session.name"), v.String("s3.credentials.provider.sts.role.external.id")
	}
	s.connect = func(ctx context.Context) (target, error) { return newS3(ctx, o) }
	return s, nil
}

// reporter tells whether a record that is reported goes to a dead letter queue and
// the task goes on.
func reporter(v configdef.Values) bool {
	p := v.Props()
	return strings.EqualFold(strings.TrimSpace(p["errors.tolerance"]), "all") && strings.TrimSpace(p["errors.deadletterqueue.topic.name"]) != ""
}

// confluentAside sets up the files of keys and headers.
func confluentAside(s *Sink, v configdef.Values) error {
	for _, a := range []struct{ name, view string }{{"keys", ".keys"}, {"headers", ".headers"}} {
		if !v.Bool("store.kafka." + a.name) {
			continue
		}
		f, err := formatOf(v, a.name+".format.class")
		if err != nil {
			return err
		}
		x := aside{view: a.view, format: f}
		if !f.strict() {
			x.compress = compression(v.Enum("s3.compression.type"))
		}
		s.aside = append(s.aside, x)
	}
	return nil
}

func formatOf(v configdef.Values, option string) (format, error) {
	switch strings.TrimPrefix(v.String(option), formats) {
	case "json.JsonFormat":
		return newJSONFormat(".json", strings.ToUpper(v.String("json.decimal.format")))
	case "avro.AvroFormat":
		return &avroFormat{codec: v.Enum("avro.codec"), props: avroProps(v)}, nil
	case "parquet.ParquetFormat":
		codec, ext := parquetCodec(v.Enum("parquet.codec"))
		return &parquetFormat{ext: ext + ".parquet", codec: codec}, nil
	}
	sep := v.String("format.bytearray.separator")
	if sep == "" {
		sep = "\n"
	}
	return &bytesFormat{ext: v.String("format.bytearray.extension"), separator: []byte(sep)}, nil
}

func confluentFormat(s *Sink, v configdef.Values) (err error) {
	if s.format, err = formatOf(v, "format.class"); err != nil {
		return err
	}
	if !s.format.strict() {
		s.compress, s.level = compression(v.Enum("s3.compression.type")), v.Int("s3.compression.level")
	}
	return err
}

// partitioning reads the partitioner's options and what they need of each other.
func (l *confluent) partitioning(v configdef.Values) (err error) {
	fail := func(format string, args ...any) error {
		return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf(format, args...)}
	}
	if l.zone, err = zoneOf(v.String("timezone")); err != nil {
		return fail("timezone: %v", err)
	}
	timed := func(pattern string, ms int64) error {
		if v.String("timezone") == "" || v.String("locale") == "" {
			return fail("%s needs locale and timezone, such as locale=en-US, timezone=UTC", v.String("partitioner.class"))
		}
		j, err := parseJoda(pattern)
		if err != nil {
			return fail("path.format: %v", err)
		}
		l.parts = &byTime{pattern: j, duration: ms, zone: l.zone}
		kind := map[string]string{"record": "Record", "recordfield": "RecordField"}[v.Enum("timestamp.extractor")]
		if kind == "" {
			kind = "Wallclock"
		}
		l.times = &extractor{kind: kind, field: v.String("timestamp.field")}
		return nil
	}
	switch strings.TrimPrefix(v.String("partitioner.class"), partitioners) {
	case "FieldPartitioner":
		names := v.List("partition.field.name")
		if len(names) == 0 {
			return fail("FieldPartitioner needs partition.field.name")
		}
		l.parts = &byField{names: names, delim: l.delim}
	case "TimeBasedPartitioner":
		if v.String("path.format") == "" || v.Int64("partition.duration.ms") <= 0 {
			return fail("TimeBasedPartitioner needs path.format and a partition.duration.ms above 0")
		}
		err = timed(v.String("path.format"), v.Int64("partition.duration.ms"))
	case "DailyPartitioner":
		err = timed(dailyPath, 24*3600*1000)
	case "HourlyPartitioner":
		err = timed(hourlyPath, 3600*1000)
	default:
		l.parts = byPartition{}
	}
	if err == nil && l.times == nil && l.interval > 0 {
		return fail("rotate.interval.ms needs a time-based partitioner; use rotate.schedule.interval.ms with %s", v.String("partitioner.class"))
	}
	if err == nil && l.schedule > 0 && v.String("timezone") == "" {
		return fail("rotate.schedule.interval.ms needs timezone, such as timezone=UTC")
	}
	return err
}
