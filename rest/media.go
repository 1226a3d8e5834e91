package rest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// jsonType is the type of nearly every answer.
const jsonType = "application/json"

func itoa(n int) string { return strconv.Itoa(n) }

// mediaType is one entry of Accept, or Content-Type.
type mediaType struct {
	kind, sub string // lower case; "*" for any
	params    map[string]string
	quality   int // thousandths
}

// wild reports whether the type leaves something open.
func (m *mediaType) wild() bool { return m.kind == "*" || m.sub == "*" }

// fits reports whether the type and kind/sub can be the same.
func (m *mediaType) fits(kind, sub string) bool {
	return (m.kind == "*" || m.kind == kind) && (m.sub == "*" || m.sub == sub)
}

// String writes the type with its parameters, sorted, as Jersey does.
func (m *mediaType) String() string {
	var sb strings.Builder
	sb.WriteString(m.kind + "/" + m.sub)
	for _, k := range slices.Sorted(maps.Keys(m.params)) {
		v := m.params[k]
		if strings.ContainsFunc(v, func(r rune) bool { return r >= 0x7f || !isToken(byte(r)) }) || v == "" {
			v = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(v) + `"`
		}
		sb.WriteString(";" + k + "=" + v)
	}
	return sb.String()
}

// mediaReader reads header values by Jersey's grammar: what it does not take is a 400,
// what it takes may be more than the standard's.
type mediaReader struct {
	s string
	i int
}

func (r *mediaReader) space() {
	for r.i < len(r.s) && (r.s[r.i] == ' ' || r.s[r.i] == '\t') {
		r.i++
	}
}

func (r *mediaReader) more() bool { r.space(); return r.i < len(r.s) }

func isToken(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune("()<>@,;:\\\"/[]?={}", rune(c))
}

func (r *mediaReader) token() string {
	from := r.i
	for r.i < len(r.s) && isToken(r.s[r.i]) {
		r.i++
	}
	return r.s[from:r.i]
}

// text is a token or a text in quotes; ok is false for neither.
func (r *mediaReader) text() (v string, ok bool) {
	r.space()
	if r.i >= len(r.s) || r.s[r.i] != '"' {
		v = r.token()
		return v, v != ""
	}
	var sb strings.Builder
	for r.i++; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '"':
			r.i++
			return sb.String(), true
		case c == '\\' && r.i+1 < len(r.s):
			r.i++
			sb.WriteByte(r.s[r.i])
		default:
			sb.WriteByte(c)
		}
	}
	return "", false
}

// read takes one type. Without needSub the part behind the slash may be missing.
func (r *mediaReader) read(needSub bool) (m mediaType, ok bool) {
	r.space()
	m = mediaType{kind: strings.ToLower(r.token()), sub: "*", quality: 1000}
	if m.kind == "" {
		return m, false
	}
	if r.i < len(r.s) && r.s[r.i] == '/' {
		r.i++
		if m.sub = strings.ToLower(r.token()); m.sub == "" {
			return m, false
		}
	} else if needSub {
		return m, false
	}
	for r.more() && r.s[r.i] == ';' {
		for r.more() && r.s[r.i] == ';' {
			r.i++
		}
		if !r.more() || r.s[r.i] == ',' {
			break
		}
		k := strings.ToLower(r.token())
		if k == "" || !r.more() || r.s[r.i] != '=' {
			return m, false
		}
		r.i++
		v, ok := r.text()
		if !ok {
			return m, false
		}
		if k == "charset" {
			v = strings.ToLower(v)
		}
		if m.params == nil {
			m.params = map[string]string{}
		}
		m.params[k] = v
	}
	return m, true
}

// accepts reads all values of Accept; the quality is taken out of the parameters.
func accepts(values []string) (list []mediaType, ok bool) {
	if strings.TrimSpace(strings.Join(values, "")) == "" {
		return []mediaType{{kind: "*", sub: "*", quality: 1000}}, true
	}
	r := &mediaReader{s: strings.Join(values, ",")}
	for r.more() {
		m, ok := r.read(false)
		if !ok {
			return nil, false
		}
		if q, given := m.params["q"]; given {
			if m.quality, ok = quality(q); !ok {
				return nil, false
			}
			delete(m.params, "q")
		}
		list = append(list, m)
		if r.more() {
			if r.s[r.i] != ',' {
				return nil, false
			}
			r.i++
		}
	}
	return list, true
}

