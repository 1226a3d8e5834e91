package objectstore

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/hamba/avro/v2/ocf"
	"github.com/parquet-go/parquet-go"

	"millrace/internal/convert"
	"millrace/internal/record"
)

// recorded is a line of testdata/aiven.jsonl.gz: what Aiven's own S3 sink (3.4.3) on
// Kafka Connect 4.3.1 left in a bucket for these records, all of one poll.
type recorded struct {
	Name               string
	Key, Value, Header string // converters; plain: JSON without schemas
	Options            map[string]string
	Records            []struct {
		Topic string
		Part  int32
		TS    int64
		K, V  *string
		H     [][2]string
	}
	Objects map[string]content
}

// content is what is compared of an object.
type content struct {
	Compression string     `json:",omitempty"`
	Lines       []string   `json:",omitempty"`
	Tail        string     `json:",omitempty"` // the last byte
	Avro        any        `json:",omitempty"` // schema
	Parquet     [][]string `json:",omitempty"` // path, type, optional or required
	Codec       string     `json:",omitempty"`
	Rows        int        `json:",omitempty"`
}

func TestAivenRecorded(t *testing.T) {
	f, err := os.Open("testdata/aiven.jsonl.gz")
	must(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	must(t, err)
	lines, n := bufio.NewScanner(z), 0
	lines.Buffer(nil, 1<<20)
	for ; lines.Scan(); n++ {
		var c recorded
		must(t, json.Unmarshal(lines.Bytes(), &c))
		t.Run(c.Name, func(t *testing.T) { c.check(t) })
	}
	must(t, lines.Err())
	if n < 200 {
		t.Errorf("%d cases", n)
	}
}

// whereJavaStops are cases that the Java sink fails of for ever, or loses something.
const whereJavaStops = `
{"name":"null element","key":"json","value":"json","options":{"format.output.type":"parquet"},"records":[{"topic":"t","k":"{\"schema\":{\"type\":\"int32\"},\"payload\":1}","v":"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"a\",\"type\":\"array\",\"items\":{\"type\":\"string\",\"optional\":true}}]},\"payload\":{\"a\":[\"x\",null]}}"}],"objects":{"t-0-0":{"parquet":[["value.a.list.element","BYTE_ARRAY","optional"]],"codec":"UNCOMPRESSED","rows":1}}}
{"name":"headers come and go","key":"string","value":"string","options":{"format.output.type":"parquet","format.output.fields":"headers,offset"},"records":[{"topic":"t","v":"x"},{"topic":"t","v":"x","h":[["h","a"]]},{"topic":"t","v":"x"},{"topic":"t","v":"x","h":[["h","1"]]}],"objects":{"t-0-0":{"parquet":[["offset","INT64","required"]],"codec":"UNCOMPRESSED","rows":1},"t-0-1":{"parquet":[["headers.key_value.key","BYTE_ARRAY","optional"],["headers.key_value.value","BYTE_ARRAY","optional"],["offset","INT64","required"]],"codec":"UNCOMPRESSED","rows":2},"t-0-3":{"parquet":[["headers.key_value.key","BYTE_ARRAY","optional"],["headers.key_value.value","INT32","optional"],["offset","INT64","required"]],"codec":"UNCOMPRESSED","rows":1}}}
{"name":"headers of two types","key":"string","value":"string","options":{"format.output.type":"avro","format.output.fields":"headers","format.output.envelope":"false"},"records":[{"topic":"t","v":"x","h":[["h","a"],["i","1"]]}],"objects":{"t-0-0.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"headers","type":{"type":"map","values":["null","string"]}}]},"rows":1}}}
{"name":"bare maps of other keys","key":"string","value":"json","options":{"format.output.type":"avro","format.output.fields":"value","format.output.envelope":"false"},"records":[{"topic":"t","v":"{\"schema\":{\"type\":\"map\",\"keys\":{\"type\":\"string\"},\"values\":{\"type\":\"int32\"}},\"payload\":{\"a\":1}}"},{"topic":"t","v":"{\"schema\":{\"type\":\"map\",\"keys\":{\"type\":\"string\"},\"values\":{\"type\":\"int32\"}},\"payload\":{\"b\":1}}"}],"objects":{"t-0-0.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"a","type":"int"}]},"rows":1},"t-0-1.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"b","type":"int"}]},"rows":1}}}
{"name":"key and value without names","key":"json","value":"json","options":{"format.output.type":"avro","format.output.fields":"key,value"},"records":[{"topic":"t","k":"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"id\",\"type\":\"int32\"}]},\"payload\":{\"id\":1}}","v":"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"x\",\"type\":\"int64\"}]},\"payload\":{\"x\":1}}"}],"objects":{"t-0-0.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"key","type":{"type":"record","name":"ConnectDefaultKey","namespace":"io.confluent.connect.avro","fields":[{"name":"id","type":"int"}],"connect.name":"io.confluent.connect.avro.ConnectDefaultKey"}},{"name":"value","type":{"type":"record","name":"ConnectDefault","namespace":"io.confluent.connect.avro","fields":[{"name":"x","type":"long"}]}}]},"rows":1}}}
{"name":"value of another type, then of the key's","key":"json","value":"json","options":{"format.output.type":"avro","format.output.fields":"key,value"},"records":[{"topic":"t","k":"{\"schema\":{\"type\":\"struct\",\"name\":\"a.R\",\"fields\":[{\"field\":\"id\",\"type\":\"int32\"}]},\"payload\":{\"id\":1}}","v":"{\"schema\":{\"type\":\"struct\",\"name\":\"a.R\",\"fields\":[{\"field\":\"x\",\"type\":\"int64\"}]},\"payload\":{\"x\":1}}"},{"topic":"t","k":"{\"schema\":{\"type\":\"struct\",\"name\":\"a.R\",\"fields\":[{\"field\":\"id\",\"type\":\"int32\"}]},\"payload\":{\"id\":2}}","v":"{\"schema\":{\"type\":\"struct\",\"name\":\"a.R\",\"fields\":[{\"field\":\"id\",\"type\":\"int32\"}]},\"payload\":{\"id\":2}}"}],"objects":{"t-0-0.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"key","type":{"type":"record","name":"RKey","namespace":"a","fields":[{"name":"id","type":"int"}],"connect.name":"a.RKey"}},{"name":"value","type":{"type":"record","name":"R","namespace":"a","fields":[{"name":"x","type":"long"}],"connect.name":"a.R"}}]},"rows":1},"t-0-1.avro":{"avro":{"type":"record","name":"connector_records","namespace":"io.aiven.avro.output.schema","fields":[{"name":"key","type":{"type":"record","name":"R","namespace":"a","fields":[{"name":"id","type":"int"}],"connect.name":"a.R"}},{"name":"value","type":"a.R"}]},"rows":1}}}
{"name":"bare key of a struct","key":"json","value":"json","options":{"format.output.type":"parquet","format.output.fields":"key","format.output.envelope":"false"},"records":[{"topic":"t","k":"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"id\",\"type\":\"int32\"}]},\"payload\":{\"id\":1}}","v":"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"x\",\"type\":\"int64\"}]},\"payload\":{\"x\":1}}"}],"objects":{"t-0-0":{"parquet":[["id","INT32","required"]],"codec":"UNCOMPRESSED","rows":1}}}
`

func TestAivenWhereJavaStops(t *testing.T) {
	for line := range strings.Lines(strings.TrimSpace(whereJavaStops)) {
		var c recorded
		must(t, json.Unmarshal([]byte(line), &c))
		t.Run(c.Name, func(t *testing.T) { c.check(t) })
	}
}

func (c *recorded) check(t *testing.T) {
	dir := t.TempDir()
	props := map[string]string{"aws.s3.bucket.name": "b", "aws.s3.endpoint": "file://" + dir, "file.compression.type": "none"}
	for k, v := range c.Options {
		if props[k] = v; v == "" {
			delete(props, k)
		}
	}
	s, err := NewAiven(props, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Start(t.Context()))
	must(t, s.Put(t.Context(), c.batch(t)))
	must(t, s.Flush(t.Context()))
	must(t, s.Stop())
	got := map[string]content{}
	for name, data := range files(t, dir) {
		got[strings.TrimPrefix(name, "b/")] = read(t, data)
	}
	for name, want := range c.Objects {
		if asJSON(got[name]) != asJSON(want) {
			t.Errorf("%s:\n got %s\nwant %s", name, asJSON(got[name]), asJSON(want))
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is there as well", name)
	}
}

func asJSON(v any) string {
	out, _ := json.Marshal(v)
	return string(out)
}

func (c *recorded) batch(t *testing.T) *record.Batch {
	converter := func(kind string) convert.Converter {
		var conv convert.Converter
		var err error
		switch kind {
		case "string":
			conv, err = convert.NewString(nil, false)
		case "bytes":
			conv, err = convert.NewBytes(nil, false)
		default:
			conv, err = convert.NewJSON(map[string]string{"schemas.enable": map[bool]string{true: "false", false: "true"}[kind == "plain"]}, false)
		}
		must(t, err)
		return conv
	}
	header, err := convert.NewSimpleHeader(nil)
	must(t, err)
	switch c.Header {
	case "string":
		header, err = convert.NewStringHeader(nil)
	case "bytes":
		header, err = convert.NewBytesHeader(nil)
	}
	must(t, err)
	b, key, value := &record.Batch{}, converter(c.Key), converter(c.Value)
	topics, next := map[string]*record.Topic{}, map[partKey]int64{}
	raw := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return []byte(*s)
	}
	for _, x := range c.Records {
		topic := topics[x.Topic]
		if topic == nil {
			topic = &record.Topic{Name: x.Topic}
			topics[x.Topic] = topic
		}
		at := partKey{x.Topic, x.Part}
		r := b.Append()
		r.Topic, r.Timestamp = topic, x.TS
		r.Origin = record.Origin{Topic: topic, Partition: x.Part, Offset: next[at]}
		next[at]++
		r.KeySchema, r.Key, err = key.Decode(t.Context(), topic, raw(x.K), b)
		must(t, err)
		r.ValueSchema, r.Value, err = value.Decode(t.Context(), topic, raw(x.V), b)
		must(t, err)
		for _, h := range x.H {
			one, err := header.DecodeHeader(topic, h[0], []byte(h[1]), b)
			must(t, err)
			b.AddHeader(r, one)
		}
	}
	return b
}

// read says of an object what is compared.
func read(t *testing.T, data string) (c content) {
	if strings.HasPrefix(data, "\x1f\x8b") {
		z, err := gzip.NewReader(strings.NewReader(data))
		must(t, err)
		var out bytes.Buffer
		_, err = out.ReadFrom(z)
		must(t, err)
		c.Compression, data = "gzip", out.String()
	}
	switch {
	case strings.HasPrefix(data, "Obj\x01"):
		d, err := ocf.NewDecoder(strings.NewReader(data))
		must(t, err)
		must(t, json.Unmarshal(d.Metadata()["avro.schema"], &c.Avro))
		for d.HasNext() {
			var v any
			must(t, d.Decode(&v))
			c.Rows++
		}
		must(t, d.Error())
	case strings.HasPrefix(data, "PAR1"):
		f, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
		must(t, err)
		c.Rows = int(f.NumRows())
		for _, path := range f.Schema().Columns() {
			leaf, _ := f.Schema().Lookup(path...)
			kind := "required"
			if leaf.MaxDefinitionLevel > 0 {
				kind = "optional"
			}
			c.Parquet = append(c.Parquet, []string{strings.Join(path, "."), leaf.Node.Type().Kind().String(), kind})
		}
		c.Codec = f.Metadata().RowGroups[0].Columns[0].MetaData.Codec.String()
	default:
		if c.Lines = strings.Split(strings.TrimSuffix(data, "\n"), "\n"); data == "" {
			c.Lines = nil
		}
		if data != "" {
			c.Tail = strings.ReplaceAll(data[len(data)-1:], "\n", `\n`)
		}
	}
	return c
}
