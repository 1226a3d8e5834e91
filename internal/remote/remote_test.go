package remote

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestErrorsAreTheWorkersWords(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		body string
		want string
	}{
		"message":  {404, `{"error_code":404,"message":"Connector x not found"}`, "Connector x not found"},
		"no JSON":  {502, "<html>bad gateway</html>", "GET /connectors/a%2Fb/config: HTTP 502"},
		"password": {401, "User cannot access the resource.", "MILLRACE_USER"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.EscapedPath() != "/connectors/a%2Fb/config" {
				t.Errorf("asked for %s", r.URL.EscapedPath())
			}
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, c.body)
		}))
		_, err := (&Client{URL: srv.URL + "/"}).Config(t.Context(), "a/b")
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		srv.Close()
		if _, err := (&Client{URL: srv.URL}).All(t.Context()); err == nil || !strings.Contains(err.Error(), "is it running") {
			t.Errorf("no server: %v", err)
		}
	}
}

func TestUserIsSent(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "ann" || p != "a:b" {
			t.Errorf("user %q, password %q", u, p)
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	if _, err := (&Client{URL: srv.URL, User: "ann", Password: "a:b"}).All(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSignals(t *testing.T) {
	s := Snapshot([]string{"public.a"}, "name = 'x'", false)
	s.ID = "id1"
	sql, err := s.SQL("public.signals")
	want := `INSERT INTO public.signals (id, type, data) VALUES ('id1', 'execute-snapshot', '{"additional-conditions":[{"data-collection":"public.a","filter":"name = ''x''"}],"data-collections":["public.a"],"type":"INCREMENTAL"}');`
	if err != nil || sql != want {
		t.Errorf("%s\nwant %s", sql, want)
	}
	b := Snapshot([]string{"public.a"}, "id > 3", true)
	if text, _ := b.Record(); !strings.Contains(string(text), `SELECT * FROM public.a WHERE id \u003e 3`) || !strings.Contains(string(text), `"BLOCKING"`) {
		t.Errorf("blocking: %s", text)
	}
	if text, _ := Control("stop", nil).Record(); !strings.Contains(string(text), `"type":"stop-snapshot"`) || strings.Contains(string(text), "data-collections") {
		t.Errorf("stop: %s", text)
	}
}

func TestChannels(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]string
		want   Channel
	}{
		"nothing": {map[string]string{"topic.prefix": "p"}, Channel{}},
		"table":   {map[string]string{"topic.prefix": "p", "signal.data.collection": "public.s"}, Channel{Table: "public.s"}},
		"kafka":   {map[string]string{"topic.prefix": "p", "signal.enabled.channels": "source, kafka", "signal.kafka.bootstrap.servers": "k:9092"}, Channel{Topic: "p-signal", Key: "p", Servers: "k:9092"}},
		"named":   {map[string]string{"topic.prefix": "p", "signal.enabled.channels": "kafka", "signal.kafka.topic": "t", "signal.data.collection": "x"}, Channel{Topic: "t", Key: "p"}},
	} {
		if got := ChannelOf(c.config); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
