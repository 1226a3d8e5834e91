package convert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
	"millrace/internal/errs"
)

// registry is a client of a Schema Registry with the retries and caches of one
// converter. It is safe for concurrent use.
type registry struct {
	cl            *sr.Client
	retries       int
	wait, maxWait time.Duration
	normalize     bool
	max           int // entries per cache

	mu     sync.Mutex
	ids    map[subjectText]int
	latest map[string]sr.SubjectSchema
	byID   map[int]sr.Schema
	// refused holds why schemas were refused.
	refused map[subjectText]string
}

type subjectText struct{ subject, text string }

// newRegistry makes a client; nothing is sent yet.
func newRegistry(v configdef.Values) (*registry, error) {
	tlsConfig, err := registryTLS(v)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: v.Millis("http.connect.timeout.ms")}
	tr := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: tlsConfig, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2, ForceAttemptHTTP2: true}
	if host := v.String("proxy.host"); host != "" {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, v.String("proxy.port"))})
	}
	opts := []sr.ClientOpt{
		sr.HTTPClient(&http.Client{Transport: tr, Timeout: v.Millis("http.connect.timeout.ms") + v.Millis("http.read.timeout.ms")}),
		sr.UserAgent("millrace"),
		sr.PreReq(func(r *http.Request) error {
			r.Header.Set("Confluent-Accept-Unknown-Properties", "true")
			return nil
		}),
	}
	urls, user, err := registryURLs(v)
	if err != nil {
		return nil, err
	}
	opts = append(opts, sr.URLs(urls...))
	if strings.EqualFold(v.String("basic.auth.credentials.source"), "USER_INFO") {
		name, password, ok := strings.Cut(v.String("basic.auth.user.info"), ":")
		if !ok {
			return nil, configError("basic.auth.user.info must be user:password when basic.auth.credentials.source is USER_INFO")
		}
		user = url.UserPassword(name, password)
	}
	if token := v.String("bearer.auth.token"); token != "" {
		opts = append(opts, sr.BearerToken(token))
	} else if user != nil {
		password, _ := user.Password()
		opts = append(opts, sr.BasicAuth(user.Username(), password))
	}
	cl, err := sr.NewClient(opts...)
	if err != nil {
		return nil, configError("the Schema Registry client: %s", err.Error())
	}
	return &registry{cl: cl, retries: v.Int("max.retries"), wait: v.Millis("retries.wait.ms"), maxWait: v.Millis("retries.max.wait.ms"),
		normalize: v.Bool("normalize.schemas"), max: v.Int("max.schemas.per.subject"),
		ids: map[subjectText]int{}, latest: map[string]sr.SubjectSchema{}, byID: map[int]sr.Schema{}}, nil
}

// registryURLs takes user and password out of the addresses, so that they never
// stand in an error text.
func registryURLs(v configdef.Values) (urls []string, user *url.Userinfo, err error) {
	for _, text := range v.List("schema.registry.url") {
		u, err := url.Parse(text)
		if err != nil {
			return nil, nil, configError("schema.registry.url is no valid address")
		}
		if u.User != nil {
			user = u.User
			u.User = nil
		}
		urls = append(urls, u.String())
	}
	return urls, user, nil
}

