package elastic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.issue("authority", nil)
	return a
}

// issue makes a certificate; by the authority itself while it has none.
func (a *authority) issue(name string, address net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: a.cert == nil}
	if address != nil {
		c.IPAddresses = []net.IP{address}
	}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

// secured is a cluster that wants a client's certificate; address is in its own.
func (a *authority) secured(address net.IP, h http.Handler) *httptest.Server {
	cert, key := a.issue("cluster", address)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	a.t.Cleanup(srv.Close)
	return srv
}

// TestStores: client certificates and authorities of PKCS12 and PEM files, in both
// front ends.
func TestStores(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue("client", nil)
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store, err := pkcs12.Modern.Encode(key, cert, nil, "secret")
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{a.cert}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	p12 := map[string]string{"keystore.location": file("client.p12", store), "keystore.password": "secret", "keystore.type": "PKCS12", "truststore.location": file("trust.p12", trusted), "truststore.password": "secret", "truststore.type": "PKCS12"}
	pems := map[string]string{"keystore.location": file("client.pem", chain), "keystore.type": "PEM", "truststore.location": file("trust.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})), "truststore.type": "PEM"}
	here, elsewhere := net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1)
	for name, c := range map[string]struct {
		stores  map[string]string
		address net.IP
		any     bool // accept any host name
		want    string
	}{
		"pkcs12":      {p12, here, false, ""},
		"pem":         {pems, here, false, ""},
		"no stores":   {nil, here, false, "certificate"},
		"other name":  {pems, elsewhere, false, "192.0.2.1"},
		"any name":    {pems, elsewhere, true, ""},
		"no identity": {map[string]string{"truststore.location": pems["truststore.location"], "truststore.type": "PEM"}, here, false, "certificate"},
	} {
		srv := a.secured(c.address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
		for prefix, begin := range map[string]func(map[string]string, *slog.Logger) (*Sink, error){"elastic.https.ssl.": NewConfluent, "connection.ssl.": NewOpenSearch} {
			props := map[string]string{"connection.url": srv.URL}
			for k, v := range c.stores {
				props[prefix+k] = v
			}
			if c.any {
				props[prefix+"endpoint.identification.algorithm"] = ""
			}
			s, err := begin(props, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			err = s.Start(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v", name, prefix, err)
			}
		}
	}
}

// TestLogins: what a request carries, and that it goes through the proxy.
func TestLogins(t *testing.T) {
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	start := func(begin func(map[string]string, *slog.Logger) (*Sink, error), options ...string) *http.Request {
		t.Helper()
		props := map[string]string{"connection.url": u.Host}
		for _, o := range options {
			k, v, _ := strings.Cut(o, "=")
			props[k] = v
		}
		s, err := begin(props, slog.New(slog.DiscardHandler))
		if err == nil {
			got = nil
			err = s.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if r := start(NewConfluent, "connection.username=u", "connection.password=p"); r.Header.Get("Authorization") != "Basic dTpw" {
		t.Errorf("user: %v", r.Header)
	}
	if r := start(NewConfluent, "connection.api.key=abc=="); r.Header.Get("Authorization") != "ApiKey abc==" {
		t.Errorf("API key: %v", r.Header)
	}
	if r := start(NewConfluent, "connection.url=http://es.invalid:9200", "proxy.host=127.0.0.1", "proxy.port="+u.Port(), "proxy.username=u", "proxy.password=p"); r.URL.Host != "es.invalid:9200" || r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
		t.Errorf("proxy: %v %v", r.URL, r.Header)
	}
	r := start(NewOpenSearch, "connection.url="+srv.URL, "aws.access_key_id=AK", "aws.secret_access_key=SK", "aws.region=eu-west-1", "aws.service.signing.name=es")
	if auth := r.Header.Get("Authorization"); !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AK/") || !strings.Contains(auth, "/eu-west-1/es/aws4_request") {
		t.Errorf("signature: %v", r.Header)
	}
}

// TestSettings refuses what cannot work, before anything is touched.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		begin   func(map[string]string, *slog.Logger) (*Sink, error)
		options string
		want    string
	}{
		"url":               {NewConfluent, "connection.url=ftp://x", "http://host:9200"},
		"plain and TLS":     {NewConfluent, "connection.url=http://x elastic.security.protocol=SSL", "not encrypted"},
		"two logins":        {NewConfluent, "connection.username=u connection.api.key=k", "two ways"},
		"kerberos":          {NewConfluent, "kerberos.user.principal=p", "basic authentication"},
		"trust store":       {NewConfluent, "elastic.https.ssl.truststore.location=/none", "/none"},
		"user alone":        {NewConfluent, "connection.username=u", "must be set"},
		"no address":        {NewConfluent, "connection.url=", "hosts must not be null nor empty"},
		"trust store name":  {NewConfluent, "elastic.https.ssl.truststore.location=/none", "of elastic.https.ssl.truststore.location:"},
		"dataset":           {NewConfluent, "data.stream.type=logs", "data.stream.dataset"},
		"stream upsert":     {NewConfluent, "data.stream.type=logs data.stream.dataset=d write.method=upsert", "new documents only"},
		"stream delete":     {NewConfluent, "data.stream.type=logs data.stream.dataset=d behavior.on.null.values=delete", "new documents only"},
		"resources":         {NewConfluent, "external.resource.usage=INDEX", "topic.to.external.resource.mapping"},
		"resources not on":  {NewConfluent, "topic.to.external.resource.mapping=a:b", "external.resource.usage"},
		"resources form":    {NewConfluent, "external.resource.usage=INDEX topic.to.external.resource.mapping=a", "topic:name"},
		"ids and upsert":    {NewConfluent, "use.autogenerated.ids=true write.method=upsert", "needs an id"},
		"routing":           {NewOpenSearch, "routing.type=value", "'routing.type.record.value.path' setting must be configured"},
		"routing delete":    {NewOpenSearch, "routing.type=value routing.type.record.value.path=/a behavior.on.null.values=delete", "can't be used together"},
		"routing pointer":   {NewOpenSearch, "routing.type=value routing.type.record.value.path=a", "begins with /"},
		"streams upsert":    {NewOpenSearch, "data.stream.enabled=true index.write.method=upsert", "do not support upsert"},
		"upsert id":         {NewOpenSearch, "key.ignore=true index.write.method=upsert", "is not supported for index upsert"},
		"one topic twice":   {NewOpenSearch, "existing.resource.type=index topic.to.existing.resource.mapping=a:b,a:c", "twice"},
		"resources missing": {NewOpenSearch, "existing.resource.type=index", "topic.to.existing.resource.mapping"},
		"prefix":            {NewOpenSearch, "data.stream.prefix=", "non-empty"},
		"session":           {NewOpenSearch, "aws.sts.role.session.duration=50000", "no more than 43200"},
		"report, Confluent": {NewConfluent, "behavior.on.malformed.documents=report", "must be one of"},
		"aws region":        {NewOpenSearch, "aws.access_key_id=a aws.secret_access_key=b", "aws.region"},
		"aws and user":      {NewOpenSearch, "aws.access_key_id=a aws.secret_access_key=b aws.region=r aws.service.signing.name=es connection.username=u connection.password=p", "More than one"},
	} {
		props := map[string]string{"connection.url": "http://127.0.0.1:1"}
		for _, o := range strings.Fields(c.options) {
			k, v, _ := strings.Cut(o, "=")
			props[k] = v
		}
		if strings.HasPrefix(name, "upsert id") {
			v, err := DefOpenSearch().Parse(props)
			if err != nil {
				t.Fatal(err)
			}
			if got := ValidateOpenSearch(t.Context(), v); len(got) != 1 || got[0].Property != "key.ignore.id.strategy" || !got[0].Late {
				t.Errorf("validation says %v", got)
			}
		}
		if _, err := c.begin(props, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for topic, want := range map[string]string{"DB.Public.T": "db.public.t", "__x": "x", "-+a": "a", "a:b": "a_b", "..": "dotdot", strings.Repeat("a", 300): strings.Repeat("a", 255)} {
		if got := indexName(topic); got != want {
			t.Errorf("%s: %s, want %s", topic, got, want)
		}
	}
	if got := streamName("logs", "App-${topic}", "${topic}", strings.Repeat("T", 120)); got != "logs-app-"+strings.Repeat("t", 96)+"-"+strings.Repeat("t", 100) {
		t.Errorf("data stream %s", got)
	}
}