// quality reads a q of at most three decimals, between 0 and 1.
func quality(q string) (thousandths int, ok bool) {
	whole, frac, dot := strings.Cut(q, ".")
	if len(q) > 5 || whole != "" && whole != "0" && whole != "1" || whole == "" && (!dot || frac == "") || len(frac) > 3 {
		return 0, false
	}
	n := 0
	for i := range 3 {
		n *= 10
		if i < len(frac) {
			if frac[i] < '0' || frac[i] > '9' {
				return 0, false
			}
			n += int(frac[i] - '0')
		}
	}
	if whole == "1" {
		return 1000, n == 0
	}
	return n, true
}

// answerType is the type of the answer when kind/sub is what there is: the best fitting
// entry, whose parameters are repeated. nil: nothing fits. A quality of 0 does not
// exclude a type in Connect.
func answerType(list []mediaType, kind, sub string) *mediaType {
	var best *mediaType
	rank := func(m *mediaType) int {
		switch {
		case m.kind == "*":
			return 0
		case m.sub == "*":
			return 1
		}
		return 2
	}
	for i := range list {
		m := &list[i]
		if m.fits(kind, sub) && (best == nil || m.quality > best.quality || m.quality == best.quality && rank(m) > rank(best)) {
			best = m
		}
	}
	if best == nil {
		return nil
	}
	if best.wild() {
		return &mediaType{kind: kind, sub: sub}
	}
	return &mediaType{kind: kind, sub: sub, params: best.params}
}

// preferred is the entry a client likes best.
func preferred(list []mediaType) *mediaType {
	best := &list[0]
	for i := range list {
		if list[i].quality > best.quality || list[i].quality == best.quality && best.wild() && !list[i].wild() {
			best = &list[i]
		}
	}
	return best
}

// contentType reads the type of a body. given is false without the header, ok false for
// one that cannot be read.
func contentType(r *http.Request) (m mediaType, given, ok bool) {
	values, given := r.Header["Content-Type"]
	if !given {
		return m, false, true
	}
	rd := &mediaReader{s: strings.Join(values, ",")}
	m, ok = rd.read(true)
	return m, true, ok && !rd.more()
}

// mediaProblem answers what is wrong with the types a request sends and wants, in the
// order in which Connect looks. answer is the type of the answer.
func mediaProblem(w http.ResponseWriter, r *http.Request, rt *route) (answer string, done bool) {
	list, ok := accepts(r.Header.Values("Accept"))
	if !ok {
		jettyError(w, r, http.StatusBadRequest, http.StatusText(http.StatusBadRequest))
		return "", true
	}
	if r.Method == http.MethodOptions {
		options(w, rt, list)
		return "", true
	}
	if m, given, _ := contentType(r); given && !rt.anyBody && !m.fits("application", "json") {
		plainError(w, http.StatusUnsupportedMediaType)
		return "", true
	}
	a := answerType(list, "application", "json")
	if a == nil && !rt.plain {
		plainError(w, http.StatusNotAcceptable)
		return "", true
	}
	if a == nil {
		return jsonType, false
	}
	return a.String(), false
}

// options answers OPTIONS: the methods as plain text, or nothing but the header for who
// wants another type.
func options(w http.ResponseWriter, rt *route, list []mediaType) {
	allow := strings.Join(rt.allow(), ", ")
	w.Header().Set("Allow", allow)
	if m := preferred(list); !m.fits("text", "plain") {
		w.Header().Set("Content-Type", m.String())
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprint(w, allow)
}

// bodyProblem is a body that Connect has no reader for: of no type, or of a type that
// leaves open what it is.
func bodyProblem(r *http.Request) error {
	m, given, _ := contentType(r)
	if given && m.wild() || !given && r.ContentLength != 0 {
		return &worker.StatusError{Code: http.StatusUnsupportedMediaType, Msg: httpText(http.StatusUnsupportedMediaType)}
	}
	return nil
}

// jettyJSON is Jetty's error for a client that accepts JSON.
func jettyJSON(r *http.Request, code int, reason string) []byte {
	b := store.AppendJSONString([]byte(`{"url":`), "http://"+r.Host+r.RequestURI)
	b = store.AppendJSONString(append(b, `,"status":`...), itoa(code))
	b = store.AppendJSONString(append(b, `,"message":`...), reason)
	return append(b, '}')
}

// query reads the parameters of a request; an escape that cannot be decoded stays as it
// is written, and a semicolon is part of a value.
func query(r *http.Request) url.Values {
	out := url.Values{}
	for _, p := range strings.Split(r.URL.RawQuery, "&") {
		if p == "" {
			continue
		}
		k, v, _ := strings.Cut(p, "=")
		k, v = unescaped(k), unescaped(v)
		out[k] = append(out[k], v)
	}
	return out
}

func unescaped(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return strings.ReplaceAll(s, "+", " ")
}
