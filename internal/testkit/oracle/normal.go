package oracle

import (
	"encoding/hex"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Run holds the names that one run of a case uses. They are turned back into
// server1, inventory, slot1 and BOOTSTRAP before comparing.
type Run struct {
	Prefix, DB, Slot, Bootstrap string
}

// clocks are fields whose values are times of the run.
var clocks = []string{"ts_ms", "ts_us", "ts_ns", "ts_sec"}

// numbered are fields, inside source and transaction blocks, whose values are
// numbered by first appearance; fields of one kind share the numbering.
var numbered = map[string]string{
	"lsn": "lsn", "lsn_proc": "lsn", "lsn_commit": "lsn", "commit_lsn": "lsn", "change_lsn": "lsn", "origin_lsn": "lsn",
	"txId": "tx", "xmin": "xmin", "pos": "pos", "file": "file", "gtid": "gtid", "gtids": "gtid", "thread": "thread",
	"transaction_id": "txid", "connectorName": "x",
}

var (
	gtidLike     = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f-]{27}:\S+|file=\S+,pos=\d+|\d+-\d+-\d+)$`)
	txidLike     = regexp.MustCompile(`^\d+:\d+$`)
	digits       = regexp.MustCompile(`\d+`)
	onlyDigits   = regexp.MustCompile(`^\d+$`)
	sequenceLast = regexp.MustCompile(`"(\d+)"\]`)
	sequenceHead = regexp.MustCompile(`\["(\d+)",`)
)

// Normal replaces what differs from run to run in the records of one topic
// partition. It is stateful: numbering goes by first appearance.
type Normal struct {
	run    Run
	extra  Normalise
	seen   map[string]map[string]int
	names  *strings.Replacer
	number map[string]string
	base   *int64 // first position of the stream, for Relative
	parse  func([]byte) *Object
}

// NewNormal makes the normalisation of one topic partition.
func NewNormal(run Run, extra Normalise) *Normal {
	n := &Normal{run: run, extra: extra, seen: map[string]map[string]int{}, number: numbered}
	if len(extra.IDs) > 0 {
		n.number = map[string]string{}
		for k, v := range numbered {
			n.number[k] = v
		}
		for _, k := range extra.IDs {
			n.number[k] = k
		}
	}
	n.names = strings.NewReplacer(run.Prefix, "server1", run.DB, "inventory", run.Slot, "slot1")
	return n
}

// Text replaces the names of the run.
func (n *Normal) Text(s string) string {
	s = n.names.Replace(s)
	for _, r := range n.extra.replace {
		s = r.re.ReplaceAllString(s, r.with)
	}
	return strings.ReplaceAll(s, n.run.Bootstrap, "BOOTSTRAP")
}

func (n *Normal) ident(kind, v string) string {
	t := n.seen[kind]
	if t == nil {
		t = map[string]int{}
		n.seen[kind] = t
	}
	i, ok := t[v]
	if !ok {
		i = len(t) + 1
		t[v] = i
	}
	return kind + "#" + strconv.Itoa(i)
}

// Header normalises the value of a record header.
func (n *Normal) Header(k, v string) string {
	if slices.Contains(n.extra.Any, k) {
		return "<any>"
	}
	if name, ok := strings.CutPrefix(k, "__"); ok {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "source_"), "transaction_")
		if kind := n.number[name]; kind != "" && onlyDigits.MatchString(v) {
			return n.ident(kind, v)
		}
		if name == "version" {
			return "<version>"
		}
	}
	return n.Text(v)
}

// Walk normalises a payload. key is the field it stands in, special whether it
// lies inside a source or transaction block.
func (n *Normal) Walk(v Value, key string, special bool) Value {
	switch x := v.(type) {
	case *Object:
		inner := special || key == "source" || key == "transaction" || hasAll(x, "connector", "version", "name")
		out := &Object{Keys: x.Keys, Vals: make([]Value, len(x.Vals))}
		for i, k := range x.Keys {
			out.Vals[i] = n.Walk(x.Vals[i], k, inner)
			if k == "pos" {
				if p := n.distance(x, x.Vals[i]); p != "" {
					out.Vals[i] = p
				}
			}
		}
		return out
	case []Value:
		if key == "data_collections" {
			x = n.byCollection(x)
		}
		out := make([]Value, len(x))
		for i, e := range x {
			out[i] = n.Walk(e, key, special)
		}
		return out
	case nil, bool:
		return v
	case Int:
		return n.scalar(v, string(x), false, key, special)
	case string:
		return n.scalar(v, x, true, key, special)
	}
	return v
}

// distance is how far a streamed position lies behind the topic's first one, as
// text, when the case wants that; else "".
func (n *Normal) distance(source *Object, pos Value) string {
	at, ok := pos.(Int)
	if snap, _ := source.Get("snapshot"); !ok || len(n.extra.Relative) == 0 || snap != "false" {
		return ""
	}
	p, err := strconv.ParseInt(string(at), 10, 64)
	if err != nil {
		return ""
	}
	if n.base == nil {
		n.base = &p
	}
	return "pos+" + strconv.FormatInt(p-*n.base, 10)
}

// byCollection sorts the counts of an END record when they are all of the run's
// database: the real connector's order depends on a hash of their names.
func (n *Normal) byCollection(list []Value) []Value {
	name := func(v Value) string {
		if o, ok := v.(*Object); ok {
			s, _ := o.Get("data_collection")
			text, _ := s.(string)
			return text
		}
		return ""
	}
	for _, v := range list {
		if !strings.HasPrefix(name(v), n.run.DB) {
			return list
		}
	}
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b Value) int { return strings.Compare(name(a), name(b)) })
	return out
}

func hasAll(o *Object, keys ...string) bool {
	for _, k := range keys {
		if _, ok := o.Get(k); !ok {
			return false
		}
	}
	return true
}

func (n *Normal) scalar(v Value, text string, isText bool, key string, special bool) Value {
	k, under := strings.CutPrefix(key, "__")
	if slices.Contains(n.extra.Any, key) {
		if isText {
			return "<any>"
		}
		return "<any number>"
	}
	flat := strings.HasPrefix(k, "source_") || strings.HasPrefix(k, "source.")
	if flat {
		k = k[7:]
	}
	special = special || flat || under
	if !isText && (slices.Contains(clocks, k) || slices.Contains(n.extra.Clocks, k)) {
		if text == "0" {
			return v
		}
		return "<ts>"
	}
	if isText && (k == "id" || k == "transaction_id") && gtidLike.MatchString(text) {
		return n.ident("gtid", text)
	}
	if kind := n.number[k]; kind != "" && (special && text != "0" || isText && slices.Contains(n.extra.IDs, k)) {
		return n.ident(kind, text)
	}
	if special && k == "server_id" {
		return "<server_id>"
	}
	if !isText {
		return v
	}
	return n.special(text, k, key, special)
}

// special handles the texts that have a meaning inside source and transaction blocks.
func (n *Normal) special(text, k, key string, special bool) Value {
	switch {
	case k == "id" && txidLike.MatchString(text):
		return n.ident("txid", text)
	case !special:
		return n.Text(text)
	case k == "version":
		return "<version>"
	case k == "sequence" && (n.extra.Split == nil || !*n.extra.Split):
		return digits.ReplaceAllStringFunc(text, func(m string) string { return n.ident("lsn", m) })
	case k == "sequence":
		// A commit position equals the next change's only when nobody else writes WAL.
		s := sequenceLast.ReplaceAllStringFunc(text, func(m string) string { return `"` + n.ident("lsn", digits.FindString(m)) + `"]` })
		return sequenceHead.ReplaceAllStringFunc(s, func(m string) string { return `["` + n.ident("commit", digits.FindString(m)) + `",` })
	case k == "id" && key == "id":
		return n.ident("txid", text)
	case k == "table" && strings.Contains(text, ","):
		names := strings.Split(text, ",")
		sort.Strings(names)
		return n.Text(strings.Join(names, ","))
	}
	return n.Text(text)
}

// schema replaces the run's names in every text and field name of a schema.
func (n *Normal) schema(v Value) Value {
	switch x := v.(type) {
	case *Object:
		out := &Object{}
		for i, k := range x.Keys {
			out.Set(n.Text(k), n.schema(x.Vals[i]))
		}
		return out
	case []Value:
		out := make([]Value, len(x))
		for i, e := range x {
			out[i] = n.schema(e)
		}
		return out
	case string:
		return n.Text(x)
	}
	return v
}

// parseBytes reads a record's key or value: JSON, else text, else hex.
func parseBytes(b []byte) Value {
	if b == nil {
		return nil
	}
	if utf8.Valid(b) {
		if v, err := ParseJSON(b); err == nil {
			return v
		}
		return object("text", string(b))
	}
	return object("hex", hex.EncodeToString(b))
}

func (n *Normal) record(b []byte) Value {
	if n.parse != nil {
		if o := n.parse(b); o != nil {
			in := o.Vals[0].(*Object)
			s, _ := in.Get("schema")
			v, _ := in.Get("value")
			in.Set("schema", n.schema(s))
			in.Set("value", n.Walk(v, "", false))
			return o
		}
	}
	v := parseBytes(b)
	if o, ok := v.(*Object); ok && o.has("schema", "payload") {
		s, _ := o.Get("schema")
		p, _ := o.Get("payload")
		return object("schema", n.schema(s), "payload", n.Walk(p, "", false))
	}
	return n.Walk(v, "", false)
}
