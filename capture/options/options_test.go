package options

import (
	"reflect"
	"strings"
	"testing"

	"millrace/internal/configdef"
)

// TestNames compares with names that Debezium 3.6.1 was recorded to make.
func TestNames(t *testing.T) {
	tables := []TableID{{Schema: "Sch-ema", Name: "My Table"}, {Schema: "public", Name: "ünï_tabelle"}, {Schema: "public", Name: "日本"}, {Schema: "public", Name: "a$b"}, {Schema: "public", Name: "dot.ted"}}
	for _, c := range []struct {
		strategy, adjust string
		topics, values   []string
	}{
		{SchemaTopicNaming, "none",
			[]string{"Sch-ema.My_Table", "public._n__tabelle", "public.__", "public.a_b", "public.dot.ted"},
			[]string{"Sch-ema.My_Table", "public._n__tabelle", "public.__", "public.a_b", "public.dot.ted"}},
		{SchemaTopicNaming, "avro",
			[]string{"Sch-ema.My_Table", "public._n__tabelle", "public.__", "public.a_b", "public.dot.ted"},
			[]string{"Sch_ema.My_Table", "public._n__tabelle", "public.__", "public.a_b", "public.dot.ted"}},
		{SchemaTopicNaming, "avro_unicode",
			[]string{"Sch-ema.My_Table", "public._n__tabelle", "public.__", "public.a_b", "public.dot.ted"},
			[]string{"Sch_u002dema.My_u005fTable", "public._u005fn_u005f_u005ftabelle", "public._u005f_u005f", "public.a_u005fb", "public.dot.ted"}},
		{SchemaUnicodeTopicNaming, "none",
			[]string{"Sch-ema.My_u0020Table", "public._u00fcn_u00ef_u005ftabelle", "public._u65e5_u672c", "public.a_u0024b", "public.dot.ted"},
			[]string{"Sch-ema.My_u0020Table", "public._u00fcn_u00ef_u005ftabelle", "public._u65e5_u672c", "public.a_u0024b", "public.dot.ted"}},
		{DefaultTopicNaming, "none",
			[]string{"My_Table", "_n__tabelle", "__", "a_b", "dot.ted"}, []string{"My_Table", "_n__tabelle", "__", "a_b", "dot.ted"}},
	} {
		n, err := NewNaming(NamingConfig{Strategy: c.strategy, Prefix: "server1", Delimiter: ".", AdjustSchema: SchemaAdjuster(c.adjust)})
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range tables {
			got := n.For(id)
			if got.Topic != "server1."+c.topics[i] || got.ValueSchema != "server1."+c.values[i]+".Value" || got.KeySchema != "server1."+c.values[i]+".Key" || got.ExtraKeyField != "" {
				t.Errorf("%s %s %v: %+v", c.strategy, c.adjust, id, got)
			}
		}
	}
	for mode, want := range map[string]string{"avro": "_1st __ a_b col_1 gr__e x_y", "avro_unicode": "_u0031st _u540d_u524d a_u002eb col_u002d1 gr_u00f6_u00dfe x_u0024y"} {
		var got []string
		for _, f := range []string{"1st", "名前", "a.b", "col-1", "größe", "x$y"} {
			got = append(got, FieldAdjuster(mode)(f))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s", mode, got)
		}
	}
}

func TestRegexNaming(t *testing.T) {
	n, err := NewNaming(NamingConfig{Strategy: SchemaRegexTopicNaming, Prefix: "server1", Delimiter: ".", Regex: "(.*)ord_(.*)", Replacement: "$1orders",
		KeyUnique: true, KeyField: "shard", KeyRegex: "(.*)ord_(.*)", KeyReplacement: "shard$2"})
	if err != nil {
		t.Fatal(err)
	}
	got := n.For(TableID{Schema: "public", Name: "ord_1"})
	if got.Topic != "server1.public.orders" || got.ExtraKeyField != "shard" || got.ExtraKeyValue != "shard1" {
		t.Errorf("%+v", got)
	}
	got = n.For(TableID{Schema: "public", Name: "other"})
	if got.Topic != "server1.public.other" || got.ExtraKeyValue != "server1.public.other" {
		t.Errorf("%+v", got)
	}
}

func TestLongTopic(t *testing.T) {
	n, _ := NewNaming(NamingConfig{Strategy: SchemaTopicNaming, Prefix: "p", Delimiter: ".", HeartbeatPrefix: "__debezium-heartbeat", Transaction: "transaction"})
	if got := n.For(TableID{Schema: "s", Name: strings.Repeat("x", 300)}).Topic; len(got) != 249 {
		t.Error(len(got))
	}
	if n.Heartbeat() != "__debezium-heartbeat.p" || n.Transaction() != "p.transaction" {
		t.Error(n.Heartbeat(), n.Transaction())
	}
}

