package rest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// What Connect 4.3.1 answers to an Accept header: its types with what the answer says,
// "" for 406 and "bad" for 400. Recorded; the conversations are in odd-types.yaml.
func TestAnswerType(t *testing.T) {
	for accept, want := range map[string]string{
		"": jsonType, "*/*": jsonType, "application/json;q=0": jsonType, "text/html": "", "*": jsonType, "*/html": "", "*/json": jsonType,
		"application/json;B=2;a=1": "application/json;a=1;b=2", `application/json;v="x y"`: `application/json;v="x y"`,
		"application/JSON;Charset=UTF-8": "application/json;charset=utf-8", "*/*;v=1": jsonType, "application/json,": jsonType,
		"application/json;v=1;q=0.2, application/json;w=2": "application/json;w=2", "application/json;q=0.1234": "bad",
		"application/json;q=2": "bad", ",": "bad", "application /json": "bad", "application/json;v": "bad", "application/json,,text/plain": "bad",
	} {
		got := "bad"
		if list, ok := accepts([]string{accept}); ok {
			got = ""
			if m := answerType(list, "application", "json"); m != nil {
				got = m.String()
			}
		}
		if got != want {
			t.Errorf("Accept %q: %q, want %q", accept, got, want)
		}
	}
}

func TestViolations(t *testing.T) {
	for path, want := range map[string]string{
		"/connectors/a": "", "/connectors/": "", "/connectors/a%20b%C5%BC;+": "", "/connectors/...": "",
		"/connectors/%2e%2E": "Ambiguous URI path segment", "/connectors//a": "Ambiguous URI empty segment", "//": "Ambiguous URI empty segment",
		"/connectors/a%2Fb": "Ambiguous URI path separator", "/connectors/a%25b": "Ambiguous URI path encoding", "/connectors/%ff": "Bad UTF-8 encoding",
		"/connectors/a%5Cb": "Suspicious Path Character", "/connectors/a%0Ab": "Suspicious Path Character", "/connectors/a|b": "Illegal Path Character",
	} {
		fatal, reachable := violations(path)
		if got := strings.Join(slices.Concat(reachable, fatal), ", "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// FuzzMediaTypes: no header makes the reader go wrong, and what it writes reads back.
func FuzzMediaTypes(f *testing.F) {
	for _, s := range []string{"application/json;charset=utf-8, */*;q=0.1", `a/b;c="d\"e"`, ";", ",,", "text/html;q=", "a/b; c = d ;; e=f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, ok := accepts([]string{s})
		if !ok {
			return
		}
		for i := range list {
			back, ok := accepts([]string{list[i].String()})
			if !ok || len(back) != 1 || back[0].String() != list[i].String() && len(list[i].params) > 0 && list[i].params["q"] == "" {
				t.Errorf("%q: %q does not read back", s, list[i].String())
			}
		}
		r := httptest.NewRequest(http.MethodOptions, "/", nil)
		r.Header.Set("Accept", s)
		jettyError(httptest.NewRecorder(), r, http.StatusBadRequest, "x")
	})
}
