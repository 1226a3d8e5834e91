package elastic

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"millrace/internal/configdef"
)

// Java names of the connectors and their tasks.
const (
	ConfluentClass      = "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"
	ConfluentTaskClass  = "io.confluent.connect.elasticsearch.ElasticsearchSinkTask"
	OpenSearchClass     = "io.aiven.kafka.connect.opensearch.OpenSearchSinkConnector"
	OpenSearchTaskClass = "io.aiven.kafka.connect.opensearch.OpenSearchSinkTask"
)

// config is what the sender runs with; both front ends translate into it.
type config struct {
	urls           []string
	user, password string
	caFile         string
	insecure       bool
	gzip           bool
	timeout        time.Duration

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
	versionHeader    string
	dynamicMapping   bool // an index without mapping gets {"dynamic":true}
	dataStream       func(topic string) string
	timestampFields  []string
	indexOf          map[string]string // topic to index, alias or data stream
	externalStreams  bool              // what indexOf names are data streams
	batch, bulkBytes int
	lanes            int
	retries          int // -1: endless
	backoff          time.Duration
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
)

func option(name string, typ configdef.Type, def, doc string, check func(configdef.Input) []string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Medium, Doc: doc, Check: check}
}

func unsupported(name string, typ configdef.Type, def, instead string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Low, Doc: "Not supported.", Unsupported: instead}
}

func common(nulls string, flushTimeout string) []configdef.Option {
	str, list, integer, long, yes := configdef.String, configdef.List, configdef.Int, configdef.Long, configdef.Boolean
	return []configdef.Option{
		{Name: "connection.url", Type: list, Required: true, Importance: configdef.High, Doc: "List of URLs of the cluster's nodes.", Check: checkURLs},
		{Name: "connection.username", Type: str, Importance: configdef.Medium, Doc: "User for basic authentication."},
		{Name: "connection.password", Type: configdef.Password, Importance: configdef.Medium, Doc: "Its password."},
		option("batch.size", integer, "2000", "Most records of one bulk request.", configdef.AtLeast(1)),
		option("max.in.flight.requests", integer, "5", "Most bulk requests in flight; requests of one document never overlap.", configdef.AtLeast(1)),
		option("max.buffered.records", integer, "20000", "Records waiting in the Java sink. Here a batch is sent as it comes; nothing waits.", configdef.AtLeast(1)),
		option("linger.ms", long, "1", "Waiting time of the Java sink's buffer; nothing waits here.", configdef.AtLeast(0)),
		option("flush.timeout.ms", long, flushTimeout, "Time the Java sink gives a flush. Here a put ends when everything was answered.", configdef.AtLeast(1)),
		option("max.retries", integer, "5", "How often a request is sent again after a network error, 429 or 5xx. When it is not set, until it works.", configdef.AtLeast(0)),
		option("retry.backoff.ms", long, "100", "First delay between those tries; it doubles up to 30 s.", configdef.AtLeast(0)),
		option("connection.timeout.ms", integer, "1000", "Time to connect.", configdef.AtLeast(1)),
		option("read.timeout.ms", integer, "3000", "Time to wait for an answer; less than 60 s is taken as 60 s, since a busy cluster that answers late has done the work.", configdef.AtLeast(1)),
		option("key.ignore", yes, "false", "Whether the record key is not the document's id.", nil),
		option("topic.key.ignore", list, "", "Topics for which key.ignore is true.", nil),
		option("schema.ignore", yes, "false", "Whether the index gets no mapping from the record's schema.", nil),
		option("topic.schema.ignore", list, "", "Topics for which schema.ignore is true.", nil),
		option("compact.map.entries", yes, "true", "Whether map entries become fields; else they are key/value objects.", nil),
		option("drop.invalid.message", yes, "false", "Whether records that cannot become documents are left out.", nil),
		option("behavior.on.null.values", str, nulls, "ignore, delete or fail.", configdef.OneOf("ignore", "delete", "fail")),
		option("behavior.on.malformed.documents", str, "fail", "ignore, warn or fail; a failing document goes to the dead letter queue under errors.tolerance=all.", configdef.OneOf("ignore", "warn", "fail", "report")),
		option("topic.index.map", list, "", "List of topic:index.", checkPairs),
		option("type.name", str, "", "Document type of Elasticsearch 6; there are none since.", nil),
	}
}

