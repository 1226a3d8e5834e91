package elastic

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"millrace/internal/errs"
)

// client sends requests to the cluster's nodes in turn. It is safe for concurrent use.
type client struct {
	cfg  *config
	http *http.Client
	turn atomic.Uint32
}

func newClient(c *config) (*client, error) {
	tc := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.insecure}
	if c.caFile != "" {
		pem, err := os.ReadFile(c.caFile)
		if err != nil {
			return nil, fmt.Errorf("read the truststore: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the truststore %s holds no PEM certificate", c.caFile)
		}
	}
	return &client{cfg: c, http: &http.Client{Timeout: c.timeout, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tc, MaxIdleConnsPerHost: max(2, c.lanes), IdleConnTimeout: time.Minute}}}, nil
}

// do sends a request and returns status and body. An error means that there was no
// answer; it is retriable.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte) (int, []byte, error) {
	node := c.cfg.urls[int(c.turn.Add(1))%len(c.cfg.urls)]
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	zip := c.cfg.gzip && len(body) > 1024
	if zip {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(body); err != nil {
			return 0, nil, err
		}
		if err := w.Close(); err != nil {
			return 0, nil, err
		}
		rd = &buf
	}
	req, err := http.NewRequestWithContext(ctx, method, node+path, rd)
	if err != nil {
		return 0, nil, &errs.Error{Java: errs.ConfigException, Msg: "make a request to " + node, Cause: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if zip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if c.cfg.user != "" {
		req.SetBasicAuth(c.cfg.user, c.cfg.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, &errs.Error{Java: errs.RetriableException, Msg: method + " " + path + " on " + node, Retriable: true, Cause: err}
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, &errs.Error{Java: errs.RetriableException, Msg: "read the answer of " + node + " to " + method + " " + path, Retriable: true, Cause: err}
	}
	return resp.StatusCode, out, nil
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

func statusError(status int, what string, body []byte) error {
	if len(body) > 500 {
		body = append(append([]byte{}, body[:500]...), "…"...)
	}
	e := &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("%s: the cluster answered %d: %s", what, status, body), Retriable: busy(status)}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Hint = "Check connection.username and connection.password and the user's rights"
	case http.StatusRequestEntityTooLarge:
		e.Hint = "Lower batch.size or bulk.size.bytes, or raise http.max_content_length"
	}
	return e
}

// busy tells whether a status means that the same may work later.
func busy(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}
