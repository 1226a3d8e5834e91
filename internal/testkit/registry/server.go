package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server is a registry with its state in memory. It is safe for concurrent use.
type Server struct {
	mu       sync.Mutex
	ids      []stored             // id n is at n-1
	subjects map[string][]version // oldest first
	levels   map[string]string    // compatibility by subject; "" is the server's own
	requests map[string]int       // by method and path
}

type stored struct{ kind, text string }

// New makes a registry whose level is BACKWARD, as Confluent's is.
func New() *Server {
	return &Server{subjects: map[string][]version{}, levels: map[string]string{"": "BACKWARD"}, requests: map[string]int{}}
}

// Start serves a new registry on loopback until the test ends and returns it with
// its address.
func Start(t testing.TB) (s *Server, url string) {
	t.Helper()
	s = New()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

// Requests returns how often a method and path without parameters was asked for.
func (s *Server) Requests(method, path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[method+" "+path]
}

// reply is what an endpoint answers; code 0 is 200.
type reply struct {
	status int
	body   any
}

func failure(code int, format string, args ...any) reply {
	return reply{code / 100, map[string]any{"error_code": code, "message": fmt.Sprintf(format, args...)}}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.Method+" "+r.URL.Path]++
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var a reply
	switch path[0] {
	case "subjects":
		a = s.subject(r, path[1:])
	case "config":
		a = s.config(r, strings.Join(path[1:], "/"))
	case "schemas":
		a = s.byID(path)
	case "associations":
		a = reply{body: []any{}}
	case "":
		a = reply{body: map[string]any{}}
	default:
		a = reply{404, map[string]any{"error_code": 404, "message": "HTTP 404 Not Found"}}
	}
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(a.body) // the client is in this process
}

func (s *Server) byID(path []string) reply {
	n := 0
	if len(path) == 3 && path[1] == "ids" {
		n, _ = strconv.Atoi(path[2])
	}
	if n < 1 || n > len(s.ids) {
		return failure(40403, "Schema %s not found", path[len(path)-1])
	}
	x := s.ids[n-1]
	body := map[string]any{"schema": x.text}
	if x.kind != "AVRO" {
		body["schemaType"] = x.kind
	}
	return reply{body: body}
}

func (s *Server) config(r *http.Request, subject string) reply {
	if r.Method == http.MethodPut {
		var in struct{ Compatibility string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		levels := []string{"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}
		if !slices.Contains(levels, in.Compatibility) {
			return failure(42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive")
		}
		s.levels[subject] = in.Compatibility
		return reply{body: in}
	}
	level, ok := s.levels[subject]
	if !ok && r.URL.Query().Get("defaultToGlobal") != "true" {
		return failure(40408, "Subject '%s' does not have subject-level compatibility configured", subject)
	}
	if !ok {
		level = s.levels[""]
	}
	return reply{body: map[string]string{"compatibilityLevel": level}}
}

func (s *Server) subject(r *http.Request, path []string) reply {
	if len(path) == 0 {
		names := []string{}
		for n := range s.subjects {
			names = append(names, n)
		}
		slices.Sort(names)
		return reply{body: names}
	}
	name := path[0]
	known := s.subjects[name]
	numbers := make([]int, len(known))
	for i, v := range known {
		numbers[i] = v.number
	}
	switch {
	case r.Method == http.MethodPost:
		return s.post(r, name, len(path) == 2)
	case len(known) == 0 && r.Method == http.MethodDelete && r.URL.Query().Get("permanent") == "true":
		return reply{body: numbers}
	case len(known) == 0:
		return failure(40401, "Subject '%s' not found.", name)
	case r.Method == http.MethodDelete:
		delete(s.subjects, name)
		return reply{body: numbers}
	case len(path) == 2:
		return reply{body: numbers}
	}
	v := known[len(known)-1]
	if path[2] != "latest" {
		i := slices.Index(numbers, atoi(path[2]))
		if i < 0 {
			return failure(40402, "Version %s not found.", path[2])
		}
		v = known[i]
	}
	return reply{body: v.describe(name)}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

func (v version) describe(subject string) map[string]any {
	return map[string]any{"subject": subject, "version": v.number, "id": v.id, "guid": guid(v.text), "schemaType": v.kind, "schema": v.text}
}

func guid(text string) string {
	h := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// post registers a schema, or only looks it up.
func (s *Server) post(r *http.Request, subject string, register bool) reply {
	var in struct{ SchemaType, Schema string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return failure(42201, "Invalid schema: %s", err)
	}
	if in.SchemaType == "" {
		in.SchemaType = "AVRO"
	}
	text, parsed, err := canonicalOf(in.SchemaType, in.Schema, r.URL.Query().Get("normalize") == "true")
	if err != nil {
		return failure(42201, "Invalid schema of type %s, details: Invalid schema {subject=%s,version=null,id=null,guid=%s,schemaType=%s,references=[],metadata=null,ruleSet=null,schema=%s,schemaTags=null,ts=null,deleted=null} with refs [] of type %s, details: %s",
			in.SchemaType, subject, guid(in.Schema), in.SchemaType, in.Schema, in.SchemaType, err)
	}
	known := s.subjects[subject]
	for _, v := range known {
		if v.text == text && v.kind == in.SchemaType {
			return reply{body: v.describe(subject)}
		}
	}
	if !register && len(known) == 0 {
		return failure(40401, "Subject '%s' not found.", subject)
	}
	if !register {
		return failure(40403, "Schema not found")
	}
	level, ok := s.levels[subject]
	if !ok {
		level = s.levels[""]
	}
	if why := check(level, in.SchemaType, parsed, known); len(why) > 0 {
		return failure(40901, "Schema being registered is incompatible with an earlier schema for subject \"%s\", details: [%s]", subject, strings.Join(why, ", "))
	}
	v := version{number: 1, id: s.id(in.SchemaType, text), kind: in.SchemaType, text: text, schema: parsed}
	if len(known) > 0 {
		v.number = known[len(known)-1].number + 1
	}
	s.subjects[subject] = append(known, v)
	return reply{body: v.describe(subject)}
}

// id gives one number to each text, whatever its subjects.
func (s *Server) id(kind, text string) int {
	i := slices.Index(s.ids, stored{kind, text})
	if i < 0 {
		i = len(s.ids)
		s.ids = append(s.ids, stored{kind, text})
	}
	return i + 1
}

func canonicalOf(kind, text string, normalize bool) (string, *avro, error) {
	if kind == "PROTOBUF" {
		return text, nil, nil
	}
	v, err := parseJSON(text)
	if err != nil {
		return "", nil, err
	}
	if kind != "AVRO" {
		var w bytes.Buffer
		printJSON(&w, v)
		return w.String(), nil, nil
	}
	a, err := parseAvro(v)
	return canonical(v, normalize), a, err
}
