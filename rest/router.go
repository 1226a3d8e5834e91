package rest

import (
	"net/http"
	"net/url"
	"sort"
	"strings"

	"millrace/internal/store"
)

// call is one request on its way through a handler.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	args []string // path parameters, decoded
	// answer is the Content-Type of a JSON answer, as the client's Accept has it.
	answer string
}

// handler answers a request; an error becomes Connect's error body.
type handler func(c *call) error

// route is one path with its methods. A segment "*" is a parameter.
type route struct {
	segments []string
	methods  map[string]handler
	plain    bool // not JSON whatever is accepted: /metrics
	anyBody  bool // takes bodies of every type, as / and /health do
}

type router struct{ routes []*route }

func (rt *router) add(method, path string, h handler) {
	segs := split(path)
	for _, r := range rt.routes {
		if strings.Join(r.segments, "/") == strings.Join(segs, "/") {
			r.methods[method] = h
			return
		}
	}
	rt.routes = append(rt.routes, &route{segments: segs, methods: map[string]handler{method: h}})
}

func split(path string) []string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// match finds the route of a path as it was written, without matrix parameters. Fixed
// segments win over parameters, and are not decoded.
func (rt *router) match(path string) (*route, []string) {
	raw := split(path)
	for _, r := range rt.routes {
		if len(r.segments) != len(raw) {
			continue
		}
		var args []string
		ok := true
		for i, s := range r.segments {
			if s == raw[i] {
				continue
			}
			dec, err := url.PathUnescape(raw[i])
			if err != nil || s != "*" {
				ok = false
				break
			}
			args = append(args, dec)
		}
		if ok {
			return r, args
		}
	}
	return nil, nil
}

// allow lists the methods of a route in the order of a Java HashSet, as the
// OPTIONS body has them.
func (r *route) allow() []string {
	set := store.NewHash()
	names := make([]string, 0, len(r.methods)+2)
	for m := range r.methods {
		names = append(names, m)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names))) // PUT before PATCH, which share a bucket
	for _, m := range names {
		set.Put(m, "")
		if m == http.MethodGet {
			set.Put(http.MethodHead, "")
		}
	}
	set.Put(http.MethodOptions, "")
	var out []string
	for _, e := range set.Entries() {
		out = append(out, e.Key)
	}
	return out
}
