package worker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// clientProps are the settings of a Kafka client that the worker makes for a
// connector: the worker's own brokers, its settings below prefix, and what the
// connector overrides. Without security settings below the prefix those of the
// worker itself hold, since both talk to the same brokers.
func (c *Config) clientProps(prefix string, override map[string]string, clientID string) map[string]string {
	out := map[string]string{"bootstrap.servers": c.Props["bootstrap.servers"]}
	own := configdef.Prefixed(c.Props, prefix)
	secured := false
	for k := range own {
		secured = secured || isSecurity(k) || k == "bootstrap.servers"
	}
	if !secured {
		for k, v := range c.Props {
			if isSecurity(k) {
				out[k] = v
			}
		}
	}
	out["client.id"] = clientID
	for k, v := range own {
		out[k] = v
	}
	for k, v := range override {
		out[k] = v
	}
	return out
}

func isSecurity(k string) bool {
	return k == "security.protocol" || strings.HasPrefix(k, "sasl.") || strings.HasPrefix(k, "ssl.")
}

// Connects reports whether the worker's own connection settings can be used.
func (c *Config) Connects() bool { r := c.internalClient(""); return r.Err() == nil }

// internalClient is what the settings of the worker's own clients mean.
func (c *Config) internalClient(clientID string) kafkaconf.Result {
	props := map[string]string{"bootstrap.servers": c.Props["bootstrap.servers"], "client.id": clientID}
	for k, v := range c.Props {
		if isSecurity(k) || clientOption("admin.override.", k) != nil && k != "client.id" && k != "config.providers" {
			props[k] = v
		}
	}
	return kafkaconf.Admin(props)
}

// internalOpts are the options of the worker's own clients.
func (c *Config) internalOpts(clientID string) ([]kgo.Opt, error) {
	r := c.internalClient(clientID)
	if err := r.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: "the worker's connection settings are wrong", Cause: err}
	}
	return r.Opts, nil
}

// InternalClientID names a client as Connect does: <group>-[<client.id>-]<role>.
func (c *Config) InternalClientID(role string) string {
	id := c.GroupID
	if x := strings.TrimSpace(c.Props["client.id"]); x != "" {
		id += "-" + x
	}
	return id + "-" + role
}

// ClusterProps are the connection settings of the worker's own cluster.
func (c *Config) ClusterProps() map[string]string {
	props := map[string]string{"bootstrap.servers": c.Props["bootstrap.servers"], "client.id": c.InternalClientID("takeover")}
	for k, v := range c.Props {
		if isSecurity(k) {
			props[k] = v
		}
	}
	return props
}
