package convert

import (
	"testing"

	"millrace/internal/record"
)

// Maps are printed in the order of Java's HashMap, recorded with FileStreamSink on
// Kafka Connect 4.3.1.
func TestMapTextOrder(t *testing.T) {
	js, err := NewJSON(map[string]string{"schemas.enable": "false"}, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := NewString(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`{"zeta":1,"alpha":2,"b":3,"FFF":4,"some_longer_name":{"y":1,"x":[1,{"q":1,"c":null}]}}`: `{zeta=1, some_longer_name={x=[1, {q=1, c=null}], y=1}, b=3, alpha=2, FFF=4}`,
		`{"f":1,"b":2,"c":3,"d":4,"e":5,"a":6}`:                                                  `{a=6, b=2, c=3, d=4, e=5, f=1}`,
	} {
		var b record.Batch
		topic := &record.Topic{Name: "t"}
		s, c, err := js.Decode(t.Context(), topic, []byte(in), &b)
		if err != nil {
			t.Fatal(err)
		}
		e, err := text.Encoder(t.Context(), topic, s)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := e.Append(nil, &b, c); err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
}
