package oracle

import (
	"bytes"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// runHeader changes with every start of a connector, so it is left out.
const runHeader = "__debezium.context.runId"

// What identifies the transaction of a BEGIN or END record: JSON, Avro, then
// JSON without the position.
var (
	txBinary = regexp.MustCompile(`(?s)(?:"status":"|\x06|\n)(BEGIN|END)(?:","id":"|[\x00-\x2f])(\d+):\d+`)
	txText   = regexp.MustCompile(`"status":"(BEGIN|END)","id":"([^"]+)"`)
)

func txOf(value []byte) string {
	if m := txBinary.FindSubmatch(value); m != nil {
		return string(m[2])
	}
	if m := txText.FindSubmatch(value); m != nil {
		return string(m[2])
	}
	return ""
}

// Rows normalises the records of a run: without those of the driver's own marker
// table, in the order of topic, partition and offset. parse, if not nil, reads the
// bytes that a registry's converter wrote.
func Rows(records []*kgo.Record, run Run, c *Case, parse func([]byte) *Object) []Row {
	marker := []byte("zz_sentinel")
	markerTx := map[string]bool{} // transactions of markers: their BEGIN names no table
	for _, r := range records {
		if tx := txOf(r.Value); tx != "" && bytes.Contains(r.Value, marker) {
			markerTx[tx] = true
		}
	}
	type part struct {
		topic     string
		partition int32
	}
	parts := map[part][]*kgo.Record{}
	for _, r := range records {
		if markerTx[txOf(r.Value)] || bytes.Contains(r.Value, []byte("zz-")) || bytes.Contains(r.Value, marker) || bytes.Contains(r.Key, marker) || strings.Contains(r.Topic, "zz_sentinel") {
			continue
		}
		if foreignDDL(r.Value, run) {
			continue
		}
		p := part{r.Topic, r.Partition}
		parts[p] = append(parts[p], r)
	}
	order := make([]part, 0, len(parts))
	for p := range parts {
		order = append(order, p)
	}
	sort.Slice(order, func(i, j int) bool {
		if order[i].topic != order[j].topic {
			return order[i].topic < order[j].topic
		}
		return order[i].partition < order[j].partition
	})
	var out []Row
	for _, p := range order {
		if c.ignores(NewNormal(run, *c.Normal).Text(p.topic)) {
			continue
		}
		rs := parts[p]
		sort.Slice(rs, func(i, j int) bool { return rs[i].Offset < rs[j].Offset })
		out = append(out, partitionRows(rs, run, c, parse)...)
	}
	return out
}

var databaseName = regexp.MustCompile(`"databaseName":"([^"]*)"`)

// foreignDDL reports whether a schema change is of another run's database.
func foreignDDL(value []byte, run Run) bool {
	m := databaseName.FindSubmatch(value)
	return m != nil && bytes.Contains(value, []byte(`"tableChanges":`)) && len(m[1]) > 0 && !bytes.Contains(m[1], []byte(run.DB[1:]))
}

func (c *Case) ignores(topic string) bool {
	return slices.ContainsFunc(c.Ignore, func(re string) bool {
		ok, err := regexp.MatchString(re, topic)
		return err == nil && ok
	})
}

// partitionRows normalises one topic partition; numbering starts anew in each.
func partitionRows(rs []*kgo.Record, run Run, c *Case, parse func([]byte) *Object) []Row {
	n := NewNormal(run, *c.Normal)
	n.parse = parse
	var out []Row
	seen := map[string]bool{}
	for i, r := range rs {
		if i > 0 && r.Offset == rs[i-1].Offset {
			continue // a record can be fetched twice
		}
		row := object("topic", n.Text(r.Topic))
		if r.Partition != 0 {
			row.Set("partition", Int(digitsOf(r.Partition)))
		}
		row.Set("key", n.record(r.Key))
		row.Set("value", n.record(r.Value))
		if c.Timestamps {
			row.Set("timestamp", Int(strconv.FormatInt(r.Timestamp.UnixMilli(), 10)))
		}
		if h := headers(n, r); len(h) > 0 {
			row.Set("headers", h)
		}
		if c.Unique {
			p := Print(row)
			if seen[p] {
				continue
			}
			seen[p] = true
		}
		out = append(out, row)
	}
	return out
}

func headers(n *Normal, r *kgo.Record) []Value {
	var out []Value
	for _, h := range r.Headers {
		if h.Key == runHeader {
			continue
		}
		var v Value
		if h.Value != nil {
			s := n.Header(h.Key, strings.ToValidUTF8(string(h.Value), "\uFFFD"))
			if strings.Contains(strings.ToLower(h.Key), "ts") {
				s = digits.ReplaceAllString(s, "#")
			}
			v = s
		}
		out = append(out, []Value{h.Key, v})
	}
	return out
}
