package elastic

import (
	"net/url"
	"strconv"
	"strings"

	"millrace/internal/configdef"
)

// Java names of the connectors and their tasks.
const (
	ConfluentClass      = "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"
	ConfluentTaskClass  = "io.confluent.connect.elasticsearch.ElasticsearchSinkTask"
	OpenSearchClass     = "io.aiven.kafka.connect.opensearch.OpenSearchSinkConnector"
	OpenSearchTaskClass = "io.aiven.kafka.connect.opensearch.OpenSearchSinkTask"
	// AivenClass is Aiven's older sink for Elasticsearch; its options are a part of OpenSearchClass's.
	AivenClass     = "io.aiven.connect.elasticsearch.ElasticsearchSinkConnector"
	AivenTaskClass = "io.aiven.connect.elasticsearch.ElasticsearchSinkTask"
)

func option(name string, typ configdef.Type, def, doc string, check func(configdef.Input) []string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Medium, Doc: doc, Check: check}
}

func unsupported(name string, typ configdef.Type, def, instead string) configdef.Option {
	return configdef.Option{Name: name, Type: typ, Default: def, HasDefault: true, Importance: configdef.Low, Doc: "Not supported.", Unsupported: instead}
}

// text is an option without default; secret is one whose value is hidden.
func text(name, doc string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.String, Importance: configdef.Medium, Doc: doc}
}

func secret(name, doc string) configdef.Option {
	return configdef.Option{Name: name, Type: configdef.Password, Importance: configdef.Medium, Doc: doc}
}

// filled is an option without default that may not be empty.
func filled(name, doc string) configdef.Option {
	o := text(name, doc)
	o.Check = notEmpty
	return o
}

func notEmpty(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return configdef.Invalid(in, "String must be non-empty")
	}
	return nil
}

func common(nulls string, flushTimeout string) []configdef.Option {
	str, list, integer, long, yes := configdef.String, configdef.List, configdef.Int, configdef.Long, configdef.Boolean
	return []configdef.Option{
		{Name: "connection.url", Type: list, Required: true, Importance: configdef.High, Doc: "List of addresses of the cluster's nodes, such as http://host:9200. Without protocol: http, or https when one of them is.", Check: checkURLs},
		text("connection.username", "User for basic authentication."),
		secret("connection.password", "Its password."),
		secret("connection.api.key", "API key of Elasticsearch in its encoded form, in place of user and password. Millrace's own option."),
		option("batch.size", integer, "2000", "Most records of one bulk request.", configdef.AtLeast(1)),
		option("max.in.flight.requests", integer, "5", "Most bulk requests in flight; requests of one document never overlap.", configdef.AtLeast(1)),
		option("max.buffered.records", integer, "20000", "Records waiting in the Java sink. Here a batch is sent as it comes; nothing waits.", configdef.AtLeast(1)),
		option("linger.ms", long, "1", "Waiting time of the Java sink's buffer; nothing waits here.", configdef.AtLeast(0)),
		option("flush.timeout.ms", long, flushTimeout, "Time the Java sink gives a flush. Here a put ends when everything was answered.", configdef.AtLeast(1)),
		option("max.retries", integer, "5", "How often a request is sent again after a network error, 429 or 5xx. When it is not set, until it works.", configdef.AtLeast(0)),
		option("retry.backoff.ms", long, "100", "First delay between those tries; it doubles up to 10 s.", configdef.AtLeast(0)),
		option("connection.timeout.ms", integer, "1000", "Time to connect.", configdef.AtLeast(1)),
		option("read.timeout.ms", integer, "3000", "Time to wait for an answer; less than 60 s is taken as 60 s, since a busy cluster that answers late has done the work.", configdef.AtLeast(1)),
		option("key.ignore", yes, "false", "Whether the record key is not the document's id.", nil),
		option("topic.key.ignore", list, "", "Topics for which key.ignore is true.", nil),
		option("schema.ignore", yes, "false", "Whether the index gets no mapping from the record's schema.", nil),
		option("topic.schema.ignore", list, "", "Topics for which schema.ignore is true.", nil),
		option("compact.map.entries", yes, "true", "Whether map entries with text keys become fields; else they are key/value objects.", nil),
		option("drop.invalid.message", yes, "false", "Whether records that cannot become documents are left out.", nil),
		option("behavior.on.null.values", str, nulls, "ignore, delete or fail.", configdef.OneOf("ignore", "delete", "fail")),
		option("unavailable.value.placeholder", str, "__debezium_unavailable_value", "The source's unavailable.value.placeholder: a field that holds it is left out, and what is stored of it stays. Millrace's own option.", nil),
		option("topic.index.map", list, "", "List of topic:index.", checkPairs),
		option("type.name", str, "", "Accepted for compatibility: the document type of Elasticsearch 6; there are none since.", nil),
		option("auto.create.indices.at.start", yes, "true", "Accepted for compatibility: whether older Java sinks made the indices at start; an index is made when its first record comes.", nil),
		option("retry.on.conflict", integer, "5", "Accepted for compatibility: how often older Java sinks tried an update again; always 5 here.", configdef.AtLeast(0)),
	}
}

