package javaregex

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	// Texts of java.util.regex.PatternSyntaxException; the first is recorded.
	for _, c := range []struct{ pattern, want string }{
		{"a.(b", "Unclosed group near index 4\na.(b"},
		{"*bad", "Dangling meta character '*' near index 0\n*bad\n^"},
		{"(", "Unclosed group near index 1\n("},
		{"a)", "Unmatched closing ')' near index 0\na)\n^"},
		{"[a", "Unclosed character class near index 1\n[a\n ^"},
		{"[", "Unclosed character class near index 0\n[\n^"},
		{"a{2,1}", "Illegal repetition range near index 4\na{2,1}\n    ^"},
		{"a{x}", "Illegal repetition near index 0\na{x}\n^"},
		{"[z-a]", "Illegal character range near index 3\n[z-a]\n   ^"},
		{`\y`, "Illegal/unsupported escape sequence near index 1\n\\y\n ^"},
		{`(?<n`, "named capturing group is missing trailing '>' near index 4\n(?<n"},
		{`\p{Nope}`, "Unknown character property name {Nope} near index 7\n\\p{Nope}\n       ^"},
		{`(?<a>x)(?<a>y)`, "Named capturing group <a> is already defined near index 11\n(?<a>x)(?<a>y)\n           ^"},
	} {
		_, err := Compile(c.pattern, 0)
		if err == nil {
			t.Errorf("%q compiled", c.pattern)
			continue
		}
		if err.Error() != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.pattern, err.Error(), c.want)
		}
	}
}

// TestClassesUnderBacktracking: a class holds the same characters in both engines.
func TestClassesUnderBacktracking(t *testing.T) {
	for c := rune(1); c < 0x80; c++ {
		for _, class := range []string{fmt.Sprintf(`[^\x{%x}]`, c), fmt.Sprintf(`[\x{%x}-\x{7f}]`, c), fmt.Sprintf(`[\x01-\x{%x}]`, c)} {
			linear, err := Compile(class, 0)
			back, err2 := Compile(class+`(?!\x00)`, 0)
			if err != nil || err2 != nil || back.Linear() {
				t.Fatal(class, err, err2)
			}
			for x := rune(1); x < 0x82; x++ {
				if s := string(x); linear.MatchWhole(s) != back.MatchWhole(s) {
					t.Fatalf("%s on %q: %v with backtracking", class, s, back.MatchWhole(s))
				}
			}
		}
	}
}

