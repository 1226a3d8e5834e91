package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"

	"millrace/internal/testkit"
)

// sinkElastic indexes the same documents into Elasticsearch by the bulk indexer of
// its own client, which has them in memory, and by a sink connector from Kafka,
// twice in turn.
func (b *bench) sinkElastic(ctx context.Context) (err error) {
	url := os.Getenv("MILLRACE_TEST_ELASTICSEARCH")
	if url == "" {
		return errors.New("MILLRACE_TEST_ELASTICSEARCH must name a server, such as http://127.0.0.1:9200")
	}
	tag := testkit.Name("bench")
	clean := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, testkit.DeleteTopics(clean, b.kafka, tag)) }()
	b.logf("sink: writing %d records", b.n)
	if err := b.fillTopic(ctx, tag+".orders", func(order) {}); err != nil {
		return err
	}
	docs := make([][]byte, b.n)
	for i := range docs {
		docs[i] = document(i + 1)
	}
	var limit, took time.Duration
	var cpu, rss float64
	const rounds = 2
	for range rounds {
		hand, err := b.indexByHand(ctx, url, tag+"-hand", docs)
		if err != nil {
			return err
		}
		sink, c, m, err := b.indexBySink(ctx, url, tag)
		if err != nil {
			return err
		}
		b.logf("sink: bulk indexer %.2f s, sink %.2f s, %.2f µs CPU per record, %.0f MiB", hand.Seconds(), sink.Seconds(), c, m)
		limit, took, cpu, rss = limit+hand, took+sink, cpu+c, max(rss, m)
	}
	n := int64(rounds * b.n)
	b.report.rows = append(b.report.rows, row{
		what:  "sink, " + thousands(int64(b.n)) + " documents into Elasticsearch, JSON with schemas",
		value: thousands(int64(float64(n)/took.Seconds())) + " records/s", limit: thousands(int64(float64(n)/limit.Seconds())) + "/s (its own bulk indexer)",
		share: fmt.Sprintf("%.0f %%", 100*limit.Seconds()/took.Seconds()), cpu: fmt.Sprintf("%.1f µs", cpu/rounds), rss: fmt.Sprintf("%.0f MiB", rss),
	})
	return nil
}

// document is what the sink makes of the record g of fillTopic.
func document(g int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"customer_id":%d,"status":"status%d","amount":%d.%02d,"note":"a note of some length about order %d","placed_at":"2026-01-01T%02d:00:00.123456Z","ship_on":%d,"qty":%d,"weight":%v,"gift":%v}`,
		g, g%5000, g%7, 125*g/100, 125*g%100, g, g%24, 20454+g%365, g%100, float64(g)/3, g%2 == 0)
}

// indexByHand is the limit.
func (b *bench) indexByHand(ctx context.Context, url, index string, docs [][]byte) (took time.Duration, err error) {
	if err := search(ctx, http.MethodPut, url+"/"+index, nil); err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, search(context.WithoutCancel(ctx), http.MethodDelete, url+"/"+index, nil))
	}()
	cl, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{url}})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	bi, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: cl, Index: index, NumWorkers: 5})
	if err != nil {
		return 0, err
	}
	for i, d := range docs {
		if err := bi.Add(ctx, esutil.BulkIndexerItem{Action: "index", DocumentID: strconv.Itoa(i + 1), Body: bytes.NewReader(d)}); err != nil {
			return 0, err
		}
	}
	if err := bi.Close(ctx); err != nil {
		return 0, err
	}
	took = time.Since(began)
	if s := bi.Stats(); s.NumFailed > 0 || s.NumFlushed != uint64(len(docs)) {
		return 0, fmt.Errorf("the bulk indexer wrote %d documents, %d failed", s.NumFlushed, s.NumFailed)
	}
	return took, nil
}

// indexBySink lets a connector in a process of its own do it.
func (b *bench) indexBySink(ctx context.Context, url, tag string) (took time.Duration, cpu, rss float64, err error) {
	index := tag + ".orders"
	if err := search(ctx, http.MethodPut, url+"/"+index, nil); err != nil {
		return 0, 0, 0, err
	}
	defer func() {
		err = errors.Join(err, search(context.WithoutCancel(ctx), http.MethodDelete, url+"/"+index, nil))
	}()
	d, stop, err := b.daemon(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	config := map[string]string{"connector.class": "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector", "tasks.max": "1", "topics": index,
		"connection.url": url, "schema.ignore": "true", "transforms": "id", "transforms.id.type": "org.apache.kafka.connect.transforms.ExtractField$Key", "transforms.id.field": "id",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
	cpu0, err := cpuTime(d.PID())
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	if err := d.Do(ctx, http.MethodPost, "/connectors", map[string]any{"name": testkit.Name("sink"), "config": config}, nil); err != nil {
		return 0, 0, 0, err
	}
	if err := b.arriveDocuments(ctx, url+"/"+index); err != nil {
		return 0, 0, 0, err
	}
	took = time.Since(began)
	cpu1, err := cpuTime(d.PID())
	if err != nil {
		return 0, 0, 0, err
	}
	mib, err := peakMiB(d.PID())
	return took, float64((cpu1 - cpu0).Microseconds()) / float64(b.n), float64(mib), err
}

// arriveDocuments waits until the index has taken all documents. The count of its
// writes needs no refresh, which would cost the server time.
func (b *bench) arriveDocuments(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		var stats struct {
			All struct {
				Primaries struct {
					Indexing struct {
						Total int `json:"index_total"`
					}
				}
			} `json:"_all"`
		}
		if err := search(ctx, http.MethodGet, url+"/_stats/indexing", &stats); err != nil {
			return err
		}
		if stats.All.Primaries.Indexing.Total >= b.n {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // the server announces nothing
	}
}

// search sends a request to the search server.
func search(ctx context.Context, method, url string, reply any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, url, resp.StatusCode, body)
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(body, reply)
}
