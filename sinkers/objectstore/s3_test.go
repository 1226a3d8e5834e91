package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"millrace/internal/errs"
)

// store is an S3 server: the one that MILLRACE_TEST_S3 names (key test, secret
// testtest), or one in this process.
func store(t *testing.T) string {
	if url := os.Getenv("MILLRACE_TEST_S3"); url != "" {
		return url
	}
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(server.Close)
	return server.URL
}

func TestS3(t *testing.T) {
	ctx, url := t.Context(), store(t)
	name := "millrace-test-" + strings.ToLower(rand.Text()[:10])
	o := s3Options{bucket: name, region: "us-east-1", endpoint: url, pathStyle: true, accessKey: "test", secretKey: "testtest", partSize: 5 << 20, prefix: "p/"}
	s, err := newS3(ctx, o)
	must(t, err)
	err = s.check(ctx)
	if err == nil || errs.Retriable(err) || !strings.Contains(err.Error(), "s3://"+name) || !strings.Contains(errs.Trace(err), "create the bucket") {
		t.Fatalf("a bucket that is not there: %v\n%s", err, errs.Trace(err))
	}
	_, err = s.cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	must(t, err)
	must(t, s.check(ctx))
	for _, size := range []int{0, 100, 5 << 20, 12<<20 + 17} {
		var all budget
		f := &spool{all: &all}
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		_, err := f.Write(want)
		must(t, err)
		for range 2 { // the second replaces the first
			must(t, s.put(ctx, "dir/a b+0", object{body: f}))
		}
		key := "p/dir/a b+0"
		out, err := s.cl.GetObject(ctx, &s3.GetObjectInput{Bucket: &name, Key: &key})
		must(t, err)
		got, err := io.ReadAll(out.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: %d bytes came back, %v", size, len(got), err)
		}
		f.close()
	}
}

func TestS3SinkEndToEnd(t *testing.T) {
	ctx, url := t.Context(), store(t)
	name := "millrace-test-" + strings.ToLower(rand.Text()[:10])
	admin, err := newS3(ctx, s3Options{bucket: name, region: "us-east-1", endpoint: url, pathStyle: true, accessKey: "test", secretKey: "testtest"})
	must(t, err)
	_, err = admin.cl.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	must(t, err)
	s, err := NewAiven(map[string]string{"aws.s3.bucket.name": name, "aws.s3.endpoint": url, "aws.access.key.id": "test", "aws.secret.access.key": "testtest",
		"format.output.type": "jsonl", "file.compression.type": "none", "file.name.template": "{{topic}}/{{partition}}-{{start_offset}}.jsonl", "file.max.records": "4"}, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Start(ctx))
	must(t, s.Put(ctx, batch(t, 0, 10, orders, order)))
	must(t, s.Flush(ctx))
	must(t, s.Stop())
	list, err := admin.cl.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &name})
	must(t, err)
	var got []string
	for _, x := range list.Contents {
		got = append(got, *x.Key)
	}
	if strings.Join(got, " ") != "orders/0-0.jsonl orders/0-4.jsonl orders/0-8.jsonl" {
		t.Errorf("objects: %v", got)
	}
}

// TestManyOpenFiles holds 1,000 files open, of each format: what they take in
// memory is the budget and not their sum.
func TestManyOpenFiles(t *testing.T) {
	for _, class := range formatClasses[:3] {
		t.Run(class, func(t *testing.T) {
			s := confluentSink(t, t.TempDir(), map[string]string{"format.class": formats + class, "flush.size": "100000000", "partitioner.class": partitioners + "FieldPartitioner", "partition.field.name": "id"})
			text := strings.Repeat("some text ", 100)
			for at := int64(0); at < 15_000; at += 5000 {
				b := batch(t, at, 5000, orders, func(i int64) map[string]any { return map[string]any{"id": i % 1000, "region": text} })
				must(t, s.Put(context.Background(), b))
			}
			held := s.all.used.Load()
			for _, p := range s.parts {
				for _, f := range p.order {
					held += int64(f.enc.held())
				}
			}
			if n := len(s.parts[partKey{"orders", 0}].order); n != 1000 || held > 2*memoryBudget+8<<20 {
				t.Errorf("%d files hold %d MiB", n, held>>20)
			}
		})
	}
}
