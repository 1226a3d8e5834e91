package elastic

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// config is what the sender runs with; both front ends translate into it.
type config struct {
	connection
	ignoreKey        bool
	ignoreKeyTopics  map[string]bool
	ignoreSchema     bool
	ignoreSchemaFor  map[string]bool
	idStrategy       idStrategy // of records whose key is ignored
	upsert           bool
	compactMaps      bool
	nulls            policy
	malformed        policy
	conflicts        policy
	taken            policy // what a create meets whose id is there
	dropInvalid      bool   // records that cannot become documents are left out
	queued           bool   // there is a dead letter queue, and refused records go there instead of ending the task
	reported         bool   // records that are left out go to it as well
	eras             bool   // see Sink.Anew
	versionHeader    string
	routing          router
	stamps           stamps
	places           places
	batch, bulkBytes int
	lanes            int
	retries          int // -1: endless
	backoff          time.Duration
}

// connection is how to reach the cluster.
type connection struct {
	urls           []string
	connectTimeout time.Duration
	timeout        time.Duration // of an answer
	idle           time.Duration
	gzip           bool
	tls            *tls.Config
	proxy          func(*http.Request) (*url.URL, error)
	// authorize adds what proves who we are. May be nil.
	authorize func(ctx context.Context, r *http.Request, body []byte) error
}

// places says which index or data stream a topic goes to.
type places struct {
	name     func(topic string) string // of topics that are not in of
	streams  bool                      // what name gives are data streams
	of       map[string]string         // topic to something that is there already
	ofStream bool                      // what of names are data streams
	only     bool                      // other topics are refused
	template func(stream string) string
	// timeField is what a template says of the time of a data stream.
	timeField string
	// aiven makes things as Aiven's sink does: an index gets its mapping when it is
	// made or never, or {"dynamic":true} without one; streams and what is there already get none.
	aiven bool
}

// stamps says what a data stream's document has as @timestamp.
type stamps struct {
	fields []string // of the value, the first that is there
	keep   bool     // an @timestamp of the value stays
	off    bool     // nothing is added
}

type idStrategy uint8

const (
	idCoordinates idStrategy = iota // topic+partition+offset
	idNone                          // made by the cluster
	idKey
)

// policy is what to do with a special record.
type policy uint8

const (
	onFail policy = iota
	onIgnore
	onWarn
	onDelete
	onReport
)

func policyOf(s string) policy {
	return map[string]policy{"ignore": onIgnore, "warn": onWarn, "delete": onDelete, "report": onReport}[strings.ToLower(s)]
}

func configError(format string, args ...any) error {
	return &errs.Error{Java: errs.ConfigException, Msg: fmt.Sprintf(format, args...)}
}

// ValidateConfluent finds what options of Confluent's sink say against each other.
func ValidateConfluent(_ context.Context, v configdef.Values) []configdef.Problem {
	_, err := confluentConfig(v)
	return problem(DefConfluent(), err)
}

// ValidateOpenSearch finds what options of Aiven's sinks say against each other.
func ValidateOpenSearch(_ context.Context, v configdef.Values) []configdef.Problem {
	_, err := openSearchConfig(v)
	return problem(DefOpenSearch(), err)
}

// problem puts an error under the first option that its text names. Java's sinks
// notice when they start, so it keeps no connector from being made.
func problem(def *configdef.Def, err error) []configdef.Problem {
	if err == nil {
		return nil
	}
	p := configdef.Problem{Property: "connection.url", Text: err.Error(), Late: true}
	first := len(p.Text)
	for _, o := range def.Options {
		if at := strings.Index(p.Text, o.Name); at >= 0 && (at < first || at == first && len(o.Name) > len(p.Property)) {
			p.Property, first = o.Name, at
		}
	}
	return []configdef.Problem{p}
}

func commonConfig(v configdef.Values) (*config, error) {
	c := &config{connection: connection{connectTimeout: v.Millis("connection.timeout.ms"), timeout: max(time.Minute, v.Millis("read.timeout.ms")), idle: time.Minute, proxy: http.ProxyFromEnvironment},
		ignoreKey: v.Bool("key.ignore"), ignoreKeyTopics: set(v.List("topic.key.ignore")),
		ignoreSchema: v.Bool("schema.ignore"), ignoreSchemaFor: set(v.List("topic.schema.ignore")), compactMaps: v.Bool("compact.map.entries"),
		nulls: policyOf(v.String("behavior.on.null.values")), malformed: policyOf(v.String("behavior.on.malformed.documents")),
		batch: v.Int("batch.size"), bulkBytes: 5 << 20, lanes: v.Int("max.in.flight.requests"), retries: -1, backoff: v.Millis("retry.backoff.ms")}
	c.places.of = pairs(v.List("topic.index.map"))
	if v.IsSet("max.retries") {
		c.retries = max(0, v.Int("max.retries"))
	}
	c.dropInvalid = v.Bool("drop.invalid.message")
	p := v.Props()
	queue := strings.TrimSpace(p["errors.deadletterqueue.topic.name"]) != ""
	c.queued = queue && strings.EqualFold(strings.TrimSpace(p["errors.tolerance"]), "all")
	if !queue && !strings.EqualFold(strings.TrimSpace(p["errors.log.enable"]), "true") {
		for _, name := range []string{"behavior.on.malformed.documents", "behavior.on.version.conflict"} {
			if strings.EqualFold(strings.TrimSpace(p[name]), "report") {
				return nil, configError("Errant record reporter must be configured when using 'report' option for %s: set errors.deadletterqueue.topic.name", name)
			}
		}
	}
	user, password, key := v.String("connection.username"), v.String("connection.password"), v.String("connection.api.key")
	switch {
	case key != "" && user != "":
		return nil, configError("connection.api.key and connection.username are two ways to log in: set one of them")
	case key != "":
		c.authorize = func(_ context.Context, r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "ApiKey "+key)
			return nil
		}
	case user != "" && password != "":
		c.authorize = func(_ context.Context, r *http.Request, _ []byte) error {
			r.SetBasicAuth(user, password)
			return nil
		}
	}
	return c, nil
}