// DefConfluent is the option table of Confluent's Elasticsearch sink.
func DefConfluent() *configdef.Def {
	str, list, yes := configdef.String, configdef.List, configdef.Boolean
	return &configdef.Def{Options: append(common("fail", "180000"),
		option("write.method", str, "insert", "insert or upsert.", configdef.OneOf("insert", "upsert")),
		option("bulk.size.bytes", configdef.Long, "5242880", "Most bytes of one bulk request.", configdef.AtLeast(1)),
		option("external.version.header", str, "", "Header with the document's version; without it, the offset.", nil),
		option("use.autogenerated.ids", yes, "false", "Whether the cluster makes the ids of records whose key is ignored.", nil),
		option("flush.synchronously", yes, "false", "Whether a flush waits. It always does.", nil),
		option("connection.compression", yes, "false", "Whether requests are compressed.", nil),
		option("max.connection.idle.time.ms", configdef.Int, "60000", "Time after which an idle connection is closed.", configdef.AtLeast(1)),
		option("elastic.security.protocol", str, "PLAINTEXT", "PLAINTEXT or SSL; an https URL means SSL.", configdef.OneOf("PLAINTEXT", "SSL")),
		option("elastic.https.ssl.truststore.location", str, "", "PEM file with the certificates to trust.", nil),
		option("elastic.https.ssl.truststore.type", str, "JKS", "Only PEM can be read.", checkPEM),
		option("elastic.https.ssl.endpoint.identification.algorithm", str, "https", "https, or empty to accept any name.", nil),
		option("data.stream.type", str, "none", "logs, metrics or none.", configdef.OneOf("logs", "metrics", "none")),
		option("data.stream.dataset", str, "", "Dataset of the data stream.", nil),
		option("data.stream.namespace", str, "${topic}", "Namespace of the data stream.", nil),
		option("data.stream.timestamp.field", list, "", "Fields to take @timestamp from; without them, the record's time.", nil),
		option("external.resource.usage", str, "DISABLED", "INDEX, DATASTREAM, ALIAS_INDEX, ALIAS_DATASTREAM or DISABLED.", configdef.OneOf("INDEX", "DATASTREAM", "ALIAS_INDEX", "ALIAS_DATASTREAM", "DISABLED")),
		option("topic.to.external.resource.mapping", list, "", "List of topic:resource.", checkPairs),
		unsupported("proxy.host", str, "", "set HTTPS_PROXY in the environment."),
		unsupported("kerberos.user.principal", str, "", "use basic authentication or TLS."),
		unsupported("elastic.https.ssl.keystore.location", str, "", "client certificates are not supported; use basic authentication."),
	)}
}

// DefOpenSearch is the option table of Aiven's OpenSearch sink.
func DefOpenSearch() *configdef.Def {
	str, yes := configdef.String, configdef.Boolean
	return &configdef.Def{Options: append(common("ignore", "10000"),
		option("index.write.method", str, "insert", "insert or upsert.", configdef.OneOf("insert", "upsert")),
		option("key.ignore.id.strategy", str, "topic.partition.offset", "Ids of records whose key is ignored: topic.partition.offset, record.key or none.", configdef.OneOf("topic.partition.offset", "record.key", "none")),
		option("behavior.on.version.conflict", str, "fail", "ignore, warn, report or fail. When it is not set, a document that is newer already is left as it is: every replay meets some.", configdef.OneOf("ignore", "warn", "fail", "report")),
		option("connection.ssl.truststore.location", str, "", "PEM file with the certificates to trust.", nil),
		option("connection.ssl.truststore.type", str, "JKS", "Only PEM can be read.", checkPEM),
		unsupported("routing.type", str, "none", "documents are routed by their ids."),
		unsupported("data.stream.enabled", yes, "false", "name the data stream in topic.index.map and give it a template."),
		unsupported("existing.resource.type", str, "none", "name the index in topic.index.map."),
		unsupported("aws.region", str, "", "use basic authentication."),
	)}
}

func checkPEM(in configdef.Input) []string {
	if in.Set && !strings.EqualFold(in.Value, "PEM") {
		return []string{fmt.Sprintf("Invalid value %s for configuration %s: only PEM can be read; convert the store with keytool -exportcert -rfc", in.Value, in.Name)}
	}
	return nil
}

func checkPairs(in configdef.Input) []string {
	for _, x := range configdef.SplitList(in.Value) {
		if a, b, ok := strings.Cut(x, ":"); !ok || a == "" || b == "" {
			return []string{fmt.Sprintf("Invalid value %s for configuration %s: entries have the form topic:name", x, in.Name)}
		}
	}
	return nil
}

