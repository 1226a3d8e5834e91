package objectstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// part is what a task knows of an assigned partition.
type part struct {
	topic   *record.Topic
	id      int32
	next    int64            // the first offset that was not taken yet
	begin   int64            // offset of the first record in open files
	open    map[string]*file // by the layout's own key
	order   []*file          // of open
	count   int              // records in open files
	cutting bool             // the open files are being completed; an error came between

	keys *record.Schema // of the last record
	// written are, by the layout's own key, the offsets below which records are in files from before a restart.
	written map[string]int64
	routes  map[partKey]partKey // shared: which partition a name of topic and partition belongs to
	heads   map[string]head     // of Aiven's files, by key or ""
	clock   rotation
	sent    []*file // complete, in upload or failed; oldest first
}

// name is the topic that names of files show: that of a transform, as in the Java
// sink, unless another partition of this task has taken it.
func (p *part) name(r *record.Record) string {
	own := partKey{p.topic.Name, p.id}
	if r.Topic.Name == own.topic {
		return own.topic
	}
	to := partKey{r.Topic.Name, p.id}
	if from, ok := p.routes[to]; ok && from != own {
		return own.topic
	}
	p.routes[to] = own
	return to.topic
}

// rotation is what cutting by time needs.
type rotation struct {
	first int64  // time of the first record in open files, ms
	path  string // of the last record
	due   int64  // wall clock of the next scheduled rotation, ms; 0: none

	tombstones bool // the last record was one
}

// file is a file being made, and then on its way.
type file struct {
	name   string
	start  int64 // offset of its first record
	first  int64 // time of its first record
	count  int
	schema *record.Schema
	enc    encoder
	body   *spool
	last   int64   // offset of its last record
	none   bool    // holds no values: a tombstone's keys go beside it
	beside []*file // of keys and headers
	aside  aside   // what a file beside another one holds

	done bool
	err  error
}

// aside is a kind of file beside those of the values.
type aside struct {
	view     string // .keys, .headers; part of the name
	format   format
	compress compression
}

// record is what of a record goes into such a file, as a value.
func (a *aside) record(b *record.Batch, r *record.Record) (record.Record, error) {
	x := *r
	if a.view == ".keys" {
		if r.Key.IsNull() {
			return x, dataError("Key cannot be null with store.kafka.keys (topic %s, partition %d, offset %d)", r.Topic.Name, r.Origin.Partition, r.Origin.Offset)
		}
		x.Value, x.ValueSchema = r.Key, r.KeySchema
		return x, nil
	}
	hs := b.Headers(r)
	if len(hs) == 0 {
		return x, dataError("Headers cannot be empty with store.kafka.headers (topic %s, partition %d, offset %d)", r.Topic.Name, r.Origin.Partition, r.Origin.Offset)
	}
	x.ValueSchema, x.Value = headersList, b.Alloc(record.Struct, 1)
	list := b.Alloc(record.Array, len(hs))
	for i, h := range hs {
		one := b.Alloc(record.Struct, 2)
		b.SetChild(one, 0, b.StringCell(h.Key))
		if text, ok := appendScalar(nil, b, h.Value); ok {
			b.SetChild(one, 1, b.BytesCell(record.String, text))
		} else if h.Value.Kind() == record.Bytes {
			b.SetChild(one, 1, b.BytesCell(record.String, b.Raw(h.Value)))
		}
		b.SetChild(list, i, one)
	}
	b.SetChild(x.Value, 0, list)
	return x, nil
}

// headersList is the schema of a record's headers in a file of their own.
var headersList = &record.Schema{Type: record.Struct, Name: "ConnectHeaders", Fields: []record.Field{{Name: "headers", Schema: &record.Schema{Type: record.Array, Elem: &record.Schema{Type: record.Struct, Name: "ConnectHeader",
	Fields: []record.Field{{Name: "key", Schema: record.PlainString}, {Name: "value", Schema: record.OptionalString}}}}}}}

