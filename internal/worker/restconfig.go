package worker

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/kafkaconf"
)

// RestConfig is what the worker's properties say about its REST servers.
type RestConfig struct {
	// Listeners are the addresses of REST; an empty host listens on all.
	Listeners []*url.URL
	// AdminListeners serve /admin alone; then Listeners do not.
	AdminListeners []*url.URL
	// NoAdmin leaves /admin out of Listeners.
	NoAdmin bool
	// UI serves the web page; UIReadOnly lets it change nothing.
	UI, UIReadOnly bool
	// TLS and AdminTLS are for https listeners; nil without any.
	TLS, AdminTLS *tls.Config
	// Advertised is host:port, worker_id everywhere.
	Advertised string
	// AdvertisedURL is what other workers call.
	AdvertisedURL string
	// CORSOrigins and CORSMethods are access.control.*; no origins: no CORS.
	CORSOrigins, CORSMethods []string
	// Headers are added to every answer (response.http.headers.config).
	Headers []HeaderRule

	users   map[string]string  // of basic auth; nil: no authentication
	toPeers func() *tls.Config // for requests to other workers; nil: no TLS settings
}

// HeaderRule is one rule of response.http.headers.config.
type HeaderRule struct {
	Set   bool // replace, instead of add
	Date  bool // Value is milliseconds from now
	Name  string
	Value string
}

const (
	basicAuthClass  = "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
	loginModule     = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"
	loginEntry      = "KafkaConnect"
	loginConfigProp = "java.security.auth.login.config"
)

// Authenticates reports whether requests must name a user, and MayEnter whether a
// user and password are right.
func (c *RestConfig) Authenticates() bool { return c.users != nil }

// MayEnter compares a user's password; it takes as long for an unknown user.
func (c *RestConfig) MayEnter(user, password string) bool {
	want, known := c.users[user]
	same := subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
	return known && same
}

// Client is the client for requests to other workers.
func (c *RestConfig) Client() *http.Client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if c.toPeers != nil {
		tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: c.toPeers()}).DialContext(ctx, network, addr)
		}
	}
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// restSettings reads what the REST servers are told besides their addresses.
func (c *Config) restSettings(v configdef.Values) error {
	c.UI, c.UIReadOnly = v.Bool("ui.enabled"), v.Bool("ui.read.only")
	c.CORSOrigins, c.CORSMethods = v.List("access.control.allow.origin"), v.List("access.control.allow.methods")
	for _, rule := range splitQuoted(v.String("response.http.headers.config")) {
		h, err := headerRule(rule)
		if err != nil {
			return err
		}
		c.Headers = append(c.Headers, h)
	}
	return nil
}

// headerRule reads `action name:value` with the actions of Jetty's header filter.
func headerRule(rule string) (HeaderRule, error) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(rule), " ")
	name, value, ok := strings.Cut(rest, ":")
	h := HeaderRule{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
	switch verb {
	case "set", "setDate":
		h.Set = true
	case "add", "addDate":
	default:
		ok = false
	}
	h.Date = strings.HasSuffix(verb, "Date")
	if !ok || h.Name == "" || strings.ContainsAny(h.Name, " \t") {
		return h, fmt.Errorf("response.http.headers.config: %q is no rule; write add, set, addDate or setDate, then Name: value, and put rules with commas in double quotes", rule)
	}
	return h, nil
}

// splitQuoted splits at commas outside of double quotes and drops the quotes.
func splitQuoted(s string) []string {
	var out []string
	var sb strings.Builder
	in := false
	end := func() {
		if t := strings.TrimSpace(sb.String()); t != "" {
			out = append(out, t)
		}
		sb.Reset()
	}
	for _, r := range s {
		switch {
		case r == '"':
			in = !in
		case r == ',' && !in:
			end()
		default:
			sb.WriteRune(r)
		}
	}
	end()
	return out
}

// extensions knows one REST extension: basic authentication by a users file.
func (c *Config) extensions(v configdef.Values) error {
	for _, class := range v.List("rest.extension.classes") {
		if class != basicAuthClass && class != basicAuthClass[strings.LastIndexByte(basicAuthClass, '.')+1:] {
			return fmt.Errorf("rest.extension.classes: %s is a Java class that millrace cannot load; it knows %s, or put a proxy in front of the listeners", class, basicAuthClass)
		}
		if err := c.loadUsers(v); err != nil {
			return fmt.Errorf("rest.extension.classes=%s: %w", class, err)
		}
	}
	return nil
}