func checkURLs(in configdef.Input) (out []string) {
	for _, s := range configdef.SplitList(in.Value) {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			out = append(out, fmt.Sprintf("Invalid value %s for configuration connection.url: it must be a URL such as http://host:9200", s))
		}
	}
	return out
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, x := range list {
		m[x] = true
	}
	return m
}

func pairs(into map[string]string, list []string) map[string]string {
	for _, x := range list {
		a, b, _ := strings.Cut(x, ":")
		into[a] = b
	}
	return into
}

func policyOf(s string) policy {
	return map[string]policy{"ignore": onIgnore, "warn": onWarn, "delete": onDelete}[strings.ToLower(s)]
}

func commonConfig(v configdef.Values) *config {
	c := &config{user: v.String("connection.username"), password: v.String("connection.password"),
		timeout: max(time.Minute, v.Millis("read.timeout.ms")), ignoreKey: v.Bool("key.ignore"), ignoreKeyTopics: set(v.List("topic.key.ignore")),
		ignoreSchema: v.Bool("schema.ignore"), ignoreSchemaFor: set(v.List("topic.schema.ignore")), compactMaps: v.Bool("compact.map.entries"),
		nulls: policyOf(v.String("behavior.on.null.values")), malformed: policyOf(v.String("behavior.on.malformed.documents")),
		indexOf: pairs(map[string]string{}, v.List("topic.index.map")), batch: v.Int("batch.size"), bulkBytes: 5 << 20,
		lanes: v.Int("max.in.flight.requests"), retries: -1, backoff: v.Millis("retry.backoff.ms")}
	for _, u := range v.List("connection.url") {
		c.urls = append(c.urls, strings.TrimSuffix(u, "/"))
	}
	if v.IsSet("max.retries") {
		c.retries = v.Int("max.retries")
	}
	if v.Bool("drop.invalid.message") {
		c.malformed = onIgnore
	}
	return c
}

func confluentConfig(v configdef.Values) *config {
	c := commonConfig(v)
	c.upsert = v.Enum("write.method") == "upsert"
	c.bulkBytes = v.Int("bulk.size.bytes")
	c.versionHeader, c.gzip = v.String("external.version.header"), v.Bool("connection.compression")
	c.caFile, c.insecure = v.String("elastic.https.ssl.truststore.location"), v.String("elastic.https.ssl.endpoint.identification.algorithm") == ""
	c.conflicts = onWarn
	if v.Bool("use.autogenerated.ids") {
		c.idStrategy = idNone
	}
	if typ := v.Enum("data.stream.type"); typ != "none" {
		dataset, ns := v.String("data.stream.dataset"), v.String("data.stream.namespace")
		c.dataStream = func(topic string) string { return streamName(typ, dataset, ns, topic) }
		c.timestampFields = v.List("data.stream.timestamp.field")
	}
	if usage := v.String("external.resource.usage"); !strings.EqualFold(usage, "DISABLED") {
		pairs(c.indexOf, v.List("topic.to.external.resource.mapping"))
		c.externalStreams = strings.HasSuffix(strings.ToUpper(usage), "DATASTREAM")
	}
	return c
}

func openSearchConfig(v configdef.Values) *config {
	c := commonConfig(v)
	c.upsert = v.Enum("index.write.method") == "upsert"
	c.caFile, c.dynamicMapping = v.String("connection.ssl.truststore.location"), true
	c.idStrategy = map[string]idStrategy{"none": idNone, "record.key": idKey}[v.Enum("key.ignore.id.strategy")]
	c.conflicts = onWarn
	if v.IsSet("behavior.on.version.conflict") {
		c.conflicts = policyOf(v.String("behavior.on.version.conflict"))
	}
	return c
}

var leading = regexp.MustCompile(`^[-_]+`)

// indexName is the topic in lower case, without leading - and _, cut to 255 bytes.
func indexName(topic string) string {
	name := leading.ReplaceAllString(strings.ToLower(topic), "")
	if len(name) > 255 {
		name = name[:255]
	}
	return name
}

func streamName(typ, dataset, namespace, topic string) string {
	cut := func(s string) string {
		if len(s) > 100 {
			return s[:100]
		}
		return s
	}
	topic = strings.ToLower(topic)
	dataset = strings.ReplaceAll(strings.ToLower(dataset), "${topic}", topic)
	return typ + "-" + cut(dataset) + "-" + cut(strings.ReplaceAll(strings.ToLower(namespace), "${topic}", topic))
}
