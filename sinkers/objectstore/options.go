package objectstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"millrace/internal/configdef"
)

func option(name string, typ configdef.Type, def, doc string, check func(configdef.Input) []string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Medium, Doc: doc, Check: check}
}

// text is an option without default.
func text(name, doc string, check func(configdef.Input) []string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.String, Importance: configdef.Medium, Doc: doc, Check: whenSet(check)}
}

func secret(name, doc string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.Password, Importance: configdef.High, Doc: doc}
}

func unsupported(name string, typ configdef.Type, def, instead string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Low, Doc: "Not supported.", Unsupported: instead}
}

func whenSet(check func(configdef.Input) []string) func(configdef.Input) []string {
	if check == nil {
		return nil
	}
	return func(in configdef.Input) []string {
		if !in.Set {
			return nil
		}
		return check(in)
	}
}

// within checks a number against both ends of its range.
func within(least, most int64) func(configdef.Input) []string {
	return func(in configdef.Input) []string {
		if bad := configdef.AtLeast(least)(in); bad != nil {
			return bad
		}
		if n, err := strconv.ParseInt(in.Value, 10, 64); err == nil && n > most {
			return configdef.Invalid(in, "Value must be no more than %d", most)
		}
		return nil
	}
}

func zoneName(in configdef.Input) []string {
	if in.Value == "" {
		return nil
	}
	if _, err := zoneOf(in.Value); err != nil {
		return configdef.Invalid(in, "%v", err)
	}
	return nil
}

// zoneOf reads a Java zone: a name of the time zone database, Z or an offset.
func zoneOf(s string) (*time.Location, error) {
	if s == "" || s == "Z" {
		return time.UTC, nil
	}
	offset := s
	for _, prefix := range []string{"UTC", "GMT", "UT"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok && rest != "" {
			offset = rest
			break
		}
	}
	if len(offset) == 2 { // +2
		offset = offset[:1] + "0" + offset[1:]
	}
	for _, layout := range []string{"-07:00", "-0700", "-07", "-07:00:00", "-070000"} {
		if t, err := time.Parse(layout, offset); err == nil {
			_, offset := t.Zone()
			return time.FixedZone(s, offset), nil
		}
	}
	l, err := time.LoadLocation(s)
	if err != nil {
		return nil, fmt.Errorf("The datetime zone id '%s' is not recognised", s)
	}
	return l, nil
}

func parquetCodec(name string) (compress.Codec, string) {
	switch name {
	case "snappy":
		return &parquet.Snappy, ".snappy"
	case "gzip":
		return &parquet.Gzip, ".gz"
	case "zstd":
		return &parquet.Zstd, ".zstd"
	case "lz4":
		return &parquet.Lz4Raw, ".lz4"
	case "brotli":
		return &parquet.Brotli, ".br"
	}
	return &parquet.Uncompressed, ""
}

// avroOptions are the data options that formats hand to Avro; enhanced is the default of
// enhanced.avro.schema.support.
func avroOptions(enhanced string) []configdef.Option {
	return []configdef.Option{
		option("connect.meta.data", configdef.Boolean, "true", "Put what only Connect knows (name, version, parameters) into the schema of Avro files.", nil),
		option("enhanced.avro.schema.support", configdef.Boolean, enhanced, "Write strings that came from Avro enums as enums again.", nil),
		option("allow.optional.map.keys", configdef.Boolean, "false", "Write maps with optional text keys as Avro maps.", nil),
	}
}

func avroProps(v configdef.Values) map[string]string {
	out := map[string]string{}
	for _, o := range avroOptions("") {
		out[o.Name] = v.String(o.Name)
	}
	return out
}

// local returns the directory of a file: address.
func local(address string) (string, bool) {
	path, ok := strings.CutPrefix(address, "file://")
	return path, ok && strings.HasPrefix(path, "/")
}

func checkAddress(in configdef.Input) []string {
	if _, ok := local(in.Value); ok || strings.HasPrefix(in.Value, "http://") || strings.HasPrefix(in.Value, "https://") {
		return nil
	}
	return configdef.Invalid(in, "it must be a URL such as https://s3.example.com, or file:///directory for local files")
}
