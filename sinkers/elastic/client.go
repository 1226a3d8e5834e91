package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"millrace/internal/errs"
)

// client sends requests to the cluster's nodes in turn. It is safe for concurrent use.
type client struct {
	cfg  *config
	http *http.Client
	turn atomic.Uint32
	zips sync.Pool // of *gzip.Writer
}

func newClient(c *config) *client {
	dial := &net.Dialer{Timeout: c.connectTimeout, KeepAlive: 15 * time.Second}
	return &client{cfg: c, http: &http.Client{Timeout: c.timeout, Transport: &http.Transport{
		Proxy: c.proxy, DialContext: dial.DialContext, TLSHandshakeTimeout: max(10*time.Second, c.connectTimeout), TLSClientConfig: c.tls,
		MaxIdleConnsPerHost: max(2, c.lanes), IdleConnTimeout: c.idle}}}
}

// do sends a request and returns status and body. An error means that there was no
// answer; it is retriable.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte) (int, []byte, error) {
	node := c.cfg.urls[int(c.turn.Add(1))%len(c.cfg.urls)]
	name := shown(node)
	zip := c.cfg.gzip && len(body) > 1024
	if zip {
		packed, err := c.pack(body)
		if err != nil {
			return 0, nil, err
		}
		body = packed
	}
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, node+path, rd)
	if err != nil {
		return 0, nil, &errs.Error{Java: errs.ConfigException, Msg: "make a request to " + name, Cause: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if c.cfg.authorize != nil {
		if err := c.cfg.authorize(ctx, req, body); err != nil {
			return 0, nil, &errs.Error{Java: errs.RetriableException, Msg: "get credentials for " + name, Retriable: true, Cause: err}
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // method and address are said below
		}
		return 0, nil, &errs.Error{Java: errs.RetriableException, Msg: method + " " + path + " on " + name, Retriable: true, Cause: err}
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, &errs.Error{Java: errs.RetriableException, Msg: "read the answer of " + name + " to " + method + " " + path, Retriable: true, Cause: err}
	}
	return resp.StatusCode, out, nil
}

// shown is an address without the password that it may hold.
func shown(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

func (c *client) addresses() string {
	out := make([]string, len(c.cfg.urls))
	for i, u := range c.cfg.urls {
		out[i] = shown(u)
	}
	return strings.Join(out, ",")
}

// pack returns the body compressed.
func (c *client) pack(body []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, _ := c.zips.Get().(*gzip.Writer)
	if w == nil {
		w = gzip.NewWriter(&buf)
	} else {
		w.Reset(&buf)
	}
	defer c.zips.Put(w)
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("compress a request: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress a request: %w", err)
	}
	return buf.Bytes(), nil
}

// call is do for requests other than bulks: an answer that is no success is an error.
func (c *client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	status, out, err := c.do(ctx, method, path, "application/json", body)
	if err != nil {
		return nil, err
	}
	if status >= 300 {
		return nil, statusError(status, method+" "+path, out)
	}
	return out, nil
}

// exists asks whether something is there; what names it in an error.
func (c *client) exists(ctx context.Context, path, what string) (bool, error) {
	status, body, err := c.do(ctx, http.MethodHead, path, "", nil)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusNotFound:
		return false, nil
	case status >= 300:
		return false, statusError(status, "look for "+what, body)
	}
	return true, nil
}

// blockedType is the type of errors of an index or cluster that takes no writes for
// now: closed for them by its owner, or by itself while its disk is nearly full.
const (
	blockedType = "cluster_block_exception"
	blockedHint = "The task goes on by itself once the block is gone; GET /_all/_settings/index.blocks* and GET /_cluster/settings show blocks, which go with disk space or a setting of null"
)

func statusError(status int, what string, body []byte) error {
	if len(body) > 500 {
		body = append(append([]byte{}, body[:500]...), "…"...)
	}
	blocked := bytes.Contains(body, []byte(`"`+blockedType+`"`))
	e := &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("%s: the cluster answered %d: %s", what, status, body), Retriable: busy(status) || blocked}
	switch {
	case blocked:
		e.Hint = blockedHint
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Hint = "Check connection.username and connection.password (or connection.api.key) and the user's rights"
	case status == http.StatusRequestEntityTooLarge:
		e.Hint = "Lower batch.size or bulk.size.bytes, or raise http.max_content_length"
	}
	return e
}

// busy tells whether a status means that the same may work later.
func busy(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}
