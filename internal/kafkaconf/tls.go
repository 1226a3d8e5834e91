package kafkaconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"millrace/internal/configdef"
)

// tls makes the TLS configuration of SSL and SASL_SSL, nil for the others. A
// connection that is made after its files were replaced has the new ones.
func (r *reader) tls() func() *tls.Config {
	if r.protocol != "SSL" && r.protocol != "SASL_SSL" {
		return nil
	}
	conf, ps := TLS(r.props)
	r.res.Problems = append(r.res.Problems, ps...)
	if len(ps) > 0 {
		return func() *tls.Config { return conf }
	}
	return follow(r.props, conf).Config
}

// TLS reads the ssl.* properties of a client in Java's spelling. It is also what
// other clients with such properties (a Schema Registry, a REST listener) use.
func TLS(props map[string]string) (*tls.Config, []configdef.Problem) {
	get := func(name string) string { return strings.TrimSpace(props["ssl."+name]) }
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	var ps []configdef.Problem
	bad := func(name, text string) {
		ps = append(ps, configdef.Problem{Property: "ssl." + name, Text: text})
	}
	versions(get, conf, bad)
	roots, prop, err := trust(get)
	if err != nil {
		bad(prop, "Failed to load the trust store of ssl."+prop+": "+err.Error())
	}
	conf.RootCAs = roots
	cert, prop, err := identity(get)
	if err != nil {
		bad(prop, "Failed to load the key store of ssl."+prop+": "+err.Error())
	}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
		if file := get("keystore.location"); file != "" {
			conf.GetClientCertificate = renewedIdentity(file, get, cert)
		}
	}
	algo, set := props["ssl.endpoint.identification.algorithm"]
	switch strings.ToLower(strings.TrimSpace(algo)) {
	case "https":
	case "":
		if set {
			chainOnly(conf)
		}
	default:
		bad("endpoint.identification.algorithm", "Invalid value "+algo+" for configuration ssl.endpoint.identification.algorithm: use https, or an empty value to accept any host name")
	}
	return conf, ps
}

// chainOnly verifies the chain of certificates but not the host name.
func chainOnly(conf *tls.Config) {
	roots := conf.RootCAs
	conf.InsecureSkipVerify = true // replaced by VerifyConnection, which checks all but the name
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the server sent no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range cs.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(o)
		return err
	}
}

var tlsVersions = map[string]uint16{"TLSv1.3": tls.VersionTLS13, "TLSv1.2": tls.VersionTLS12, "TLSv1.1": tls.VersionTLS11, "TLSv1": tls.VersionTLS10}

// versions applies ssl.enabled.protocols, ssl.protocol and ssl.cipher.suites.
func versions(get func(string) string, conf *tls.Config, bad func(name, text string)) {
	list, prop := configdef.SplitList(get("enabled.protocols")), "enabled.protocols"
	if p := get("protocol"); list == nil && p != "" && p != "TLS" && p != "TLSv1.3" {
		list, prop = []string{p}, "protocol" // TLSv1.3 is Java's default and still talks 1.2
	}
	for i, name := range list {
		v, ok := tlsVersions[name]
		if !ok {
			bad(prop, "Invalid value "+name+" for configuration ssl."+prop+": use TLSv1.2 or TLSv1.3")
			return
		}
		if i == 0 {
			conf.MinVersion, conf.MaxVersion = v, v
		}
		conf.MinVersion, conf.MaxVersion = min(conf.MinVersion, v), max(conf.MaxVersion, v)
	}
	for _, name := range configdef.SplitList(get("cipher.suites")) {
		id := uint16(0)
		for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if c.Name == name {
				id = c.ID
			}
		}
		if id == 0 {
			bad("cipher.suites", "Invalid value "+name+" for configuration ssl.cipher.suites: Go's TLS has no such suite")
			return
		}
		conf.CipherSuites = append(conf.CipherSuites, id)
	}
}

// trust loads the trusted certificates; nil means those of the system.
func trust(get func(string) string) (pool *x509.CertPool, prop string, err error) {
	var certs []*x509.Certificate
	kind := storeType(get("truststore.type"))
	switch text, file := get("truststore.certificates"), get("truststore.location"); {
	case text != "":
		prop = "truststore.certificates"
		certs, err = pemCerts([]byte(text))
	case file != "":
		prop = "truststore.location"
		var data []byte
		if data, err = os.ReadFile(file); err != nil {
			return nil, prop, err
		}
		certs, err = storeCerts(kind, data, get("truststore.password"))
	default:
		return nil, "", nil
	}
	if err != nil {
		return nil, prop, err
	}
	if len(certs) == 0 {
		return nil, prop, errors.New("it holds no trusted certificate")
	}
	pool = x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, prop, nil
}

func storeType(v string) string {
	if v == "" {
		return "JKS"
	}
	return strings.ToUpper(v)
}

const pkcs12Magic, jksMagic = "\x30", "\xfe\xed\xfe\xed"

// storeCerts reads a trust store. As in Java, the types JKS and PKCS12 read each
// other's files.
func storeCerts(kind string, data []byte, password string) ([]*x509.Certificate, error) {
	switch {
	case kind == "PEM":
		return pemCerts(data)
	case kind != "JKS" && kind != "PKCS12":
		return nil, fmt.Errorf("the type %s is not supported by millrace; use PEM, PKCS12 or JKS", kind)
	case bytes.HasPrefix(data, []byte(jksMagic)):
		ks, err := loadJKS(data, password)
		if err != nil {
			return nil, err
		}
		return jksCerts(ks)
	case bytes.HasPrefix(data, []byte(pkcs12Magic)):
		certs, err := pkcs12.DecodeTrustStore(data, password)
		if err == nil {
			return certs, nil
		}
		// A store with a key, or one made without Java's mark of trust.
		_, cert, cas, kerr := pkcs12.DecodeChain(data, password)
		if kerr != nil {
			return nil, severalKeys(err)
		}
		return append(cas, cert), nil
	}
	return nil, errors.New("it is neither a JKS nor a PKCS12 file")
}

// jksCerts are the trusted certificates of a store, and, as in Java, those of its own
// keys: a self-signed server's key store serves its clients as trust store.
func jksCerts(ks keystore.KeyStore) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, alias := range ks.Aliases() {
		var der []byte
		if ks.IsTrustedCertificateEntry(alias) {
			e, err := ks.GetTrustedCertificateEntry(alias)
			if err != nil {
				return nil, err
			}
			der = e.Certificate.Content
		} else {
			chain, err := ks.GetPrivateKeyEntryCertificateChain(alias)
			if err != nil {
				return nil, err
			}
			if len(chain) == 0 {
				continue
			}
			der = chain[0].Content
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// severalKeys says what to do about a file that the library cannot read whole.
func severalKeys(err error) error {
	if strings.Contains(err.Error(), "expected exactly") {
		return fmt.Errorf("a PKCS12 file may hold one key here (make one with keytool -importkeystore -srcalias ALIAS -deststoretype PKCS12): %w", err)
	}
	return err
}

func loadJKS(data []byte, password string) (keystore.KeyStore, error) {
	ks := keystore.New(keystore.WithOrderedAliases())
	if password == "" {
		return ks, errors.New("a JKS file needs its password")
	}
	return ks, ks.Load(bytes.NewReader(data), []byte(password))
}

func pemCerts(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return out, nil
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}