// registryTLS reads the schema.registry.ssl.* options; nil when none is set.
func registryTLS(v configdef.Values) (*tls.Config, error) {
	const prefix = "schema.registry.ssl."
	pem := func(file, inline string) ([]byte, error) {
		if name := v.String(prefix + file); file != "" && name != "" {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, configError("%s%s cannot be read: %s", prefix, file, err.Error())
			}
			if !strings.Contains(string(data), "-----BEGIN") {
				return nil, configError("%s%s is no PEM file. Convert it with openssl pkcs12 -nodes", prefix, file)
			}
			return data, nil
		}
		return []byte(v.String(prefix + inline)), nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	trust, err := pem("truststore.location", "truststore.certificates")
	if err != nil {
		return nil, err
	}
	if len(trust) > 0 {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(trust) {
			return nil, configError("the trust store of the Schema Registry holds no certificate")
		}
	}
	chain, err := pem("keystore.location", "keystore.certificate.chain")
	if err != nil {
		return nil, err
	}
	if len(chain) > 0 {
		key := chain
		if inline := v.String(prefix + "keystore.key"); inline != "" {
			key = []byte(inline)
		}
		cert, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, configError("the key store of the Schema Registry: %s", err.Error())
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if v.IsSet(prefix+"endpoint.identification.algorithm") && v.String(prefix+"endpoint.identification.algorithm") == "" {
		skipHostName(cfg)
	}
	return cfg, nil
}

// skipHostName checks the certificate chain but not the name, as Kafka does with
// an empty ssl.endpoint.identification.algorithm.
func skipHostName(cfg *tls.Config) {
	roots := cfg.RootCAs
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the registry sent no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range cs.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(o)
		return err
	}
}

// do sends a request, repeating it when it failed for a passing reason.
func (r *registry) do(ctx context.Context, send func(context.Context) error) error {
	bound := r.wait
	for attempt := 0; ; attempt++ {
		err := send(ctx)
		if err == nil || attempt >= r.retries || !passing(err) || ctx.Err() != nil {
			return err
		}
		if bound > 0 {
			t := time.NewTimer(rand.N(bound))
			select {
			case <-ctx.Done():
				t.Stop()
				return err
			case <-t.C:
			}
		}
		bound = min(bound*2, r.maxWait)
	}
}

