package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// gcsOptions is where a bucket of Google Cloud Storage is and how to get in.
type gcsOptions struct {
	bucket, prefix  string
	endpoint        string // "": Google's
	credentials     []byte // JSON of a service account or another kind; nil: none
	discover        bool   // the environment's own: GOOGLE_APPLICATION_CREDENTIALS, gcloud, the machine's account
	contentEncoding string
	agent           string
	retry           backoff
}

// gcsPart is the size of a piece of a large file, a multiple of 256 KiB; files up to
// it go in one request.
const gcsPart = 8 << 20

// gcsTarget speaks the JSON API. Google's own library does the same over HTTP, and
// brings gRPC and its control plane with it, a third more of a binary.
type gcsTarget struct {
	cfg  gcsOptions
	rest *restClient
}

func newGCS(ctx context.Context, o gcsOptions) (*gcsTarget, error) {
	const scope = "https://www.googleapis.com/auth/devstorage.read_write"
	var tokens oauth2.TokenSource
	ctx = context.WithoutCancel(ctx) // tokens are renewed as long as the task runs
	switch {
	case o.credentials != nil:
		var kind struct{ Type google.CredentialsType }
		if err := json.Unmarshal(o.credentials, &kind); err != nil {
			return nil, errors.New("the Google credentials are no JSON; use the key file of a service account as it was downloaded")
		}
		c, err := google.CredentialsFromJSONWithType(ctx, o.credentials, kind.Type, scope)
		if err != nil {
			return nil, fmt.Errorf("read the Google credentials: %w", err)
		}
		tokens = c.TokenSource
	case o.discover:
		c, err := google.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("find Google credentials; set GOOGLE_APPLICATION_CREDENTIALS, gcs.credentials.path or gcs.credentials.json: %w", err)
		}
		tokens = c.TokenSource
	}
	if o.endpoint == "" {
		o.endpoint = "https://storage.googleapis.com"
	}
	o.endpoint = strings.TrimSuffix(o.endpoint, "/")
	t := &gcsTarget{cfg: o, rest: &restClient{http: &http.Client{Timeout: 5 * time.Minute}, retry: o.retry, agent: o.agent, hint: gcsHint}}
	if tokens != nil {
		t.rest.sign = func(r *http.Request, _ int64) error {
			token, err := tokens.Token()
			if err == nil {
				token.SetAuthHeader(r)
			}
			return err
		}
	}
	return t, nil
}

func gcsHint(status int, _ string) string {
	switch status {
	case http.StatusUnauthorized:
		return "the credentials are not accepted; check gcs.credentials.path, gcs.credentials.json or gcs.credentials.default"
	case http.StatusForbidden:
		return "the account needs storage.objects.create and storage.objects.delete (to write over what comes again) on the bucket"
	case http.StatusNotFound:
		return "create the bucket, or correct its name"
	case http.StatusBadRequest:
		return "correct the names of the bucket and of the files"
	}
	return ""
}

func (t *gcsTarget) check(ctx context.Context) error {
	_, err := t.rest.do(ctx, "look for the bucket gs://"+t.cfg.bucket, request{method: http.MethodGet, url: t.cfg.endpoint + "/storage/v1/b/" + url.PathEscape(t.cfg.bucket) + "?fields=name"},
		func(status int) bool { return success(status) || status == http.StatusForbidden }) // an account may write objects and not look at the bucket
	return err
}

// put writes an object in one request, or in pieces when it is larger than one; it
// appears when the last piece is there.
func (t *gcsTarget) put(ctx context.Context, key string, file object) error {
	key = t.cfg.prefix + key
	what := "write the object gs://" + t.cfg.bucket + "/" + key
	q := url.Values{"name": {key}, "uploadType": {"media"}, "fields": {"name"}}
	if t.cfg.contentEncoding != "" {
		q.Set("contentEncoding", t.cfg.contentEncoding)
	}
	path := t.cfg.endpoint + "/upload/storage/v1/b/" + url.PathEscape(t.cfg.bucket) + "/o?"
	header := map[string]string{"Content-Type": "application/octet-stream"}
	if file.size() <= gcsPart {
		_, err := t.rest.do(ctx, what, request{method: http.MethodPost, url: path + q.Encode(), header: header, body: file, size: file.size()}, success)
		return err
	}
	q.Set("uploadType", "resumable")
	begun, err := t.rest.do(ctx, what, request{method: http.MethodPost, url: path + q.Encode(), header: map[string]string{"X-Upload-Content-Type": "application/octet-stream", "X-Upload-Content-Length": fmt.Sprint(file.size())}}, success)
	if err != nil {
		return err
	}
	session := begun.header.Get("Location")
	for at := int64(0); at < file.size(); {
		n := min(gcsPart, file.size()-at)
		a, err := t.rest.do(ctx, what, request{method: http.MethodPut, url: session, header: map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/%d", at, at+n-1, file.size())}, body: file, from: at, size: n},
			func(status int) bool { return success(status) || status == http.StatusPermanentRedirect })
		if err != nil || success(a.status) {
			return err
		}
		var last int64 // what is there of the object; less than was sent when the store says so
		if _, err := fmt.Sscanf(a.header.Get("Range"), "bytes=0-%d", &last); err != nil {
			last = -1
		}
		at = last + 1
	}
	return nil
}