// secure reads the ssl.* options below prefix, and completes the addresses.
func (c *config) secure(v configdef.Values, prefix string, forced bool) error {
	conf, problems := kafkaconf.TLS(v.Prefixed(prefix))
	if len(problems) > 0 {
		return configError("%s", strings.Replace(problems[0].Text, "ssl.", prefix+"ssl.", 1))
	}
	c.tls = conf
	urls := v.List("connection.url")
	if len(urls) == 0 {
		return configError("connection.url: hosts must not be null nor empty")
	}
	for _, u := range urls {
		forced = forced || strings.HasPrefix(u, "https://")
	}
	for _, u := range urls {
		if !strings.Contains(u, "://") {
			u = map[bool]string{false: "http://", true: "https://"}[forced] + u
		}
		if forced && strings.HasPrefix(u, "http://") {
			return configError("connection.url: %s is not encrypted, and TLS is asked for; write https://", shown(u))
		}
		c.urls = append(c.urls, strings.TrimSuffix(u, "/"))
	}
	return nil
}

func confluentConfig(v configdef.Values) (*config, error) {
	c, err := commonConfig(v)
	if err != nil {
		return nil, err
	}
	if err := c.secure(v, "elastic.https.", v.Enum("elastic.security.protocol") == "ssl"); err != nil {
		return nil, err
	}
	if (v.String("connection.username") == "") != (v.String("connection.password") == "") {
		return nil, configError("Both 'connection.username' and 'connection.password' must be set")
	}
	c.upsert, c.bulkBytes = v.Enum("write.method") == "upsert", v.Int("bulk.size.bytes")
	c.versionHeader, c.gzip, c.idle = v.String("external.version.header"), v.Bool("connection.compression"), v.Millis("max.connection.idle.time.ms")
	c.conflicts, c.taken, c.eras, c.reported = onWarn, onIgnore, c.versionHeader == "", c.queued
	if v.Bool("use.autogenerated.ids") {
		if c.upsert {
			return nil, configError("use.autogenerated.ids needs write.method=insert: an upsert needs an id")
		}
		c.idStrategy, c.ignoreKey = idNone, true
	}
	if host := v.String("proxy.host"); host != "" {
		u := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, v.String("proxy.port"))}
		if user := v.String("proxy.username"); user != "" {
			u.User = url.UserPassword(user, v.String("proxy.password"))
		}
		c.proxy = http.ProxyURL(u)
	}
	c.places.name = indexName
	if typ := v.Enum("data.stream.type"); typ != "none" {
		dataset, ns := v.String("data.stream.dataset"), v.String("data.stream.namespace")
		if dataset == "" {
			return nil, configError("data.stream.type=%s needs data.stream.dataset", typ)
		}
		if c.upsert || c.nulls == onDelete {
			return nil, configError("A data stream takes new documents only: use write.method=insert and behavior.on.null.values=ignore or fail")
		}
		c.places.streams, c.places.name = true, func(topic string) string { return streamName(typ, dataset, ns, topic) }
	}
	c.stamps.fields = v.List("data.stream.timestamp.field")
	return c, c.externalResources(v)
}

// externalResources reads what topics are written into that is there already.
func (c *config) externalResources(v configdef.Values) error {
	usage := v.Enum("external.resource.usage")
	list := v.List("topic.to.external.resource.mapping")
	if usage == "disabled" {
		if len(list) > 0 {
			return configError("topic.to.external.resource.mapping needs external.resource.usage, such as INDEX")
		}
		return nil
	}
	switch {
	case c.places.streams:
		return configError("data.stream.type and external.resource.usage exclude each other: set one of them")
	case len(list) == 0:
		return configError("external.resource.usage=%s needs topic.to.external.resource.mapping, a list of topic:resource", usage)
	case len(list) > v.Int("max.external.resource.mappings"):
		return configError("topic.to.external.resource.mapping has %d entries, more than max.external.resource.mappings", len(list))
	}
	c.places.of, c.places.only = pairs(list), true
	if c.places.ofStream = strings.HasSuffix(usage, "datastream"); c.places.ofStream && (c.upsert || c.nulls == onDelete) {
		return configError("A data stream takes new documents only: use write.method=insert and behavior.on.null.values=ignore or fail")
	}
	return nil
}