func TestMatchWhole(t *testing.T) {
	for _, c := range []struct {
		pattern string
		flags   Flags
		text    string
		want    bool
	}{
		{"public.a", 0, "public.a", true},
		{"public.a", 0, "public.ab", false},
		{"a|ab", 0, "ab", true},
		{"PUBLIC\\.T", CaseInsensitive, "public.t", true},
		{"É", CaseInsensitive, "é", false}, // ASCII only
		{"É", CaseInsensitive | UnicodeCase, "é", true},
		{"k", CaseInsensitive, "\u212a", false},
		{"[a-c&&[^b]]+", 0, "aca", true},
		{"[a-c&&[^b]]+", 0, "abc", false},
		{"[a[x-z]]+", 0, "axyz", true},
		{`\Qa.b\E.c`, 0, "a.bxc", true},
		{`\Qa.b\E.c`, 0, "axbxc", false},
		{"(?!x)[a-z]+", 0, "abc", true},
		{"(?!x)[a-z]+", 0, "xbc", false},
		{`([^.]++)\.(?!zz)(\w+)`, 0, "public.items", true},
		{`([^,]+),(?!x).*`, 0, "a,b", true},
		{"(a)\\1", 0, "aa", true},
		{"(?<n>a)\\k<n>b", 0, "aab", true},
		{"a++b", 0, "aaab", true},
		{"a++ab", 0, "aaab", false},
		{"(?>a|ab)c", 0, "abc", false},
		{".", 0, "\u2028", false},
		{"(?s).", 0, "\n", true},
		{`\s`, 0, "\v", true},
		{`\d+`, 0, "١", false},
		{`\w+`, 0, "a_9", true},
		{`[\w.$]+`, 0, "a.b$", true},
		{`[^.]+\.[^.]+`, 0, "a.b", true},
		{`\p{L}+`, 0, "zäß", true},
		{`\p{IsGreek}`, 0, "α", true},
		{`\p{Alpha}+`, 0, "ä", false},
		{`\x41\u0042\x{43}\0104`, 0, "ABCD", true},
		{`(?x) a b # no`, 0, "ab", true},
		{`(?i)ab(?-i)c`, 0, "ABc", true},
		{`(?i)ab(?-i)c`, 0, "ABC", false},
		{`x{0,2000}`, 0, "xxx", true},
		{`a^`, 0, "a", false},
		{`\h\v`, 0, " \n", true},
		{`(?<=a)b|ab`, 0, "ab", true},
		{"a\\Z", 0, "a", true},
		{"\U0001F600+", 0, "\U0001F600\U0001F600", true},
		{`[]a]`, 0, "]", true},
		{`[a-]`, 0, "-", true},
	} {
		r, err := Compile(c.pattern, c.flags)
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		if got := r.MatchWhole(c.text); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
}

func TestReplace(t *testing.T) {
	for _, c := range []struct{ pattern, repl, text, first string }{
		{"(.*)ord_(.*)", "$1orders", "s.p.ord_1", "s.p.orders"},
		{"a", "b", "aa", "ba"},
		{"(?<x>a)(b)?", "[${x}$2]", "aab", "[a]ab"},
		{"(a)", "$10", "a", "a0"},
		{"(a)", `\$1\\`, "a", `$1\`},
		{"(?=a)(a)", "<$1>", "éaa", "é<a>a"},
		{".*", "x", "ab", "x"},
	} {
		r := MustCompile(c.pattern, 0)
		p, err := r.CompileReplacement(c.repl)
		if err != nil {
			t.Errorf("%q: %v", c.repl, err)
			continue
		}
		if got := r.ReplaceFirst(c.text, p); got != c.first {
			t.Errorf("first %q %q %q: %q", c.pattern, c.repl, c.text, got)
		}
	}
	for repl, want := range map[string]string{"$2": "No group 2", "${y}": "No group with name {y}", "$x": "Illegal group reference", `\`: "character to be escaped is missing", "$": "Illegal group reference: group index is missing"} {
		if _, err := MustCompile("(a)", 0).CompileReplacement(repl); err == nil || err.Error() != want {
			t.Errorf("%q: %v", repl, err)
		}
	}
}

func TestSplitList(t *testing.T) {
	got, err := SplitList(` a\,b , c,,d{1\,2}`)
	if err != nil || strings.Join(got, "|") != `a,b|c|d{1,2}` {
		t.Errorf("%q %v", got, err)
	}
	if _, err := SplitList(`a\`); err == nil {
		t.Error("an escape at the end passed")
	}
}

func TestBacktrackingIsBounded(t *testing.T) {
	r := MustCompile(`(?=a)(a+)+b`, 0)
	if r.Linear() {
		t.Fatal("look-ahead cannot be linear")
	}
	if r.MatchWhole(strings.Repeat("a", 40)) || !r.TimedOut() {
		t.Error("the match was not given up")
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"a.(b", `[a-c&&[^b]]+`, `\Qa\E*`, `(?<n>a)\k<n>`, "(?i:x)y*+", `\p{Lu}\x{1F600}`, "[[a]&&b", `(?x)#`, `\0`, "[^", "(?<"} {
		f.Add(s, "abc")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 60 || len(text) > 30 {
			return
		}
		r, err := Compile(pattern, CaseInsensitive)
		if err != nil {
			if err.Error() == "" {
				t.Error("no text")
			}
			return
		}
		if r.Linear() {
			r.MatchWhole(text)
			r.SubmatchIndex(text)
		}
	})
}

func TestReplaceAll(t *testing.T) {
	for _, c := range [][4]string{{"a", "x", "banana", "bxnxnx"}, {"(?<=b)a|^b", "[$0]", "baba", "[b][a]b[a]"}, {"", "-", "ab", "-a-b-"}, {"x", "y", "ab", "ab"}, {"(a)(b)?", "$2$1", "abaé", "baaé"}} {
		r := MustCompile(c[0], 0)
		p, err := r.CompileReplacement(c[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := r.ReplaceAll(c[2], p); got != c[3] {
			t.Errorf("%q in %q: %q, want %q", c[0], c[2], got, c[3])
		}
	}
}

// TestSplit compares with what Java's String.split gives.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          []string
	}{
		{`\.`, "a.b.c", []string{"a", "b", "c"}}, {`,`, "a,,b,,", []string{"a", "", "b"}}, {`,`, ",a", []string{"", "a"}}, {`x`, "abc", []string{"abc"}},
		{``, "abc", []string{"a", "b", "c"}}, {`,`, ",", nil}, {`,`, "", []string{""}}, {`(?=b)`, "abab", []string{"a", "ba", "b"}}, {`\s+`, " a  b ", []string{"", "a", "b"}},
	} {
		r, err := Compile(c.pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Split(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q split at %q: %q, want %q", c.text, c.pattern, got, c.want)
		}
	}
}
