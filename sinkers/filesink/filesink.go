// Package filesink writes the values of topics as lines into a file, as
// org.apache.kafka.connect.file.FileStreamSinkConnector does: one line per record,
// the value's Java toString.
package filesink

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"syscall"

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

// writeSize is about how many bytes of lines go to the file at once.
const writeSize = 64 << 10

// Sink appends lines. Lines are in the file when Put returns, and synced to disk
// when Flush does.
type Sink struct {
	path string
	log  *slog.Logger
	text convert.Converter
	file *os.File
	enc  map[planID]convert.Encoder
	// out are lines that are not in the file yet. After a write that the disk had no
	// room for it may begin within a line.
	out []byte
	// done is, after such a write, up to which offset the lines of the batch are in the
	// file or in out, by topic and partition: the batch comes again.
	done map[record.Origin]int64
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
	return &Sink{path: v.String("file"), log: log, text: text, enc: map[planID]convert.Encoder{}, done: map[record.Origin]int64{}}, nil
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
	s.out = s.out[:0]
	if s.torn() {
		s.out = append(s.out, '\n')
	}
	return nil
}

// torn tells whether the file ends within a line: a process was killed or the disk was
// full. The next line must not become part of that one.
func (s *Sink) torn() bool {
	info, err := s.file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	f, err := os.Open(s.path)
	if err != nil {
		return false // it may be written only
	}
	defer func() { _ = f.Close() }()
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// openError is worded as Connect's task fails with it.
func (s *Sink) openError(err error) error {
	cause := err
	if errors.Is(err, fs.ErrNotExist) {
		cause = &errs.Error{Java: "java.nio.file.NoSuchFileException", Msg: s.path}
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "Couldn't find or create file '" + s.path + "' for FileStreamSinkTask", Cause: cause}
}

// Put appends a line per record. While the disk is full the error can be tried again:
// the batch then goes on behind the last byte that was written.
func (s *Sink) Put(ctx context.Context, b *record.Batch) error {
	var bad []errs.BadRecord
	for i := range b.Records {
		r := &b.Records[i]
		from := len(s.out)
		if err := s.line(ctx, b, r); err != nil {
			s.out = s.out[:from]
			bad = append(bad, errs.BadRecord{Index: i, Err: err})
			continue
		}
		if upTo, ok := s.done[partition(r)]; ok && r.Origin.Offset <= upTo {
			s.out = s.out[:from]
			continue
		}
		if len(s.out) < writeSize {
			continue
		}
		if err := s.write(b.Records[:i+1]); err != nil {
			return err
		}
	}
	if err := s.write(b.Records); err != nil {
		return err
	}
	clear(s.done)
	if len(bad) > 0 {
		return &errs.RecordError{Bad: bad}
	}
	return nil
}

func partition(r *record.Record) record.Origin {
	return record.Origin{Topic: r.Origin.Topic, Partition: r.Origin.Partition}
}

// write sends what is gathered to the file; taken are the records of the batch whose
// lines that includes. What did not fit stays in out.
func (s *Sink) write(taken []record.Record) error {
	if len(s.out) == 0 {
		return nil
	}
	n, err := s.file.Write(s.out)
	s.out = s.out[:copy(s.out, s.out[n:])]
	if err == nil {
		return nil
	}
	for i := range taken {
		s.done[partition(&taken[i])] = taken[i].Origin.Offset
	}
	return s.writeError(err)
}

// writeError words a failed write. One for want of room passes.
func (s *Sink) writeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &errs.Error{Java: errs.RetriableException, Msg: "write to file '" + s.path + "'", Retriable: true, Cause: err, Hint: "Make room on its disk; writing goes on by itself"}
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "write to file '" + s.path + "'", Cause: err}
}

// line appends the value's text and a newline to out.
func (s *Sink) line(ctx context.Context, b *record.Batch, r *record.Record) error {
	if r.Value.IsNull() {
		s.out = append(s.out, "null\n"...)
		return nil
	}
	id := planID{r.Topic, r.ValueSchema}
	enc := s.enc[id]
	if enc == nil {
		var err error
		if enc, err = s.text.Encoder(ctx, r.Topic, r.ValueSchema); err != nil {
			return err
		}
		s.enc[id] = enc
	}
	out, _, err := enc.Append(s.out, b, r.Value)
	if err != nil {
		return err
	}
	s.out = append(out, '\n')
	return nil
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
		// Lines may be gone from the system's memory: they have to be read again.
		return &errs.Error{Java: errs.ConnectException, Msg: "sync file '" + s.path + "' to its disk", Cause: err}
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