func openSearchConfig(v configdef.Values) (*config, error) {
	c, err := commonConfig(v)
	if err != nil {
		return nil, err
	}
	signed, err := signature(v)
	if err != nil {
		return nil, err
	}
	if signed != nil && c.authorize != nil {
		return nil, configError("More than one authenticated configurator is applied for the client. Only one is allowed: connection.username or aws.*")
	}
	if signed != nil {
		c.authorize = signed
	}
	if err := c.secure(v, "connection.", signed != nil && !strings.Contains(v.String("connection.url"), "://")); err != nil {
		return nil, err
	}
	if v.Bool("connection.trust.all.certificates") {
		c.tls.InsecureSkipVerify, c.tls.VerifyConnection = true, nil
	}
	c.upsert = v.Enum("index.write.method") == "upsert"
	c.idStrategy = map[string]idStrategy{"none": idNone, "record.key": idKey}[v.Enum("key.ignore.id.strategy")]
	c.conflicts, c.eras = onWarn, true
	if v.IsSet("behavior.on.version.conflict") {
		c.conflicts, c.eras = policyOf(v.String("behavior.on.version.conflict")), false
	}
	c.taken = c.conflicts
	if c.upsert && c.ignoreKey && c.idStrategy != idKey {
		return nil, configError("Invalid value %s for configuration key.ignore.id.strategy: %[1]s is not supported for index upsert. Supported is: record.key", v.String("key.ignore.id.strategy"))
	}
	if c.routing, err = routing(v); err != nil {
		return nil, err
	}
	return c, c.openSearchPlaces(v)
}

func (c *config) openSearchPlaces(v configdef.Values) error {
	c.places.name, c.places.aiven = indexName, true
	existing, streams := v.Enum("existing.resource.type"), v.Bool("data.stream.enabled")
	if existing != "none" {
		if streams && existing == "data_stream" {
			return configError("Existing datastream mappings and datastream configurations are mutually exclusive. Please configure only one of these options")
		}
		list := v.List("topic.to.existing.resource.mapping")
		seen := map[string]bool{}
		for _, x := range list {
			topic, resource, _ := strings.Cut(x, ":")
			if topic, resource = strings.TrimSpace(topic), strings.TrimSpace(resource); seen["t:"+topic] || seen["r:"+resource] {
				return configError("topic.to.existing.resource.mapping: %s is there twice; each topic is mapped to one resource and each resource to one topic", x)
			}
			seen["t:"+topic], seen["r:"+resource] = true, true
		}
		if len(list) == 0 || len(list) > 10 {
			return configError("topic.to.existing.resource.mapping needs 1 to 10 entries of the form topic:resource with existing.resource.type=%s", existing)
		}
		c.places.of, c.places.only = pairs(list), true
		c.places.ofStream, streams = existing == "data_stream", existing == "data_stream"
	}
	c.stamps.keep = true
	if !streams {
		return nil
	}
	if c.upsert {
		return configError("Data streams do not support upsert index write method")
	}
	field := v.String("data.stream.timestamp.field")
	c.stamps.off = field != timestampName
	if c.places.streams = !c.places.only; c.places.streams {
		c.places.timeField = field
		if prefix := v.String("data.stream.prefix"); prefix != "" {
			c.places.name = func(topic string) string { return prefix + "-" + indexName(topic) }
		}
		name := v.String("data.streams.existing.index.template.name")
		c.places.template = func(stream string) string {
			if name != "" {
				return name
			}
			return stream + "-connector-data-stream-template"
		}
	}
	return nil
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, x := range list {
		m[x] = true
	}
	return m
}

func pairs(list []string) map[string]string {
	into := map[string]string{}
	for _, x := range list {
		a, b, _ := strings.Cut(x, ":")
		into[strings.TrimSpace(a)] = strings.TrimSpace(b)
	}
	return into
}

var leading = regexp.MustCompile(`^[-_+]+`)

// indexName is the topic as a name that an index may have: in lower case, without
// leading -, _ and +, cut to 255 bytes.
func indexName(topic string) string {
	name := leading.ReplaceAllString(strings.ReplaceAll(strings.ToLower(topic), ":", "_"), "")
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "dot")
	}
	if len(name) > 255 {
		name = name[:255]
	}
	return name
}

// streamName is <type>-<dataset>-<namespace>, each of at most 100 bytes.
func streamName(typ, dataset, namespace, topic string) string {
	part := func(s string) string {
		s = strings.ReplaceAll(strings.ToLower(s), "${topic}", strings.ToLower(topic))
		if len(s) > 100 {
			s = s[:100]
		}
		return s
	}
	return typ + "-" + part(dataset) + "-" + part(namespace)
}
