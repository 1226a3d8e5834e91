package objectstore

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/internal/errs"
)

// cloud is a store that is spoken to by plain HTTP, to write to and to read back.
type cloud struct {
	target target
	read   func(t *testing.T, key string) []byte
	sink   func(t *testing.T, more map[string]string) *Sink
}

func get(t *testing.T, sign func(*http.Request), method, address string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	must(t, err)
	if sign != nil {
		sign(req)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, address, resp.StatusCode, out)
	}
	return out
}

// gcsCloud is the server that MILLRACE_TEST_GCS names: fake-gcs-server -scheme http.
func gcsCloud(t *testing.T) *cloud {
	endpoint := os.Getenv("MILLRACE_TEST_GCS")
	if endpoint == "" {
		t.Skip("MILLRACE_TEST_GCS is not set; go install github.com/fsouza/fake-gcs-server@v1.56.1, start it with -scheme http -backend memory")
	}
	bucket := "millrace-" + strings.ToLower(rand.Text()[:10])
	o := gcsOptions{bucket: bucket, prefix: "pre/", endpoint: endpoint, retry: backoff{attempts: 2}}
	g, err := newGCS(t.Context(), o)
	must(t, err)
	if err := g.check(t.Context()); err == nil || errs.Retriable(err) || !strings.Contains(errs.Trace(err), "create the bucket") {
		t.Errorf("a bucket that is not there: %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/storage/v1/b?project=p", strings.NewReader(`{"name":"`+bucket+`"}`))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return &cloud{target: g,
		read: func(t *testing.T, key string) []byte {
			return get(t, nil, http.MethodGet, endpoint+"/storage/v1/b/"+bucket+"/o/"+url.PathEscape(key)+"?alt=media")
		},
		sink: func(t *testing.T, more map[string]string) *Sink {
			return begin(t, NewGCS, map[string]string{"gcs.bucket.name": bucket, "gcs.endpoint": endpoint}, more)
		}}
}

// azureCloud is the account that MILLRACE_TEST_AZURE is the connection string of,
// such as UseDevelopmentStorage=true for Azurite.
func azureCloud(t *testing.T) *cloud {
	connection := os.Getenv("MILLRACE_TEST_AZURE")
	if connection == "" {
		t.Skip("MILLRACE_TEST_AZURE is not set; npm install azurite@3.37.0, start azurite-blob --inMemoryPersistence, and set it to UseDevelopmentStorage=true")
	}
	container := "millrace" + strings.ToLower(rand.Text()[:10])
	a, err := newAzure(azureOptions{connection: connection, container: container, prefix: "pre/", retry: backoff{attempts: 2}})
	must(t, err)
	if err := a.check(t.Context()); err == nil || errs.Retriable(err) || !strings.Contains(errs.Trace(err), "create the container") {
		t.Errorf("a container that is not there: %v", err)
	}
	sign := func(r *http.Request) { must(t, a.rest.sign(r, 0)) }
	get(t, sign, http.MethodPut, a.address("", "restype=container"))
	return &cloud{target: a,
		read: func(t *testing.T, key string) []byte { return get(t, sign, http.MethodGet, a.address(key, "")) },
		sink: func(t *testing.T, more map[string]string) *Sink {
			return begin(t, NewAzure, map[string]string{"azure.storage.connection.string": connection, "azure.storage.container.name": container}, more)
		}}
}

func begin(t *testing.T, f func(map[string]string, *slog.Logger) (*Sink, error), props, more map[string]string) *Sink {
	t.Helper()
	for k, v := range more {
		props[k] = v
	}
	s, err := f(props, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Start(t.Context()))
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func testCloud(t *testing.T, c *cloud) {
	must(t, c.target.check(t.Context()))
	for _, size := range []int{0, 100, 8 << 20, 19<<20 + 17} {
		f := &spool{all: &budget{}}
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		_, err := f.Write(want)
		must(t, err)
		for range 2 { // the second replaces the first
			must(t, c.target.put(t.Context(), "dir/a b+0=ü", object{body: f}))
		}
		if got := c.read(t, "pre/dir/a b+0=ü"); string(got) != string(want) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
		f.close()
	}
	s := c.sink(t, map[string]string{"format.output.type": "jsonl", "format.output.envelope": "false", "format.output.fields": "value", "file.max.records": "2", "file.name.prefix": "out/"})
	must(t, s.Put(t.Context(), batch(t, 0, 3, orders, order)))
	must(t, s.Flush(t.Context()))
	if got := string(c.read(t, "out/orders-0-0")) + "; " + string(c.read(t, "out/orders-0-2")); got != "{\"id\":0,\"region\":\"eu\"}\n{\"id\":1,\"region\":\"us\"}; {\"id\":2,\"region\":\"eu\"}" {
		t.Errorf("the files hold %q", got)
	}
}

func TestGCS(t *testing.T)   { testCloud(t, gcsCloud(t)) }
func TestAzure(t *testing.T) { testCloud(t, azureCloud(t)) }

// TestSharedKey: the signature is one that Azurite has accepted.
func TestSharedKey(t *testing.T) {
	a, err := parseConnection("UseDevelopmentStorage=true")
	must(t, err)
	r := httptest.NewRequest(http.MethodPut, a.endpoint+"/c/a%20b?comp=block&blockid=AAA%3D", nil)
	r.Header.Set("X-Ms-Version", azureVersion)
	r.Header.Set("X-Ms-Date", "Sat, 21 Nov 2026 10:00:00 GMT")
	if got := sharedKey(a, r, 7); got != "lImxNEw4I2pSAeTExelgt59J7BmmTaIvG1Y6lsP/15M=" {
		t.Errorf("signature %s", got)
	}
}

func TestConnectionStrings(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("key"))
	for text, want := range map[string]string{
		"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=" + key + ";EndpointSuffix=core.windows.net": "https://acc.blob.core.windows.net acc key ",
		"AccountName=acc;AccountKey=" + key + ";EndpointSuffix=core.chinacloudapi.cn;":                          "https://acc.blob.core.chinacloudapi.cn acc key ",
		"BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=2021&sig=a%3D":                "https://acc.blob.core.windows.net   sv=2021&sig=a%3D",
		"BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountName=devstoreaccount1;AccountKey=" + key:   "http://127.0.0.1:10000/devstoreaccount1 devstoreaccount1 key ",
		"AccountName=acc":              "",
		"AccountName=acc;AccountKey=?": "",
		"":                             "",
	} {
		a, err := parseConnection(text)
		if got := fmt.Sprintf("%s %s %s %s", a.endpoint, a.account, a.key, a.sas); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// TestCloudRetries: what may pass is sent again at once, what will not is said so.
func TestCloudRetries(t *testing.T) {
	for _, c := range []struct {
		answers string
		ok      bool
		again   bool
	}{{"503 200", true, false}, {"429 500 200", true, false}, {"500 500 500", false, true}, {"403", false, false}, {"404", false, false}} {
		answers := strings.Fields(c.answers)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			var status int
			_, _ = fmt.Sscan(answers[0], &status)
			answers = answers[1:]
			w.WriteHeader(status)
		}))
		g, err := newGCS(t.Context(), gcsOptions{bucket: "b", endpoint: srv.URL, retry: backoff{attempts: 3, first: time.Millisecond}})
		must(t, err)
		f := &spool{all: &budget{}}
		_, err = f.Write([]byte("x"))
		must(t, err)
		err = g.put(t.Context(), "k", object{body: f})
		if (err == nil) != c.ok || errs.Retriable(err) != c.again || len(answers) > 0 {
			t.Errorf("%s: %v, %d answers left", c.answers, err, len(answers))
		}
		srv.Close()
	}
}

func TestCloudSettings(t *testing.T) {
	for name, c := range map[string]struct {
		begin   func(map[string]string, *slog.Logger) (*Sink, error)
		options string
		want    string
	}{
		"no bucket":       {NewGCS, "", "gcs.bucket.name"},
		"two credentials": {NewGCS, "gcs.bucket.name=b gcs.credentials.json={} gcs.credentials.path=/x", "Only one of"},
		"directory":       {NewGCS, "gcs.bucket.name=b gcs.endpoint=file:///x", "S3 sinks"},
		"format":          {NewGCS, "gcs.bucket.name=b format.output.type=xml", "must be one of"},
		"connection":      {NewAzure, "azure.storage.connection.string=AccountName=a azure.storage.container.name=c", "AccountKey"},
		"no container":    {NewAzure, "azure.storage.connection.string=UseDevelopmentStorage=true", "azure.storage.container.name"},
	} {
		props := map[string]string{}
		for _, o := range strings.Fields(c.options) {
			k, v, _ := strings.Cut(o, "=")
			props[k] = v
		}
		if _, err := c.begin(props, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
