package options

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
	"unicode/utf8"
)

// newHash returns a digest by its Java name, or nil.
func newHash(name string) hash.Hash {
	switch strings.ToUpper(name) {
	case "MD5":
		return md5.New()
	case "SHA", "SHA1", "SHA-1":
		return sha1.New()
	case "SHA-224", "SHA224":
		return sha256.New224()
	case "SHA-256", "SHA256":
		return sha256.New()
	case "SHA-384", "SHA384":
		return sha512.New384()
	case "SHA-512", "SHA512":
		return sha512.New()
	case "SHA-512/224", "SHA512/224":
		return sha512.New512_224()
	case "SHA-512/256", "SHA512/256":
		return sha512.New512_256()
	case "SHA3-224":
		return sha3.New224()
	case "SHA3-256":
		return sha3.New256()
	case "SHA3-384":
		return sha3.New384()
	case "SHA3-512":
		return sha3.New512()
	}
	return nil
}

// hasher makes the function behind column.mask.hash: the hex digest of the salt
// and the value, where version 1 hashes the value as Java serialises a String and
// version 2 its UTF-8 bytes. A positive length cuts the text, since the column
// could not hold more. The function is for one goroutine.
func hasher(algorithm, salt string, v2 bool, length int) func([]byte) []byte {
	h := newHash(algorithm)
	var buf, sum []byte
	return func(v []byte) []byte {
		h.Reset()
		h.Write([]byte(salt))
		if v2 {
			h.Write(v)
		} else {
			buf = appendJavaString(buf[:0], v)
			h.Write(buf)
		}
		sum = h.Sum(sum[:0])
		out := make([]byte, hex.EncodedLen(len(sum)))
		hex.Encode(out, sum)
		if length > 0 && len(out) > length {
			out = out[:length]
		}
		return out
	}
}

// appendJavaString appends what ObjectOutputStream.writeObject writes for a String:
// the stream header, TC_STRING or TC_LONGSTRING, the length, and modified UTF-8.
func appendJavaString(dst, v []byte) []byte {
	dst = append(dst, 0xAC, 0xED, 0x00, 0x05)
	mark := len(dst)
	dst = append(dst, 0x74, 0, 0)
	dst = appendModifiedUTF8(dst, v)
	n := len(dst) - mark - 3
	if n <= 0xFFFF {
		dst[mark+1], dst[mark+2] = byte(n>>8), byte(n)
		return dst
	}
	text := bytes.Clone(dst[mark+3:])
	dst = append(dst[:mark], 0x7C, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(dst, text...)
}

// appendModifiedUTF8 appends Java's modified UTF-8: NUL as two bytes, characters
// beyond the BMP as two surrogates of three bytes.
func appendModifiedUTF8(dst, v []byte) []byte {
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		v = v[n:]
		switch {
		case r == 0:
			dst = append(dst, 0xC0, 0x80)
		case r >= 0x10000:
			r -= 0x10000
			dst = appendThree(appendThree(dst, 0xD800+r>>10), 0xDC00+r&0x3FF)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

func appendThree(dst []byte, c rune) []byte {
	return append(dst, 0xE0|byte(c>>12), 0x80|byte(c>>6)&0xBF, 0x80|byte(c)&0xBF)
}
