package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"millrace/capture"
	"millrace/internal/record"
	"millrace/internal/store"
)

// Keys of the source offset.
const (
	keyTsSec    = "ts_sec"
	keyFile     = "file"
	keyPos      = "pos"
	keyGTIDs    = "gtids"
	keyEvent    = "event"
	keyRow      = "row"
	keyServerID = "server_id"
	keySnapshot = "snapshot"
	keyProgress = "millrace_snapshot_progress" // ours: how far the snapshot has come
	keyTxID     = "transaction_id"
	keyTxCount  = "transaction_data_collection_order_"
)

// Position is the place where reading starts again and how much of the
// transaction behind it was done, with what its source offset says. It is
// immutable once it is handed out.
type Position struct {
	TsSec    int64
	File     string
	Pos      int64
	GTIDs    string // completed before the running transaction; "" unknown
	Event    int64  // events of the running transaction that were done
	Row      int64  // rows of the next row event that were done
	ServerID int64
	Snapshot string // "", INITIAL, BLOCKING
	Progress string // of an initial snapshot under way, JSON; "" none
	TxID     string
	Counts   []capture.Count
	Extra    []store.Entry
}

var _ record.Position = (*Position)(nil)

// Offset returns Debezium's offset JSON, keys in the order of its hash map.
func (p *Position) Offset() []byte {
	m := store.NewHash()
	text := func(k, v string) {
		if v != "" {
			q, _ := json.Marshal(v)
			m.Put(k, string(q))
		}
	}
	num := func(k string, v int64) {
		if v != 0 {
			m.Put(k, strconv.FormatInt(v, 10))
		}
	}
	m.Put(keyTsSec, strconv.FormatInt(p.TsSec, 10))
	text(keyFile, p.File)
	m.Put(keyPos, strconv.FormatInt(p.Pos, 10))
	text(keyGTIDs, p.GTIDs)
	num(keyRow, p.Row)
	num(keyServerID, p.ServerID)
	num(keyEvent, p.Event)
	text(keySnapshot, p.Snapshot)
	text(keyProgress, p.Progress)
	text(keyTxID, p.TxID)
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
	t := bytes.TrimSpace(stored)
	if len(t) == 0 || bytes.Equal(t, []byte("null")) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(t))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("the stored offset %q is not a JSON object: %w", stored, err)
	}
	p := &Position{}
	for k, v := range m {
		if v == nil {
			continue
		}
		var err error
		switch k {
		case keyTsSec:
			p.TsSec, err = number(v)
		case keyPos:
			p.Pos, err = number(v)
		case keyEvent:
			p.Event, err = number(v)
		case keyRow:
			p.Row, err = number(v)
		case keyServerID:
			p.ServerID, err = number(v)
		case keyFile:
			p.File = fmt.Sprint(v)
		case keyGTIDs:
			p.GTIDs = strings.ReplaceAll(fmt.Sprint(v), "\n", "")
		case keyProgress:
			p.Progress = fmt.Sprint(v)
		case keyTxID:
			p.TxID = fmt.Sprint(v)
		case keySnapshot:
			if p.Snapshot = strings.ToUpper(fmt.Sprint(v)); p.Snapshot == "TRUE" { // before the kinds had names
				p.Snapshot = "INITIAL"
			} else if p.Snapshot == "FALSE" {
				p.Snapshot = ""
			}
		default:
			if table, ok := strings.CutPrefix(k, keyTxCount); ok {
				var n int64
				n, err = number(v)
				p.Counts = append(p.Counts, capture.Count{Table: table, N: n})
				break
			}
			q, _ := json.Marshal(v)
			p.Extra = append(p.Extra, store.Entry{Key: k, Value: string(q)})
		}
		if err != nil {
			return nil, fmt.Errorf("key %q of the stored offset %s: %w", k, stored, err)
		}
	}
	if p.File == "" && p.GTIDs == "" {
		return nil, fmt.Errorf("the stored offset %s holds neither file nor gtids", stored)
	}
	return p, nil
}

func number(v any) (int64, error) {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%v is not a whole number", v)
	}
	return n, nil
}

// notAfter reports whether a history entry at position p was reached by the
// stored position at: then its statement is part of the model to start with. The
// position of a statement is that before it, so one at the very place where reading
// starts again comes from the log once more.
func notAfter(flavor Flavor, p, at *Position) bool {
	if p.File == at.File && p.Pos == at.Pos && p.ServerID == at.ServerID && at.Snapshot == "" {
		// One place in one log, whatever the GTIDs say: a set may lack a transaction
		// that the real connector met in its middle, reading by file.
		return done(p, at)
	}
	if at.GTIDs != "" {
		if p.GTIDs == "" {
			return true
		}
		x, errX := parseGTIDs(flavor, p.GTIDs)
		y, errY := parseGTIDs(flavor, at.GTIDs)
		if errX == nil && errY == nil {
			if x.Equal(y) {
				if at.Snapshot != "" {
					return p.Snapshot != ""
				}
				return done(p, at)
			}
			return y.Contain(x)
		}
	}
	// A place without GTIDs is one in the files of this server, and so are the ones
	// before it, with GTIDs or without.
	if p.ServerID != 0 && at.ServerID != 0 && p.ServerID != at.ServerID {
		return p.TsSec <= at.TsSec
	}
	if a, b := fileNumber(p.File), fileNumber(at.File); a != b {
		return a < b
	}
	if p.Pos != at.Pos {
		return p.Pos < at.Pos
	}
	return done(p, at)
}

// done tells for an entry at the place of at whether it is behind at.
func done(p, at *Position) bool { return p.Snapshot != "" || p.Event > 0 && p.Event < at.Event }

// fileNumber is the number behind the last dot of a binary log's name.
func fileNumber(name string) int64 {
	n, err := strconv.ParseInt(name[strings.LastIndexByte(name, '.')+1:], 10, 64)
	if err != nil {
		return -1
	}
	return n
}