// TestHashes compares with recorded hashes.
func TestHashes(t *testing.T) {
	r, err := NewColumnRules(map[string]string{
		"column.mask.hash.SHA-256.with.salt.CzQMA0cB5K": `public\.t\.(a|c|h)`, "column.mask.hash.MD5.with.salt.x": `public\.t\.(b|d|e)`,
		"column.mask.hash.v2.SHA-256.with.salt.CzQMA0cB5K": `public\.u\.(a|b)`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table, column, value string
		length               int
		want                 string
	}{
		{"t", "a", "žluťoučký 😀 kůň", -1, "f2e8ba88e782144323eede33f13011462943d4206aa0f07d9fb1ec9cceeade90"},
		{"t", "b", "secret", 20, "4f7cf6425648766ea619"},
		{"t", "b", "", 20, "df12190c86422910fc03"},
		{"t", "h", "dom", -1, "e047fe9ab1b2ce608e8c9978f058c4f9a5618aab222852126cee1dfbc4763a0c"},
		{"u", "a", "žluťoučký 😀 kůň", 2147483647, "e4ec1b393fc6801ce397513ce742d7db56114e71f6ae76c23160bae73b75d67e"},
		{"u", "b", "secret", 20, "8b41ea6bee11d6298cbf"},
	} {
		rule := r.For("public", c.table, c.column, "text", c.length)
		if rule.Hash == nil {
			t.Errorf("%s.%s: no hash", c.table, c.column)
			continue
		}
		if got := string(rule.Hash([]byte(c.value))); got != c.want {
			t.Errorf("%s.%s: %s", c.table, c.column, got)
		}
	}
	long := appendJavaString(nil, []byte(strings.Repeat("x", 70000)))
	if len(long) != 4+9+70000 || long[4] != 0x7C || long[11] != 0x11 {
		t.Errorf("% x", long[:16])
	}
}

func TestColumnRules(t *testing.T) {
	r, err := NewColumnRules(map[string]string{
		"column.truncate.to.5.chars": "s.t.a", "column.mask.with.3.chars": "s.t.(a|b)", "column.propagate.source.type": "s.t.[bc]", "datatype.propagate.source.type": `s\..*\.int4`,
	})
	if err != nil {
		t.Fatal(err)
	}
	none := ColumnRule{Truncate: -1, MaskChars: -1}
	for _, c := range []struct {
		column, typ string
		length      int
		want        ColumnRule
	}{
		{"a", "text", -1, ColumnRule{Truncate: 5, MaskChars: -1}},
		{"A", "varchar", 4, none}, // too short to be truncated, and the first rule that matches wins
		{"b", "text", -1, ColumnRule{Truncate: -1, MaskChars: 3}},
		{"c", "text", -1, ColumnRule{Truncate: -1, MaskChars: -1, Propagate: true}},
		{"d", "int4", 10, ColumnRule{Truncate: -1, MaskChars: -1, Propagate: true}},
		{"d", "int8", 19, none},
	} {
		if got := r.For("s", "t", c.column, c.typ, c.length); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %+v", c.column, c.typ, got)
		}
	}
}

func TestKeyColumns(t *testing.T) {
	k, err := NewKeyColumns(`public.(.*)orders:b , a;.*\.other:c.`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table   string
		columns []string
		want    []int
	}{{"neworders", []string{"a", "b", "c"}, []int{1, 0}}, {"other", []string{"c1", "x", "c2"}, []int{0, 2}}, {"third", []string{"a"}, nil}} {
		if got := k.For("public", c.table, c.columns); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", c.table, got)
		}
	}
}

func TestOperations(t *testing.T) {
	o, err := ParseOperations("c, d")
	if err != nil || !o.Has('c') || o.Has('u') || !o.Has('d') || o.Has('t') {
		t.Error(o, err)
	}
	for text, want := range map[string]string{"x": "Invalid operation", "none,c": "'none' cannot be specified with other skipped operation types", "m": "Invalid operation"} {
		if _, err := ParseOperations(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNameList(t *testing.T) {
	var all *NameList
	if !all.Match("a", "b") {
		t.Error("nil must name every table")
	}
	l, err := NewNameList(`public.a, "s"\."t x"`)
	if err != nil || !l.Match("public", "A") || !l.Match("s", "t x") || l.Match("public", "b") {
		t.Error(err)
	}
}

func TestRegexNamingChecks(t *testing.T) {
	d := &configdef.Def{Options: Table(nil, nil), TypeErrors: TypeErrors}
	for _, c := range []struct {
		props map[string]string
		want  string
	}{
		{map[string]string{}, "The 'topic.regex' value is invalid: A value is required|The 'topic.replacement' value is invalid: A value is required"},
		{map[string]string{"topic.regex": "(a"}, "The 'topic.regex' value is invalid: A valid regular expressions is expected, but Unclosed group near index 2\n(a|The 'topic.replacement' value is invalid: topic.replacement must be non-empty if topic.regex is set."},
		{map[string]string{"topic.regex": "(a)", "topic.replacement": "$2"}, "The 'topic.replacement' value is invalid: No group 2"},
		{map[string]string{"topic.regex": "(a)", "topic.replacement": "$1"}, ""},
	} {
		c.props["topic.naming.strategy"] = SchemaRegexTopicNaming
		var got []string
		for _, p := range configdef.Errors(d.Validate(c.props)) {
			got = append(got, p.Text)
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%v:\n got %q\nwant %q", c.props, strings.Join(got, "|"), c.want)
		}
	}
}
