package objectstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// azureOptions is where a container of Azure Blob Storage is and how to get in.
type azureOptions struct {
	connection        string
	container, prefix string
	agent             string
	retry             backoff
}

// azureBlock is the size of a block of a large file; files up to it go in one request.
const azureBlock = 8 << 20

const azureVersion = "2021-12-02"

// azureTarget speaks the REST API of blobs, which is two calls to write one.
type azureTarget struct {
	cfg  azureOptions
	base string // address of the container
	sas  string // query that proves who we are; "": requests are signed
	rest *restClient
}

// The account of Azurite and of the storage emulator before it, the same everywhere.
const (
	devAccount = "devstoreaccount1"
	devKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// azureAccount is what a connection string says.
type azureAccount struct {
	endpoint, account string
	key               []byte
	sas               string
}

func parseConnection(text string) (a azureAccount, err error) {
	parts := map[string]string{}
	for _, p := range strings.Split(text, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok {
			parts[strings.ToLower(k)] = v
		}
	}
	a.account, a.sas = parts["accountname"], strings.TrimPrefix(parts["sharedaccesssignature"], "?")
	a.endpoint = strings.TrimSuffix(parts["blobendpoint"], "/")
	key := parts["accountkey"]
	if strings.EqualFold(parts["usedevelopmentstorage"], "true") {
		a.account, key, a.endpoint = devAccount, devKey, "http://127.0.0.1:10000/"+devAccount
	}
	if a.endpoint == "" && a.account != "" {
		proto, suffix := parts["defaultendpointsprotocol"], parts["endpointsuffix"]
		if proto == "" {
			proto = "https"
		}
		if suffix == "" {
			suffix = "core.windows.net"
		}
		a.endpoint = proto + "://" + a.account + ".blob." + suffix
	}
	if a.key, err = base64.StdEncoding.DecodeString(key); err != nil {
		return a, errors.New("the AccountKey is not in base64")
	}
	if a.endpoint == "" || a.sas == "" && (a.account == "" || len(a.key) == 0) {
		return a, errors.New("it needs AccountName and AccountKey, or BlobEndpoint and SharedAccessSignature, as Azure's portal shows them")
	}
	if _, err := url.Parse(a.endpoint); err != nil {
		return a, errors.New("the BlobEndpoint is no URL")
	}
	return a, nil
}

func newAzure(o azureOptions) (*azureTarget, error) {
	a, err := parseConnection(o.connection)
	if err != nil {
		return nil, fmt.Errorf("azure.storage.connection.string: %w", err)
	}
	t := &azureTarget{cfg: o, base: a.endpoint + "/" + url.PathEscape(o.container), sas: a.sas}
	t.rest = &restClient{http: &http.Client{Timeout: 5 * time.Minute}, retry: o.retry, agent: o.agent, hint: azureHint}
	t.rest.sign = func(r *http.Request, size int64) error {
		r.Header.Set("X-Ms-Version", azureVersion)
		if a.sas == "" {
			r.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
			r.Header.Set("Authorization", "SharedKey "+a.account+":"+sharedKey(a, r, size))
		}
		return nil
	}
	return t, nil
}

// sharedKey signs a request with the account's key.
func sharedKey(a azureAccount, r *http.Request, size int64) string {
	length := ""
	if size > 0 {
		length = fmt.Sprint(size)
	}
	h := r.Header.Get
	lines := []string{r.Method, h("Content-Encoding"), h("Content-Language"), length, h("Content-MD5"), h("Content-Type"), h("Date"), h("If-Modified-Since"), h("If-Match"), h("If-None-Match"), h("If-Unmodified-Since"), h("Range")}
	var own []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			own = append(own, name+":"+strings.Join(values, ","))
		}
	}
	slices.Sort(own)
	resource := "/" + a.account + r.URL.EscapedPath()
	var params []string
	for name, values := range r.URL.Query() {
		slices.Sort(values)
		params = append(params, strings.ToLower(name)+":"+strings.Join(values, ","))
	}
	slices.Sort(params)
	lines = append(append(append(lines, own...), resource), params...)
	mac := hmac.New(sha256.New, a.key)
	_, _ = mac.Write([]byte(strings.Join(lines, "\n"))) // never fails
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func azureHint(status int, body string) string {
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return "the account key or signature is not accepted, or may not write to the container (create, write and add are needed)"
	case status == http.StatusNotFound && strings.Contains(body, "ContainerNotFound"):
		return "create the container, or correct its name"
	case status == http.StatusBadRequest:
		return "correct the names of the container and of the files"
	}
	return ""
}

// address is the URL of a blob, or of the container, with a query.
func (t *azureTarget) address(key, query string) string {
	u := t.base
	if key != "" {
		u += "/" + (&url.URL{Path: key}).EscapedPath()
	}
	if t.sas != "" {
		query = strings.TrimPrefix(query+"&"+t.sas, "&")
	}
	if query != "" {
		u += "?" + query
	}
	return u
}

func (t *azureTarget) check(ctx context.Context) error {
	_, err := t.rest.do(ctx, "look for the container "+t.cfg.container, request{method: http.MethodGet, url: t.address("", "restype=container")},
		func(status int) bool { return success(status) || t.sas != "" && status == http.StatusForbidden }) // a signature may allow to write blobs and not to look
	return err
}

// put writes a blob in one request, or in blocks when it is larger than one; it
// appears when the list of its blocks is written.
func (t *azureTarget) put(ctx context.Context, key string, file object) error {
	key = t.cfg.prefix + key
	what := "write the blob " + t.cfg.container + "/" + key
	kind := map[string]string{"Content-Type": "application/octet-stream", "X-Ms-Blob-Type": "BlockBlob"}
	if file.size() <= azureBlock {
		_, err := t.rest.do(ctx, what, request{method: http.MethodPut, url: t.address(key, ""), header: kind, body: file, size: file.size()}, success)
		return err
	}
	// A blob has 50,000 blocks at most.
	size := max(azureBlock, (file.size()+49999)/50000)
	var list strings.Builder
	list.WriteString(`<?xml version="1.0" encoding="utf-8"?><BlockList>`)
	for at := int64(0); at < file.size(); at += size {
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%016x", at))
		n := min(size, file.size()-at)
		if _, err := t.rest.do(ctx, what, request{method: http.MethodPut, url: t.address(key, "comp=block&blockid="+url.QueryEscape(id)), body: file, from: at, size: n}, success); err != nil {
			return err
		}
		list.WriteString("<Latest>" + id + "</Latest>")
	}
	list.WriteString("</BlockList>")
	text := strings.NewReader(list.String())
	_, err := t.rest.do(ctx, what, request{method: http.MethodPut, url: t.address(key, "comp=blocklist"), header: map[string]string{"Content-Type": "application/xml"}, body: text, size: text.Size()}, success)
	return err
}
