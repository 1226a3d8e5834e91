package main

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
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/internal/testkit"
	"millrace/internal/worker"
)

// certificate writes a self-signed certificate for 127.0.0.1 with its key as PEM.
func certificate(t *testing.T, dir string) (file string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "worker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	_ = pem.Encode(&buf, &pem.Block{Type: "PRIVATE KEY", Bytes: k})
	_ = pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	file = filepath.Join(dir, "worker.pem")
	writeFile(t, file, buf.String())
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(buf.Bytes())
	return file, pool
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for len(out) < n {
		if at := "127.0.0.1:" + testkit.FreePort(t); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// secured starts a worker as `millrace run` does and returns its log.
func secured(t *testing.T, props map[string]string) *lockedLog {
	t.Helper()
	logged := &lockedLog{}
	e := &env{out: io.Discard, errOut: io.Discard, level: &slog.LevelVar{}, log: slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	cfg, err := worker.NewConfig(props, e.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, e, cfg, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return logged
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Workers with https listeners, client certificates, basic authentication, an admin
// listener of its own, headers and CORS talk to each other and to nobody else.
func TestSecuredWorkers(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dir := t.TempDir()
	file, pool := certificate(t, dir)
	writeFile(t, filepath.Join(dir, "users"), "ops=s3cret-word\n")
	writeFile(t, filepath.Join(dir, "jaas"), "// who may call\nKafkaConnect{\n org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required\n file=\""+filepath.Join(dir, "users")+"\";\n};\n")
	ports := freePorts(t, 4)
	json := "org.apache.kafka.connect.json.JsonConverter"
	base := map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "group.id": "g", "key.converter": json, "value.converter": json,
		"config.storage.topic": "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1", "heartbeat.interval.ms": "100",
		"listeners.https.ssl.keystore.type": "PEM", "listeners.https.ssl.keystore.location": file,
		"listeners.https.ssl.truststore.type": "PEM", "listeners.https.ssl.truststore.location": file, "listeners.https.ssl.client.auth": "required",
		"rest.extension.classes":                   "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension",
		"java.security.auth.login.config":          filepath.Join(dir, "jaas"),
		"access.control.allow.origin":              "https://ui.example",
		"response.http.headers.config":             `add X-A: 1, "set Cache-Control: no-cache, no-store", addDate Expires: 3600000`,
		"connector.client.config.override.policy":  "None",
		"producer.override.is.not.a.worker.option": "x"}
	var logs []*lockedLog
	for i := range 2 {
		p := maps.Clone(base)
		p["listeners"], p["admin.listeners"] = "https://"+ports[2*i], "http://"+ports[2*i+1]
		logs = append(logs, secured(t, p))
	}
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	good := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}}
	noCert := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(good.CloseIdleConnections)
	t.Cleanup(noCert.CloseIdleConnections)
	k := &asker{t: t, client: good}
	for _, at := range []string{"https://" + ports[0], "https://" + ports[2]} {
		k.until("GET", at+"/health", "", func(code int, _ string) bool { return code == 200 })
	}
	if res, err := noCert.Get("https://" + ports[0] + "/"); err == nil {
		_ = res.Body.Close()
		t.Error("a client without certificate was let in")
	}
	if code, text, _ := k.ask("GET", "https://"+ports[0]+"/connectors", "ops", "wrong", ""); code != 401 || text != "User cannot access the resource." {
		t.Errorf("wrong password: %d %s", code, text)
	}
	for i := range 4 {
		f := filepath.Join(dir, fmt.Sprintf("f%d", i))
		writeFile(t, f, "line\n")
		k.until("PUT", "https://"+ports[2*(i%2)]+fmt.Sprintf("/connectors/c%d/config", i), fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"t%d"}`, f, i), func(code int, _ string) bool { return code == 201 || code == 200 })
	}
	running := func(_ int, text string) bool { return strings.Count(text, `"state":"RUNNING"`) == 8 }
	k.until("GET", "https://"+ports[2]+"/connectors?expand=status", "", running)
	_, all, head := k.ask("GET", "https://"+ports[0]+"/connectors?expand=status", "ops", "s3cret-word", "https://ui.example")
	if !strings.Contains(all, ports[0]) || !strings.Contains(all, ports[2]) {
		t.Errorf("the work is not shared: %s", all)
	}
	if head.Get("X-A") != "1" || head.Get("Cache-Control") != "no-cache, no-store" || head.Get("Expires") == "" || head.Get("Access-Control-Allow-Origin") != "https://ui.example" {
		t.Errorf("headers %v", head)
	}
	// A browser asks first, without credentials.
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, "https://"+ports[0]+"/connectors", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Origin", "https://ui.example")
	ask.Header.Set("Access-Control-Request-Method", "POST")
	res, err := good.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	for url, want := range map[string]int{"https://" + ports[0] + "/admin/loggers": 404, "http://" + ports[1] + "/admin/loggers": 200, "http://" + ports[1] + "/connectors": 404} {
		if code, text, _ := k.ask("GET", url, "ops", "s3cret-word", ""); code != want {
			t.Errorf("%s: %d %s", url, code, text)
		}
	}
	for _, l := range logs {
		if strings.Contains(l.String(), "s3cret-word") {
			t.Error("the log shows the password")
		}
	}
}

// asker sends requests.
type asker struct {
	t      *testing.T
	client *http.Client
}

func (k *asker) send(method, url, user, password, origin, body string) (int, string, http.Header, error) {
	req, err := http.NewRequestWithContext(k.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	res, err := k.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), res.Header, err
}

func (k *asker) ask(method, url, user, password, origin string) (int, string, http.Header) {
	k.t.Helper()
	code, text, head, err := k.send(method, url, user, password, origin, "")
	if err != nil {
		k.t.Fatal(err)
	}
	return code, text, head
}

// until asks again until the answer is the awaited one.
func (k *asker) until(method, url, body string, ok func(code int, text string) bool) {
	k.t.Helper()
	var code int
	var text string
	var err error
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if code, text, _, err = k.send(method, url, "ops", "s3cret-word", "", body); err == nil && ok(code, text) {
			return
		}
	}
	k.t.Fatalf("%s %s: %d %s %v", method, url, code, text, err)
}
