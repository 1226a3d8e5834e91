package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strings"
	"time"
)

var functions = template.FuncMap{
	"count": count, "bytes": size, "ms": millis, "span": span, "state": stateClass, "path": url.PathEscape, "level": levelClass, "percent": percent, "css": func(s string) string { return strings.ReplaceAll(s, " ", "") }, "vals": vals,
}

// count prints a number for people.
func count(v float64) string {
	switch {
	case v >= 10_000_000:
		return fmt.Sprintf("%.1f M", v/1e6)
	case v >= 100_000:
		return fmt.Sprintf("%.0f k", v/1e3)
	case v >= 1000:
		return fmt.Sprintf("%.1f k", v/1e3)
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func size(v float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			if u == "B" || v >= 100 {
				return fmt.Sprintf("%.0f %s", v, u)
			}
			return fmt.Sprintf("%.3g %s", v, u)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.3g TiB", v)
}

// millis prints seconds as a time that is short to read.
func millis(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s > 0 && s < .001:
		return "< 1 ms"
	case s < .1:
		return fmt.Sprintf("%.3g ms", 1000*s)
	case s < 1:
		return fmt.Sprintf("%.0f ms", 1000*s)
	}
	return span(s)
}

// span prints seconds as people say them: 4.2 s, 3 min, 5 h 10 min, 12 days.
func span(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s == 0:
		return "0 s"
	case s < 1:
		return "< 1 s"
	case s < 10:
		return fmt.Sprintf("%.2g s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 2*3600:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		d := time.Duration(s) * time.Second
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}

func percent(part float64) string { return fmt.Sprintf("%.0f %%", 100*max(0, min(1, part))) }

// vals is what htmx sends with a button.
func vals(pairs ...string) (string, error) {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	out, err := json.Marshal(m)
	return string(out), err
}

func stateClass(s string) string { return "state " + strings.ToLower(s) }

func pretty(s string) string {
	var out bytes.Buffer
	if json.Indent(&out, []byte(s), "", "  ") != nil {
		return s
	}
	return out.String()
}

// lsn is a place in PostgreSQL's log as PostgreSQL writes it.
func lsn(at float64) string {
	v := uint64(at)
	return fmt.Sprintf("%X/%X", v>>32, uint32(v))
}
