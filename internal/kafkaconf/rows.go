package kafkaconf

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/configdef"
)

// commonRows are the properties of every client.
var commonRows = []row{
	{name: "bootstrap.servers", roles: forAll, typ: configdef.List, apply: func(r *reader, v string, _ int64) {
		hosts, text := servers(v)
		if text != "" {
			r.problem("bootstrap.servers", text)
		}
		r.seeds = hosts
	}},
	{name: "client.id", roles: forAll, typ: configdef.String, apply: func(r *reader, v string, _ int64) {
		if v != "" {
			r.add(kgo.ClientID(v))
		}
	}},
	{name: "client.dns.lookup", roles: forAll, typ: configdef.String, oneOf: []string{"use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"},
		fine: []string{"use_all_dns_ips"}, refuse: "list the canonical broker names in bootstrap.servers"},
	{name: "client.rack", roles: forAll, typ: configdef.String, apply: func(r *reader, v string, _ int64) {
		if v != "" {
			r.add(kgo.Rack(v))
		}
	}},
	{name: "request.timeout.ms", roles: forAll, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.requestMs = n
		if r.role != forProducer { // for a producer it is the broker's time to answer
			d := min(max(time.Duration(n)*time.Millisecond, 100*time.Millisecond), 15*time.Minute)
			r.add(kgo.RequestTimeoutOverhead(d))
		}
	}},
	{name: "connections.max.idle.ms", roles: forAll, typ: configdef.Long, apply: func(r *reader, _ string, n int64) {
		d := time.Duration(n) * time.Millisecond
		if n < 0 || d > 15*time.Minute {
			d = 15 * time.Minute
		}
		r.add(kgo.ConnIdleTimeout(max(d, 100*time.Millisecond)))
	}},
	{name: "retry.backoff.ms", roles: forAll, typ: configdef.Long, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.backoff.first = max(time.Duration(n)*time.Millisecond, time.Millisecond)
		r.backoff.most = max(r.backoff.most, r.backoff.first)
	}},
	{name: "retry.backoff.max.ms", roles: forAll, typ: configdef.Long, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.backoff.most = max(time.Duration(n)*time.Millisecond, time.Millisecond)
	}},
	{name: "reconnect.backoff.ms", roles: forAll, typ: configdef.Long, hasMin: true, note: "retry.backoff.ms paces reconnecting too"},
	{name: "reconnect.backoff.max.ms", roles: forAll, typ: configdef.Long, hasMin: true, note: "retry.backoff.max.ms paces reconnecting too"},
	{name: "metadata.max.age.ms", roles: forAll, typ: configdef.Long, hasMin: true, apply: ms(func(r *reader, n int64) { r.ages.metadataMs = n })},
	{name: "metadata.recovery.strategy", roles: forAll, typ: configdef.String, anyCase: true, oneOf: []string{"none", "rebootstrap"}, note: "the bootstrap servers are always asked again when no broker answers"},
	{name: "metadata.recovery.rebootstrap.trigger.ms", roles: forAll, typ: configdef.Long, hasMin: true, note: "the bootstrap servers are always asked again when no broker answers"},
	{name: "socket.connection.setup.timeout.ms", roles: forAll, typ: configdef.Long, apply: ms(func(r *reader, n int64) { r.net.setupMs = n })},
	{name: "socket.connection.setup.timeout.max.ms", roles: forAll, typ: configdef.Long, note: "every attempt has socket.connection.setup.timeout.ms"},
	{name: "send.buffer.bytes", roles: forAll, typ: configdef.Int, hasMin: true, min: -1, apply: ms(func(r *reader, n int64) { r.net.send = int(n) })},
	{name: "receive.buffer.bytes", roles: forAll, typ: configdef.Int, hasMin: true, min: -1, apply: ms(func(r *reader, n int64) { r.net.receive = int(n) })},
	{name: "default.api.timeout.ms", roles: forConsumer | forAdmin, typ: configdef.Int, hasMin: true, note: "every call has its own time limit"},
	{name: "retries", roles: forProducer | forAdmin, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		if n == 1<<31-1 {
			return // Java's default: no limit
		}
		if r.role == forProducer {
			r.add(kgo.RecordRetries(int(n)))
		} else {
			r.add(kgo.RequestRetries(int(n)))
		}
	}},
	{name: "interceptor.classes", roles: forProducer | forConsumer, typ: configdef.List, fine: []string{""}, refuse: javaPlugin},
	{name: "metric.reporters", roles: forAll, typ: configdef.List, note: javaMetrics},
	{name: "auto.include.jmx.reporter", roles: forAll, typ: configdef.Boolean, note: javaMetrics},
	{name: "metrics.num.samples", roles: forAll, typ: configdef.Int, note: javaMetrics},
	{name: "metrics.recording.level", roles: forAll, typ: configdef.String, note: javaMetrics},
	{name: "metrics.sample.window.ms", roles: forAll, typ: configdef.Long, note: javaMetrics},
	{name: "enable.metrics.push", roles: forAll, typ: configdef.Boolean, apply: func(r *reader, _ string, n int64) {
		if n == 0 {
			r.add(kgo.DisableClientMetrics())
		}
	}},
	{name: "bootstrap.controllers", roles: forAdmin, typ: configdef.List, refuse: "use bootstrap.servers"},
	{name: "security.providers", roles: forAll, typ: configdef.String, refuse: javaPlugin},
	{name: "config.providers", roles: forAll, typ: configdef.List, fine: []string{""}, refuse: "set config.providers of the worker; its placeholders work in every property"},
}

