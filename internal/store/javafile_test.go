package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// The file was written by Java 17's ObjectOutputStream.
func TestJavaOffsetFile(t *testing.T) {
	data, err := os.ReadFile("testdata/offsets.java-hashmap")
	if err != nil {
		t.Fatal(err)
	}
	recs, err := DecodeJavaMap(data)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range recs {
		if r.Value == nil {
			got[string(r.Key)] = "null"
		} else {
			got[string(r.Key)] = string(r.Value)
		}
	}
	want := map[string]string{`["c",{"filename":"/tmp/a"}]`: `{"position":8}`, `["ż",{"server":"s"}]`: `{"lsn":1}`, `["gone",{}]`: "null"}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %s, want %s", k, got[k], v)
		}
	}
	// What is written from it has the same bytes: Java reads it as its own.
	if out := EncodeJavaMap(recs); !bytes.Equal(out, data) {
		t.Errorf("written again it differs:\n% x\n% x", out, data)
	}
}

func TestFileLogSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offsets")
	open := func() *Offsets {
		o := NewOffsets(NewFileLog(path), slog.New(slog.DiscardHandler))
		if err := o.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := open()
	for _, v := range []string{`{"n":1}`, `{"n":2}`} {
		if err := o.For("c").Put(t.Context(), []byte(`{"b":1,"a":"x"}`), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	o = open()
	// Another order of the same partition finds it, and keeps the first key.
	if got := string(o.Get("c", []byte(`{"a":"x","b":1}`))); got != `{"n":2}` {
		t.Fatalf("got %q", got)
	}
	if err := o.For("c").Put(t.Context(), []byte(`{"a":"x","b":1}`), []byte(`{"n":3}`)); err != nil {
		t.Fatal(err)
	}
	o = open()
	if l := o.List("c"); len(l) != 1 || string(l[0].Partition) != `{"b":1,"a":"x"}` || string(l[0].Offset) != `{"n":3}` {
		t.Fatalf("got %s", l)
	}
	if err := os.WriteFile(path, []byte("no Java stream"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := NewOffsets(NewFileLog(path), slog.New(slog.DiscardHandler)).Start(t.Context()); err == nil {
		t.Error("a file that is no offset file was taken for an empty one")
	}
}

func FuzzDecodeJavaMap(f *testing.F) {
	f.Add(EncodeJavaMap([]Record{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("k2")}}))
	f.Add(EncodeJavaMap(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		recs, err := DecodeJavaMap(data)
		if err != nil {
			return
		}
		if _, err := DecodeJavaMap(EncodeJavaMap(recs)); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
