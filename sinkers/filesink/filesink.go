// Package filesink writes the values of topics as lines into a file, as
// org.apache.kafka.connect.file.FileStreamSinkConnector does: one line per record,
// the value's Java toString.
package filesink

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"millrace/internal/configdef"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// Class is the Java name of the connector, TaskClass that of its tasks.
const (
	Class     = "org.apache.kafka.connect.file.FileStreamSinkConnector"
	TaskClass = "org.apache.kafka.connect.file.FileStreamSinkTask"
)

// Def is the connector's option table.
func Def() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{{
		Name: "file", Type: configdef.String, Importance: configdef.High,
		Doc: "File to append to. Without it lines go to standard output.",
	}}}
}

// Sink appends lines. Lines are in the file when Put returns, and synced to disk
// when Flush does.
type Sink struct {
	path string
	log  *slog.Logger
	text convert.Converter
	file *os.File
	out  *bufio.Writer
	enc  map[planID]convert.Encoder
	buf  []byte
}

type planID struct {
	topic  *record.Topic
	schema *record.Schema
}

// New makes a task; Start opens the file.
func New(props map[string]string, log *slog.Logger) (*Sink, error) {
	v, err := Def().Parse(props)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	text, err := convert.NewString(nil, false)
	if err != nil {
		return nil, err
	}
	return &Sink{path: v.String("file"), log: log, text: text, enc: map[planID]convert.Encoder{}}, nil
}

// Start opens the file for appending, or takes standard output.
func (s *Sink) Start(context.Context) error {
	f := os.Stdout
	if s.path != "" {
		var err error
		if f, err = os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
			return s.openError(err)
		}
	}
	s.file = f // only now: Stop closes it
	s.out = bufio.NewWriterSize(s.file, 64<<10)
	return nil
}

// openError is worded as Connect's task fails with it.
func (s *Sink) openError(err error) error {
	cause := err
	if errors.Is(err, fs.ErrNotExist) {
		cause = &errs.Error{Java: "java.nio.file.NoSuchFileException", Msg: s.path}
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "Couldn't find or create file '" + s.path + "' for FileStreamSinkTask", Cause: cause}
}

// Put appends a line per record.
func (s *Sink) Put(ctx context.Context, b *record.Batch) error {
	var bad []errs.BadRecord
	for i := range b.Records {
		line, err := s.line(ctx, b, &b.Records[i])
		if err != nil {
			bad = append(bad, errs.BadRecord{Index: i, Err: err})
			continue
		}
		if _, err := s.out.Write(line); err != nil {
			return s.writeError(err)
		}
	}
	if err := s.out.Flush(); err != nil {
		return s.writeError(err)
	}
	if len(bad) > 0 {
		return &errs.RecordError{Bad: bad}
	}
	return nil
}

func (s *Sink) writeError(err error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: "write to file '" + s.path + "'", Cause: err}
}

// line returns the value's text and a newline, valid until the next call.
func (s *Sink) line(ctx context.Context, b *record.Batch, r *record.Record) ([]byte, error) {
	s.buf = s.buf[:0]
	if r.Value.IsNull() {
		s.buf = append(s.buf, "null\n"...)
		return s.buf, nil
	}
	id := planID{r.Topic, r.ValueSchema}
	enc := s.enc[id]
	if enc == nil {
		var err error
		if enc, err = s.text.Encoder(ctx, r.Topic, r.ValueSchema); err != nil {
			return nil, err
		}
		s.enc[id] = enc
	}
	out, _, err := enc.Append(s.buf, b, r.Value)
	if err != nil {
		return nil, err
	}
	s.buf = append(out, '\n')
	return s.buf, nil
}

// Flush syncs the file to disk. Targets that cannot be synced (a pipe, a terminal)
// are left as they are.
func (s *Sink) Flush(context.Context) error {
	if s.path == "" || s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		if info, e := s.file.Stat(); e == nil && !info.Mode().IsRegular() {
			return nil
		}
		return s.writeError(err)
	}
	return nil
}

// Stop closes the file.
func (s *Sink) Stop() error {
	if s.path == "" || s.file == nil {
		return nil
	}
	return s.file.Close()
}
