package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"millrace/internal/errs"
)

// shaky stands before an S3 server and does to its requests what happens on the
// way: refused while busy, answered with an error or broken off behind the write.
type shaky struct {
	next http.Handler
	mu   sync.Mutex
	rng  *mathrand.Rand
	hits map[string]int
}

func (f *shaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := f.rng.IntN(9)
	f.mu.Unlock()
	count := func(what string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.hits[what]++
	}
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead || n > 3:
		f.next.ServeHTTP(w, r)
	case n == 0:
		count("500")
		w.WriteHeader(http.StatusInternalServerError)
	case n == 1:
		count("slow down")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code></Error>`)
	case n == 2:
		count("failed behind the write")
		f.next.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
	default:
		count("broken behind the write")
		f.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// TestS3Faults writes through a shaky connection, in single requests and in parts,
// and is killed in between: files that were complete and not committed are written
// over by the same names, so each record is in the bucket once.
func TestS3Faults(t *testing.T) {
	ctx, address := t.Context(), store(t)
	u, err := url.Parse(address)
	must(t, err)
	f := &shaky{next: httputil.NewSingleHostReverseProxy(u), rng: mathrand.New(mathrand.NewPCG(3, 1)), hits: map[string]int{}}
	f.next.(*httputil.ReverseProxy).ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	name := "millrace-test-" + strings.ToLower(rand.Text()[:10])
	admin, err := newS3(ctx, s3Options{bucket: name, region: "us-east-1", endpoint: address, pathStyle: true, accessKey: "test", secretKey: "testtest"})
	must(t, err)
	_, err = admin.cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	must(t, err)
	start := func() *Sink {
		return begin(t, NewConfluent, map[string]string{"s3.bucket.name": name, "store.url": srv.URL, "s3.region": "us-east-1", "aws.access.key.id": "test", "aws.secret.access.key": "testtest", "storage.class": storageClass,
			"format.class": formats + "json.JsonFormat", "flush.size": "10", "s3.part.size": "5242880", "s3.part.retries": "2", "s3.retry.backoff.ms": "1", "retry.backoff.ms": "1"}, nil)
	}
	// Every second file has more than one part.
	big := strings.Repeat("x", 700<<10)
	value := func(i int64) map[string]any {
		v := order(i)
		if i/10%2 == 1 {
			v["region"] = big
		}
		return v
	}
	const total = 40
	s, committed, kills := start(), int64(0), mathrand.New(mathrand.NewPCG(5, 1))
	for committed < total {
		b := batch(t, committed, min(15, total-committed), orders, value)
		for err := s.Put(ctx, b); err != nil; err = s.Put(ctx, b) {
			if !errs.Retriable(err) {
				t.Fatal(err)
			}
		}
		if kills.IntN(3) == 0 { // killed: what was uploaded is not committed
			must(t, s.Stop())
			s = start()
			continue
		}
		for err := s.Flush(ctx); err != nil; err = s.Flush(ctx) {
			if !errs.Retriable(err) {
				t.Fatal(err)
			}
		}
		next, ok := s.Durable("orders", 0)
		if !ok {
			next = committed + int64(len(b.Records))
		}
		if committed = next; committed < total {
			must(t, s.Stop())
			s = start()
		}
	}
	list, err := admin.cl.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &name})
	must(t, err)
	seen := map[string]int{}
	for _, o := range list.Contents {
		for _, id := range idsOf(t, ctx, admin, name, *o.Key) {
			seen[id]++
		}
	}
	for i := range total {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("record %d is in the bucket %d times", i, n)
		}
	}
}

func idsOf(t *testing.T, ctx context.Context, admin *s3Target, bucket, key string) (out []string) {
	t.Helper()
	o, err := admin.cl.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	must(t, err)
	text, err := io.ReadAll(o.Body)
	must(t, err)
	for _, l := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		id, _, _ := strings.Cut(strings.TrimPrefix(string(l), `{"id":`), ",")
		out = append(out, id)
	}
	return out
}