// securityRows are read as a group by tls and sasl; here they are only known and
// checked.
var securityRows = []row{
	{name: "security.protocol", roles: forAll, typ: configdef.String, anyCase: true, oneOf: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"},
		apply: func(r *reader, v string, _ int64) { r.protocol = strings.ToUpper(v) }},
	{name: "ssl.protocol", roles: forAll}, {name: "ssl.enabled.protocols", roles: forAll}, {name: "ssl.cipher.suites", roles: forAll},
	{name: "ssl.endpoint.identification.algorithm", roles: forAll},
	{name: "ssl.truststore.location", roles: forAll}, {name: "ssl.truststore.type", roles: forAll},
	{name: "ssl.truststore.password", roles: forAll, secret: true}, {name: "ssl.truststore.certificates", roles: forAll},
	{name: "ssl.keystore.location", roles: forAll}, {name: "ssl.keystore.type", roles: forAll},
	{name: "ssl.keystore.password", roles: forAll, secret: true}, {name: "ssl.key.password", roles: forAll, secret: true},
	{name: "ssl.keystore.key", roles: forAll, secret: true}, {name: "ssl.keystore.certificate.chain", roles: forAll},
	{name: "ssl.keymanager.algorithm", roles: forAll, note: javaInside}, {name: "ssl.trustmanager.algorithm", roles: forAll, note: javaInside},
	{name: "ssl.secure.random.implementation", roles: forAll, note: javaInside},
	{name: "ssl.provider", roles: forAll, fine: []string{""}, refuse: javaPlugin},
	{name: "ssl.engine.factory.class", roles: forAll, fine: []string{""}, refuse: javaPlugin},
	{name: "sasl.mechanism", roles: forAll}, {name: "sasl.jaas.config", roles: forAll, secret: true},
	{name: "sasl.oauthbearer.token.endpoint.url", roles: forAll}, {name: "sasl.oauthbearer.scope", roles: forAll},
	{name: "sasl.oauthbearer.client.credentials.client.id", roles: forAll},
	{name: "sasl.oauthbearer.client.credentials.client.secret", roles: forAll, secret: true},
	{name: "sasl.login.class", roles: forAll, fine: []string{""}, refuse: javaPlugin},
	{name: "sasl.client.callback.handler.class", roles: forAll, fine: []string{""}, refuse: "use sasl.mechanism PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER with Kafka's own handlers"},
	{name: "sasl.login.callback.handler.class", roles: forAll, refuse: "use Kafka's own OAuthBearerLoginCallbackHandler with sasl.oauthbearer.token.endpoint.url", fine: []string{"",
		"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
		"org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler"}},
	{name: "sasl.oauthbearer.jwt.retriever.class", roles: forAll, refuse: "use sasl.oauthbearer.token.endpoint.url", fine: []string{"",
		"org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever"}},
	{name: "sasl.oauthbearer.jwt.validator.class", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.sub.claim.name", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.scope.claim.name", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.header.urlencode", roles: forAll, typ: configdef.Boolean},
	{name: "sasl.oauthbearer.clock.skew.seconds", roles: forAll, note: brokerChecks}, {name: "sasl.oauthbearer.expected.audience", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.expected.issuer", roles: forAll, note: brokerChecks}, {name: "sasl.oauthbearer.jwks.endpoint.url", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.jwks.endpoint.refresh.ms", roles: forAll, note: brokerChecks}, {name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", roles: forAll, note: brokerChecks},
	{name: "sasl.oauthbearer.assertion.algorithm", roles: forAll, note: assertion}, {name: "sasl.oauthbearer.assertion.claim.aud", roles: forAll, note: assertion},
	{name: "sasl.oauthbearer.assertion.claim.exp.seconds", roles: forAll, note: assertion}, {name: "sasl.oauthbearer.assertion.claim.iss", roles: forAll, note: assertion},
	{name: "sasl.oauthbearer.assertion.claim.jti.include", roles: forAll, note: assertion}, {name: "sasl.oauthbearer.assertion.claim.nbf.seconds", roles: forAll, note: assertion},
	{name: "sasl.oauthbearer.assertion.claim.sub", roles: forAll, note: assertion}, {name: "sasl.oauthbearer.assertion.file", roles: forAll, note: assertion},
	{name: "sasl.oauthbearer.assertion.private.key.file", roles: forAll, note: assertion}, {name: "sasl.oauthbearer.assertion.template.file", roles: forAll, note: assertion},
	{name: "sasl.oauthbearer.assertion.private.key.passphrase", roles: forAll, secret: true, note: assertion},
	{name: "sasl.login.connect.timeout.ms", roles: forAll, note: "a login has 30 seconds"},
	{name: "sasl.login.read.timeout.ms", roles: forAll, note: "a login has 30 seconds"},
	{name: "sasl.login.retry.backoff.ms", roles: forAll, note: "retry.backoff.ms paces logins too"},
	{name: "sasl.login.retry.backoff.max.ms", roles: forAll, note: "retry.backoff.max.ms paces logins too"},
	{name: "sasl.login.refresh.window.factor", roles: forAll, note: "tokens are renewed after four fifths of their life"},
	{name: "sasl.login.refresh.window.jitter", roles: forAll, note: "tokens are renewed after four fifths of their life"},
	{name: "sasl.login.refresh.min.period.seconds", roles: forAll, note: "tokens are renewed after four fifths of their life"},
	{name: "sasl.login.refresh.buffer.seconds", roles: forAll, note: "tokens are renewed after four fifths of their life"},
	{name: "sasl.kerberos.service.name", roles: forAll, refuse: kerberos}, {name: "sasl.kerberos.kinit.cmd", roles: forAll, refuse: kerberos},
	{name: "sasl.kerberos.ticket.renew.window.factor", roles: forAll, refuse: kerberos},
	{name: "sasl.kerberos.ticket.renew.jitter", roles: forAll, refuse: kerberos},
	{name: "sasl.kerberos.min.time.before.relogin", roles: forAll, refuse: kerberos},
}

const (
	brokerChecks = "the broker validates tokens"
	assertion    = "it is for JwtBearerJwtRetriever, which millrace does not have; tokens are fetched with a client id and secret"
)

const kerberos = "Kerberos is not available; use SCRAM-SHA-512 or OAUTHBEARER"