// tlsOptions are Java's ssl.* options below a prefix.
func tlsOptions(prefix string) []configdef.Option {
	str, list := configdef.String, configdef.List
	p := prefix + "ssl."
	return []configdef.Option{
		text(p+"truststore.location", "File with the authorities to trust: JKS, PKCS12 or PEM. Without it, those of the system."),
		secret(p+"truststore.password", "Its password."),
		option(p+"truststore.type", str, "JKS", "JKS, PKCS12 or PEM; the first two read each other's files.", configdef.OneOf("JKS", "PKCS12", "PEM")),
		secret(p+"truststore.certificates", "The authorities themselves, as PEM text."),
		text(p+"keystore.location", "File with the client's certificate and key: JKS, PKCS12 or PEM."),
		secret(p+"keystore.password", "Its password."),
		option(p+"keystore.type", str, "JKS", "JKS, PKCS12 or PEM; the first two read each other's files.", configdef.OneOf("JKS", "PKCS12", "PEM")),
		secret(p+"keystore.key", "The key itself, as PEM text."),
		secret(p+"keystore.certificate.chain", "The certificate itself, as PEM text."),
		secret(p+"key.password", "Password of the key."),
		option(p+"endpoint.identification.algorithm", str, "https", "https, or empty to accept any host name.", configdef.OneOf("https", "")),
		option(p+"protocol", str, "TLSv1.3", "Version of TLS; TLSv1.3 speaks TLSv1.2 too.", nil),
		option(p+"enabled.protocols", list, "TLSv1.2,TLSv1.3", "Versions of TLS that may be used.", nil),
		option(p+"cipher.suites", list, "", "Cipher suites of TLS 1.2 that may be used, by their standard names.", nil),
		unsupported(p+"provider", str, "", "TLS is built in; leave it out."),
		unsupported(p+"keymanager.algorithm", str, "SunX509", "TLS is built in; leave it out."),
		unsupported(p+"trustmanager.algorithm", str, "PKIX", "TLS is built in; leave it out."),
		unsupported(p+"secure.random.implementation", str, "", "TLS is built in; leave it out."),
		unsupported(p+"engine.factory.class", configdef.Class, "", "TLS is built in; leave it out."),
	}
}

// DefConfluent is the option table of Confluent's Elasticsearch sink.
func DefConfluent() *configdef.Def {
	str, list, yes, integer := configdef.String, configdef.List, configdef.Boolean, configdef.Int
	out := append(common("fail", "180000"),
		option("behavior.on.malformed.documents", str, "fail", "What becomes of documents that the cluster refuses: ignore or warn leave them out, fail stops the task. Under errors.tolerance=all with a dead letter queue they all go there.", configdef.OneOf("ignore", "warn", "fail")),
		option("write.method", str, "insert", "insert or upsert.", configdef.OneOf("insert", "upsert")),
		option("bulk.size.bytes", configdef.Long, "5242880", "Most bytes of one bulk request.", configdef.AtLeast(1)),
		option("external.version.header", str, "", "Header with the document's version; without it, the offset.", nil),
		option("use.autogenerated.ids", yes, "false", "Whether the cluster makes the ids of documents, whatever key.ignore says.", nil),
		option("flush.synchronously", yes, "false", "Whether a flush waits. It always does.", nil),
		option("connection.compression", yes, "false", "Whether requests are compressed.", nil),
		option("max.connection.idle.time.ms", integer, "60000", "Time after which an idle connection is closed.", configdef.AtLeast(1)),
		option("log.sensitive.data", yes, "false", "Whether the Java sink writes parts of documents into its log; none are written here.", nil),
		option("elastic.security.protocol", str, "PLAINTEXT", "PLAINTEXT or SSL; an https URL means SSL.", configdef.OneOf("PLAINTEXT", "SSL")),
		option("data.stream.type", str, "none", "logs, metrics or none.", configdef.OneOf("logs", "metrics", "none")),
		option("data.stream.dataset", str, "", "Dataset of the data stream; ${topic} is the topic.", nil),
		option("data.stream.namespace", str, "${topic}", "Namespace of the data stream; ${topic} is the topic.", nil),
		option("data.stream.timestamp.field", list, "", "Fields to take @timestamp from; without them, the record's time.", nil),
		option("external.resource.usage", str, "DISABLED", "What topic.to.external.resource.mapping names: INDEX, DATASTREAM, ALIAS_INDEX or ALIAS_DATASTREAM.", configdef.OneOf("INDEX", "DATASTREAM", "ALIAS_INDEX", "ALIAS_DATASTREAM", "DISABLED")),
		option("topic.to.external.resource.mapping", list, "", "List of topic:resource of what is there already; every topic must be named.", checkPairs),
		option("max.external.resource.mappings", integer, "15", "Most entries of that list.", configdef.AtLeast(1)),
		option("proxy.host", str, "", "Host of a proxy; without it, HTTPS_PROXY of the environment.", nil),
		option("proxy.port", integer, "8080", "Its port.", configdef.AtLeast(1)),
		text("proxy.username", "User of the proxy."),
		secret("proxy.password", "Its password."),
		unsupported("kerberos.user.principal", str, "", "use basic authentication, connection.api.key or a client certificate."),
		unsupported("kerberos.keytab.path", str, "", "use basic authentication, connection.api.key or a client certificate."),
	)
	return &configdef.Def{Options: append(out, tlsOptions("elastic.https.")...)}
}

