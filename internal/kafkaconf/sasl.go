package kafkaconf

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// sasl adds the login of SASL_PLAINTEXT and SASL_SSL.
func (r *reader) sasl(conf func() *tls.Config) {
	if !strings.HasPrefix(r.protocol, "SASL_") {
		return
	}
	mech := strings.TrimSpace(r.props["sasl.mechanism"])
	if mech == "" {
		mech = "GSSAPI"
	}
	text, ok := r.props["sasl.jaas.config"]
	if !ok {
		r.problem("sasl.jaas.config", "Could not find a 'KafkaClient' entry in the JAAS configuration. Set sasl.jaas.config; a JAAS file named by a system property is not read")
		return
	}
	j, err := parseJAAS(text)
	if err != nil {
		r.problem("sasl.jaas.config", "Invalid value [hidden] for configuration sasl.jaas.config: "+err.Error())
		return
	}
	user, pass := j.options["username"], j.options["password"]
	needUser := func() bool {
		if user == "" {
			r.problem("sasl.jaas.config", "Invalid value [hidden] for configuration sasl.jaas.config: the login module needs username and password")
		}
		return user != ""
	}
	switch mech {
	case "PLAIN":
		if needUser() {
			r.add(kgo.SASL(plain.Auth{User: user, Pass: pass}.AsMechanism()))
		}
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		if !needUser() {
			return
		}
		a := scram.Auth{User: user, Pass: pass, IsToken: strings.EqualFold(j.options["tokenauth"], "true")}
		if mech == "SCRAM-SHA-256" {
			r.add(kgo.SASL(a.AsSha256Mechanism()))
		} else {
			r.add(kgo.SASL(a.AsSha512Mechanism()))
		}
	case "OAUTHBEARER":
		r.oauth(j, conf)
	default:
		r.problem("sasl.mechanism", "The 'sasl.mechanism' "+mech+" is not supported by millrace: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
	}
}

// oauth fetches tokens by client credentials, as Kafka's own login callback
// handler does with sasl.oauthbearer.token.endpoint.url.
func (r *reader) oauth(j jaas, conf func() *tls.Config) {
	prop := func(names ...string) string {
		for _, n := range names {
			if v := strings.TrimSpace(r.props[n]); v != "" {
				return v
			}
		}
		return ""
	}
	opt := func(name, property string) string {
		if v := j.options[name]; v != "" {
			return v
		}
		return prop(property)
	}
	t := &tokens{endpoint: prop("sasl.oauthbearer.token.endpoint.url"),
		id:     opt("clientId", "sasl.oauthbearer.client.credentials.client.id"),
		secret: opt("clientSecret", "sasl.oauthbearer.client.credentials.client.secret"),
		scope:  opt("scope", "sasl.oauthbearer.scope")}
	if t.endpoint == "" || t.id == "" {
		r.problem("sasl.oauthbearer.token.endpoint.url", "OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url, and clientId and clientSecret in sasl.jaas.config; unsecured tokens are not supported by millrace")
		return
	}
	u, err := url.Parse(t.endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") {
		r.problem("sasl.oauthbearer.token.endpoint.url", "Invalid value for configuration sasl.oauthbearer.token.endpoint.url: it must be an http or https URL")
		return
	}
	t.ext = map[string]string{}
	for k, v := range j.options {
		if name, ok := strings.CutPrefix(k, "extension_"); ok {
			t.ext[name] = v
		}
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if conf != nil {
		tr.TLSClientConfig = conf().Clone() // behind a proxy
		tr.DialTLSContext = (dialer{setupMs: r.net.setupMs, send: -1, receive: -1}).dial(conf)
	}
	t.client = &http.Client{Timeout: 30 * time.Second, Transport: tr}
	t.escape = strings.EqualFold(prop("sasl.oauthbearer.header.urlencode"), "true")
	r.add(kgo.SASL(oauth.Oauth(t.get)))
}

// tokens caches one bearer token until four fifths of its life are over.
type tokens struct {
	endpoint, id, secret, scope string
	escape                      bool // sasl.oauthbearer.header.urlencode
	ext                         map[string]string
	client                      *http.Client

	mu    sync.Mutex
	token string
	until time.Time
}

func (t *tokens) get(ctx context.Context) (oauth.Auth, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == "" || time.Now().After(t.until) {
		if err := t.fetch(ctx); err != nil {
			return oauth.Auth{}, fmt.Errorf("get a token from %s: %w", t.endpoint, err)
		}
	}
	return oauth.Auth{Token: t.token, Extensions: t.ext}, nil
}

func (t *tokens) fetch(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.scope != "" {
		form.Set("scope", t.scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	id, secret := t.id, t.secret
	if t.escape {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	req.SetBasicAuth(id, secret)
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	var got struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
		return errors.New("the endpoint's answer holds no access_token")
	}
	if got.Expires <= 0 {
		got.Expires = 300
	}
	t.token = got.Token
	t.until = time.Now().Add(time.Duration(got.Expires * 0.8 * float64(time.Second)))
	return nil
}
