package schemahistory

import (
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Every store gives back what was appended, in order, and knows whether it is there.
func TestStoresGiveBackWhatTheyTook(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	brokers := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	topic := &Topic{Name: "history", Producer: brokers, Consumer: brokers}
	stores := map[string]Store{"memory": &Memory{}, "file": &File{Path: filepath.Join(t.TempDir(), "history.dat")}, "topic": topic}
	for name, s := range stores {
		t.Run(name, func(t *testing.T) {
			if ok, err := s.Exists(t.Context()); ok || err != nil {
				t.Fatalf("before anything: exists %v, %v", ok, err)
			}
			if name == "topic" {
				for range 2 { // the second time it is there already
					if err := topic.Create(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			e, err := ParseEntry([]byte(recorded))
			if err != nil {
				t.Fatal(err)
			}
			second := &Entry{Source: e.Source, Position: e.Position, DB: "inventory", DDL: "DROP TABLE `inventory`.`t`", Changes: []Change{{Kind: Drop, ID: TableID{"inventory", "t"}}}}
			if err := s.Append(t.Context(), e, second); err != nil {
				t.Fatal(err)
			}
			m := NewModel()
			var ddl []string
			err = s.Load(t.Context(), func(e *Entry) error { ddl = append(ddl, e.DDL); m.Replay(e); return nil }, func(err error) { t.Error(err) })
			if err != nil || len(ddl) != 2 || ddl[1] != second.DDL || len(m.IDs()) != 0 {
				t.Errorf("loaded %q, %v; tables left %v", ddl, err, m.IDs())
			}
			if ok, err := s.Exists(t.Context()); !ok || err != nil {
				t.Errorf("afterwards: exists %v, %v", ok, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
