package kafkaconf

import (
	"bytes"
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
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A listener and a client go on with the certificates that replace theirs, from the
// next connection on; files that cannot be read change nothing.
func TestRenewedTLS(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "store.pem")
	place := func(data []byte) { // as a mounted secret is replaced: by a rename
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	place(selfSigned(t, 1))
	props := map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": file, "ssl.truststore.type": "PEM", "ssl.truststore.location": file}
	r, err := RenewTLS(props, func(c *tls.Config) error {
		c.ClientCAs, c.ClientAuth = c.RootCAs, tls.RequireAndVerifyClientCert
		return nil
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := handshakes(t, r.Server())
	client, ps := TLS(props) // as a Kafka client has it, for its whole life
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	client.InsecureSkipVerify = true //nolint:gosec // the serial number is what is looked at
	serial := func() int64 {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", addr, client)
		if err != nil {
			return 0
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte{1}); err != nil {
			return 0
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // the server has taken our certificate
			return 0
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("certificate %d", got)
	}
	await := func(want int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); serial() != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("certificate %d is not in use", want)
			}
		}
	}
	place(selfSigned(t, 2))
	await(2)
	place([]byte("half of a file"))
	time.Sleep(2 * renewEvery) // so that it is looked at
	await(2)
	place(selfSigned(t, 3))
	await(3)
}

// A Kafka client trusts what replaces its trust store, from the next connection on.
// The listener is one whose settings look at no host name: that is asked of servers,
// and a client without certificate gets in.
func TestRenewedTrust(t *testing.T) {
	dir := t.TempDir()
	place := func(name string, data []byte) {
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := selfSigned(t, 1), selfSigned(t, 2)
	place("server.pem", first)
	place("trusted.pem", first)
	server, err := RenewTLS(map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": filepath.Join(dir, "server.pem"), "ssl.endpoint.identification.algorithm": ""}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := handshakes(t, server.Server())
	r := &reader{protocol: "SSL", props: map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.location": filepath.Join(dir, "trusted.pem")}}
	dial := dialer{setupMs: 30000, send: -1, receive: -1}.dial(r.tls())
	trusts := func() bool {
		c, err := dial(t.Context(), "tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	await := func(want bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); trusts() != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the server's certificate should be trusted: %t", want)
			}
		}
	}
	if len(r.res.Problems) > 0 || !trusts() {
		t.Fatalf("the first certificate is not trusted: %v", r.res.Problems)
	}
	place("server.pem", second)
	await(false)
	place("trusted.pem", second)
	await(true)
}

// selfSigned is a certificate with its key, which is its own authority.
func selfSigned(t *testing.T, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "renewed"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return out.Bytes()
}

// handshakes serves TLS handshakes and nothing more while the test runs; it returns
// the address.
func handshakes(t *testing.T, c *tls.Config) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, io.LimitReader(c, 1)) // completes the handshake
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}
