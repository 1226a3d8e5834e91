package main

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/worker"
)

// shadowTopic is the comparison of one topic.
type shadowTopic struct {
	Topic     string          `json:"topic"`
	Equal     int             `json:"equal"`
	Different int             `json:"different"`
	OnlyJava  int             `json:"only_java"`
	OnlyHere  int             `json:"only_millrace"`
	Examples  []shadowExample `json:"examples,omitempty"` // the first differences, cut around the place
}

type shadowExample struct {
	Key  string `json:"key"`
	Java string `json:"java"`
	Here string `json:"millrace"`
}

// Parts of a record that belong to the run and not to the change: when it was
// processed, and the commit that the task had seen before.
var (
	processed = []*regexp.Regexp{
		regexp.MustCompile(`("?op"?[:=]"?[a-z]"?, ?"?ts_ms"?[:=])\d+(, ?"?ts_us"?[:=])\d+(, ?"?ts_ns"?[:=])\d+`),
		regexp.MustCompile(`("?__ts_ms"?[:=])\d+()()`),
		regexp.MustCompile(`("?version"?[:=]"?)[\w.]+("?, ?"?connector"?[:=])()`), // Java's may be of another release
		regexp.MustCompile(`(\},"ts_ms":)\d+(,"databaseName":)()`),
	}
	seenBefore = regexp.MustCompile(`("?sequence"?[:=]"?\[)(?:null|\\?"\d+\\?")`)
)

func withoutRun(s string) string {
	for _, re := range processed {
		s = re.ReplaceAllString(s, "${1}T${2}T${3}T")
	}
	return seenBefore.ReplaceAllString(s, "${1}P")
}

// entry is a record as it is compared.
type entry struct {
	key, value string
	at         time.Time
}

// readable turns records into texts; headers count too.
func readable(ctx context.Context, r *worker.Reader, recs []*kgo.Record) ([]entry, error) {
	out := make([]entry, 0, len(recs))
	for _, rec := range recs {
		var e entry
		var err error
		if e.key, err = readableOne(ctx, r, rec.Topic, rec.Key, true); err != nil {
			return nil, fmt.Errorf("key at offset %d of %s: %w", rec.Offset, rec.Topic, err)
		}
		if e.value, err = readableOne(ctx, r, rec.Topic, rec.Value, false); err != nil {
			return nil, fmt.Errorf("value at offset %d of %s: %w", rec.Offset, rec.Topic, err)
		}
		for _, h := range rec.Headers {
			if !strings.HasPrefix(h.Key, "__debezium.context.") {
				e.value += fmt.Sprintf(" %s=%s", h.Key, h.Value)
			}
		}
		e.at = rec.Timestamp
		out = append(out, e)
	}
	return out, nil
}

func readableOne(ctx context.Context, r *worker.Reader, topic string, data []byte, key bool) (string, error) {
	if len(data) > 0 && data[0] == '{' { // JSON shows more as it is
		return withoutRun(string(data)), nil
	}
	s, err := r.Text(ctx, topic, data, key)
	return withoutRun(s), err
}

// shadowEdge: records of Java this near to the beginning or the end may be of changes
// that the shadow did not see.
const shadowEdge = 2 * time.Second

// compareShadow matches the records of each topic.
func compareShadow(ctx context.Context, name string, r *worker.Reader, span period, there, here map[string][]*kgo.Record) (*shadowReport, error) {
	out := &shadowReport{Connector: name, Topics: []shadowTopic{}}
	topics := map[string]bool{}
	for t := range there {
		topics[t] = true
	}
	for t := range here {
		topics[t] = true
	}
	names := make([]string, 0, len(topics))
	for t := range topics {
		if !strings.HasPrefix(t, "__debezium-heartbeat") {
			names = append(names, t)
		}
	}
	sort.Strings(names)
	for _, t := range names {
		java, err := readable(ctx, r, there[t])
		if err != nil {
			return nil, err
		}
		ours, err := readable(ctx, r, here[t])
		if err != nil {
			return nil, err
		}
		if len(java)+len(ours) == 0 {
			continue
		}
		x := compareTopic(java, ours, period{span.from.Add(shadowEdge), span.to.Add(-shadowEdge)})
		x.Topic = t
		out.Topics = append(out.Topics, x)
		out.Equal += x.Equal
		out.Different += x.Different
		out.OnlyJava += x.OnlyJava
		out.OnlyHere += x.OnlyHere
	}
	return out, nil
}

// compareTopic matches equal records first, then those of one key with each other.
func compareTopic(java, ours []entry, sure period) shadowTopic {
	var x shadowTopic
	same := map[[2]string]int{}
	for _, e := range ours {
		same[[2]string{e.key, e.value}]++
	}
	left := map[string][]entry{} // Java's without an equal one, by key
	for _, e := range java {
		k := [2]string{e.key, e.value}
		if same[k] > 0 {
			same[k]--
			x.Equal++
			continue
		}
		left[e.key] = append(left[e.key], e)
	}
	for _, e := range ours {
		k := [2]string{e.key, e.value}
		if same[k] == 0 {
			continue
		}
		same[k]--
		if l := left[e.key]; len(l) > 0 {
			left[e.key] = l[1:]
			x.Different++
			if len(x.Examples) < 3 {
				x.Examples = append(x.Examples, example(e.key, l[0].value, e.value))
			}
			continue
		}
		x.OnlyHere++
	}
	for _, l := range left {
		for _, e := range l {
			if e.at.After(sure.from) && e.at.Before(sure.to) {
				x.OnlyJava++
			}
		}
	}
	return x
}

// example cuts two texts around their first difference.
func example(key, a, b string) shadowExample {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(s string) string {
		from, to := max(0, min(i, len(s))-40), min(len(s), i+80)
		return "…" + strings.ToValidUTF8(s[from:to], "") + "…"
	}
	return shadowExample{key, cut(a), cut(b)}
}
