package capture

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"millrace/internal/store"
)

// OffsetJSON writes a source offset, keys in the order of m; values are JSON texts.
func OffsetJSON(m *store.Map) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, e := range m.Entries() {
		if i > 0 {
			out.WriteByte(',')
		}
		q, _ := json.Marshal(e.Key) // a string always can
		out.Write(q)
		out.WriteByte(':')
		out.WriteString(e.Value)
	}
	out.WriteByte('}')
	return out.Bytes()
}

// UUID makes a random UUID (version 4): the identifier of a run of a task, of a
// notification, of a chunk.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
