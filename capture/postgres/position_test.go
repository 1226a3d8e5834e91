package postgres

import (
	"reflect"
	"testing"

	"millrace/capture"
)

// The texts are from the offset topic of Kafka Connect with Debezium 3.6.1.
var recordedOffsets = []string{
	`{"last_snapshot_record":true,"lsn":13351614368,"txId":58745,"ts_usec":1795223752055983,"snapshot":"INITIAL","snapshot_completed":true}`,
	`{"transaction_id":"58897","lsn_proc":13403476400,"messageType":"COMMIT","lsn_commit":13403476400,"lsn":13403476400,"txId":58897,"ts_usec":1795223758826078,"transaction_data_collection_order_public.signals":1}`,
	`{"transaction_id":"59314","lsn_proc":13545146104,"messageType":"BEGIN","lsn_commit":13545146104,"lsn":13545146104,"txId":59314,"ts_usec":1795223801233145}`,
}

func TestRecordedOffsetsRoundTrip(t *testing.T) {
	for _, o := range recordedOffsets {
		p, err := ParseOffset([]byte(o))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Offset()); got != o {
			t.Errorf("\ngot  %s\nwant %s", got, o)
		}
	}
}

func TestParseOffset(t *testing.T) {
	if p, err := ParseOffset([]byte("null")); p != nil || err != nil {
		t.Error(p, err)
	}
	p, err := ParseOffset([]byte(`{"transaction_id":null,"lsn_proc":5,"messageType":"INSERT","lsn":5,"txId":7,"ts_usec":9,"snapshot":true,"unheard_of":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Position{LSN: 5, Proc: 5, Type: "INSERT", TxID: 7, TsUsec: 9, Snapshot: "INITIAL"}
	extra := p.Extra
	if p.Extra = nil; !reflect.DeepEqual(p, want) || len(extra) != 1 || extra[0].Value != `"x"` {
		t.Errorf("%+v %v", p, extra)
	}
	for _, bad := range []string{`{}`, `[]`, `{"lsn":"x"}`, `{"lsn":1.5}`, `{"snapshot":"INITIAL"}`} {
		if p, err := ParseOffset([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, p)
		}
	}
}

func TestOffsetBetweenTransactionsIsDebeziums(t *testing.T) {
	p := Position{LSN: 40, Proc: 40, Commit: 40, TxID: 3, TsUsec: 4, Type: msgCommit}
	if got, want := string(p.Offset()), `{"lsn_proc":40,"messageType":"COMMIT","lsn_commit":40,"lsn":40,"txId":3,"ts_usec":4}`; got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	p = Position{LSN: 45, Proc: 45, Commit: 40, TxID: 3, TsUsec: 4, Type: msgInsert, Events: 2, Final: 90, Counts: []capture.Count{{Table: "public.a", N: 2}}, TxText: "3"}
	back, err := ParseOffset(p.Offset())
	if err != nil || !reflect.DeepEqual(*back, p) {
		t.Errorf("%v\n%+v\n%+v", err, *back, p)
	}
}

// step is an event of the stream in TestResume.
type step struct {
	kind byte // B, C, c(hange), m(essage outside)
	at   LSN
	xid  int64
	want bool // dropped
}

func TestResume(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  Position
		start LSN
		steps []step
	}{
		{"behind a snapshot", Position{LSN: 10}, 10, []step{{'B', 90, 1, false}, {'c', 20, 0, false}}},
		{"behind a commit, whose end is the next transaction's first change", Position{LSN: 50, Proc: 50, Commit: 50, Type: msgCommit}, 50,
			[]step{{'B', 90, 2, false}, {'c', 50, 0, false}, {'C', 100, 0, false}}},
		{"Debezium's, behind the last row of a transaction", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7}, 50,
			[]step{{'B', 90, 7, false}, {'c', 50, 0, true}, {'c', 60, 0, true}, {'C', 100, 0, false}, {'B', 190, 8, false}, {'c', 110, 0, false}}},
		{"Debezium's, several rows at one LSN: rather twice than never", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7}, 50,
			[]step{{'B', 90, 7, false}, {'c', 60, 0, true}, {'c', 60, 0, false}, {'c', 60, 0, false}}},
		{"three of five rows at one LSN", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7, Events: 3, Final: 90}, 50,
			[]step{{'B', 90, 7, false}, {'c', 55, 0, true}, {'c', 60, 0, true}, {'c', 60, 0, true}, {'c', 60, 0, true}, {'c', 60, 0, false}, {'c', 60, 0, false}}},
		{"no lsn_commit yet", Position{LSN: 60, Proc: 60, Type: msgInsert, TxID: 7, Events: 1, Final: 90}, 60,
			[]step{{'B', 90, 7, false}, {'c', 60, 0, true}, {'c', 61, 0, false}}},
		{"Debezium's BEGIN: the transaction as a whole", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgBegin, TxID: 7}, 50, []step{{'B', 90, 7, false}, {'c', 60, 0, false}}},
		{"an earlier transaction shows only now", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7, Events: 1, Final: 90}, 50,
			[]step{{'B', 80, 6, false}, {'c', 55, 0, false}, {'c', 60, 0, false}, {'C', 85, 0, false}, {'B', 90, 7, false}, {'c', 60, 0, true}, {'c', 70, 0, false}}},
		{"the transaction never comes again", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7, Events: 1, Final: 90}, 50,
			[]step{{'B', 190, 9, false}, {'c', 55, 0, false}, {'C', 200, 0, false}, {'B', 290, 7, false}, {'c', 58, 0, false}}},
		{"messages outside, before and behind", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgInsert, TxID: 7, Events: 1, Final: 90}, 50,
			[]step{{'m', 52, 0, true}, {'m', 70, 0, true}, {'B', 90, 7, false}, {'c', 60, 0, true}, {'c', 80, 0, false}, {'C', 95, 0, false}, {'m', 96, 0, false}}},
		{"behind a message outside, before a transaction around it", Position{LSN: 60, Proc: 60, Commit: 50, Type: msgMessage, Events: 1}, 50,
			[]step{{'m', 60, 0, true}, {'B', 90, 7, false}, {'c', 55, 0, false}, {'c', 60, 0, false}}},
	} {
		start, r := newResumer(&c.from)
		if start != c.start {
			t.Errorf("%s: starts at %d, want %d", c.name, start, c.start)
		}
		for i, s := range c.steps {
			switch s.kind {
			case 'B':
				r.begin(s.at, s.xid)
			case 'C':
				r.commit()
			default:
				if got := r.drop(s.at, s.kind == 'm'); got != s.want {
					t.Errorf("%s: step %d (%c at %d): dropped %t, want %t", c.name, i, s.kind, s.at, got, s.want)
				}
			}
		}
	}
}

// The server's first word behind a snapshot may be of the slot's old place.
func TestKeepaliveNeverMovesBack(t *testing.T) {
	p, err := ParseOffset([]byte(recordedOffsets[0]))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{at: *p}
	if s.keepalive(p.LSN - 1); s.dirty || !reflect.DeepEqual(s.at, *p) {
		t.Errorf("a keepalive before the snapshot moved %+v to %+v", *p, s.at)
	}
	if s.keepalive(p.LSN); !s.dirty || s.at.LSN != p.LSN || s.at.Commit != p.LSN {
		t.Errorf("a keepalive at the snapshot's place gave %+v", s.at)
	}
}
