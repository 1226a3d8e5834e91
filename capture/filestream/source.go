package filestream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"time"

	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/record"
	"millrace/internal/store"
)

const (
	pollEvery    = 100 * time.Millisecond
	drainTimeout = 30 * time.Second
	readSize     = 64 << 10
	maxLine      = 256 << 20
)

var lineSchema = &record.Schema{Type: record.String}

// Source follows one file. It implements worker.Source.
type Source struct {
	file  string // "": standard input
	topic *record.Topic
	batch int
	log   *slog.Logger

	in       io.ReadCloser
	position int64
	rest     []byte // what was read and not yet sent: an unfinished line
	missing  bool   // that the file is missing was logged
}

// position is the offset after a line.
type position int64

// Offset implements record.Position.
func (p position) Offset() []byte {
	return append(strconv.AppendInt([]byte(`{"position":`), int64(p), 10), '}')
}

// NewSource makes the task from its properties; it opens nothing.
func NewSource(props map[string]string, log *slog.Logger) (*Source, error) {
	v, err := Def().Parse(props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	return &Source{file: v.String("file"), topic: &record.Topic{Name: v.String("topic")}, batch: max(v.Int("batch.size"), 1), log: log}, nil
}

// Partition implements worker.Source.
func (s *Source) Partition() []byte {
	if s.file == "" {
		return []byte(`{"filename":null}`)
	}
	return append(store.AppendJSONString([]byte(`{"filename":`), s.file), '}')
}

// Run implements worker.Source.
func (s *Source) Run(ctx context.Context, offset []byte, out *emit.Pipeline, started func()) error {
	if offset != nil {
		var o struct{ Position *int64 }
		if err := json.Unmarshal(offset, &o); err != nil || o.Position == nil {
			return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Offset position is the incorrect type: %s", offset)}
		}
		s.position = *o.Position
	}
	started()
	err := s.follow(ctx, out)
	if s.in != nil && s.file != "" {
		_ = s.in.Close() // standard input is the process's
	}
	if err != nil {
		return err
	}
	dctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return out.Drain(dctx)
}

// follow reads until ctx ends (nil).
func (s *Source) follow(ctx context.Context, out *emit.Pipeline) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	pool := &record.Pool{}
	for {
		more, err := s.read(ctx, pool, out)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-out.Err():
			return out.Cause()
		case <-tick.C:
		}
	}
}

// read sends what the file has now; more tells that there may be more at once.
func (s *Source) read(ctx context.Context, pool *record.Pool, out *emit.Pipeline) (more bool, err error) {
	if s.in == nil && !s.open() {
		return false, nil
	}
	n := len(s.rest)
	s.rest = append(s.rest, make([]byte, readSize)...)
	got, err := s.in.Read(s.rest[n:])
	s.rest = s.rest[:n+got]
	if err != nil && !errors.Is(err, io.EOF) {
		// As in Connect, a file that cannot be read right now is waited for.
		s.log.Debug("cannot read the file", "file", s.file, "error", err)
		return false, nil
	}
	if len(s.rest) > maxLine {
		return false, &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("%s has a line of more than %d bytes", s.file, maxLine)}
	}
	if got == 0 {
		return false, nil
	}
	return true, s.send(ctx, pool, out)
}

// open opens the file behind the last position; false while it is not there.
func (s *Source) open() bool {
	if s.file == "" {
		s.in = os.Stdin
		return true
	}
	f, err := os.Open(s.file)
	if err != nil {
		if !s.missing {
			s.log.Warn("cannot open the file yet; waiting for it", "file", s.file, "error", err)
		}
		s.missing = true
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Debug("cannot open the file", "file", s.file, "error", err)
		}
		return false
	}
	if _, err := f.Seek(s.position, io.SeekStart); err != nil {
		s.log.Warn("cannot go to the stored position", "file", s.file, "position", s.position, "error", err)
		_ = f.Close()
		return false
	}
	s.in, s.missing = f, false
	return true
}

// send makes batches of the complete lines in rest.
func (s *Source) send(ctx context.Context, pool *record.Pool, out *emit.Pipeline) error {
	for {
		b := pool.Get()
		now := time.Now()
		for len(b.Records) < s.batch {
			line, size := nextLine(s.rest)
			if size == 0 {
				break
			}
			r := b.Append()
			r.Topic, r.ValueSchema, r.Value = s.topic, lineSchema, b.BytesCell(record.String, line)
			r.Timestamp, r.CommitUs = now.UnixMilli(), now.UnixMicro()
			s.rest = s.rest[size:]
			s.position += int64(size)
		}
		if len(b.Records) == 0 {
			b.Release()
			s.rest = append([]byte(nil), s.rest...)
			return nil
		}
		b.End = position(s.position)
		if err := out.Send(ctx, b, nil); err != nil {
			return err
		}
	}
}

// nextLine returns the first complete line and how many bytes it takes with its
// end: \n, \r\n, or \r followed by something else.
func nextLine(p []byte) (line []byte, size int) {
	i := bytes.IndexAny(p, "\r\n")
	switch {
	case i < 0:
		return nil, 0
	case p[i] == '\n':
		return p[:i], i + 1
	case i+1 == len(p):
		return nil, 0 // a \n may follow
	case p[i+1] == '\n':
		return p[:i], i + 2
	}
	return p[:i], i + 1
}
