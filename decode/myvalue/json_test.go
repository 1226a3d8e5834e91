package myvalue

import "testing"

// doc is {"a": 1, "bb": [true, "x\u001f", 1.5], "ccc": null} in binary form.
func doc() []byte {
	arr := []byte{3, 0, 24, 0, jsonLiteral, 1, 0, jsonString, 13, 0, jsonDouble, 16, 0, 2, 'x', 0x1f, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}
	head := []byte{3, 0, 0, 0, // count, size
		25, 0, 1, 0, 26, 0, 2, 0, 28, 0, 3, 0, // keys
		jsonInt16, 1, 0, jsonSmallArray, 31, 0, jsonLiteral, 0, 0, // values
		'a', 'b', 'b', 'c', 'c', 'c'}
	p := append(head, arr...)
	p[2] = byte(len(p))
	return append([]byte{jsonSmallObject}, p...)
}

func TestJSONText(t *testing.T) {
	got, err := AppendJSON(nil, doc())
	if want := `{"a":1,"bb":[true,"x\u001F",1.5],"ccc":null}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestJSONDiffs(t *testing.T) {
	seven := []byte{jsonInt16, 7, 0}
	diff := func(op byte, path string, value []byte) []byte {
		d := append([]byte{op, byte(len(path))}, path...)
		if op != diffRemove {
			d = append(append(d, byte(len(value))), value...)
		}
		return d
	}
	for _, c := range []struct {
		diffs []byte
		want  string
	}{
		{diff(diffReplace, "$.a", seven), `{"a":7,"bb":[true,"x\u001F",1.5],"ccc":null}`},
		{diff(diffInsert, "$.bb[1]", seven), `{"a":1,"bb":[true,7,"x\u001F",1.5],"ccc":null}`},
		{append(diff(diffRemove, "$.bb", nil), diff(diffInsert, `$."b c"`, seven)...), `{"a":1,"b c":7,"ccc":null}`},
		{diff(diffReplace, "$", seven), `7`},
	} {
		got, err := AppendJSONDiff(nil, doc(), c.diffs)
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v; want %s", got, err, c.want)
		}
	}
	if _, err := AppendJSONDiff(nil, doc(), diff(diffRemove, "$.zz", nil)); err == nil {
		t.Error("a diff of a missing path was taken")
	}
}

func TestDecimalText(t *testing.T) {
	for _, c := range []struct {
		p                []byte
		precision, scale int
		want             string
	}{
		{[]byte{0x80, 0, 0, 1, 0x19}, 10, 2, "1.25"},
		{[]byte{0x7f, 0xff, 0xff, 0xfe, 0xe6}, 10, 2, "-1.25"},
		{[]byte{0x80, 0, 0, 0, 0}, 10, 2, "0.00"},
		{[]byte{0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2}, 14, 4, "1234567890.1234"},
	} {
		got, ok := appendDecimal(nil, c.p, c.precision, c.scale)
		if !ok || string(got) != c.want {
			t.Errorf("%x as decimal(%d,%d): got %s %v, want %s", c.p, c.precision, c.scale, got, ok, c.want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(doc(), []byte{diffReplace, 3, '$', '.', 'a', 3, jsonInt16, 7, 0})
	f.Fuzz(func(t *testing.T, d, diffs []byte) {
		_, _ = AppendJSON(nil, d)
		_, _ = AppendJSONDiff(nil, d, diffs)
	})
}
