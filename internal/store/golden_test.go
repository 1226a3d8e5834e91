package store

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line is one record of the recorded storage topics of a Java worker.
type line struct {
	Step, Topic, Key string
	Value            *string
}

func recordings(t *testing.T) map[string][]line {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	out := map[string][]line{}
	for _, f := range files {
		r, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var l line
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(f)] = append(out[filepath.Base(f)], l)
		}
		_ = r.Close()
	}
	return out
}

// capture is a Log that remembers what was appended.
type capture struct {
	MemoryLog
}

func newStores(t *testing.T) (*Configs, *capture) {
	t.Helper()
	log := &capture{}
	c := NewConfigs(log, slog.New(slog.DiscardHandler))
	if err := c.Start(t.Context(), func(Event) {}); err != nil {
		t.Fatal(err)
	}
	return c, log
}

// Every config record of the recordings, written again from what was read before
// it, must have the same bytes: key order, escapes, spelling.
func TestConfigRecordsByteForByte(t *testing.T) {
	for file, lines := range recordings(t) {
		c, _ := newStores(t)
		var posted *Map
		for _, l := range lines {
			if l.Topic != "configs" {
				continue
			}
			rec := Record{Key: []byte(l.Key)}
			if l.Value != nil {
				rec.Value = []byte(*l.Value)
			}
			if l.Value != nil {
				if name, ok := strings.CutPrefix(l.Key, "connector-"); ok {
					// What was posted, in its order; a PATCH goes over the stored config.
					v, err := ParseJSON(rec.Value)
					if err != nil {
						t.Fatal(err)
					}
					props, _ := v.(*Object).Get("properties")
					if posted, err = StringMap(props.(*Object)); err != nil {
						t.Fatal(err)
					}
					if old := c.Get(name); old != nil {
						patched := HashCopy(old.Config)
						for _, e := range posted.Entries() {
							patched.Put(e.Key, e.Value)
						}
						if got := string(AppendMap([]byte(`{"properties":`), patched)) + "}"; got != *l.Value {
							t.Errorf("%s %s %s:\n got %s\nwant %s", file, l.Step, l.Key, got, *l.Value)
						}
					} else if got := string(AppendMap([]byte(`{"properties":`), posted)) + "}"; got != *l.Value {
						t.Errorf("%s %s %s:\n got %s\nwant %s", file, l.Step, l.Key, got, *l.Value)
					}
				}
				if strings.HasPrefix(l.Key, "task-") {
					conn := c.Get("connector")
					task := taskLike(conn.Config, *l.Value)
					if _, ok := task.Get("task.id"); ok {
						// The JDBC sink passes its properties through Map.copyOf, whose
						// order is random per JVM: compare the content only.
						v, _ := ParseJSON(rec.Value)
						props, _ := v.(*Object).Get("properties")
						want, _ := StringMap(props.(*Object))
						if !want.Equal(task) {
							t.Errorf("%s %s: got %s, want %s", file, l.Key, task, want)
						}
					} else if got := string(AppendMap([]byte(`{"properties":`), task)) + "}"; got != *l.Value {
						t.Errorf("%s %s %s:\n got %s\nwant %s", file, l.Step, l.Key, got, *l.Value)
					}
				}
			}
			if _, _, err := c.applyLocked(l.Key, rec.Value); err != nil {
				t.Errorf("%s: %s: %v", file, l.Key, err)
			}
		}
		if c.Get("connector") != nil {
			t.Errorf("%s: the connector was deleted, but is still there", file)
		}
	}
}

// taskLike makes the task config that the worker makes of a connector's config;
// what the connector itself adds is taken from the recording.
func taskLike(config *Map, want string) *Map {
	v, _ := ParseJSON([]byte(want))
	props, _ := v.(*Object).Get("properties")
	var added []Entry
	class := ""
	for _, f := range props.(*Object).Fields {
		switch f.Key {
		case "task.class":
			class = f.Value.(string)
		case "task.id":
			added = append(added, Entry{Key: f.Key, Value: f.Value.(string)})
		}
	}
	return TaskConfig(config, added, class)
}

func TestOffsetsAndStatusesByteForByte(t *testing.T) {
	for file, lines := range recordings(t) {
		for _, l := range lines {
			switch {
			case l.Topic == "offsets":
				conn, part, err := parseOffsetKey([]byte(l.Key))
				if err != nil {
					t.Fatal(err)
				}
				if got := string(OffsetKey(conn, part)); got != l.Key {
					t.Errorf("%s: key %s, want %s", file, got, l.Key)
				}
				if l.Value != nil {
					v, err := ParseJSON([]byte(*l.Value))
					if err != nil {
						t.Fatal(err)
					}
					if got := string(AppendJSON(nil, v)); got != *l.Value {
						t.Errorf("%s: value %s, want %s", file, got, *l.Value)
					}
				}
			case l.Topic == "status" && l.Value != nil && !strings.HasPrefix(l.Key, "status-topic-"):
				st := ParseStatus([]byte(*l.Value))
				if st == nil {
					t.Fatalf("%s: cannot read %s", file, *l.Value)
				}
				if got := string(AppendStatus(nil, *st)); got != *l.Value {
					t.Errorf("%s: status %s, want %s", file, got, *l.Value)
				}
			}
		}
	}
}
