package convert

import (
	"math"
	"strings"
	"testing"

	"millrace/internal/record"
)

// A float that its writer quoted is the number that it spells, rounded once to the type
// of the schema; what spells no number is refused.
func TestJSONFloatAsText(t *testing.T) {
	conv, err := NewJSON(map[string]string{"schemas.enable": "true"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		typ, payload string
		want         float64
		refused      string
	}{
		{typ: "float", payload: `"3.4028235e38"`, want: math.MaxFloat32},
		{typ: "double", payload: `"3.4028235e38"`, want: 3.4028235e38},
		{typ: "double", payload: `"-0.5"`, want: -0.5},
		{typ: "double", payload: `"Infinity"`, want: math.Inf(1)},
		{typ: "float", payload: `"1e39"`, refused: "the number 1e39 is too large for a float32"},
		{typ: "double", payload: `"1,5"`, refused: "the schema says float64, the value is a text"},
		{typ: "double", payload: `""`, refused: "the schema says float64, the value is a text"},
		{typ: "double", payload: `"0x1p3"`, refused: "the schema says float64, the value is a text"},
		{typ: "int32", payload: `"5"`, refused: "int32"},
	} {
		var b record.Batch
		in := `{"schema":{"type":"` + x.typ + `","optional":true},"payload":` + x.payload + `}`
		_, c, err := conv.Decode(t.Context(), &record.Topic{Name: "t"}, []byte(in), &b)
		switch {
		case x.refused != "":
			if err == nil || !strings.Contains(err.Error(), x.refused) {
				t.Errorf("%s: %v, want %s", in, err, x.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", in, err)
		case c.Float() != x.want:
			t.Errorf("%s: %v, want %v", in, c.Float(), x.want)
		}
	}
}
