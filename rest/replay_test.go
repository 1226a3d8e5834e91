package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"
)

const cases = "../testdata/oracle/rest"

// TestReplay holds the recorded conversations with Kafka Connect again, with a
// worker in this process on an in-memory Kafka. Cases that need a database or a
// second worker are left to the drivers that have those. Documentation texts are
// millrace's own and are not compared. What differs and is known is listed, with
// its reason, in testdata/known.txt; a listed step that is equal fails as well.
func TestReplay(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	files, err := filepath.Glob(cases + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	known := readKnown(t)
	w := startWorker(t)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		var c caseFile
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, &c); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if len(c.Needs)+len(c.NeedsAlso) > 0 || known[name] != nil && known[name][0] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			newTalk(t, w, name).hold(c, known[name])
		})
	}
}

// readKnown reads "case step reason" lines; step 0 leaves the case out.
func readKnown(t *testing.T) map[string]map[int]string {
	data, err := os.ReadFile("testdata/known.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[int]string{}
	for _, l := range strings.Split(string(data), "\n") {
		var name string
		var step int
		if n, _ := fmt.Sscan(l, &name, &step); n != 2 || strings.HasPrefix(l, "#") {
			continue
		}
		if out[name] == nil {
			out[name] = map[int]string{}
		}
		out[name][step] = l
	}
	return out
}

type caseFile struct {
	Needs     []string         `yaml:"needs"`
	NeedsAlso []string         `yaml:"needs_also"`
	Steps     []map[string]any `yaml:"steps"`
}

type recorded struct {
	Step    string            `json:"step"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
}

// talk is one conversation with its own names.
type talk struct {
	t         *testing.T
	w         *testWorker
	name      string
	run       map[string]string
	templates map[string]map[string]any
	subst     []substitution
}

type substitution struct {
	re *regexp.Regexp
	to string
}

func newTalk(t *testing.T, w *testWorker, name string) *talk {
	h := fmt.Sprintf("%06x", time.Now().UnixNano()&0xffffff)
	tmp := filepath.Join(t.TempDir(), "rr"+h)
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	k := &talk{t: t, w: w, name: name, run: map[string]string{"c": "c" + h, "prefix": "p" + h, "db": "d" + h, "slot": "s" + h, "hex": h,
		"bootstrap": w.bootstrap, "tmp": tmp, "rest": w.srv.URL, "long": strings.Repeat("long", 2500), "server_id": "123456", "pg_host": "127.0.0.1", "pg_port": "1", "pg_user": "postgres"}}
	data, err := os.ReadFile(cases + "/templates.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &k.templates); err != nil {
		t.Fatal(err)
	}
	lit := func(s, to string) {
		k.subst = append(k.subst, substitution{regexp.MustCompile(regexp.QuoteMeta(s)), to})
	}
	re := func(s, to string) { k.subst = append(k.subst, substitution{regexp.MustCompile(s), to}) }
	lit(k.run["long"], "LONG")
	lit(tmp, "/TMP")
	lit(k.run["c"], "c1")
	lit(k.run["prefix"], "server1")
	lit(h, "HEX")
	lit(strings.TrimPrefix(w.srv.URL, "http://"), "WORKER")
	lit(w.advertised, "WORKER")
	lit(w.bootstrap, "BOOTSTRAP")
	re(`127\.0\.0\.1`, "HOST")
	re(`\b(4\.3\.1|\d+\.\d+\.\d+\.Final)\b`, "<version>")
	re(`(available (?:connectors|plugins) are: ).*`, "$1<list>")
	re(`\b1[6-9]\d{11}(\d{3}){0,2}\b`, "<ts>")
	re(`\d{4}-\d\d-\d\dT[\d:.]+Z`, "<ts>")
	re(`@[0-9a-f]{6,8}\b`, "@<id>")
	return k
}

func (k *talk) text(s string) string {
	for _, r := range k.subst {
		s = r.re.ReplaceAllString(s, r.to)
	}
	return s
}

var storedNumbers = regexp.MustCompile(`("(?:generation|discoverTimestamp|creation-timestamp)":)\d+`)
var storedVersion = regexp.MustCompile(`("version":)"[^"]*"`)
var storedWorker = regexp.MustCompile(`("worker_id":)"[^"]*"`)

// stored is a storage-topic text: its bytes, but for what differs from run to run.
func (k *talk) stored(s string) string {
	s = k.text(s)
	s = storedNumbers.ReplaceAllString(s, `$1"<n>"`)
	s = storedVersion.ReplaceAllString(s, `$1"<version>"`)
	return storedWorker.ReplaceAllString(s, `$1"WORKER"`)
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// fill puts this run's names into a step.
func (k *talk) fill(v any) any {
	switch x := v.(type) {
	case string:
		return placeholder.ReplaceAllStringFunc(x, func(p string) string {
			if to, ok := k.run[p[1:len(p)-1]]; ok {
				return to
			}
			return p
		})
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = k.fill(x[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, y := range x {
			if tpl, ok := k.templates[strings.TrimPrefix(name, "$")]; ok && strings.HasPrefix(name, "$") {
				for tk, tv := range k.fill(map[string]any(tpl)).(map[string]any) {
					out[tk] = tv
				}
				if over, ok := y.(map[string]any); ok {
					for on, ov := range over {
						out[k.fill(on).(string)] = k.fill(ov)
					}
				}
				continue
			}
			out[k.fill(name).(string)] = k.fill(y)
		}
		for name, y := range out {
			if y == "$drop" {
				delete(out, name)
			}
		}
		return out
	}
	return v
}

// walk normalises an answer as the recordings are.
func (k *talk) walk(v any, key string) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, y := range x {
			if name != "documentation" {
				out[k.text(name)] = k.walk(y, name)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = k.walk(x[i], key)
		}
		return out
	case string:
		switch key {
		case "version", "commit", "kafka_cluster_id":
			return "<" + key + ">"
		case "trace":
			x, _, _ = strings.Cut(x, "\n")
		}
		return k.text(x)
	case float64:
		if key == "last_modified" || x > 1600000000000 {
			return "<ts>"
		}
	}
	return v
}

func (k *talk) hold(c caseFile, known map[int]string) {
	data, err := os.ReadFile(filepath.Join(cases, k.name+".expected.json"))
	if err != nil {
		k.t.Fatal(err)
	}
	var want []recorded
	if err := json.Unmarshal(data, &want); err != nil {
		k.t.Fatal(err)
	}
	n := 0
	for _, s := range c.Steps {
		got := k.step(s)
		if got == nil {
			continue
		}
		if n >= len(want) {
			k.t.Fatalf("more answers than recorded: %s", got.Step)
		}
		w := want[n]
		n++
		if f, ok := s["file"].(string); ok {
			full, err := os.ReadFile(filepath.Join(cases, "full", f+".json"))
			if err != nil {
				k.t.Fatal(err)
			}
			if err := json.Unmarshal(full, &w.Body); err != nil {
				k.t.Fatal(err)
			}
		}
		diffs := compare(s, &w, got)
		reason, isKnown := known[n]
		switch {
		case len(diffs) > 0 && !isKnown:
			k.t.Errorf("step %d, %s:\n  %s", n, w.Step, strings.Join(diffs[:min(len(diffs), 6)], "\n  "))
		case len(diffs) == 0 && isKnown:
			k.t.Errorf("step %d, %s, is equal now; remove it from testdata/known.txt: %s", n, w.Step, reason)
		}
	}
	if n != len(want) {
		k.t.Errorf("%d answers, %d recorded", n, len(want))
	}
}

// step does one step; nil for steps without an answer.
func (k *talk) step(raw map[string]any) *recorded {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
		if _, ok := raw[m]; ok {
			return k.call(raw, m)
		}
	}
	s := k.fill(raw).(map[string]any)
	switch {
	case s["sleep"] != nil:
		var secs float64
		_, _ = fmt.Sscan(fmt.Sprint(s["sleep"]), &secs)
		time.Sleep(time.Duration(secs * float64(time.Second))) // the case says so
	case s["write"] != nil:
		for f, text := range s["write"].(map[string]any) {
			fh, err := os.OpenFile(f, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
			if err != nil {
				k.t.Fatal(err)
			}
			_, err = fh.WriteString(text.(string))
			if cerr := fh.Close(); err != nil || cerr != nil {
				k.t.Fatal(err, cerr)
			}
		}
	case s["produce"] != nil:
		k.produce(s["produce"].(map[string]any))
	case s["kafka"] != nil:
		return k.kafka(s)
	case s["read"] != nil:
		return k.read(s)
	case s["group"] != nil:
		return k.group(s["group"].(string))
	default:
		k.t.Fatalf("unknown step %v", raw)
	}
	return nil
}

func (k *talk) topic(name string) string {
	switch name {
	case "configs", "offsets":
		return "connect-" + name
	case "statuses":
		return "connect-status"
	}
	return name
}

func (k *talk) produce(p map[string]any) {
	keys, _ := p["keys"].([]any)
	for i, v := range p["values"].([]any) {
		r := &kgo.Record{Topic: k.topic(p["topic"].(string))}
		if v != nil {
			r.Value = []byte(v.(string))
		}
		if i < len(keys) && keys[i] != nil {
			r.Key = []byte(keys[i].(string))
		}
		if err := k.w.client.ProduceSync(k.t.Context(), r).FirstErr(); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *talk) read(s map[string]any) *recorded {
	file, until := s["read"].(string), ""
	if u, ok := s["until"].(string); ok {
		until = u
	}
	var text []byte
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, _ = os.ReadFile(file)
		if text != nil && strings.Contains(string(text), until) {
			break
		}
	}
	return &recorded{Step: "read " + k.text(file), Body: k.text(string(text))}
}

func (k *talk) group(name string) *recorded {
	body := []any{}
	offs, err := kadm.NewClient(k.w.client).FetchOffsets(k.t.Context(), name)
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = nil
	}
	if err != nil {
		k.t.Fatal(err)
	}
	for _, o := range offs.Sorted() {
		if o.At >= 0 {
			body = append(body, []any{k.text(o.Topic), float64(o.Partition), float64(o.At)})
		}
	}
	return &recorded{Step: "group " + k.text(name), Body: body}
}

func (k *talk) kafka(s map[string]any) *recorded {
	name := s["kafka"].(string)
	keys, _ := s["keys"].(string)
	re := regexp.MustCompile(keys)
	own := name == "configs" || name == "offsets" || name == "statuses"
	least := 0
	if n, ok := s["atleast"].(int); ok {
		least = n
	}
	var rows [][2]any
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		rows = nil
		for _, r := range readTopic(k.t, k.w.client, k.topic(name)) {
			key := string(r.Key)
			if own && !strings.Contains(key, k.run["hex"]) || !re.MatchString(key) {
				continue
			}
			row := [2]any{k.stored(key), nil}
			if r.Value != nil {
				row[1] = k.stored(string(r.Value))
			}
			rows = append(rows, row)
		}
		if len(rows) >= least || time.Now().After(end) {
			break
		}
	}
	if s["last"] == true {
		newest := map[any]any{}
		for _, r := range rows {
			newest[r[0]] = r[1]
		}
		rows = nil
		for key, v := range newest {
			rows = append(rows, [2]any{key, v})
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i][0].(string) < rows[j][0].(string) })
	}
	body := make([]any, len(rows))
	for i, r := range rows {
		body[i] = []any{r[0], r[1]}
	}
	return &recorded{Step: "kafka " + k.text(name), Body: body}
}

// readTopic reads a topic from its beginning to its present end.
func readTopic(t *testing.T, cl *kgo.Client, topic string) []*kgo.Record {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset > 0 {
			left[o.Partition] = o.Offset
			from[o.Partition] = kgo.NewOffset().AtStart()
		}
	})
	if len(left) == 0 {
		return nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(cl.OptValue(kgo.SeedBrokers).([]string)...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []*kgo.Record
	for len(left) > 0 {
		fs := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("topic %s: never read to its end", topic)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return out
}
