package convert

import (
	"net/url"
	"strings"

	"millrace/internal/configdef"
)

// Class names of the subject name strategies.
const (
	strategyPackage     = "io.confluent.kafka.serializers.subject."
	strategyAssociated  = strategyPackage + "AssociatedNameStrategy"
	strategyTopic       = strategyPackage + "TopicNameStrategy"
	strategyRecord      = strategyPackage + "RecordNameStrategy"
	strategyTopicRecord = strategyPackage + "TopicRecordNameStrategy"
	strategyNullContext = "io.confluent.kafka.serializers.context.NullContextNameStrategy"
)

// registryOptions are the options that every registry-aware converter has.
func registryOptions() []configdef.Option {
	opts := []configdef.Option{
		{Name: "schema.registry.url", Type: configdef.List, Required: true, Importance: configdef.High, Check: checkRegistryURLs,
			Doc: "Addresses of the Schema Registry, separated by commas; the next one is tried when one does not answer."},
		{Name: "max.schemas.per.subject", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low,
			Doc: "How many schemas of the registry are kept in memory."},
		{Name: "auto.register.schemas", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Medium,
			Doc: "Register schemas that the registry does not know."},
		{Name: "normalize.schemas", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Medium,
			Doc: "Ask the registry to compare and store schemas in their normal form."},
		{Name: "use.latest.version", Type: configdef.Boolean, Default: "false", HasDefault: true, Importance: configdef.Low,
			Doc: "Write with the latest schema of the subject; needs auto.register.schemas=false."},
		{Name: "latest.compatibility.strict", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Low,
			Doc: "With use.latest.version, refuse data that has a field the latest schema lacks. false leaves such fields out."},
		{Name: "latest.cache.size", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low,
			Doc: "How many latest versions are kept in memory."},
		{Name: "latest.cache.ttl.sec", Type: configdef.Int, Default: "-1", HasDefault: true, Importance: configdef.Low,
			Doc: "Seconds after which the latest version is asked for again; -1: never.", Unsupported: "the latest version is asked for once; restart the task to use a newer one"},
		{Name: "use.schema.id", Type: configdef.Int, Default: "-1", HasDefault: true, Importance: configdef.Low,
			Doc: "Write with the schema of this id; needs auto.register.schemas=false. -1: off."},
		{Name: "id.compatibility.strict", Type: configdef.Boolean, Default: "true", HasDefault: true, Importance: configdef.Low,
			Doc: "With use.schema.id, refuse data that has a field the schema lacks. false leaves such fields out."},
		{Name: "use.latest.with.metadata", Type: configdef.String, Importance: configdef.Low,
			Doc: "Choose the latest version by its metadata.", Unsupported: "use use.latest.version=true or use.schema.id"},
		{Name: "key.subject.name.strategy", Type: configdef.Class, Default: strategyAssociated, HasDefault: true, Importance: configdef.Medium, Check: checkStrategy,
			Doc: "How the subject of a key is named, by class name: AssociatedNameStrategy, TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy."},
		{Name: "value.subject.name.strategy", Type: configdef.Class, Default: strategyAssociated, HasDefault: true, Importance: configdef.Medium, Check: checkStrategy,
			Doc: "How the subject of a value is named, by class name: AssociatedNameStrategy, TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy."},
		{Name: "context.name.strategy", Type: configdef.Class, Default: strategyNullContext, HasDefault: true, Importance: configdef.Medium,
			Doc: "How the schema context of a subject is chosen.", Unsupported: "put the context into the address, as http://host:8081/contexts/.name"},
		{Name: "max.retries", Type: configdef.Int, Default: "3", HasDefault: true, Importance: configdef.Low,
			Doc: "How often a request to the registry is repeated when it failed for a passing reason."},
		{Name: "retries.wait.ms", Type: configdef.Int, Default: "1000", HasDefault: true, Importance: configdef.Low,
			Doc: "Upper bound of the wait before the first repetition, in milliseconds; it doubles each time."},
		{Name: "retries.max.wait.ms", Type: configdef.Int, Default: "20000", HasDefault: true, Importance: configdef.Low,
			Doc: "Upper bound of every wait, in milliseconds."},
		{Name: "http.connect.timeout.ms", Type: configdef.Int, Default: "60000", HasDefault: true, Importance: configdef.Low,
			Doc: "How long to wait for a connection to the registry, in milliseconds."},
		{Name: "http.read.timeout.ms", Type: configdef.Int, Default: "60000", HasDefault: true, Importance: configdef.Low,
			Doc: "How long to wait for an answer of the registry, in milliseconds."},
		{Name: "proxy.host", Type: configdef.String, Default: "", HasDefault: true, Importance: configdef.Low, Doc: "Host of the HTTP proxy to the registry."},
		{Name: "proxy.port", Type: configdef.Int, Default: "-1", HasDefault: true, Importance: configdef.Low, Doc: "Port of the HTTP proxy to the registry."},
	}
	opts = append(append(opts, registryAuthOptions()...), registryTLSOptions()...)
	for i := range opts {
		o := &opts[i]
		o.Order, o.Width = -1, configdef.WidthNone
		if !strings.HasPrefix(o.Name, "schema.registry.") {
			o.Aliases = append(o.Aliases, "schema.registry."+o.Name)
		}
	}
	return opts
}

