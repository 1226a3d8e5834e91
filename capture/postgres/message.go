package postgres

import (
	"encoding/base64"
	"encoding/hex"

	"millrace/decode/pgoutput"
	"millrace/emit"
	"millrace/internal/record"
)

// messages makes the records of pg_logical_emit_message.
type messages struct {
	key, value *record.Schema
	binary     string // binary.handling.mode
}

func newMessages(in *record.Interner, name func(string) string, mode string, source *record.Schema) *messages {
	content := record.OptionalBytes
	if mode != "bytes" {
		content = record.OptionalString
	}
	prefix := record.Field{Name: "prefix", Schema: record.OptionalString}
	return &messages{binary: mode,
		key: in.Intern(&record.Schema{Type: record.Struct, Name: name("io.debezium.connector.postgresql.MessageKey"), Version: 1, Fields: []record.Field{prefix}}),
		value: in.Intern(&record.Schema{Type: record.Struct, Name: name("io.debezium.connector.postgresql.MessageValue"), Version: 1, Fields: []record.Field{
			{Name: "op", Schema: record.PlainString},
			{Name: "ts_ms", Schema: record.OptionalInt64},
			{Name: "source", Schema: source},
			{Name: "transaction", Schema: emit.TransactionBlock},
			{Name: "message", Schema: &record.Schema{Type: record.Struct, Name: name("io.debezium.connector.postgresql.Message"), Version: 1,
				Fields: []record.Field{prefix, {Name: "content", Schema: content}}}},
		}})}
}

// messageTable is the name that logical messages are counted under in transaction
// metadata; Debezium prints the identity of a Java object there.
const messageTable = "message"

// logicalMessage handles a MESSAGE, inside or outside of a transaction.
func (s *session) logicalMessage(at LSN, m []byte) error {
	x, err := pgoutput.ParseLogical(m, false)
	outside := !x.Transactional
	if err != nil || s.arrived(at, outside) {
		return err
	}
	if outside {
		// No COMMIT follows: the message is its own commit position, as in Debezium.
		// The server has sent every transaction that was committed before it.
		s.lastCommit = at
	}
	if s.t.opts.Messages.Included(string(x.Prefix)) {
		s.appendMessage(at, outside, x.Prefix, x.Content)
	}
	if !outside {
		s.done(at, msgMessage)
		return nil
	}
	p := &s.at
	p.LSN, p.Proc, p.Commit, p.Type, p.TxID, p.Final, p.Events = at, at, at, msgMessage, 0, 0, s.events
	p.Snapshot, p.LastRow, p.Completed = "", false, false
	s.dirty = true
	return nil
}

func (s *session) appendMessage(at LSN, outside bool, prefix, content []byte) {
	b := s.batch()
	s.read = true
	ms := s.t.messages
	k := b.Alloc(record.Struct, 1)
	b.SetChild(k, 0, b.BytesCell(record.String, prefix))
	body := b.Alloc(record.Struct, 2)
	b.SetChild(body, 0, b.BytesCell(record.String, prefix))
	b.SetChild(body, 1, contentCell(b, ms.binary, content))
	src := s.src
	if outside {
		src.txID, src.tsUs = 0, s.now.UnixMicro()
		src.commit = s.lastCommit
		src.origin = ""
	}
	s.messageSrc.schema, s.messageSrc.table = "", ""
	source := src.cell(b, &s.messageSrc, at, record.Cell{})
	tx := record.Cell{}
	commitUs := s.now.UnixMicro()
	if !outside {
		tx, commitUs = s.block(b, at, messageTable), s.commitUs
	}
	v := b.Alloc(record.Struct, 5)
	f := b.Children(v)
	f[0], f[1], f[2], f[3], f[4] = s.shared.OpCell(emit.OpMessage), record.Int64Cell(s.now.UnixMilli()), source, tx, body
	r := b.Append()
	r.Topic, r.KeySchema, r.Key, r.ValueSchema, r.Value, r.CommitUs = s.t.topics.message, ms.key, k, ms.value, v, commitUs
}

func contentCell(b *record.Batch, mode string, p []byte) record.Cell {
	switch mode {
	case "base64":
		return b.StringCell(base64.StdEncoding.EncodeToString(p))
	case "base64-url-safe":
		return b.StringCell(base64.URLEncoding.EncodeToString(p))
	case "hex":
		return b.StringCell(hex.EncodeToString(p))
	}
	return b.BytesCell(record.Bytes, p)
}