// appendTo adds a record. An error that is a DataException leaves the file and
// those beside it as they were.
func (f *file) appendTo(b *record.Batch, r *record.Record) error {
	views := make([]record.Record, len(f.beside))
	for i, x := range f.beside {
		var err error
		if views[i], err = x.aside.record(b, r); err != nil {
			return err
		}
	}
	if !f.none {
		if err := f.enc.write(b, r); err != nil {
			return err
		}
	}
	for i, x := range f.beside {
		if err := x.enc.write(b, &views[i]); err != nil {
			if f.none && i == 0 {
				return err
			}
			return fmt.Errorf("write the file %s beside that of the values: %w", x.name, fatal(err))
		}
	}
	f.count++
	f.last = r.Origin.Offset
	return nil
}

// held and flush are those of the encoders of a file and of those beside it.
func (f *file) held() (n int) {
	if f.enc != nil {
		n = f.enc.held()
	}
	for _, x := range f.beside {
		n += x.held()
	}
	return n
}

func (f *file) flush() error {
	if f.enc != nil {
		if err := f.enc.flush(); err != nil {
			return err
		}
	}
	for _, x := range f.beside {
		if err := x.flush(); err != nil {
			return err
		}
	}
	return nil
}

// object is a complete file on its way.
func (f *file) object(s *Sink) object {
	o := object{body: f.body, next: f.last + 1, first: f.first}
	if s.tag {
		o.tags = url.Values{"startOffset": {strconv.FormatInt(f.start, 10)}, "endOffset": {strconv.FormatInt(f.last, 10)}, "recordCount": {strconv.Itoa(f.count)}}
		maps.Copy(o.tags, s.tags)
	}
	return o
}

// fatal keeps an error from counting as one of its record alone.
func fatal(err error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: err.Error()}
}

// discard gives back what a file holds.
func (f *file) discard() {
	if f.enc != nil {
		f.enc.drop()
	}
	f.body.close()
	for _, x := range f.beside {
		x.discard()
	}
}

// compression of whole files.
type compression string

const (
	noCompression compression = "none"
	gzipped       compression = "gzip"
	snapped       compression = "snappy"
	zstandard     compression = "zstd"
)

func (c compression) extension() string {
	return map[compression]string{gzipped: ".gz", snapped: ".snappy", zstandard: ".zst"}[c]
}

// compress puts the compressed form of a complete file in its place. Files are
// compressed when they are complete, since a compressor per open file takes more
// memory than the file.
func (f *file) compress(ctx context.Context, c compression, level int) error {
	if c == noCompression || c == "" {
		return nil
	}
	out := &spool{all: f.body.all, dir: f.body.dir}
	err := compressInto(ctx, out, f.body, c, level)
	if err != nil {
		out.close()
		return fmt.Errorf("compress the file %s: %w", f.name, err)
	}
	f.body.close()
	f.body = out
	return nil
}

func compressInto(ctx context.Context, out io.Writer, in body, c compression, level int) error {
	var w io.WriteCloser
	var err error
	switch c {
	case gzipped:
		w, err = gzip.NewWriterLevel(out, level)
	case zstandard:
		w, err = zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	case snapped:
		w = &xerial{w: out}
	default:
		err = fmt.Errorf("unknown compression %q", c)
	}
	if err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for off := int64(0); off < in.size() && ctx.Err() == nil; off += int64(len(buf)) {
		n, err := in.ReadAt(buf[:min(int64(len(buf)), in.size()-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.Close()
}

// xerial is the framing of snappy-java's SnappyOutputStream: a header, then blocks
// with their length before them. Each Write is a block.
type xerial struct {
	w     io.Writer
	begun bool
	buf   []byte
}

func (x *xerial) Write(p []byte) (int, error) {
	out := x.buf[:0]
	if !x.begun {
		out = append(out, 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1)
		x.begun = true
	}
	block := snappy.Encode(nil, p)
	out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
	x.buf = out
	if _, err := x.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (x *xerial) Close() error {
	if x.begun {
		return nil
	}
	_, err := x.w.Write([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1})
	return err
}