func registryAuthOptions() []configdef.Option {
	return []configdef.Option{
		{Name: "basic.auth.credentials.source", Type: configdef.String, Default: "URL", HasDefault: true, Importance: configdef.Medium,
			Doc: "Where user and password come from: URL (part of the address) or USER_INFO (basic.auth.user.info).",
			Check: func(in configdef.Input) []string {
				switch strings.ToUpper(in.Value) {
				case "URL", "USER_INFO":
					return nil
				}
				return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": millrace knows URL and USER_INFO"}
			}},
		{Name: "basic.auth.user.info", Type: configdef.Password, Default: "", HasDefault: true, Importance: configdef.Medium,
			Doc: "User and password for the registry, as user:password."},
		{Name: "bearer.auth.credentials.source", Type: configdef.String, Default: "STATIC_TOKEN", HasDefault: true, Importance: configdef.Medium,
			Doc: "Where the bearer token comes from: STATIC_TOKEN (bearer.auth.token).",
			Check: func(in configdef.Input) []string {
				if strings.EqualFold(in.Value, "STATIC_TOKEN") || !in.Set {
					return nil
				}
				return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": millrace knows STATIC_TOKEN; get a token yourself and give it as bearer.auth.token"}
			}},
		{Name: "bearer.auth.token", Type: configdef.Password, Default: "", HasDefault: true, Importance: configdef.Medium, Doc: "Bearer token for the registry."},
	}
}

func registryTLSOptions() []configdef.Option {
	o := func(name string, t configdef.Type, def, doc string) configdef.Option {
		return configdef.Option{Name: "schema.registry." + name, Type: t, Default: def, HasDefault: def != "", Importance: configdef.Medium, Doc: doc}
	}
	pem := func(in configdef.Input) []string {
		if !in.Set || strings.EqualFold(in.Value, "PEM") {
			return nil
		}
		return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": millrace reads PEM. Convert with: keytool -importkeystore -srckeystore STORE -destkeystore s.p12 -deststoretype PKCS12 && openssl pkcs12 -in s.p12 -out store.pem -nodes"}
	}
	trustType := o("ssl.truststore.type", configdef.String, "PEM", "Kind of the trust store; PEM.")
	keyType := o("ssl.keystore.type", configdef.String, "PEM", "Kind of the key store; PEM.")
	trustType.Check, keyType.Check = pem, pem
	unsupported := o("ssl.keystore.password", configdef.Password, "", "Password of the key store.")
	unsupported.Unsupported = "PEM files have no store password; leave it out"
	keyPassword := o("ssl.key.password", configdef.Password, "", "Password of the private key.")
	keyPassword.Unsupported = "give the private key unencrypted and protect the file by its permissions"
	trustPassword := o("ssl.truststore.password", configdef.Password, "", "Password of the trust store.")
	trustPassword.Unsupported = "PEM files have no store password; leave it out"
	return []configdef.Option{trustType, keyType, unsupported, keyPassword, trustPassword,
		o("ssl.truststore.location", configdef.String, "", "PEM file with the certificates that the registry's own must lead to."),
		o("ssl.truststore.certificates", configdef.Password, "", "Those certificates themselves, in PEM."),
		o("ssl.keystore.location", configdef.String, "", "PEM file with this client's certificate chain and private key."),
		o("ssl.keystore.certificate.chain", configdef.Password, "", "This client's certificate chain itself, in PEM."),
		o("ssl.keystore.key", configdef.Password, "", "This client's private key itself, in PEM."),
		o("ssl.endpoint.identification.algorithm", configdef.String, "https", "Whether the registry's name must match its certificate: https, or empty for no check."),
	}
}

func checkRegistryURLs(in configdef.Input) []string {
	if !in.Set {
		return nil
	}
	var out []string
	for _, u := range configdef.SplitList(in.Value) {
		p, err := url.Parse(u)
		if err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
			out = append(out, "Invalid value for configuration "+in.Name+": an address must look like http://host:8081 or https://host:8081")
			break
		}
	}
	return out
}

func checkStrategy(in configdef.Input) []string {
	switch in.Value {
	case strategyAssociated, strategyTopic, strategyRecord, strategyTopicRecord:
		return nil
	}
	return []string{"Invalid value " + in.Value + " for configuration " + in.Name + ": millrace knows " + strategyPackage + "AssociatedNameStrategy, TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy"}
}
