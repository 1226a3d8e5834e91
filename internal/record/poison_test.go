//go:build invariants

package record

import "testing"

// What was read from a batch must not survive its release unnoticed.
func TestReleasedMemoryIsPoisoned(t *testing.T) {
	p := &Pool{}
	b := p.Get()
	c := b.StringCell("secret row")
	kept := b.Raw(c)
	row := b.Alloc(Struct, 1)
	children := b.Children(row)
	b.Append().Partition = 3
	records := b.Records
	b.Release()
	for _, x := range kept {
		if x != 0xDB {
			t.Fatalf("released text still reads %q", kept)
		}
	}
	if k := children[0].Kind(); k != 0xDB {
		t.Errorf("a released cell still has kind %d", k)
	}
	if records[0].Partition == 3 {
		t.Error("a released record is still readable")
	}
}
