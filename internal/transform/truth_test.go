package transform

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// javaCase is a chain of transforms with records, and what the Java classes of
// Kafka 4.3.1 and Debezium 3.6.1 made of them.
type javaCase struct {
	ID    int
	Tag   string
	Chain []struct {
		Class     string
		Props     map[string]string
		Predicate *struct {
			Class string
			Props map[string]string
		}
		Negate bool
	}
	Records []javaRecord
	Config  string // the exceptions of configure; "": it was accepted
	Out     []struct {
		Drop      bool
		Error     string
		Topic     string
		Partition *int32
		Timestamp *int64
		Key       *string
		Value     *string
		Headers   [][2]*string
	}
}

// javaRecord is a record in JsonConverter's form, schemaless where the schema is null.
type javaRecord struct {
	Topic     string
	Partition *int32
	Timestamp *int64
	Key       json.RawMessage
	Value     json.RawMessage
	Headers   [][2]json.RawMessage
}

type javaTruth struct {
	with, without convert.Converter
	topics        map[string]*record.Topic
	classes       map[string]Plugin
}

func newTruth(t *testing.T) *javaTruth {
	t.Helper()
	j := &javaTruth{topics: map[string]*record.Topic{}, classes: map[string]Plugin{}}
	var err, err2 error
	j.with, err = convert.NewJSON(map[string]string{"schemas.enable": "true", "replace.null.with.default": "false"}, false)
	j.without, err2 = convert.NewJSON(map[string]string{"schemas.enable": "false"}, false)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for _, p := range Plugins() {
		j.classes[p.Class] = p
	}
	return j
}

func (j *javaTruth) topic(name string) *record.Topic {
	if j.topics[name] == nil {
		j.topics[name] = &record.Topic{Name: name}
	}
	return j.topics[name]
}

func (j *javaTruth) in(b *record.Batch, raw json.RawMessage) (*record.Schema, record.Cell, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, record.Cell{}, nil
	}
	var e struct {
		Schema  json.RawMessage
		Payload json.RawMessage
	}
	if err := json.Unmarshal(raw, &e); err == nil && len(e.Schema) > 0 && string(e.Schema) != "null" {
		return j.with.Decode(context.Background(), j.topic("t"), raw, b)
	} else if err == nil && len(e.Payload) > 0 {
		raw = e.Payload
	}
	return j.without.Decode(context.Background(), j.topic("t"), raw, b)
}

func (j *javaTruth) out(b *record.Batch, s *record.Schema, c record.Cell) (string, error) {
	if s == nil && c.IsNull() {
		return "null", nil
	}
	e, err := j.with.Encoder(context.Background(), j.topic("t"), s)
	if err != nil {
		return "", err
	}
	text, null, err := e.Append(nil, b, c)
	if null {
		return "null", err
	}
	return string(text), err
}

// unpack puts back what the file holds once: its first line lists texts, and "@n"
// stands for text n.
func unpack(line []byte, texts []string) []byte {
	if len(texts) == 0 {
		return line
	}
	return reference.ReplaceAllFunc(line, func(m []byte) []byte {
		n, _ := strconv.Atoi(string(m[2 : len(m)-1]))
		return []byte(texts[n])
	})
}

var reference = regexp.MustCompile(`"@\d+"`)

// TestJavaTruth compares with the Java classes, step by step and in chains.
// MILLRACE_TEST_TRANSFORMS names another file of such cases.
func TestJavaTruth(t *testing.T) {
	if file := os.Getenv("MILLRACE_TEST_TRANSFORMS"); file != "" {
		compareWithJava(t, file)
		return
	}
	compareWithJava(t, "testdata/java.jsonl.gz")
	compareWithJava(t, "testdata/chains.jsonl.gz")
}

