package kafkaconf

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// pki is an authority, a server certificate for 127.0.0.1 and a client's.
type pki struct {
	ca             *x509.Certificate
	caKey          *ecdsa.PrivateKey
	server, client tls.Certificate
	otherName      tls.Certificate // for a host that is not 127.0.0.1
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{}
	var err error
	if p.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &p.caKey.PublicKey, p.caKey)
	if err != nil {
		t.Fatal(err)
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.server = p.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	p.otherName = p.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"elsewhere.example"}})
	p.client = p.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}})
	return p
}

func (p *pki) issue(t *testing.T, tmpl *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, &key.PublicKey, p.caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (p *pki) keyDER(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.client.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (p *pki) cluster(t *testing.T, server tls.Certificate, opts ...kfake.Opt) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(p.ca)
	conf := &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.TLS(conf)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

func ping(t *testing.T, props map[string]string) error {
	t.Helper()
	r := Admin(props)
	if err := r.Err(); err != nil {
		return err
	}
	c, err := kgo.NewClient(append(r.Opts, kgo.RequestRetries(1))...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.Ping(ctx)
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(f, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func merge(ms ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range ms {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestMutualTLS(t *testing.T) {
	p := newPKI(t)
	base := map[string]string{"bootstrap.servers": p.cluster(t, p.server), "security.protocol": "SSL"}
	caPEM, certPEM := pemText("CERTIFICATE", p.ca.Raw), pemText("CERTIFICATE", p.client.Certificate[0])
	keyPEM := pemText("PRIVATE KEY", p.keyDER(t))
	encrypted, err := pkcs8.MarshalPrivateKey(p.client.PrivateKey, []byte("keypass"), nil)
	if err != nil {
		t.Fatal(err)
	}
	trust12, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{p.ca}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	legacy12, err := pkcs12.LegacyDES.EncodeTrustStore([]*x509.Certificate{p.ca}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	key12, err := pkcs12.Modern.Encode(p.client.PrivateKey, p.client.Leaf, []*x509.Certificate{p.ca}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	trustJKS, keyJKS := p.jks(t)
	trusts := map[string]map[string]string{
		"PEM text":   {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": caPEM},
		"PEM file":   {"ssl.truststore.type": "PEM", "ssl.truststore.location": write(t, "ca.pem", []byte(caPEM))},
		"PKCS12":     {"ssl.truststore.type": "PKCS12", "ssl.truststore.location": write(t, "t.p12", trust12), "ssl.truststore.password": "changeit"},
		"old PKCS12": {"ssl.truststore.location": write(t, "t.p12", legacy12), "ssl.truststore.password": "changeit"},
		"JKS":        {"ssl.truststore.location": write(t, "t.jks", trustJKS), "ssl.truststore.password": "changeit"},
	}
	keys := map[string]map[string]string{
		"PEM text":      {"ssl.keystore.type": "PEM", "ssl.keystore.key": keyPEM, "ssl.keystore.certificate.chain": certPEM},
		"encrypted PEM": {"ssl.keystore.type": "PEM", "ssl.keystore.key": pemText("ENCRYPTED PRIVATE KEY", encrypted), "ssl.keystore.certificate.chain": certPEM, "ssl.key.password": "keypass"},
		"PEM file":      {"ssl.keystore.type": "PEM", "ssl.keystore.location": write(t, "k.pem", []byte(keyPEM+certPEM))},
		"PKCS12":        {"ssl.keystore.type": "PKCS12", "ssl.keystore.location": write(t, "k.p12", key12), "ssl.keystore.password": "changeit"},
		"JKS":           {"ssl.keystore.location": write(t, "k.jks", keyJKS), "ssl.keystore.password": "changeit", "ssl.key.password": "keypass"},
	}
	for name, tr := range trusts {
		if err := ping(t, merge(base, tr, keys["PEM text"])); err != nil {
			t.Errorf("trust store %s: %v", name, err)
		}
	}
	for name, k := range keys {
		if err := ping(t, merge(base, trusts["PEM text"], k)); err != nil {
			t.Errorf("key store %s: %v", name, err)
		}
	}
	if err := ping(t, merge(base, trusts["PEM text"])); err == nil {
		t.Error("a client without certificate got in")
	}
	if err := ping(t, merge(base, keys["PEM text"])); err == nil {
		t.Error("an unknown authority was trusted")
	}
	for _, bad := range []map[string]string{
		merge(base, trusts["PKCS12"], map[string]string{"ssl.truststore.password": "s3cret"}),
		merge(base, trusts["JKS"], map[string]string{"ssl.truststore.password": "s3cret"}),
		merge(base, trusts["JKS"], map[string]string{"ssl.truststore.password": ""}),
		merge(base, trusts["PEM text"], keys["encrypted PEM"], map[string]string{"ssl.key.password": "s3cret"}),
		merge(base, trusts["PEM file"], map[string]string{"ssl.truststore.type": "JKS"}),
		merge(base, trusts["PEM file"], map[string]string{"ssl.truststore.type": "BCFKS"}),
	} {
		if r := Admin(bad); len(r.Problems) != 1 || strings.Contains(r.Err().Error(), "s3cret") {
			t.Errorf("problems %v", r.Problems)
		}
	}
}

func (p *pki) jks(t *testing.T) (trust, key []byte) {
	t.Helper()
	var a, b bytes.Buffer
	ts := keystore.New()
	ca := keystore.Certificate{Type: "X509", Content: p.ca.Raw}
	if err := ts.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: ca}); err != nil {
		t.Fatal(err)
	}
	if err := ts.Store(&a, []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	ks := keystore.New()
	e := keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: p.keyDER(t), CertificateChain: []keystore.Certificate{{Type: "X509", Content: p.client.Certificate[0]}}}
	if err := ks.SetPrivateKeyEntry("me", e, []byte("keypass")); err != nil {
		t.Fatal(err)
	}
	if err := ks.Store(&b, []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

// As in Java a key store serves as trust store: the first certificate of each key is
// trusted. That of our client is one the server's own authority has made.
func TestKeyStoreAsTrustStore(t *testing.T) {
	p := newPKI(t)
	_, key := p.jks(t)
	conf, ps := TLS(map[string]string{"ssl.truststore.location": write(t, "k.jks", key), "ssl.truststore.password": "changeit"})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if _, err := p.client.Leaf.Verify(x509.VerifyOptions{Roots: conf.RootCAs}); err != nil {
		t.Error(err)
	}
	if _, err := p.server.Leaf.Verify(x509.VerifyOptions{Roots: conf.RootCAs}); err == nil {
		t.Error("what the key's authority signed is trusted")
	}
}

func TestHostNames(t *testing.T) {
	p := newPKI(t)
	props := map[string]string{"bootstrap.servers": p.cluster(t, p.otherName), "security.protocol": "SSL", "ssl.truststore.type": "PEM",
		"ssl.truststore.certificates": pemText("CERTIFICATE", p.ca.Raw), "ssl.keystore.key": pemText("PRIVATE KEY", p.keyDER(t)),
		"ssl.keystore.certificate.chain": pemText("CERTIFICATE", p.client.Certificate[0])}
	if err := ping(t, props); err == nil {
		t.Error("a wrong host name was accepted")
	}
	props["ssl.endpoint.identification.algorithm"] = ""
	if err := ping(t, props); err != nil {
		t.Errorf("host names are not to be looked at: %v", err)
	}
	other := newPKI(t)
	props["ssl.truststore.certificates"] = pemText("CERTIFICATE", other.ca.Raw)
	if err := ping(t, props); err == nil {
		t.Error("without a look at the host name, any authority was accepted")
	}
}

func TestTLSVersions(t *testing.T) {
	for protocols, want := range map[string][2]uint16{"": {tls.VersionTLS12, 0}, "TLSv1.2,TLSv1.3": {tls.VersionTLS12, tls.VersionTLS13}, "TLSv1.3": {tls.VersionTLS13, tls.VersionTLS13}} {
		conf, ps := TLS(map[string]string{"ssl.enabled.protocols": protocols, "ssl.protocol": "TLSv1.3", "ssl.cipher.suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"})
		if ps != nil || conf.MinVersion != want[0] || conf.MaxVersion != want[1] || len(conf.CipherSuites) != 1 {
			t.Errorf("%q: %v, %x to %x", protocols, ps, conf.MinVersion, conf.MaxVersion)
		}
	}
}

func TestSASL(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", `s"x y`),
		kfake.Superuser("SCRAM-SHA-256", "bob", "b"), kfake.Superuser("SCRAM-SHA-512", "carol", "c"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, x := range []struct {
		mech, jaas string
		ok         bool
	}{
		{"PLAIN", `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="s\"x y";`, true},
		{"PLAIN", `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="no";`, false},
		{"SCRAM-SHA-256", `org.apache.kafka.common.security.scram.ScramLoginModule required username='bob' password=b ;`, true},
		{"SCRAM-SHA-512", "org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"carol\"\n  password=\"c\";", true},
	} {
		err := ping(t, map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": x.mech, "sasl.jaas.config": x.jaas})
		if (err == nil) != x.ok {
			t.Errorf("%s: %v", x.jaas, err)
		}
	}
}

func TestTokens(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, pass, _ := r.BasicAuth()
		if user != "id" || pass != "s3cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"tok","expires_in":3600}`))
	}))
	defer srv.Close()
	tk := &tokens{endpoint: srv.URL, id: "id", secret: "s3cret", scope: "kafka", client: srv.Client()}
	for range 3 {
		if a, err := tk.get(t.Context()); err != nil || a.Token != "tok" {
			t.Errorf("token %q, %v", a.Token, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	encoded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "i%3Ad" || pass != "s+3" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"tok"}`))
	}))
	defer encoded.Close()
	if _, err := (&tokens{endpoint: encoded.URL, id: "i:d", secret: "s 3", escape: true, client: encoded.Client()}).get(t.Context()); err != nil {
		t.Errorf("with sasl.oauthbearer.header.urlencode: %v", err)
	}
	bad := &tokens{endpoint: srv.URL, id: "id", secret: "other", client: srv.Client()}
	if _, err := bad.get(t.Context()); err == nil || strings.Contains(err.Error(), "other") || !strings.Contains(err.Error(), "401") {
		t.Errorf("error %v", err)
	}
	r := Admin(map[string]string{"bootstrap.servers": "a:1", "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": srv.URL,
		"sasl.jaas.config":                  `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="id" clientSecret="s3cret" scope="kafka" extension_logicalCluster="x";`,
		"sasl.login.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"})
	if r.Err() != nil {
		t.Error(r.Err())
	}
}

func FuzzJAAS(f *testing.F) {
	f.Add(`a.b.C required username="x" password='y';`)
	f.Add(`a required b=c;`)
	f.Add(`a required b="\\\"";`)
	f.Add(`a required ;`)
	f.Fuzz(func(t *testing.T, s string) {
		j, err := parseJAAS(s)
		if err == nil && j.module == "" && !strings.Contains(s, `""`) && !strings.Contains(s, "''") {
			t.Errorf("%q has no module", s)
		}
	})
}