// passing reports whether a request may succeed when it is sent again.
func passing(err error) bool {
	var e *sr.ResponseError
	if !errors.As(err, &e) {
		return true // the registry did not answer
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (r *registry) withNormalize(ctx context.Context, lookup bool) context.Context {
	p := url.Values{"normalize": {strconv.FormatBool(r.normalize)}}
	if lookup {
		p.Set("deleted", "false")
	}
	return sr.WithParams(ctx, sr.RawParams(p))
}

// id registers a schema, or looks it up, and returns its id. The answer is kept.
func (r *registry) id(ctx context.Context, subject string, s sr.Schema, register bool) (id int, err error) {
	key := subjectText{subject, s.Schema}
	r.mu.Lock()
	id, ok := r.ids[key]
	r.mu.Unlock()
	if ok {
		return id, nil
	}
	path := "/subjects/" + url.PathEscape(subject)
	if register {
		path += "/versions"
	}
	body := schemaBody{Type: s.Type.String(), Schema: s.Schema, References: s.References}
	var found struct {
		ID int `json:"id"`
	}
	err = r.do(r.withNormalize(ctx, !register), func(ctx context.Context) error {
		return r.cl.Do(ctx, http.MethodPost, path, body, &found)
	})
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ids) >= r.max {
		clear(r.ids)
	}
	r.ids[key] = found.ID
	return found.ID, nil
}

// schemaBody is what registering and looking up send. The type is always named, as
// the Java client names it: some servers guess it from the text otherwise, and
// guess wrong.
type schemaBody struct {
	Type       string               `json:"schemaType"`
	Schema     string               `json:"schema"`
	References []sr.SchemaReference `json:"references,omitempty"`
}

// latestOf returns the newest version of a subject, asked for once.
func (r *registry) latestOf(ctx context.Context, subject string) (sr.SubjectSchema, error) {
	r.mu.Lock()
	s, ok := r.latest[subject]
	r.mu.Unlock()
	if ok {
		return s, nil
	}
	err := r.do(ctx, func(ctx context.Context) (err error) {
		s, err = r.cl.SchemaByVersion(ctx, subject, -1)
		return err
	})
	if err == nil {
		r.mu.Lock()
		if len(r.latest) >= r.max {
			clear(r.latest)
		}
		r.latest[subject] = s
		r.mu.Unlock()
	}
	return s, err
}

// schema returns the schema of an id.
func (r *registry) schema(ctx context.Context, id int) (sr.Schema, error) {
	r.mu.Lock()
	s, ok := r.byID[id]
	r.mu.Unlock()
	if ok {
		return s, nil
	}
	err := r.do(ctx, func(ctx context.Context) (err error) {
		s, err = r.cl.SchemaByID(ctx, id)
		return err
	})
	if err == nil {
		r.mu.Lock()
		if len(r.byID) >= r.max {
			clear(r.byID)
		}
		r.byID[id] = s
		r.mu.Unlock()
	}
	return s, err
}

// references calls add for each schema that s refers to, the referred ones of a
// schema before itself.
func (r *registry) references(ctx context.Context, s sr.Schema, depth int, add func(ref sr.SchemaReference, s sr.Schema) error) error {
	if depth > 32 {
		return errors.New("the references of the schema are nested too deeply")
	}
	for _, ref := range s.References {
		var found sr.SubjectSchema
		err := r.do(ctx, func(ctx context.Context) (err error) {
			found, err = r.cl.SchemaByVersion(ctx, ref.Subject, ref.Version)
			return err
		})
		if err != nil {
			return err
		}
		if err := r.references(ctx, found.Schema, depth+1, add); err != nil {
			return err
		}
		if err := add(ref, found.Schema); err != nil {
			return err
		}
	}
	return nil
}

// associated returns the subject that the registry associates with a topic, ""
// when there is none or the registry does not know associations.
func (r *registry) associated(ctx context.Context, topic string, isKey bool) (string, error) {
	kind := "value"
	if isKey {
		kind = "key"
	}
	ctx = sr.WithParams(ctx, sr.RawParams(url.Values{"resourceType": {"topic"}, "associationType": {kind}}))
	var found []struct {
		Subject string `json:"subject"`
	}
	err := r.do(ctx, func(ctx context.Context) error {
		return r.cl.Do(ctx, http.MethodGet, "/associations/resources/-/"+url.PathEscape(topic), nil, &found)
	})
	var e *sr.ResponseError
	if errors.As(err, &e) && e.StatusCode >= 400 && e.StatusCode < 500 && !passing(err) {
		return "", nil
	}
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Subject, nil
}

// Java classes of the Confluent client's errors.
const (
	classRest      = "io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException"
	classNetwork   = "org.apache.kafka.common.errors.NetworkException"
	classIO        = "java.io.IOException"
	classTimeout   = "org.apache.kafka.common.errors.TimeoutException"
	javaConnectErr = "java.net.ConnectException"
)

// registryError words a failed request as Confluent's converter does. doing is
// "serializing Avro data for", what "Error registering Avro schema" and its text.
func registryError(topic, doing, failed, what string, cause error) error {
	var e *sr.ResponseError
	if !errors.As(cause, &e) {
		reason := networkReason(cause)
		return &errs.Error{Java: classNetwork, Msg: "Network connection error while " + doing + " topic " + topic + ": " + reason, Retriable: true,
			Cause: &errs.Error{Java: errs.SerializationException, Msg: javaConnectErr + ": " + reason,
				Cause: &errs.Error{Java: javaConnectErr, Msg: reason}}}
	}
	text := e.Message
	if text == "" {
		text = string(e.Raw)
	}
	code := e.ErrorCode
	if code == 0 {
		code = e.StatusCode
	}
	rest := &errs.Error{Java: classRest, Msg: text + "; error code: " + strconv.Itoa(code)}
	inner := &errs.Error{Java: errs.SerializationException, Msg: what, Cause: rest}
	if passing(cause) {
		return &errs.Error{Java: errs.RetriableException, Msg: failed + " topic " + topic + ":", Cause: inner, Retriable: true}
	}
	return &errs.Error{Java: errs.DataException, Msg: failed + " topic " + topic + ":", Cause: inner}
}

// networkReason is Java's text for why no connection came about.
func networkReason(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Connection refused"
	case errors.As(err, &dns):
		return dns.Name + ": Name or service not known"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "Connect timed out"
	}
	return err.Error()
}