func compareWithJava(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	j := newTruth(t)
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 1<<26)
	limit := 4
	if k, err := strconv.Atoi(os.Getenv("MILLRACE_TEST_DIFFS")); err == nil {
		limit = k
	}
	n, bad := 0, map[string]int{}
	var texts []string
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), "[") {
			if err := json.Unmarshal(sc.Bytes(), &texts); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var c javaCase
		if err := json.Unmarshal(unpack(sc.Bytes(), texts), &c); err != nil {
			t.Fatal(err)
		}
		n += max(1, len(c.Out))
		for _, what := range j.check(&c) {
			if bad[c.Tag]++; bad[c.Tag] <= limit {
				t.Errorf("%d %s %s: %s", c.ID, c.Tag, shown(&c), what)
			}
		}
	}
	if sc.Err() != nil {
		t.Fatal(sc.Err())
	}
	t.Logf("%d records, different %v", n, bad)
}

func shown(c *javaCase) string {
	b, _ := json.Marshal(c.Chain)
	return string(b)
}

// check runs a case and lists what differs.
func (j *javaTruth) check(c *javaCase) (out []string) {
	var stages []Stage
	for _, x := range c.Chain {
		p, ok := j.classes[x.Class]
		if !ok {
			return []string{"no class " + x.Class}
		}
		step, err := p.NewStep(x.Props)
		var pred Predicate
		if err == nil && x.Predicate != nil {
			pred, err = j.classes[x.Predicate.Class].NewPredicate(x.Predicate.Props)
		}
		if err != nil {
			if c.Config == "" { // the texts are those of validation, see TestRefusals
				return c.unless("", "refused: "+err.Error())
			}
			return nil
		}
		stages = append(stages, Stage{Class: x.Class, Step: step, Predicate: pred, Negate: x.Negate})
	}
	if c.Config != "" {
		return c.unless("", "not refused: "+c.Config)
	}
	for i := range c.Records {
		if what := j.one(c, stages, i); what != "" {
			out = append(out, c.unless(c.Out[i].Error+text(c.Out[i].Value)+string(c.Records[i].Value), "record "+what)...)
		}
	}
	return out
}

