package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millrace/internal/metrics"
	"millrace/internal/worker"
	"millrace/rest"
	"millrace/rest/ui"
)

// servers are the HTTP servers of a worker: REST, and /admin if it has addresses of
// its own.
type servers struct {
	all    []*http.Server
	open   int
	failed chan error // one per listener, when it ends

	endPage context.CancelFunc
	page    sync.WaitGroup // its history of metrics
}

// listen opens all addresses and serves.
func listen(e *env, cfg *worker.Config, w *worker.Worker, set *metrics.Set) (*servers, error) {
	s := &servers{failed: make(chan error, len(cfg.Listeners)+len(cfg.AdminListeners))}
	b := rest.Backend{Reader: w, Writer: w, Runner: w, OffsetKeeper: w, Catalog: w, Admin: w, Group: w, Fencer: w, Viewer: w, Signaler: w}
	opt := rest.Options{Metrics: promhttp.HandlerFor(set.Registry, promhttp.HandlerOpts{}),
		Origins: cfg.CORSOrigins, Methods: cfg.CORSMethods, NoAdmin: cfg.NoAdmin, Headers: cfg.Headers, Client: cfg.Client(),
		Doctor:  liveDoctor(e, cfg, w),
		Version: worker.ConnectVersion, Commit: worker.ConnectCommit, Log: e.log}
	if cfg.Authenticates() {
		opt.MayEnter = cfg.MayEnter
	}
	if err := s.serve(e, s.withPage(e, rest.New(b, opt), cfg, set), cfg.Listeners, cfg.TLS); err != nil {
		s.close()
		return nil, fmt.Errorf("open the REST listener: %w", err)
	}
	if len(cfg.AdminListeners) > 0 {
		opt.NoAdmin, opt.OnlyAdmin, opt.Metrics = false, true, nil
		if err := s.serve(e, rest.New(b, opt), cfg.AdminListeners, cfg.AdminTLS); err != nil {
			s.close()
			return nil, fmt.Errorf("open the admin listener: %w", err)
		}
	}
	return s, nil
}

// withPage puts the web page before the REST API.
func (s *servers) withPage(e *env, api http.Handler, cfg *worker.Config, set *metrics.Set) http.Handler {
	if !cfg.UI {
		return api
	}
	page := ui.New(ui.Options{API: api, Metrics: set.Registry, ReadOnly: cfg.UIReadOnly, Version: version, Log: e.log})
	ctx, cancel := context.WithCancel(context.Background())
	s.endPage = cancel
	s.page.Go(func() { page.Run(ctx) })
	return page.Before(api)
}

func (s *servers) serve(e *env, h http.Handler, at []*url.URL, conf *tls.Config) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)}
	s.all = append(s.all, srv)
	for _, u := range at {
		ln, err := net.Listen("tcp", u.Host)
		if err != nil {
			return fmt.Errorf("%s: %w", u, err)
		}
		if u.Scheme == "https" {
			ln = tls.NewListener(ln, conf)
		}
		s.open++
		go func() { s.failed <- srv.Serve(ln) }()
	}
	return nil
}

// wait returns when ctx ends, or with the error of a listener that ended by itself.
func (s *servers) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		s.open--
		return err
	}
}

// close ends all servers, after the requests that are being answered.
func (s *servers) close() {
	if s.endPage != nil {
		s.endPage()
		s.page.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, srv := range s.all {
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
	for ; s.open > 0; s.open-- {
		<-s.failed //nolint:errcheck // http.ErrServerClosed; an error of its own was returned already
	}
}
