package rest

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxURI is the longest address of a request that Jetty takes, in bytes.
const maxURI = 8192

// rawPath is the path as the client wrote it: which characters were encoded decides
// whether Connect takes it.
func rawPath(r *http.Request) string {
	p := r.RequestURI
	if !strings.HasPrefix(p, "/") {
		return r.URL.EscapedPath() // an absolute address, or a request made in this process
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	return p
}

// withoutParameters cuts the matrix parameters (;a=b) off all segments.
func withoutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	segs := strings.Split(path, "/")
	for i, s := range segs {
		segs[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segs, "/")
}

// violations are the reasons for which Jetty refuses a path, in its order and words.
// Those of reachable do not keep a connector that is there from being reached.
func violations(path string) (fatal, reachable []string) {
	add := func(to *[]string, bad bool, text string) {
		if bad {
			*to = append(*to, text)
		}
	}
	dots, empty := false, false
	segs := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segs {
		empty = empty || s == "" && i < len(segs)-1 || s == "" && i > 0 && segs[i-1] == ""
		u := strings.ReplaceAll(strings.ToLower(s), "%2e", ".")
		dots = dots || u != s && (u == "." || u == "..") && strings.Contains(s, "%")
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	lower := strings.ToLower(path)
	add(&reachable, dots, "Ambiguous URI path segment")
	add(&fatal, empty, "Ambiguous URI empty segment")
	add(&reachable, strings.Contains(lower, "%2f"), "Ambiguous URI path separator")
	add(&reachable, strings.Contains(lower, "%25"), "Ambiguous URI path encoding")
	add(&fatal, !utf8.ValidString(decoded), "Bad UTF-8 encoding")
	control := strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f })
	add(&fatal, control, "Suspicious Path Character")
	add(&reachable, !control && strings.Contains(decoded, `\`), "Suspicious Path Character")
	add(&fatal, strings.ContainsFunc(path, func(r rune) bool {
		return r < ' ' || r >= 0x7f || strings.ContainsRune("\"<>[\\]^`{|}", r)
	}), "Illegal Path Character")
	return fatal, reachable
}

// refusesPath answers a path that Jetty refuses. Connect lets connectors be made whose
// names hold / \ or %, and then refuses every path with their name; here such a
// connector can be reached once it is there.
func (s *Server) refusesPath(w http.ResponseWriter, r *http.Request, path string) bool {
	if len(r.RequestURI) > maxURI {
		htmlPage(w, http.StatusRequestURITooLong, "URI Too Long")
		return true
	}
	if strings.Contains(path, "%00") {
		htmlPage(w, http.StatusBadRequest, "Bad Request")
		return true
	}
	fatal, reachable := violations(path)
	if len(fatal) == 0 && (len(reachable) == 0 || s.exists(path)) {
		return false
	}
	jettyError(w, r, http.StatusBadRequest, strings.Join(append(reachable, fatal...), ", "))
	return true
}

// exists reports whether a path names a connector that is there.
func (s *Server) exists(path string) bool {
	segs := split(path)
	if len(segs) < 2 || segs[0] != "connectors" || s.opt.OnlyAdmin {
		return false
	}
	name, err := url.PathUnescape(segs[1])
	if err != nil {
		return false
	}
	_, err = s.b.Info(name)
	return err == nil
}

// jettyError is an error of the HTTP server below Connect: a page, or what the client
// accepts, and nothing at all for methods other than GET, HEAD and POST.
func jettyError(w http.ResponseWriter, r *http.Request, code int, reason string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header()["Content-Type"] = nil
		w.WriteHeader(code)
		return
	}
	switch pageType(r.Header.Values("Accept")) {
	case "html":
		htmlPage(w, code, reason)
	case "json":
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(code)
		_, _ = w.Write(jettyJSON(r, code, reason))
	default:
		w.Header()["Content-Type"] = nil
		w.WriteHeader(code)
	}
}

// pageType is the form of an error page: html, json, or "" for what Jetty has none of.
func pageType(accept []string) string {
	if len(accept) == 0 {
		return "html"
	}
	for _, p := range strings.Split(strings.Join(accept, ","), ",") {
		m, ok := (&mediaReader{s: p}).read(false)
		q := m.params["q"]
		if _, err := strconv.ParseFloat(q, 64); !ok && !strings.HasSuffix(p, "q=") || q != "" && err != nil {
			continue
		}
		switch {
		case m.fits("text", "html"):
			return "html"
		case m.sub == "json" && (m.kind == "application" || m.kind == "text"):
			return "json"
		}
	}
	return ""
}

// htmlPage is Jetty's page for an error, without its table.
func htmlPage(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "text/html;charset=iso-8859-1")
	w.WriteHeader(code)
	title := http.StatusText(code)
	if reason != "" {
		title = reason
	}
	_, _ = io.WriteString(w, "<html>\n<head>\n<title>Error "+itoa(code)+" "+title+"</title>\n</head>\n<body>\n<h2>HTTP ERROR "+itoa(code)+" "+title+"</h2>\n</body>\n</html>\n")
}
