package myvalue

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"millrace/decode/binlog"
	"millrace/internal/record"
)

// A value of MariaDB's COMPRESSED columns begins with a byte: 0 in front of text that is
// stored as it is (short ones), else the method in the upper half (8 is zlib), 8 for a
// stream without zlib's own header, and the number of bytes that hold the length of the
// text, big-endian. An empty value has no bytes at all.
const (
	methodZlib  = 8
	withoutHead = 8
	lengthBytes = 7
)

// compressed reports whether values of a wire type carry that byte.
func compressed(w *binlog.WireColumn) bool {
	return w.Type == binlog.TypeVarcharCompressed || w.Type == binlog.TypeBlobCompressed
}

// inflated has next read what a compressed value holds.
func inflated(next decodeFunc) decodeFunc {
	return func(b *record.Batch, p []byte) (record.Cell, error) {
		plain, err := inflateValue(p)
		if err != nil {
			return record.Cell{}, err
		}
		return next(b, plain)
	}
}

// inflateValue is the text of a compressed value: a part of p, or memory of its own.
func inflateValue(p []byte) ([]byte, error) {
	if len(p) == 0 {
		return p, nil
	}
	head, n := p[0], int(p[0]&lengthBytes)
	if head == 0 {
		return p[1:], nil
	}
	if head>>4 != methodZlib {
		return nil, fmt.Errorf("a compressed value has the unknown method %d", head>>4)
	}
	if len(p) < 1+n {
		return nil, errShort
	}
	var size int64
	for _, c := range p[1 : 1+n] {
		size = size<<8 | int64(c)
	}
	packed := bytes.NewReader(p[1+n:])
	r := flate.NewReader(packed)
	if head&withoutHead == 0 {
		wrapped, err := zlib.NewReader(packed)
		if err != nil {
			return nil, fmt.Errorf("inflate a compressed value: %w", err)
		}
		r = wrapped
	}
	plain, err := io.ReadAll(io.LimitReader(r, size+1))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || int64(len(plain)) != size {
		return nil, fmt.Errorf("inflate a compressed value: %d bytes instead of %d: %w", len(plain), size, errors.Join(err, errShort))
	}
	return plain, nil
}
