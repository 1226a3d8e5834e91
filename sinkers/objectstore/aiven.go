package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/hamba/avro/v2/ocf"

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

// aivenFiles are the options of names and formats, which all of Aiven's sinks share.
func aivenFiles(unpacked string) []configdef.Option {
	str, integer, yes, list := configdef.String, configdef.Int, configdef.Boolean, configdef.List
	out := []configdef.Option{
		text("file.name.template", "Names of the files, made of {{topic}}, {{partition:padding=true|false}}, {{start_offset:padding=true|false}}, {{timestamp:unit=yyyy|MM|dd|HH}} and {{key}}. Default: {{topic}}-{{partition}}-{{start_offset}} with the format's extension.", checkTemplate),
		old(text("file.compression.type", "Compression of the files: none, gzip, snappy or zstd; "+unpacked+" when it is not set. Of Parquet files, the codec.", configdef.OneOf("none", "gzip", "snappy", "zstd")), "output_compression"),
		option("file.max.records", integer, "0", "Most records of a file; 0: as many as come between two commits.", configdef.AtLeast(0)),
		option("file.name.timestamp.timezone", str, "Z", "Time zone of {{timestamp}}.", zoneName),
		option("file.name.timestamp.source", str, "WALLCLOCK", "Time of {{timestamp}}: WALLCLOCK or EVENT, the record's own.", configdef.OneOf("WALLCLOCK", "EVENT")),
		option("format.output.type", str, "csv", "Format of the files: csv, json (one array), jsonl, avro or parquet.", configdef.OneOf("csv", "json", "jsonl", "avro", "parquet")),
		old(option("format.output.fields", list, "value", "What is written of a record: key, value, offset, timestamp, headers.", checkFields), "output_fields"),
		option("format.output.fields.value.encoding", str, "base64", "How csv writes the value: base64 or none.", configdef.OneOf("base64", "none")),
		option("format.output.envelope", yes, "true", "Whether a single field stands in an object of its own.", nil),
		option("avro.codec", str, "null", "Codec of Avro files: null, deflate, snappy or zstandard.", configdef.OneOf("null", "deflate", "snappy", "zstandard")),
		text("kafka.retry.backoff.ms", "Delay before records are put again whose files could not be written; when it is not set, the worker's own.", configdef.AtLeast(0)),
	}
	return append(out, avroOptions()...)
}

// DefAiven is the option table of Aiven's S3 sink.
func DefAiven() *configdef.Def {
	str, integer, long := configdef.String, configdef.Int, configdef.Long
	out := []configdef.Option{
		old(configdef.Option{Name: "aws.s3.bucket.name", Type: str, Required: true, Importance: configdef.High, Doc: "The bucket; below aws.s3.endpoint=file:///directory, a directory."}, "aws_s3_bucket"),
		old(option("aws.s3.region", str, "us-east-1", "Region of the bucket.", nil), "aws_s3_region"),
		old(text("aws.s3.endpoint", "Address of the object store when it is not Amazon's; file:///directory writes local files.", checkAddress), "aws_s3_endpoint"),
		old(text("aws.s3.prefix", "Text before names of the form topic-partition-offset; file.name.template is not used then. May hold {{timestamp:unit=…}}, {{utc_date}}, {{local_date}} and the variables of names.", checkPrefix), "aws_s3_prefix"),
		old(secret("aws.access.key.id", "Access key; without it, AWS's default chain of credentials."), "aws_access_key_id"),
		old(secret("aws.secret.access.key", "Its secret."), "aws_secret_access_key"),
		option("aws.s3.part.size.bytes", long, "5242880", "Files above this size are uploaded in parts of it.", configdef.AtLeast(5<<20)),
		text("aws.s3.sse.algorithm", "Server-side encryption: AES256 or aws:kms.", configdef.OneOf("AES256", "aws:kms")),
		option("aws.s3.backoff.delay.ms", long, "100", "First delay between tries.", configdef.AtLeast(1)),
		option("aws.s3.backoff.max.delay.ms", long, "20000", "Longest delay between tries.", configdef.AtLeast(1)),
		option("aws.s3.backoff.max.retries", integer, "3", "How often a request is sent again at once; after that, until it works, at each commit.", configdef.AtLeast(1)),
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
		_, err = t.kind()
	}
	if err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

func checkPrefix(in configdef.Input) []string {
	if _, err := parseTemplate(in.Value, "utc_date", "local_date"); err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

func checkFields(in configdef.Input) []string {
	for _, f := range configdef.SplitList(in.Value) {
		if bad := configdef.OneOf("key", "value", "offset", "timestamp", "headers")(configdef.Input{Name: in.Name, Value: f}); bad != nil {
			return bad
		}
	}
	return nil
}

// NewAiven makes a task of Aiven's S3 sink; Start connects.
func NewAiven(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := DefAiven().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	s, err := newAivenSink(v, log, gzipped, v.String("aws.s3.prefix"))
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
		accessKey: v.String("aws.access.key.id"), secretKey: v.String("aws.secret.access.key"), sse: v.String("aws.s3.sse.algorithm"), partSize: v.Int64("aws.s3.part.size.bytes"),
		retries: v.Int("aws.s3.backoff.max.retries"), backoff: v.Millis("aws.s3.backoff.delay.ms"), backoffMax: v.Millis("aws.s3.backoff.max.delay.ms"), roleARN: v.String("aws.sts.role.arn"), roleSession: v.String("aws.sts.role.session.name"),
		roleExternalID: v.String("aws.sts.role.external.id"), roleDuration: time.Duration(v.Int("aws.sts.role.session.duration")) * time.Second, stsEndpoint: v.String("aws.sts.config.endpoint")}
	s.connect = func(ctx context.Context) (target, error) { return newS3(ctx, o) }
	return s, nil
}

func configError(format string, args ...any) error {
	return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf(format, args...)}
}