// DefOpenSearch is the option table of Aiven's OpenSearch sink.
func DefOpenSearch() *configdef.Def {
	str, yes, list, integer := configdef.String, configdef.Boolean, configdef.List, configdef.Int
	out := append(common("ignore", "10000"),
		option("behavior.on.malformed.documents", str, "fail", "What becomes of documents that the cluster refuses: ignore or warn leave them out, report sends them to the dead letter queue, fail stops the task, or does as report under errors.tolerance=all with such a queue.", configdef.OneOf("ignore", "warn", "fail", "report")),
		option("index.write.method", str, "insert", "insert or upsert.", configdef.OneOf("insert", "upsert")),
		option("key.ignore.id.strategy", str, "topic.partition.offset", "Ids of records whose key is ignored: topic.partition.offset, record.key or none.", configdef.OneOf("topic.partition.offset", "record.key", "none")),
		option("behavior.on.version.conflict", str, "fail", "ignore, warn, report or fail. When it is not set, a document that is newer already is left as it is: every replay meets some.", configdef.OneOf("ignore", "warn", "fail", "report")),
		option("routing.type", str, "none", "What documents are routed by: none (the id), key or value.", configdef.OneOf("none", "key", "value")),
		option("routing.type.record.value.path", str, "", "JSON pointer of the routing value in a document, such as /customer/id.", checkPointer),
		option("data.stream.enabled", yes, "false", "Whether documents go into data streams.", nil),
		filled("data.stream.prefix", "Data streams are named <prefix>-<topic>; without it, <topic>."),
		option("data.stream.timestamp.field", str, timestampName, "Field that holds a document's time. @timestamp is added from the record's time when the value has none.", notEmpty),
		option("data.streams.existing.index.template.name", str, "", "Index template of the data streams; made when it is not there. Without it, one per data stream.", nil),
		option("existing.resource.type", str, "none", "What topic.to.existing.resource.mapping names: index, index_alias or data_stream.", configdef.OneOf("none", "index", "index_alias", "data_stream")),
		option("topic.to.existing.resource.mapping", list, "", "List of topic:resource of what is there already; every topic must be named.", checkPairs),
		option("connection.trust.all.certificates", yes, "false", "Whether any certificate is trusted.", nil),
		text("aws.access_key_id", "Access key to sign requests with, for Amazon's OpenSearch service."),
		secret("aws.secret_access_key", "Its secret."),
		text("aws.region", "Region to sign requests for."),
		text("aws.service.signing.name", "Service to sign requests for: es, or aoss for serverless."),
		filled("aws.sts.role.arn", "Role to assume to sign requests."),
		filled("aws.sts.role.session.name", "Name of its sessions."),
		filled("aws.sts.role.external.id", "External id of the role."),
		option("aws.sts.role.session.duration", integer, "3600", "Seconds of a session.", checkSession),
	)
	for i := range out {
		if out[i].Name == "linger.ms" || out[i].Name == "max.retries" { // Aiven's takes numbers below 0 as 0
			out[i].Check = nil
		}
	}
	return &configdef.Def{Options: append(out, tlsOptions("connection.")...)}
}

func checkSession(in configdef.Input) []string {
	if bad := configdef.AtLeast(900)(in); bad != nil {
		return bad
	}
	if n, err := strconv.Atoi(in.Value); err != nil || n > 43200 {
		return configdef.Invalid(in, "Value must be no more than 43200")
	}
	return nil
}

func checkPairs(in configdef.Input) []string {
	for _, x := range configdef.SplitList(in.Value) {
		if a, b, ok := strings.Cut(x, ":"); !ok || strings.TrimSpace(a) == "" || strings.TrimSpace(b) == "" || strings.Contains(b, ":") {
			return configdef.Invalid(in, "entries have the form topic:name")
		}
	}
	return nil
}

func checkPointer(in configdef.Input) []string {
	if in.Value != "" && in.Value[0] != '/' {
		return configdef.Invalid(in, "a JSON pointer begins with /, such as /customer/id")
	}
	return nil
}

func checkURLs(in configdef.Input) (out []string) {
	for _, s := range configdef.SplitList(in.Value) {
		full := s
		if !strings.Contains(s, "://") {
			full = "http://" + s
		}
		if u, err := url.Parse(full); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			out = append(out, configdef.Invalid(configdef.Input{Name: in.Name, Value: s}, "it must be a URL such as http://host:9200")...)
		}
	}
	return out
}