// loadUsers reads the users file that the JAAS configuration names. The JVM is
// given that file by -Djava.security.auth.login.config, mostly in KAFKA_OPTS; the
// same is read here, and a worker property of that name.
func (c *Config) loadUsers(v configdef.Values) error {
	path := v.String(loginConfigProp)
	if path == "" {
		for _, word := range strings.Fields(os.Getenv("KAFKA_OPTS")) {
			if p, ok := strings.CutPrefix(word, "-D"+loginConfigProp+"="); ok {
				path = strings.Trim(p, `"'`)
			}
		}
	}
	if path == "" {
		return fmt.Errorf("no JAAS file: set KAFKA_OPTS=-D%s=FILE, or the worker property %s", loginConfigProp, loginConfigProp)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the JAAS file: %w", err)
	}
	module, options, err := kafkaconf.LoginModule(string(data), loginEntry)
	if err != nil {
		return fmt.Errorf("JAAS file %s: %w", path, err)
	}
	if module != loginModule {
		return fmt.Errorf("JAAS file %s: the entry %s names the login module %s; millrace knows %s", path, loginEntry, module, loginModule)
	}
	file := options["file"]
	if file == "" {
		return fmt.Errorf("JAAS file %s: the login module has no option file, the properties file of users and passwords", path)
	}
	if data, err = os.ReadFile(file); err != nil {
		return fmt.Errorf("read the users file: %w", err)
	}
	users, err := ParseProperties(data)
	if err != nil {
		return fmt.Errorf("the users file %s is no properties file", file) // its text stays out of the log
	}
	c.users = users
	return nil
}

// listeners reads the addresses of the REST servers and what others are told.
func (c *Config) listeners(v configdef.Values) error {
	var err error
	if c.Listeners, c.TLS, err = c.addresses("listeners", v.List("listeners"), "listeners.https."); err != nil {
		return err
	}
	if len(c.Listeners) == 0 {
		return fmt.Errorf("listeners: at least one listener is needed")
	}
	if v.IsSet("admin.listeners") {
		c.NoAdmin = true
		if c.AdminListeners, c.AdminTLS, err = c.addresses("admin.listeners", v.List("admin.listeners"), "admin.listeners.https."); err != nil {
			return err
		}
	}
	told := c.Listeners[0]
	scheme := strings.ToLower(v.String("rest.advertised.listener"))
	if scheme == "" {
		scheme = "https"
		for _, l := range c.Listeners {
			if l.Scheme == "http" {
				scheme = "http"
			}
		}
	}
	if scheme != "http" && scheme != "https" {
		return fmt.Errorf("rest.advertised.listener=%s: use http or https", scheme)
	}
	for i := len(c.Listeners) - 1; i >= 0; i-- {
		if c.Listeners[i].Scheme == scheme {
			told = c.Listeners[i]
		}
	}
	host, port := v.String("rest.advertised.host.name"), v.String("rest.advertised.port")
	if host == "" {
		host = told.Hostname()
	}
	if host == "" || host == "0.0.0.0" {
		h, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("rest.advertised.host.name is not set and the host has no name: %w", err)
		}
		host = h
	}
	if port == "" {
		port = told.Port()
	}
	c.Advertised = host + ":" + port
	c.AdvertisedURL = scheme + "://" + c.Advertised + "/"
	if c.toPeers == nil && c.TLS == nil {
		if props := sslProps(c.Props, "listeners.https."); len(props) > 0 {
			if r, err := kafkaconf.RenewTLS(props, nil, c.log); err == nil {
				c.toPeers = r.Config
			}
		}
	}
	return nil
}

// addresses reads a list of listeners and the TLS settings of those with https.
func (c *Config) addresses(property string, list []string, prefix string) (out []*url.URL, conf *tls.Config, err error) {
	for _, l := range list {
		u, err := url.Parse(l)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Port() == "" {
			return nil, nil, fmt.Errorf("%s: %q is no listener; write http://host:port or https://host:port, with no host for all addresses", property, l)
		}
		out = append(out, u)
		if u.Scheme == "https" && conf == nil {
			if conf, err = c.serverTLS(property, prefix); err != nil {
				return nil, nil, err
			}
		}
	}
	return out, conf, nil
}

// sslProps are the ssl.* settings below a prefix, else those of the worker.
func sslProps(props map[string]string, prefix string) map[string]string {
	out := configdef.Prefixed(props, prefix)
	if len(out) > 0 {
		return out
	}
	for k, v := range props {
		if strings.HasPrefix(k, "ssl.") {
			out[k] = v
		}
	}
	return out
}

// serverTLS is the TLS of listeners. Key and trust stores that are replaced are used
// from the next connection on.
func (c *Config) serverTLS(property, prefix string) (*tls.Config, error) {
	props := sslProps(c.Props, prefix)
	auth := tls.NoClientCert
	switch a := strings.ToLower(strings.TrimSpace(props["ssl.client.auth"])); a {
	case "", "none":
	case "requested":
		auth = tls.VerifyClientCertIfGiven
	case "required":
		auth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("%s: ssl.client.auth=%s: use none, requested or required", property, a)
	}
	r, err := kafkaconf.RenewTLS(props, func(conf *tls.Config) error {
		if len(conf.Certificates) == 0 {
			return fmt.Errorf("an https listener needs a certificate: set %sssl.keystore.location (PEM, PKCS12 or JKS) and its passwords", prefix)
		}
		conf.ClientCAs, conf.ClientAuth = conf.RootCAs, auth
		return nil
	}, c.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", property, err)
	}
	if property == "listeners" {
		c.toPeers = r.Config // with the same identity and trust
	}
	return r.Server(), nil
}
