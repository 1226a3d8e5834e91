package postgres

import (
	"encoding/hex"
	"testing"
)

func TestJavaKey(t *testing.T) {
	// The bytes of new ObjectOutputStream(…).writeObject(new Object[]{10}).
	want := "aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000001" +
		"737200116a6176612e6c616e672e496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b02000078700000000a"
	if got := javaKey([][]byte{[]byte("10")}, []string{"int4"}); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	// Two integers: Java refers back to the class of the first.
	two, err := parseJavaKey("aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000002" +
		"737200116a6176612e6c616e672e496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b02000078700000000a" +
		"7371007e0002ffffffff")
	if err != nil || len(two) != 2 || string(two[0]) != "10" || string(two[1]) != "-1" {
		t.Errorf("%s %v", two, err)
	}
	key := [][]byte{[]byte("-5"), []byte("9000000000"), []byte("Ä'x"), nil, []byte("7")}
	back, err := parseJavaKey(javaKey(key, []string{"int4", "int8", "text", "text", "int2"}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range key {
		if string(back[i]) != string(key[i]) || (back[i] == nil) != (key[i] == nil) {
			t.Errorf("element %d: %q", i, back[i])
		}
	}
}

func FuzzParseJavaKey(f *testing.F) {
	b, _ := hex.DecodeString(javaKey([][]byte{[]byte("1"), []byte("x"), nil}, []string{"int8", "text", "text"}))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseJavaKey(hex.EncodeToString(b)) // must not panic
	})
}
