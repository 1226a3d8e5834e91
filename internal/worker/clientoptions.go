package worker

import (
	_ "embed" // the table below
	"strings"
	"sync"

	"millrace/internal/configdef"
)

//go:embed clientoptions.tsv
var clientTable string

// clientOptions reads the table of Kafka's client settings once.
var clientOptions = sync.OnceValue(func() map[string]*configdef.Option {
	out := map[string]*configdef.Option{}
	for _, line := range strings.Split(clientTable, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			continue
		}
		o := &configdef.Option{Name: f[1], Type: configdef.Type(f[2]), Importance: configdef.Importance(f[3]), Order: -1,
			Doc: "Setting of the Kafka " + f[0] + " that the worker makes for this connector."}
		switch f[4] {
		case `\N`:
		case `\R`:
			o.Required = true
		default:
			o.HasDefault, o.Default = true, f[4]
		}
		out[f[0]+".override."+f[1]] = o
	}
	return out
})

// clientOption is the definition of a client setting below producer.override.,
// consumer.override. or admin.override.; nil if the client has no such setting.
func clientOption(prefix, name string) *configdef.Option { return clientOptions()[prefix+name] }
