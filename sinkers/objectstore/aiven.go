package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/errs"
)

// Java names of Aiven's S3 sink.
const (
	AivenClass     = "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector"
	AivenTaskClass = "io.aiven.kafka.connect.s3.S3SinkTask"
)

func old(o configdef.Option, alias string) configdef.Option {
	o.Aliases = []string{alias}
	return o
}

// late marks an option that Aiven's sink looks at when it starts: a connector is
// created with any value.
func late(o configdef.Option) configdef.Option {
	o.Late = true
	return o
}

// aivenFiles are the options of names and formats, which all of Aiven's sinks share.
func aivenFiles(unpacked string) []configdef.Option {
	str, integer, yes, list := configdef.String, configdef.Int, configdef.Boolean, configdef.List
	out := []configdef.Option{
		late(text("file.name.template", "Names of the files, made of {{topic}}, {{partition:padding=true|false}}, {{start_offset:padding=true|false}}, {{timestamp:unit=yyyy|MM|dd|HH}} and {{key}}. Default: {{topic}}-{{partition}}-{{start_offset}} with the format's extension.", checkTemplate)),
		old(text("file.compression.type", "Compression of the files: none, gzip, snappy or zstd; "+unpacked+" when it is not set. Of Parquet files, the codec.", configdef.OneOf("none", "gzip", "snappy", "zstd")), "output_compression"),
		option("file.max.records", integer, "0", "Most records of a file; 0: as many as come between two commits.", configdef.AtLeast(0)),
		option("file.name.timestamp.timezone", str, "Z", "Time zone of {{timestamp}}.", zoneName),
		option("file.name.timestamp.source", str, "WALLCLOCK", "Time of {{timestamp}}: WALLCLOCK or EVENT, the record's own.", configdef.OneOf("WALLCLOCK", "EVENT")),
		option("format.output.type", str, "csv", "Format of the files: csv, json (one array), jsonl, avro or parquet.", configdef.OneOf("csv", "json", "jsonl", "avro", "parquet")),
		old(option("format.output.fields", list, "value", "What is written of a record: key, value, offset, timestamp, headers.", checkFields), "output_fields"),
		option("format.output.fields.value.encoding", str, "base64", "How csv writes the value: base64 or none.", checkEncoding),
		option("format.output.envelope", yes, "true", "Whether a single field stands in an object of its own.", nil),
		option("avro.codec", str, "null", "Codec of Avro files: null, deflate, snappy, bzip2 or zstandard.", configdef.OneOf("null", "deflate", "snappy", "bzip2", "zstandard")),
		late(text("kafka.retry.backoff.ms", "Delay before records are put again whose files could not be written; when it is not set, the worker's own.", configdef.AtLeast(0))),
	}
	return append(out, avroOptions("false")...)
}

// DefAiven is the option table of Aiven's S3 sink.
func DefAiven() *configdef.Def {
	str, integer, long := configdef.String, configdef.Int, configdef.Long
	out := []configdef.Option{
		old(late(configdef.Option{Name: "aws.s3.bucket.name", Type: str, Importance: configdef.High, Doc: "The bucket; below aws.s3.endpoint=file:///directory, a directory.", Check: checkBucket}), "aws_s3_bucket"),
		old(option("aws.s3.region", str, "us-east-1", "Region of the bucket.", nil), "aws_s3_region"),
		old(late(text("aws.s3.endpoint", "Address of the object store when it is not Amazon's; file:///directory writes local files.", checkAddress)), "aws_s3_endpoint"),
		old(text("aws.s3.prefix", "Text before names of the form topic-partition-offset, which are used then; file.name.template says what files are made of still. May hold {{timestamp:unit=…}}, {{utc_date}}, {{local_date}}, {{topic}}, {{partition}} and {{start_offset}}.", checkPrefix), "aws_s3_prefix"),
		option("timestamp.timezone", str, "Z", "Time zone of {{timestamp}} in aws.s3.prefix.", zoneName),
		option("timestamp.source", str, "WALLCLOCK", "Time of {{timestamp}} in aws.s3.prefix: WALLCLOCK or EVENT, the record's own.", configdef.OneOf("WALLCLOCK", "EVENT")),
		old(filled(secret("aws.access.key.id", "Access key; without it, AWS's default chain of credentials.")), "aws_access_key_id"),
		old(filled(secret("aws.secret.access.key", "Its secret.")), "aws_secret_access_key"),
		option("aws.s3.part.size.bytes", integer, "5242880", "Files above this size are uploaded in parts of it; S3 takes none below 5 MiB, so less is 5 MiB.", within(1, 2_000_000_000)),
		text("aws.s3.sse.algorithm", "Server-side encryption: AES256 or aws:kms.", configdef.OneOf("AES256", "aws:kms")),
		option("aws.s3.backoff.delay.ms", long, "100", "First delay between tries.", configdef.AtLeast(1)),
		option("aws.s3.backoff.max.delay.ms", long, "20000", "Longest delay between tries.", configdef.AtLeast(1)),
		option("aws.s3.backoff.max.retries", integer, "3", "How often a request is sent again at once; after that, until it works, at each commit.", within(1, 30)),
		text("aws.sts.role.arn", "Role to assume.", nil),
		option("aws.sts.role.session.name", str, "millrace", "Name of its sessions.", nil),
		text("aws.sts.role.external.id", "External id of the role.", nil),
		option("aws.sts.role.session.duration", integer, "3600", "Seconds of a session.", configdef.AtLeast(900)),
		text("aws.sts.config.endpoint", "Address of the token service.", checkAddress),
		unsupported("aws.credentials.provider", configdef.Class, "", "keys, a role (aws.sts.role.arn) and AWS's default chain are built in."),
	}
	return &configdef.Def{Options: append(out, aivenFiles("gzip")...)}
}