// newAivenSink reads the options of names and formats. packed is the compression
// when none is set; prefix is that of old names.
func newAivenSink(v configdef.Values, log *slog.Logger, packed compression, prefix string) (*Sink, error) {
	var fields []field
	for _, f := range v.List("format.output.fields") {
		fields = append(fields, field(f))
	}
	whole := !v.Bool("format.output.envelope")
	if whole && (len(fields) != 1 || !v.IsSet("format.output.fields")) {
		return nil, configError("When format.output.envelope is false, format.output.fields must contain only one field")
	}
	s := newSink(log)
	s.pause = v.Millis("kafka.retry.backoff.ms")
	if s.compress = packed; v.IsSet("file.compression.type") {
		s.compress = compression(v.Enum("file.compression.type"))
	}
	suffix := s.compress.extension()
	if err := aivenFormat(s, v, fields, whole); err != nil {
		return nil, err
	}
	inName := suffix
	if packed != noCompression && !v.IsSet("file.compression.type") {
		inName = "" // the default is not in the name
	}
	if _, avro := s.format.(*avroFormat); avro {
		suffix, inName = ".avro"+suffix, ".avro"+inName
	}
	var err error
	l := &aiven{ext: suffix, wallclock: v.Enum("file.name.timestamp.source") == "wallclock", maxRecords: v.Int("file.max.records"), strict: s.format.strict()}
	if l.zone, err = zoneOf(v.String("file.name.timestamp.timezone")); err != nil {
		return nil, configError("file.name.timestamp.timezone: %v", err)
	}
	name := v.String("file.name.template")
	if name == "" {
		name = "{{topic}}-{{partition}}-{{start_offset}}" + inName
	}
	if l.template, err = parseTemplate(name); err == nil {
		l.keyOnly, err = l.template.kind()
	}
	if err != nil {
		return nil, configError("file.name.template: %v", err)
	}
	if l.keyOnly && l.maxRecords > 1 {
		return nil, configError("When file.name.template is %s, file.max.records must be either 1 or not set", name)
	}
	if prefix != "" {
		l.old, l.keyOnly = true, false
		if l.prefix, err = parseTemplate(prefix, "utc_date", "local_date"); err != nil {
			return nil, configError("aws.s3.prefix: %v", err)
		}
	}
	l.keyed = !l.keyOnly && !l.old && l.template.uses("key")
	s.layout, s.lastOnly = l, l.keyOnly
	return s, nil
}

func aivenFormat(s *Sink, v configdef.Values, fields []field, whole bool) error {
	inner := fields
	if whole && fields[0] == fieldValue {
		inner = nil
	}
	switch kind := v.Enum("format.output.type"); kind {
	case "json", "jsonl":
		f, err := newJSONFormat("", "BASE64")
		if err != nil {
			return err
		}
		f.array = kind == "json"
		for _, x := range jsonOrder {
			if slices.Contains(fields, x) {
				f.fields = append(f.fields, x)
			}
		}
		if whole {
			f.single, f.fields = fields[0], nil
		}
		s.format = f
	case "avro":
		s.format = &avroFormat{codec: ocf.CodecName(v.Enum("avro.codec")), props: avroProps(v), fields: inner}
	case "parquet":
		codec, _ := parquetCodec(string(s.compress))
		s.format, s.compress = &parquetFormat{codec: codec, fields: inner}, noCompression
	default:
		header, err := convert.NewBytesHeader(nil)
		if err != nil {
			return err
		}
		s.format = &csvFormat{fields: fields, plain: v.Enum("format.output.fields.value.encoding") == "none", header: header}
	}
	return nil
}
