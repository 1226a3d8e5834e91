package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// port returns the usual port of a service, or a free one when that is taken.
func port(usual int) (int, error) {
	for _, p := range []int{usual, 0} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
		if err != nil {
			continue
		}
		got := l.Addr().(*net.TCPAddr).Port
		return got, l.Close()
	}
	return 0, fmt.Errorf("neither port %d nor any other of 127.0.0.1 is free", usual)
}

// startKafka starts an in-process Kafka and returns its address.
func startKafka() (addr string, stop func() error, err error) {
	p, err := port(9092)
	if err != nil {
		return "", nil, err
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(p), kfake.DefaultNumPartitions(1), kfake.AllowAutoTopicCreation())
	if err != nil {
		return "", nil, fmt.Errorf("starting the in-process Kafka: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", p), func() error { c.Close(); return nil }, nil
}

// startRegistry starts an in-process Schema Registry and returns its URL.
func startRegistry() (url string, stop func() error, err error) {
	p, err := port(8081)
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
	if err != nil {
		return "", nil, err
	}
	reg := srfake.NewRegistry()
	s := &http.Server{Handler: reg.Handler(), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }() // joined by stop
	return "http://" + l.Addr().String(), func() error {
		err := s.Shutdown(context.Background())
		if e := <-done; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}
