package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// The offset file of standalone mode is one Java object stream that holds a
// HashMap<byte[], byte[]>. Only that shape is read and written here.
const (
	tcNull      = 0x70
	tcReference = 0x71
	tcClassDesc = 0x72
	tcObject    = 0x73
	tcArray     = 0x75
	tcBlockData = 0x77
	tcEndBlock  = 0x78
	firstHandle = 0x7E0000
)

var (
	javaMapHead  = []byte("\xAC\xED\x00\x05\x73\x72\x00\x11java.util.HashMap\x05\x07\xDA\xC1\xC3\x16\x60\xD1\x03\x00\x02F\x00\x0AloadFactorI\x00\x09threshold\x78\x70")
	javaByteDesc = []byte("\x72\x00\x02[B\xAC\xF3\x17\xF8\x06\x08\x54\xE0\x02\x00\x00\x78\x70")
)

// EncodeJavaMap writes records as a Java-serialised HashMap<byte[], byte[]>; a nil
// value is null.
func EncodeJavaMap(recs []Record) []byte {
	capacity := 16
	for len(recs) > capacity*3/4 {
		capacity *= 2
	}
	out := append([]byte{}, javaMapHead...)
	out = binary.BigEndian.AppendUint32(out, 0x3F400000) // load factor 0.75
	out = binary.BigEndian.AppendUint32(out, uint32(capacity*3/4))
	out = append(out, tcBlockData, 8)
	out = binary.BigEndian.AppendUint32(out, uint32(capacity))
	out = binary.BigEndian.AppendUint32(out, uint32(len(recs)))
	described := false
	array := func(b []byte) {
		if b == nil {
			out = append(out, tcNull)
			return
		}
		out = append(out, tcArray)
		if described {
			out = append(out, tcReference)
			out = binary.BigEndian.AppendUint32(out, firstHandle+2)
		} else {
			out = append(out, javaByteDesc...)
			described = true
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
		out = append(out, b...)
	}
	for _, r := range recs {
		array(r.Key)
		array(r.Value)
	}
	return append(out, tcEndBlock)
}

var errJavaMap = errors.New("this is no Java-serialised HashMap of byte arrays")

// DecodeJavaMap reads what EncodeJavaMap or a Java worker wrote.
func DecodeJavaMap(data []byte) ([]Record, error) {
	p, ok := bytes.CutPrefix(data, javaMapHead)
	if !ok || len(p) < 18 || p[8] != tcBlockData || p[9] != 8 {
		return nil, errJavaMap
	}
	n := binary.BigEndian.Uint32(p[14:])
	p = p[18:]
	handles := [][]byte{nil, nil, nil} // class, map, byte[] class
	array := func() ([]byte, error) {
		if len(p) == 0 {
			return nil, errJavaMap
		}
		switch p[0] {
		case tcNull:
			p = p[1:]
			return nil, nil
		case tcReference:
			if len(p) < 5 {
				return nil, errJavaMap
			}
			h := binary.BigEndian.Uint32(p[1:]) - firstHandle
			p = p[5:]
			if h < 3 || h >= uint32(len(handles)) {
				return nil, errJavaMap
			}
			return handles[h], nil
		case tcArray:
			p = p[1:]
		default:
			return nil, errJavaMap
		}
		if rest, ok := bytes.CutPrefix(p, javaByteDesc); ok {
			p = rest
		} else if len(p) >= 5 && p[0] == tcReference && binary.BigEndian.Uint32(p[1:]) == firstHandle+2 {
			p = p[5:]
		} else {
			return nil, errJavaMap
		}
		if len(p) < 4 {
			return nil, errJavaMap
		}
		size := binary.BigEndian.Uint32(p)
		p = p[4:]
		if uint64(size) > uint64(len(p)) {
			return nil, errJavaMap
		}
		b := append([]byte{}, p[:size]...)
		p = p[size:]
		handles = append(handles, b)
		return b, nil
	}
	var recs []Record
	for i := uint32(0); i < n; i++ {
		k, err := array()
		if err != nil {
			return nil, err
		}
		v, err := array()
		if err != nil {
			return nil, err
		}
		if k != nil {
			recs = append(recs, Record{Key: k, Value: v})
		}
	}
	if len(p) == 0 || p[0] != tcEndBlock {
		return nil, errJavaMap
	}
	return recs, nil
}

// FileLog is the Log of standalone offsets: the newest value per key in one file,
// rewritten whole and renamed into place on every append.
type FileLog struct {
	path string

	mu    sync.Mutex
	order []string
	rows  map[string][]byte
	apply func(Record)
}

// NewFileLog makes a log over a file that need not exist yet.
func NewFileLog(path string) *FileLog { return &FileLog{path: path, rows: map[string][]byte{}} }

// Start implements Log.
func (l *FileLog) Start(_ context.Context, apply func(Record)) error {
	data, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the offset file (offset.storage.file.filename): %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply = apply
	if len(data) == 0 {
		return nil
	}
	recs, err := DecodeJavaMap(data)
	if err != nil {
		return fmt.Errorf("read the offset file %s: %w", l.path, err)
	}
	for _, r := range recs {
		l.set(r)
	}
	return nil
}

func (l *FileLog) set(r Record) {
	if _, ok := l.rows[string(r.Key)]; !ok {
		l.order = append(l.order, string(r.Key))
	}
	l.rows[string(r.Key)] = r.Value
	l.apply(r)
}

// Append implements Log.
func (l *FileLog) Append(_ context.Context, recs ...Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make([]Record, 0, len(l.order)+len(recs))
	changed := map[string]int{}
	for _, k := range l.order {
		changed[k] = len(next)
		next = append(next, Record{Key: []byte(k), Value: l.rows[k]})
	}
	for _, r := range recs {
		if i, ok := changed[string(r.Key)]; ok {
			next[i].Value = r.Value
			continue
		}
		changed[string(r.Key)] = len(next)
		next = append(next, r)
	}
	if err := writeFile(l.path, EncodeJavaMap(next)); err != nil {
		return fmt.Errorf("write the offset file %s: %w", l.path, err)
	}
	for _, r := range recs {
		l.set(r)
	}
	return nil
}

// writeFile replaces a file so that a crash leaves the old or the new content.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// AppendAsync implements Log.
func (l *FileLog) AppendAsync(rec Record, done func(error)) {
	err := l.Append(context.Background(), rec)
	if done != nil {
		done(err)
	}
}

// Sync implements Log.
func (l *FileLog) Sync(context.Context) error { return nil }

// Close implements Log.
func (l *FileLog) Close(context.Context) error { return nil }
