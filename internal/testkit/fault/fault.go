// Package fault puts a proxy between a client and a server, whose connections are
// then cut, slowed, stopped half way or left hanging (Toxiproxy, in this process).
// Only faults that networks have are made: nothing here changes bytes.
package fault

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Proxy is one proxy on a port of 127.0.0.1.
type Proxy struct {
	t testing.TB
	p *toxiproxy.Proxy
}

// New starts a proxy to upstream (host:port). It ends with the test.
func New(t testing.TB, upstream string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "proxy", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatalf("starting a proxy to %s: %v", upstream, err)
	}
	t.Cleanup(p.Stop)
	return &Proxy{t, p}
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.p.Listen }

// Port is the port of Addr.
func (p *Proxy) Port() string {
	_, port, _ := net.SplitHostPort(p.p.Listen)
	return port
}

// Toxics of Toxiproxy, for Add.
const (
	Latency   = "latency"    // latency, jitter: ms
	Bandwidth = "bandwidth"  // rate: KB/s
	SlowClose = "slow_close" // delay: ms
	Timeout   = "timeout"    // timeout: ms; 0: data stops and the connection stays, a half-open one
	Reset     = "reset_peer" // timeout: ms
	LimitData = "limit_data" // bytes, then the connection is closed
	Slicer    = "slicer"     // average_size: bytes, delay: µs
)

// Add puts a fault on every connection, present and future. down is the way from
// the server to the client.
func (p *Proxy) Add(kind string, down bool, attributes map[string]int) {
	p.t.Helper()
	way := "upstream"
	if down {
		way = "downstream"
	}
	text, err := json.Marshal(map[string]any{"type": kind, "stream": way, "attributes": attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.p.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		p.t.Fatalf("adding %s: %v", text, err)
	}
}

// Heal takes every fault away; connections that were closed stay so.
func (p *Proxy) Heal() { p.p.Toxics.ResetToxics(p.t.Context()) }

// Cut closes every connection and refuses new ones, until Mend.
func (p *Proxy) Cut() { p.p.Stop() }

// Mend takes connections again, on the same port.
func (p *Proxy) Mend() {
	p.t.Helper()
	if err := p.p.Start(); err != nil {
		p.t.Fatalf("starting the proxy again: %v", err)
	}
}
