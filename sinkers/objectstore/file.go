package objectstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

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

	schema *record.Schema // of values, for layouts that cut by it
	keys   *record.Schema
	heads  map[string]int64 // of files of one key: the first offset of the key
	clock  rotation
	sent   []*file // complete, in upload or failed; oldest first
}

// rotation is what cutting by time needs.
type rotation struct {
	first int64  // time of the first record in open files, ms
	path  string // of the last record
	due   int64  // wall clock of the next scheduled rotation, ms; 0: none
}

// file is a file being made, and then on its way.
type file struct {
	name   string
	start  int64 // offset of its first record
	count  int
	schema *record.Schema
	enc    encoder
	body   *spool

	done bool
	err  error
}

// appendTo adds a record.
func (f *file) appendTo(b *record.Batch, r *record.Record) error {
	if err := f.enc.write(b, r); err != nil {
		return err
	}
	f.count++
	return nil
}

// discard gives back what a file holds.
func (f *file) discard() {
	if f.enc != nil {
		f.enc.drop()
	}
	f.body.close()
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
