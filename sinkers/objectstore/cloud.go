package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"millrace/internal/configdef"
)

// Java names of Aiven's sinks for Google Cloud Storage and Azure Blob Storage.
const (
	GCSClass       = "io.aiven.kafka.connect.gcs.GcsSinkConnector"
	GCSTaskClass   = "io.aiven.kafka.connect.gcs.GcsSinkTask"
	AzureClass     = "io.aiven.kafka.connect.azure.sink.AzureBlobSinkConnector"
	AzureTaskClass = "io.aiven.kafka.connect.azure.sink.AzureBlobSinkTask"
)

func retryOptions(prefix string) []configdef.Option {
	long, integer := configdef.Long, configdef.Int
	p := prefix + ".retry.backoff."
	return []configdef.Option{
		option(p+"initial.delay.ms", long, "1000", "First delay between tries of a request.", configdef.AtLeast(0)),
		option(p+"max.delay.ms", long, "32000", "Longest delay between tries.", configdef.AtLeast(0)),
		option(p+"max.attempts", integer, "6", "How often a request is sent at once; after that, until it works, at each commit.", configdef.AtLeast(0)),
	}
}

func retries(v configdef.Values, prefix string) backoff {
	p := prefix + ".retry.backoff."
	return backoff{attempts: v.Int(p + "max.attempts"), first: v.Millis(p + "initial.delay.ms"), most: v.Millis(p + "max.delay.ms")}
}

func prefixOption() configdef.Option {
	return option("file.name.prefix", configdef.String, "", "Text before the name of each file, such as directory/.", func(in configdef.Input) []string {
		if len(in.Value) > 1024 {
			return configdef.Invalid(in, "cannot be longer than 1024 characters")
		}
		return nil
	})
}

// DefGCS is the option table of Aiven's sink for Google Cloud Storage.
func DefGCS() *configdef.Def {
	str := configdef.String
	out := append([]configdef.Option{
		{Name: "gcs.bucket.name", Type: str, Required: true, Importance: configdef.High, Doc: "The bucket."},
		text("gcs.credentials.path", "File with the credentials, such as the key of a service account.", nil),
		secret("gcs.credentials.json", "The credentials themselves, as JSON."),
		option("gcs.credentials.default", configdef.Boolean, "false", "Whether to take the environment's credentials: GOOGLE_APPLICATION_CREDENTIALS, those of gcloud, or the machine's account. Without any of the three, none are used.", nil),
		text("gcs.endpoint", "Address of the store when it is not Google's.", checkHTTP),
		text("gcs.object.content.encoding", "Content-Encoding of the objects, such as gzip.", nil),
		option("gcs.user.agent", str, "millrace", "How requests name their sender.", nil),
		option("gcs.retry.backoff.delay.multiplier", configdef.Double, "2.0", "By how much a delay is longer than the one before.", nil),
		option("gcs.retry.backoff.total.timeout.ms", configdef.Long, "50000", "Time after which a request is not tried again at once; at most a day. 0: none.", configdef.AtLeast(0)),
		prefixOption(),
	}, retryOptions("gcs")...)
	return &configdef.Def{Options: append(out, aivenFiles("none")...)}
}

// checkHTTP asks for a URL of HTTP.
func checkHTTP(in configdef.Input) []string {
	if _, file := local(in.Value); file {
		return configdef.Invalid(in, "it must be a URL such as https://storage.example.com; local files are written by the S3 sinks")
	}
	return checkAddress(in)
}

// NewGCS makes a task of Aiven's sink for Google Cloud Storage; Start connects.
func NewGCS(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := DefGCS().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	s, err := newAivenSink(v, log, noCompression)
	if err != nil {
		return nil, err
	}
	o := gcsOptions{bucket: v.String("gcs.bucket.name"), prefix: v.String("file.name.prefix"), endpoint: v.String("gcs.endpoint"), discover: v.Bool("gcs.credentials.default"),
		contentEncoding: v.String("gcs.object.content.encoding"), agent: v.String("gcs.user.agent"), retry: retries(v, "gcs")}
	o.retry.factor, o.retry.total = v.Float("gcs.retry.backoff.delay.multiplier"), v.Millis("gcs.retry.backoff.total.timeout.ms")
	if o.retry.factor < 1 || o.retry.total > 24*time.Hour {
		return nil, configError("gcs.retry.backoff.delay.multiplier must be at least 1 and gcs.retry.backoff.total.timeout.ms no more than 86400000 (24 hours)")
	}
	path, text := v.String("gcs.credentials.path"), v.String("gcs.credentials.json")
	if path != "" && text != "" || o.discover && (path != "" || text != "") {
		return nil, configError("Only one of gcs.credentials.default, gcs.credentials.json, and gcs.credentials.path can be set.")
	}
	if text != "" {
		o.credentials = []byte(text)
	}
	s.connect = func(ctx context.Context) (target, error) {
		o := o
		if path != "" {
			if o.credentials, err = os.ReadFile(path); err != nil {
				return nil, fmt.Errorf("read the file of gcs.credentials.path: %w", err)
			}
		}
		return newGCS(ctx, o)
	}
	return s, nil
}

// DefAzure is the option table of Aiven's sink for Azure Blob Storage.
func DefAzure() *configdef.Def {
	str := configdef.String
	connection := secret("azure.storage.connection.string", "Connection string of the storage account, as Azure's portal shows it: with AccountKey, or with SharedAccessSignature.")
	connection.Required = true
	out := append([]configdef.Option{
		connection,
		{Name: "azure.storage.container.name", Type: str, Required: true, Importance: configdef.High, Doc: "The container."},
		option("azure.user.agent", str, "millrace", "How requests name their sender.", nil),
		prefixOption(),
	}, retryOptions("azure")...)
	return &configdef.Def{Options: append(out, aivenFiles("none")...)}
}

// NewAzure makes a task of Aiven's sink for Azure Blob Storage; Start connects.
func NewAzure(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := DefAzure().Parse(props)
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	s, err := newAivenSink(v, log, noCompression)
	if err != nil {
		return nil, err
	}
	t, err := newAzure(azureOptions{connection: v.String("azure.storage.connection.string"), container: v.String("azure.storage.container.name"), prefix: v.String("file.name.prefix"),
		agent: v.String("azure.user.agent"), retry: retries(v, "azure")})
	if err != nil {
		return nil, configError("%s", err.Error())
	}
	s.connect = func(context.Context) (target, error) { return t, nil }
	return s, nil
}
