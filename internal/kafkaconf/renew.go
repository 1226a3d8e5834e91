package kafkaconf

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// renewEvery is how often key stores are looked at for a change, at most; they are
// looked at when a connection is made.
const renewEvery = time.Second

// stamp is what tells a file from its older self: nil while there is none.
type stamp struct{ info os.FileInfo }

// same compares also which file it is: two may have been written within one tick of
// the file system's clock.
func (s stamp) same(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.ModTime().Equal(t.info.ModTime()) && s.info.Size() == t.info.Size()
}

func stampsOf(files []string) []stamp {
	out := make([]stamp, len(files))
	for i, f := range files {
		if fi, err := os.Stat(f); err == nil { // a mounted secret is a link; Stat follows it
			out[i].info = fi
		}
	}
	return out
}

// RenewedTLS is a TLS configuration that follows its key and trust stores: a
// connection that is made after the files were replaced has the new ones, without a
// restart. Files that cannot be read, as while they are being written, leave the old
// ones in place. It is safe for concurrent use.
type RenewedTLS struct {
	load  func() (*tls.Config, error)
	files []string
	log   *slog.Logger

	mu       sync.Mutex
	conf     *tls.Config
	listener *tls.Config // conf for a listener
	seen     []stamp
	looked   time.Time
}

// RenewTLS reads the ssl.* properties as TLS does; shape, which may be nil, changes
// what was read, each time.
func RenewTLS(props map[string]string, shape func(*tls.Config) error, log *slog.Logger) (*RenewedTLS, error) {
	load := func() (*tls.Config, error) {
		conf, ps := TLS(props)
		if len(ps) > 0 {
			return nil, fmt.Errorf("%s", ps[0].Text)
		}
		if shape == nil {
			return conf, nil
		}
		return conf, shape(conf)
	}
	files := storeFiles(props)
	seen := stampsOf(files)
	conf, err := load()
	r := &RenewedTLS{log: log, looked: time.Now(), load: load, files: files, seen: seen}
	r.take(conf)
	return r, err
}

// follow is RenewTLS for a Kafka client whose properties were just read to conf. A
// client has no log: replaced files that cannot be used show in the errors of its
// connections once the old ones are refused.
func follow(props map[string]string, conf *tls.Config) *RenewedTLS {
	r := &RenewedTLS{log: slog.New(slog.DiscardHandler), looked: time.Now(), files: storeFiles(props)}
	r.load = func() (*tls.Config, error) {
		conf, ps := TLS(props)
		if len(ps) > 0 {
			return nil, fmt.Errorf("%s", ps[0].Text)
		}
		return conf, nil
	}
	r.seen = stampsOf(r.files)
	r.take(conf)
	return r
}

func storeFiles(props map[string]string) []string {
	var out []string
	for _, k := range []string{"ssl.keystore.location", "ssl.truststore.location"} {
		if f := strings.TrimSpace(props[k]); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// take makes conf the newest. What a client checks about a server is not asked of
// the clients of a listener.
func (r *RenewedTLS) take(conf *tls.Config) {
	if r.conf = conf; conf == nil {
		return
	}
	r.listener = conf.Clone()
	r.listener.InsecureSkipVerify, r.listener.VerifyConnection = false, nil
}

// Config is the newest configuration. It must not be changed.
func (r *RenewedTLS) Config() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.conf
}

// look reads the files anew if they have changed.
func (r *RenewedTLS) look() {
	if len(r.files) == 0 || time.Since(r.looked) < renewEvery {
		return
	}
	r.looked = time.Now()
	now := stampsOf(r.files)
	same := true
	for i := range now {
		same = same && now[i].same(r.seen[i])
	}
	if same {
		return
	}
	r.seen = now
	conf, err := r.load()
	if err != nil {
		r.log.Warn("replaced TLS files cannot be used; the ones before stay in use until they change again", "files", strings.Join(r.files, ", "), "error", err)
		return
	}
	r.log.Info("TLS files were read anew", "files", strings.Join(r.files, ", "))
	r.take(conf)
}

// renewedIdentity gives a client's certificate from a key store that may be replaced
// while the client lives. One that cannot be read leaves the last one in use.
func renewedIdentity(file string, get func(string) string, cert *tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	seen, looked := stampsOf([]string{file})[0], time.Now()
	return func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(looked) >= renewEvery {
			looked = time.Now()
			if now := stampsOf([]string{file})[0]; !now.same(seen) {
				seen = now
				if c, _, err := identity(get); err == nil && c != nil {
					cert = c
				}
			}
		}
		if asked.SupportsCertificate(cert) != nil {
			return new(tls.Certificate), nil // none that this server takes
		}
		return cert, nil
	}
}

// Server is a configuration for listeners that follows the files.
func (r *RenewedTLS) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.look()
		return r.listener, nil
	}}
}