func checkTemplate(in configdef.Input) []string {
	t, err := parseTemplate(in.Value)
	if err == nil {
		_, err = t.grouping()
	}
	if err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

func checkPrefix(in configdef.Input) []string {
	if in.Value == "" {
		return configdef.Invalid(in, "must be non-empty")
	}
	if _, err := parseTemplate(in.Value); err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

func checkFields(in configdef.Input) []string {
	list := configdef.SplitList(in.Value)
	if len(list) == 0 {
		return configdef.Invalid(in, "cannot be empty")
	}
	for _, f := range list {
		if bad := configdef.OneOf("key", "value", "offset", "timestamp", "headers")(configdef.Input{Name: in.Name, Value: f}); bad != nil {
			return bad
		}
	}
	return nil
}

func checkEncoding(in configdef.Input) []string {
	if in.Value != "base64" && in.Value != "none" {
		return configdef.Invalid(in, "supported values are: 'none', 'base64'")
	}
	return nil
}

func checkBucket(in configdef.Input) []string {
	if in.Value == "" {
		return []string{"Neither aws.s3.bucket.name nor aws_s3_bucket properties have been set"}
	}
	return nil
}

// filled refuses an empty secret, which would be taken for none at all.
func filled(o configdef.Option) configdef.Option {
	o.Check = whenSet(func(in configdef.Input) []string {
		if in.Value == "" {
			return configdef.Invalid(configdef.Input{Name: in.Name, Value: "[hidden]"}, "Password must be non-empty")
		}
		return nil
	})
	return o
}

// NewAiven makes a task of Aiven's S3 sink; Start connects.
func NewAiven(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := DefAiven().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	s, err := newAivenSink(v, log, gzipped)
	if err != nil {
		return nil, err
	}
	if dir, ok := local(v.String("aws.s3.endpoint")); ok {
		s.connect = func(context.Context) (target, error) {
			return &directory{filepath.Join(dir, v.String("aws.s3.bucket.name"))}, nil
		}
		return s, nil
	}
	o := s3Options{bucket: v.String("aws.s3.bucket.name"), region: v.String("aws.s3.region"), endpoint: v.String("aws.s3.endpoint"), pathStyle: true,
		accessKey: v.String("aws.access.key.id"), secretKey: v.String("aws.secret.access.key"), sse: v.String("aws.s3.sse.algorithm"), partSize: max(v.Int64("aws.s3.part.size.bytes"), 5<<20),
		retries: v.Int("aws.s3.backoff.max.retries"), backoff: v.Millis("aws.s3.backoff.delay.ms"), backoffMax: v.Millis("aws.s3.backoff.max.delay.ms"), roleARN: v.String("aws.sts.role.arn"), roleSession: v.String("aws.sts.role.session.name"),
		roleExternalID: v.String("aws.sts.role.external.id"), roleDuration: time.Duration(v.Int("aws.sts.role.session.duration")) * time.Second, stsEndpoint: v.String("aws.sts.config.endpoint")}
	s.connect = func(ctx context.Context) (target, error) { return newS3(ctx, o) }
	return s, nil
}

func configError(format string, args ...any) error {
	return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf(format, args...)}
}

// newAivenSink reads the options of names and formats. packed is the compression
// when none is set: gzip for S3, whose sink has more rules of its own.
func newAivenSink(v configdef.Values, log *slog.Logger, packed compression) (*Sink, error) {
	s3 := packed != noCompression
	var fields []field
	for _, f := range v.List("format.output.fields") {
		fields = append(fields, field(strings.ToLower(f)))
	}
	bare := !v.Bool("format.output.envelope")
	if bare && (len(fields) != 1 || s3 && !v.IsSet("format.output.fields")) {
		return nil, configError("When format.output.envelope is false, format.output.fields must contain only one field")
	}
	s := newSink(log)
	s.noEmpty, s.pause = true, v.Millis("kafka.retry.backoff.ms")
	if s.compress = packed; v.IsSet("file.compression.type") {
		s.compress = compression(v.Enum("file.compression.type"))
	}
	suffix := s.compress.extension()
	if err := aivenFormat(s, v, fields, bare, !s3 || v.IsSet("format.output.fields")); err != nil {
		return nil, err
	}
	inName := suffix
	if s3 && !v.IsSet("file.compression.type") {
		inName = "" // the default is not in the name
	}
	if _, avro := s.format.(*avroFormat); avro {
		suffix, inName = ".avro"+suffix, ".avro"+inName
	}
	l := &aiven{ext: suffix, maxRecords: v.Int("file.max.records"), strict: s.format.strict(), fields: fields, bare: bare}
	var err error
	if l.keys.text, err = convert.NewString(nil, true); err != nil {
		return nil, err
	}
	if l.times, err = clockOption(v, "file.name.timestamp"); err != nil {
		return nil, err
	}
	name := "{{topic}}-{{partition}}-{{start_offset}}" + inName
	if v.IsSet("file.name.template") {
		name = v.String("file.name.template")
	}
	if l.template, err = parseTemplate(name); err == nil {
		l.by, err = l.template.grouping()
	}
	if err != nil {
		return nil, configError("file.name.template: %v", err)
	}
	if l.by == lastOnly && l.maxRecords > 1 {
		return nil, configError("When file.name.template is %s, file.max.records must be either 1 or not set", name)
	}
	if l.old = s3 && v.IsSet("aws.s3.prefix"); l.old {
		if l.oldTimes, err = clockOption(v, "timestamp"); err != nil {
			return nil, err
		}
		if l.prefix, err = parseTemplate(v.String("aws.s3.prefix")); err != nil {
			return nil, configError("aws.s3.prefix: %v", err)
		}
	}
	s.layout, s.lastOnly = l, l.by == lastOnly
	return s, nil
}

// clockOption reads the two options of a {{timestamp}}.
func clockOption(v configdef.Values, stem string) (c clockOf, err error) {
	c.wallclock = v.Enum(stem+".source") == "wallclock"
	if c.zone, err = zoneOf(v.String(stem + ".timezone")); err != nil {
		err = configError("%s.timezone: %v", stem, err)
	}
	return c, err
}

// aivenFormat sets the format; chosen: the fields were, so the encoding of csv counts.
func aivenFormat(s *Sink, v configdef.Values, fields []field, bare, chosen bool) error {
	switch kind := v.Enum("format.output.type"); kind {
	case "json", "jsonl":
		f, err := newJSONFormat("", "BASE64")
		if err != nil {
			return err
		}
		f.array, f.unended, f.ordered = kind == "json", true, true
		for _, x := range jsonOrder {
			if slices.Contains(fields, x) {
				f.fields = append(f.fields, x)
			}
		}
		if bare {
			f.single, f.fields = fields[0], nil
		}
		s.format = f
	case "avro":
		s.format = &avroFormat{codec: v.Enum("avro.codec"), props: avroProps(v), fields: fields, bare: bare}
	case "parquet":
		name := "none" // the Java sink's default of gzip does not reach Parquet
		if v.IsSet("file.compression.type") {
			name = string(s.compress)
		}
		codec, _ := parquetCodec(name)
		f := &parquetFormat{codec: codec, fields: fields, bare: bare, lists: listsByValue}
		if x := v.Props()["connect.parquet.avro.write-old-list-structure"]; strings.EqualFold(strings.TrimSpace(x), "false") {
			f.lists = listsWithNull
		}
		s.format, s.compress = f, noCompression
	default:
		header, err := convert.NewBytesHeader(nil)
		if err != nil {
			return err
		}
		s.format = &csvFormat{fields: fields, plain: chosen && v.Enum("format.output.fields.value.encoding") == "none", header: header}
	}
	return nil
}
