package kafkaconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// identity loads the client's own certificate and key, nil if none is configured.
func identity(get func(string) string) (cert *tls.Certificate, prop string, err error) {
	kind := storeType(get("keystore.type"))
	keyPass, storePass := get("key.password"), get("keystore.password")
	switch key, chain, file := get("keystore.key"), get("keystore.certificate.chain"), get("keystore.location"); {
	case key != "" || chain != "":
		if key == "" || chain == "" {
			return nil, "keystore.key", errors.New("ssl.keystore.key and ssl.keystore.certificate.chain must be given together")
		}
		cert, err = pemIdentity([]byte(key), []byte(chain), keyPass)
		return cert, "keystore.key", err
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, "keystore.location", err
		}
		cert, err = storeIdentity(kind, data, storePass, keyPass)
		return cert, "keystore.location", err
	}
	return nil, "", nil
}

func storeIdentity(kind string, data []byte, storePass, keyPass string) (*tls.Certificate, error) {
	switch {
	case kind == "PEM":
		return pemIdentity(data, data, keyPass)
	case kind != "JKS" && kind != "PKCS12":
		return nil, fmt.Errorf("the type %s is not supported by millrace; use PEM, PKCS12 or JKS", kind)
	case bytes.HasPrefix(data, []byte(jksMagic)):
		return jksIdentity(data, storePass, keyPass)
	case bytes.HasPrefix(data, []byte(pkcs12Magic)):
		key, leaf, cas, err := pkcs12.DecodeChain(data, storePass)
		if err != nil {
			return nil, severalKeys(err)
		}
		c := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
		for _, ca := range cas {
			c.Certificate = append(c.Certificate, ca.Raw)
		}
		return c, nil
	}
	return nil, errors.New("it is neither a JKS nor a PKCS12 file")
}

func jksIdentity(data []byte, storePass, keyPass string) (*tls.Certificate, error) {
	ks, err := loadJKS(data, storePass)
	if err != nil {
		return nil, err
	}
	if keyPass == "" {
		keyPass = storePass
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsPrivateKeyEntry(alias) {
			continue
		}
		e, err := ks.GetPrivateKeyEntry(alias, []byte(keyPass))
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(e.PrivateKey)
		if err != nil {
			return nil, err
		}
		c := &tls.Certificate{PrivateKey: key}
		for _, link := range e.CertificateChain {
			c.Certificate = append(c.Certificate, link.Content)
		}
		return c, nil
	}
	return nil, errors.New("it holds no private key")
}

// pemIdentity reads a PKCS#8 (or older) key and the chain that belongs to it.
func pemIdentity(keyData, chain []byte, keyPass string) (*tls.Certificate, error) {
	for {
		var b *pem.Block
		if b, keyData = pem.Decode(keyData); b == nil {
			return nil, errors.New("it holds no private key")
		}
		switch b.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			c, err := tls.X509KeyPair(chain, pem.EncodeToMemory(b))
			return &c, err
		case "ENCRYPTED PRIVATE KEY":
			key, err := pkcs8.ParsePKCS8PrivateKey(b.Bytes, []byte(keyPass))
			if err != nil {
				return nil, err
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return nil, err
			}
			c, err := tls.X509KeyPair(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
			return &c, err
		}
	}
}
