package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// Debezium stores the keys of an incremental snapshot as the hex text of a Java
// serialised Object[]. The same is written here, so that either side can go on
// where the other stopped: whole numbers as Integer, Long and Short, everything
// else as String.

const (
	javaArray  = "[Ljava.lang.Object;"
	javaHeader = "\xac\xed\x00\x05"
)

var javaNumbers = map[string]struct {
	name string
	uid  string
	code byte
	size int
}{
	"int4": {"java.lang.Integer", "\x12\xe2\xa0\xa4\xf7\x81\x87\x38", 'I', 4},
	"int8": {"java.lang.Long", "\x3b\x8b\xe4\x90\xcc\x8f\x23\xdf", 'J', 8},
	"int2": {"java.lang.Short", "\x68\x4d\x37\x13\x34\x60\xda\x52", 'S', 2},
}

// javaKey encodes the texts of key columns; types are the names of their types.
func javaKey(texts [][]byte, types []string) string {
	b := []byte(javaHeader + "ur")
	b = javaText(b, javaArray)
	b = append(b, "\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00xp"...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(texts)))
	for i, t := range texts {
		n, ok := javaNumbers[types[i]]
		v, err := strconv.ParseInt(string(t), 10, 64)
		switch {
		case t == nil:
			b = append(b, 'p')
		case ok && err == nil:
			b = javaText(append(b, "sr"...), n.name)
			b = append(b, n.uid+"\x02\x00\x01"+string(n.code)...)
			b = javaText(b, "value")
			b = javaText(append(b, "xr"...), "java.lang.Number")
			b = append(b, "\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp"...)
			var num [8]byte
			binary.BigEndian.PutUint64(num[:], uint64(v))
			b = append(b, num[8-n.size:]...)
		default:
			b = javaText(append(b, 't'), string(t))
		}
	}
	return hex.EncodeToString(b)
}

func javaText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// errJavaKey: the key holds objects that are not read here.
var errJavaKey = errors.New("the key is not an array of numbers and texts")

// parseJavaKey decodes such a key to texts; nil elements are null.
func parseJavaKey(text string) ([][]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the key %q is not hex: %w", text, err)
	}
	r := &javaReader{b: raw}
	if string(r.take(4)) != javaHeader || r.byte() != 'u' {
		return nil, errJavaKey
	}
	if c := r.class(0); r.bad || c.name != javaArray {
		return nil, errJavaKey
	}
	r.handles = append(r.handles, javaClass{}) // the array itself
	n := r.u32()
	if r.bad || n > 64 {
		return nil, errJavaKey
	}
	out := make([][]byte, n)
	for i := range out {
		switch r.byte() {
		case 'p':
		case 't':
			out[i] = r.take(int(r.u16()))
			r.handles = append(r.handles, javaClass{})
		case 's':
			c := r.class(0)
			r.handles = append(r.handles, javaClass{})
			v := r.take(c.size)
			if r.bad || c.size == 0 {
				return nil, errJavaKey
			}
			var num int64
			if v[0]&0x80 != 0 {
				num = -1
			}
			for _, x := range v {
				num = num<<8 | int64(x)
			}
			out[i] = strconv.AppendInt(nil, num, 10)
		default:
			return nil, errJavaKey
		}
	}
	if r.bad {
		return nil, errJavaKey
	}
	return out, nil
}

type javaClass struct {
	name string
	size int // bytes of its one number field, 0 none
}

type javaReader struct {
	b       []byte
	bad     bool
	handles []javaClass
}

func (r *javaReader) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *javaReader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *javaReader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *javaReader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// class reads a class descriptor: a new one, a reference to one, or null.
func (r *javaReader) class(depth int) javaClass {
	switch tag := r.byte(); {
	case tag == 'q':
		if i := int64(r.u32()) - 0x7e0000; i >= 0 && i < int64(len(r.handles)) {
			return r.handles[i]
		}
	case tag == 'p':
		return javaClass{}
	case tag == 'r' && depth < 4:
		c := javaClass{name: string(r.take(int(r.u16())))}
		r.take(9) // serialVersionUID, flags
		at := len(r.handles)
		r.handles = append(r.handles, c)
		for n := r.u16(); n > 0 && !r.bad; n-- {
			switch r.byte() {
			case 'I':
				c.size += 4
			case 'J':
				c.size += 8
			case 'S':
				c.size += 2
			default:
				r.bad = true
			}
			r.take(int(r.u16()))
		}
		if r.byte() != 'x' {
			r.bad = true
		}
		r.class(depth + 1)
		if !r.bad {
			r.handles[at] = c
		}
		return c
	}
	r.bad = true
	return javaClass{}
}
