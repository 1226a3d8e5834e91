package objectstore

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"millrace/internal/errs"
)

// restClient sends requests to a store that is spoken to by plain HTTP, and sends
// those again at once that may work the next time. What fails longer fails the
// upload, which is tried again at the next commit.
type restClient struct {
	http  *http.Client
	retry backoff
	agent string
	// sign adds what proves who we are. May be nil.
	sign func(r *http.Request, size int64) error
	// hint says what to do about an answer that will not change; "" means that it may.
	hint func(status int, body string) string
}

// backoff says how often a request is sent, and with what delays between.
type backoff struct {
	attempts    int // 0 is 1
	first, most time.Duration
	factor      float64       // from one delay to the next; below 1: 2
	total       time.Duration // no attempt begins later; 0: no limit
}

// request is one request; body is read from its beginning by each attempt.
type request struct {
	method, url string
	header      map[string]string
	body        io.ReaderAt
	from, size  int64
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request until it is answered with a status that ok accepts.
func (c *restClient) do(ctx context.Context, what string, q request, ok func(status int) bool) (a answer, err error) {
	delay, began, factor := max(c.retry.first, time.Millisecond), time.Now(), c.retry.factor
	if factor < 1 {
		factor = 2
	}
	for try := 1; ; try++ {
		a, err = c.once(ctx, q)
		switch {
		case err == nil && ok(a.status):
			return a, nil
		case err == nil:
			if len(a.body) > 500 {
				a.body = a.body[:500] + "…"
			}
			e := &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("%s: the store answered %d: %s", what, a.status, a.body), Retriable: true}
			if e.Hint = c.hint(a.status, a.body); e.Hint != "" {
				e.Retriable = false
				return a, e
			}
			err = e
		default:
			err = &errs.Error{Java: errs.ConnectException, Msg: what, Cause: err, Retriable: true}
		}
		if try >= c.retry.attempts || ctx.Err() != nil || c.retry.total > 0 && time.Since(began)+delay > c.retry.total {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, err
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		}
		delay = min(time.Duration(factor*float64(delay)), max(c.retry.most, c.retry.first, time.Millisecond))
	}
}

func (c *restClient) once(ctx context.Context, q request) (a answer, err error) {
	var rd io.Reader
	if q.body != nil && q.size > 0 {
		rd = io.NewSectionReader(q.body, q.from, q.size)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, rd)
	if err != nil {
		return a, err
	}
	req.ContentLength = q.size
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if c.sign != nil {
		if err := c.sign(req, q.size); err != nil {
			return a, fmt.Errorf("get credentials: %w", err)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

func success(status int) bool { return status >= 200 && status < 300 }
