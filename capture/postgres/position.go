package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"millrace/capture"
	"millrace/internal/record"
	"millrace/internal/store"
)

// LSN is a place in the write-ahead log; 0 stands for none.
type LSN = pglogrepl.LSN

// Keys of the source offset. Those of Debezium carry its names; the last three are
// present only while the position lies inside a transaction, or behind a logical
// message outside of one, and let a restart continue at the exact event.
const (
	keyTsUsec    = "ts_usec"
	keyTxID      = "txId"
	keyLSN       = "lsn"
	keyXmin      = "xmin"
	keySnapshot  = "snapshot"
	keyLastSnap  = "last_snapshot_record"
	keyCompleted = "snapshot_completed"
	keyProc      = "lsn_proc"
	keyCommit    = "lsn_commit"
	keyType      = "messageType"
	keyTxText    = "transaction_id"
	keyTxCount   = "transaction_data_collection_order_"
	keyEvents    = "lsn_events_processed"
	keyFinal     = "lsn_tx_final"
	keyBefore    = "lsn_tx_before"
)

// The message types that an offset names.
const (
	msgInsert   = "INSERT"
	msgUpdate   = "UPDATE"
	msgDelete   = "DELETE"
	msgTruncate = "TRUNCATE"
	msgMessage  = "MESSAGE"
	msgBegin    = "BEGIN"
	msgCommit   = "COMMIT"
)

// Position is a place in the log together with what its source offset says. It
// is immutable once it is handed out.
type Position struct {
	LSN    LSN // the last event's
	Proc   LSN // last completely processed event; 0 only right after a snapshot
	Commit LSN // end of the last transaction seen
	TxID   int64
	Xmin   int64
	TsUsec int64
	Type   string // message type of the event at Proc

	// Snapshot is "", INITIAL, BLOCKING or INCREMENTAL.
	Snapshot  string
	LastRow   bool // the snapshot's last record is behind this position
	Completed bool

	// TxText and Counts are set with transaction metadata.
	TxText string
	Counts []capture.Count

	// Events counts the messages processed at Proc, and Final is the LSN of the
	// commit record of the transaction around them. Both are 0 between transactions.
	Events int64
	Final  LSN
	// Before is the end of the transaction before that one, for source.sequence; 0
	// when it is Commit, which also moves when nothing happens for a while.
	Before LSN

	// Extra are further keys that are stored as they are (incremental snapshots).
	Extra []store.Entry
}

var _ record.Position = (*Position)(nil)

// Snapshotting reports whether the position lies inside of an unfinished initial
// snapshot. A blocking one keeps the place in the log and is not repeated.
func (p *Position) Snapshotting() bool { return p.Snapshot == "INITIAL" && !p.Completed }

// Confirmable is the LSN up to which the server may forget once this position is
// stored: the end of the last complete transaction.
func (p *Position) Confirmable() LSN {
	if p.Snapshotting() {
		return 0
	}
	if p.Commit != 0 {
		return p.Commit
	}
	return p.Proc
}

// Offset returns Debezium's offset JSON, keys in the order of its hash map.
func (p *Position) Offset() []byte {
	m := store.NewHash()
	num := func(k string, v int64) {
		if v != 0 {
			m.Put(k, strconv.FormatInt(v, 10))
		}
	}
	text := func(k, v string) {
		if v != "" {
			q, _ := json.Marshal(v)
			m.Put(k, string(q))
		}
	}
	num(keyTsUsec, p.TsUsec)
	num(keyTxID, p.TxID)
	num(keyLSN, int64(p.LSN))
	num(keyXmin, p.Xmin)
	if p.Snapshot != "" {
		text(keySnapshot, p.Snapshot)
		m.Put(keyLastSnap, strconv.FormatBool(p.LastRow))
		m.Put(keyCompleted, strconv.FormatBool(p.Completed))
	}
	num(keyProc, int64(p.Proc))
	num(keyCommit, int64(p.Commit))
	text(keyType, p.Type)
	num(keyEvents, p.Events)
	num(keyFinal, int64(p.Final))
	num(keyBefore, int64(p.Before))
	text(keyTxText, p.TxText)
	for _, c := range p.Counts {
		num(keyTxCount+c.Table, c.N)
	}
	for _, e := range p.Extra {
		m.Put(e.Key, e.Value)
	}
	return capture.OffsetJSON(m)
}

// ParseOffset reads a stored source offset: this connector's own or Debezium's.
// Nil and JSON null mean that there is none.
func ParseOffset(stored []byte) (*Position, error) {
	if len(bytes.TrimSpace(stored)) == 0 || bytes.Equal(bytes.TrimSpace(stored), []byte("null")) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(stored))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("the stored offset %q is not a JSON object: %w", stored, err)
	}
	p := &Position{}
	for k, v := range m {
		if err := p.set(k, v); err != nil {
			return nil, fmt.Errorf("key %q of the stored offset %s: %w", k, stored, err)
		}
	}
	if p.LSN == 0 {
		p.LSN = max(p.Proc, p.Commit)
	}
	if p.LSN == 0 {
		return nil, fmt.Errorf("the stored offset %s holds no lsn", stored)
	}
	return p, nil
}

func (p *Position) set(k string, v any) error {
	if v == nil {
		return nil
	}
	var err error
	switch k {
	case keyTsUsec:
		p.TsUsec, err = number(v)
	case keyTxID:
		p.TxID, err = number(v)
	case keyLSN:
		err = lsnOf(v, &p.LSN)
	case keyXmin:
		p.Xmin, err = number(v)
	case keyProc:
		err = lsnOf(v, &p.Proc)
	case keyCommit:
		err = lsnOf(v, &p.Commit)
	case keyFinal:
		err = lsnOf(v, &p.Final)
	case keyBefore:
		err = lsnOf(v, &p.Before)
	case keyEvents:
		p.Events, err = number(v)
	case keyType:
		p.Type = strings.ToUpper(fmt.Sprint(v))
	case keySnapshot:
		p.Snapshot = strings.ToUpper(fmt.Sprint(v))
		if p.Snapshot == "TRUE" { // written before the kinds had names
			p.Snapshot = "INITIAL"
		}
	case keyLastSnap:
		p.LastRow = truth(v)
	case keyCompleted:
		p.Completed = truth(v)
	case keyTxText:
		p.TxText = fmt.Sprint(v)
	default:
		if t, ok := strings.CutPrefix(k, keyTxCount); ok {
			n, e := number(v)
			p.Counts, err = append(p.Counts, capture.Count{Table: t, N: n}), e
			break
		}
		q, _ := json.Marshal(v)
		p.Extra = append(p.Extra, store.Entry{Key: k, Value: string(q)})
	}
	return err
}

func truth(v any) bool { return v == true || strings.EqualFold(fmt.Sprint(v), "true") }

func number(v any) (int64, error) {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%v is not a whole number", v)
	}
	return n, nil
}

func lsnOf(v any, to *LSN) error {
	n, err := number(v)
	*to = LSN(n)
	return err
}