// better lists where the step does on purpose what Java's does not: the end of the
// class, what its config holds, what the Java's result or the record holds ("": any).
var better = []struct{ class, config, record, why string }{
	{"SetSchemaMetadata", `"schema.version":"0"`, "", "no version is version 0"},
	{"SetSchemaMetadata", `"schema.name":""`, "", "no name is an empty name"},
	{"SetSchemaMetadata", "", "Cannot list fields on non-struct type", "names schemas of other types than structs, too"},
	{"ExtractNewRecordState", `:"source"`, "", "a whole struct is copied with its fields"},
	{"ExtractNewRecordState", `:"source."`, "", "a whole struct is copied with its fields"},
	{"ExtractNewRecordState", `:"transaction"`, "", "a whole struct is copied with its fields"},
	{"ExtractNewRecordState", `:"before"`, "", "a whole struct is copied with its fields"},
	{"ExtractNewRecordState", `:"after"`, "", "a whole struct is copied with its fields"},
	{"ExtractNewRecordState", "delete-to-tombstone", "NullPointerException", "a delete that becomes a tombstone has no schema to drop fields of"},
	{"ExtractNewRecordState", `"drop.tombstones"`, "", "options that were removed are refused"},
	{"ExtractNewRecordState", `"delete.handling.mode"`, "", "options that were removed are refused"},
	{"HeaderToValue", "", `"rd"`, "a schema per set of headers"},
	{"HeaderToValue", "source.x.y", "", "structs within structs are made"},
	{"HeaderToValue", "before.name", "Conversion error", "a row that no converter could write is refused by the step"},
	{"EnforceRecordSize", "", "ClassCastException", "decimals are left alone"},
	{"InsertHeader", "[1,]", "", "a text is a list only when all of it is one"},
	{"InsertHeader", "12:34", "", "a text is a number only when all of it is one"},
	{"EventRouter", "table.expand.json.payload", "Invalid Java object for schema", "what cannot be expanded stays text"},
	{"EventRouter", "table.expand.json.payload", "because \"key\" is null", "an empty array stays text"},
	{"EventRouter", "table.expand.json.payload", `\"a\":1,\"a\"`, "an object that has a name twice stays text"},
	{"EventRouter", `"type:x"`, "", "placements are checked when the connector is"},
	{"EventRouter", `additional.placement":""`, "", "no placement is none"},
	{"EventRouter", "a-${nope}", "", "replacements are checked when the connector is"},
	{"RegexRouter", `"$"`, "", "replacements are checked when the connector is"},
	{"RegexRouter", "${nope}", "", "replacements are checked when the connector is"},
	{"RegexRouter", `"a\\"`, "", "replacements are checked when the connector is"},
	{"RegexRouter", `"s.*","replacement":"$11"`, "", "replacements are checked when the connector is"},
	{"ByLogicalTableRouter", `"$3"`, "", "replacements are checked when the connector is"},
	{"ByLogicalTableRouter", "nomatch", "", "replacements are checked when the connector is"},
	{"TimestampRouter", `"bad"`, "", "patterns are checked when the connector is"},
	{"ExtractField", `"field":""`, "", "an empty path is refused"},
	{"TimezoneConverter", "EST", "", "the zones of Go's tables"},
	{"TimezoneConverter", "+19:00", "", "offsets are checked when the connector is"},
	{"TimezoneConverter", "", "DateTimeParseException", "other words"},
	{"TimezoneConverter", "", "05:06Z", "times have seconds"},
	{"SwapGeometryCoordinates", `"srids":""`, "", "no SRID is none"},
	{"GeometryFormatTransformer", "", "BufferUnderflowException", "other words"},
	{"GeometryFormatTransformer", "ewkb", "AQ==", "bytes that are no geometry are an error"},
	{"DecodeLogicalDecodingMessageContent", "", "Exception: ", "other words"},
	{"PartitionRouting", `"source"`, "", "the hash of a whole struct depends on its schema in Java"},
	{"PartitionRouting", "", "Unprocessable message", "other words"},
	{"TimestampConverter", "w W F", "-12219292800000", "the weeks of the days that the calendar lost"},
	{"TimestampConverter", "", "20210304050607089", "numbers of more digits than a year has"},
	{"TimestampConverter", "", "9223372036854775808", "numbers of more digits than a year has"},
	{"TimestampConverter", `"u"`, "", "a day of the week alone"},
	{"TimestampConverter", "yyyyMMddHHmmssSSS", "2024-02-29 24:00:00", "signs within numbers without anything between them"},
	{"TimestampConverter", "yyyyMMddHHmmssSSS", "2021-03-04 05:06:07", "signs within numbers without anything between them"},
	{"ReplaceField", "s:id", "", "which of two entries of a map stays depends on Java's hashes"},
	{"ReplaceField", "i8:a", "", "which of two entries of a map stays depends on Java's hashes"},
}

// unless returns what differs, or nothing where the difference is meant.
func (c *javaCase) unless(result, what string) []string {
	config := shown(c)
	for _, x := range c.Chain {
		class, _, _ := strings.Cut(x.Class[strings.LastIndexByte(x.Class, '.')+1:], "$")
		for _, b := range better {
			if b.class == class && strings.Contains(config, b.config) && strings.Contains(result, b.record) {
				return nil
			}
		}
	}
	return []string{what}
}

func javaMessage(chain string) string {
	first, _, _ := strings.Cut(chain, " <- ")
	_, msg, _ := strings.Cut(first, ": ")
	return msg
}

