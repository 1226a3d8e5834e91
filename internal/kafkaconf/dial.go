package kafkaconf

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"time"
)

// dialer opens connections with Java's socket settings.
type dialer struct {
	setupMs       int64 // socket.connection.setup.timeout.ms
	send, receive int   // buffer sizes; -1 leaves them to the system
}

// dial makes the function that connects; conf is nil without TLS.
func (d dialer) dial(conf func() *tls.Config) func(ctx context.Context, network, host string) (net.Conn, error) {
	nd := &net.Dialer{Timeout: time.Duration(d.setupMs) * time.Millisecond, KeepAlive: 30 * time.Second}
	send, receive := d.send, d.receive
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := nd.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if t, ok := c.(*net.TCPConn); ok {
			if send > 0 {
				_ = t.SetWriteBuffer(send) // a hint; the kernel may cap it
			}
			if receive > 0 {
				_ = t.SetReadBuffer(receive)
			}
		}
		if conf == nil {
			return c, nil
		}
		own := conf().Clone()
		if own.ServerName == "" {
			if h, _, err := net.SplitHostPort(addr); err == nil {
				own.ServerName = h
			}
		}
		tc := tls.Client(c, own)
		hs, cancel := context.WithTimeout(ctx, max(nd.Timeout, 10*time.Second))
		defer cancel()
		if err := tc.HandshakeContext(hs); err != nil {
			_ = c.Close() // the handshake error is the one to tell
			return nil, err
		}
		return tc, nil
	}
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