func (j *javaTruth) one(c *javaCase, stages []Stage, i int) (what string) {
	defer func() {
		if p := recover(); p != nil {
			what = fmt.Sprintf("PANIC %v %s", p, c.Records[i].Value)
		}
	}()
	var b record.Batch
	in, want := c.Records[i], c.Out[i]
	rec := b.Append()
	rec.Topic = j.topic(in.Topic)
	if in.Partition != nil {
		rec.Partition = *in.Partition
	}
	if in.Timestamp != nil {
		rec.Timestamp = *in.Timestamp
	}
	var err, err2 error
	rec.KeySchema, rec.Key, err = j.in(&b, in.Key)
	rec.ValueSchema, rec.Value, err2 = j.in(&b, in.Value)
	if err = errors.Join(err, err2); err != nil {
		return "cannot be read: " + err.Error()
	}
	for _, h := range in.Headers {
		var k string
		_ = json.Unmarshal(h[0], &k)
		s, v, err := j.in(&b, h[1])
		if err != nil {
			return "header cannot be read: " + err.Error()
		}
		b.AddHeader(rec, record.Header{Key: k, Schema: s, Value: v})
	}
	given := string(in.Value)
	if p := strings.Index(given, `"payload":`); p > 0 {
		given = given[p+10:]
	}
	keep := true
	for k := range stages {
		if keep, err = stages[k].Apply(&b, rec); err != nil || !keep {
			break
		}
	}
	switch {
	case err != nil && want.Error != "":
		return sameError(given, err, want.Error)
	case err != nil:
		return given + "\n got error " + errs.Trace(err) + "\nwant " + text(want.Value)
	case want.Error != "":
		got, _ := j.out(&b, rec.ValueSchema, rec.Value)
		return given + "\n got no error but " + got + "\nwant " + want.Error
	case keep == want.Drop:
		return given + "\n kept " + map[bool]string{true: "yes", false: "no"}[keep]
	case !keep:
		return ""
	}
	if rec.Topic.Name != want.Topic {
		return given + "\n got topic " + rec.Topic.Name + "\nwant " + want.Topic
	}
	if p := want.Partition; p == nil && rec.Partition != -1 || p != nil && rec.Partition != *p {
		return given + "\n partition differs"
	}
	if p := want.Timestamp; p == nil && rec.Timestamp != record.NoTimestamp || p != nil && rec.Timestamp != *p {
		return given + "\n timestamp differs"
	}
	if d := j.differs(&b, rec.KeySchema, rec.Key, want.Key); d != "" {
		return given + "\nkey " + d
	}
	if d := j.differs(&b, rec.ValueSchema, rec.Value, want.Value); d != "" {
		return given + "\nvalue " + d
	}
	hs := b.Headers(rec)
	if len(hs) != len(want.Headers) {
		return given + "\n number of headers differs"
	}
	for k, h := range hs {
		if h.Key != *want.Headers[k][0] {
			return given + "\n header " + h.Key + ", want " + *want.Headers[k][0]
		}
		if d := j.differs(&b, h.Schema, h.Value, want.Headers[k][1]); d != "" {
			return given + "\nheader " + h.Key + " " + d
		}
	}
	return ""
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (j *javaTruth) differs(b *record.Batch, s *record.Schema, c record.Cell, want *string) string {
	w := text(want)
	got, err := j.out(b, s, c)
	if strings.HasPrefix(w, "!") { // Java's own converter cannot write what the step made
		return ""
	}
	if err != nil {
		return "\n got error " + err.Error() + "\nwant " + w
	}
	if got == w {
		return ""
	}
	if strings.HasPrefix(w, `{"schema":null`) { // the order of a Java map is that of its hashes
		var x, y any
		if json.Unmarshal([]byte(got), &x) == nil && json.Unmarshal([]byte(w), &y) == nil && reflect.DeepEqual(x, y) {
			return ""
		}
	}
	i := 0
	for i < min(len(got), len(w)) && got[i] == w[i] {
		i++
	}
	i = max(0, i-60)
	return "\n got …" + got[i:min(len(got), i+260)] + "\nwant …" + w[i:min(len(w), i+260)]
}

var identity = regexp.MustCompile(`SourceRecord\{.*|@[0-9a-f]+`)

// sameError compares the message of an error. Whole records in it do not count.
func sameError(given string, err error, want string) string {
	got := err.Error()
	var e *errs.Error
	if errors.As(err, &e) {
		got = e.Msg
	}
	w := javaMessage(want)
	if got == w || strings.HasPrefix(want, "java.lang.") || strings.HasPrefix(w, "Error while evaluating expression") {
		return ""
	}
	if cut := identity.ReplaceAllString(w, ""); cut != w && strings.HasPrefix(got, strings.TrimRight(cut, " ")) {
		return ""
	}
	return given + "\n got error " + errs.Trace(err) + "\nwant " + want
}
