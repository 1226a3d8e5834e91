package worker

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // HMAC with it is sound, and workers of Java may be set to it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"millrace/internal/configdef"
	"millrace/internal/store"
)

// macs are the algorithms that sign requests between workers, by Java's names, with
// the size of Java's default key in bytes.
var macs = []struct {
	name string
	hash func() hash.Hash
	key  int
}{
	{"HmacSHA256", sha256.New, 32}, {"HmacSHA1", sha1.New, 64}, {"HmacSHA224", sha256.New224, 28}, {"HmacSHA384", sha512.New384, 48}, {"HmacSHA512", sha512.New, 64},
}

func macNames() []string {
	var out []string
	for _, m := range macs {
		out = append(out, m.name)
	}
	return out
}

// macIndex finds an algorithm in any case, as Java does; -1 if it is not here.
func macIndex(name string) int {
	for i := range macs {
		if strings.EqualFold(macs[i].name, name) {
			return i
		}
	}
	return -1
}

func checkMAC(in configdef.Input) []string {
	list := configdef.SplitList(in.Value)
	if len(list) == 0 {
		return invalid(in, "At least one signature verification algorithm must be provided")
	}
	for _, a := range list {
		if macIndex(a) < 0 {
			return invalid(in, "the algorithm is not supported by millrace; the supported algorithms are: "+strings.Join(macNames(), ", "))
		}
	}
	return nil
}

// signing is what inter.worker.* say.
type signing struct {
	keyAlgorithm string
	keyBytes     int
	keyTTL       time.Duration
	algorithm    string   // of our own requests
	accepted     []string // of others'
}

func signingOf(v configdef.Values) (s signing, err error) {
	s = signing{keyAlgorithm: v.String("inter.worker.key.generation.algorithm"), keyTTL: v.Millis("inter.worker.key.ttl.ms"),
		algorithm: v.String("inter.worker.signature.algorithm"), accepted: v.List("inter.worker.verification.algorithms")}
	s.keyBytes = macs[macIndex(s.keyAlgorithm)].key
	if v.IsSet("inter.worker.key.size") {
		bits := v.Int("inter.worker.key.size")
		if bits < 40 || bits > 1<<16 {
			return s, fmt.Errorf("inter.worker.key.size=%d: the key must have at least 40 bits; leave the setting out for the default of the algorithm", bits)
		}
		s.keyBytes = (bits + 7) / 8
	}
	if !slices.Contains(s.accepted, s.algorithm) {
		return s, fmt.Errorf("Invalid value %s for configuration inter.worker.signature.algorithm: Signature algorithm must be present in inter.worker.verification.algorithms list", s.algorithm)
	}
	return s, nil
}

// stale reports whether a leader must make a new key: there is none, it is too old, or
// of another kind than is wanted now.
func (s *signing) stale(k store.SessionKey, now time.Time) bool {
	raw, err := base64.StdEncoding.DecodeString(k.Key)
	return err != nil || len(raw) != s.keyBytes || k.Algorithm != s.keyAlgorithm || now.Sub(time.UnixMilli(k.Created)) >= s.keyTTL
}

// newKey makes a key.
func (s *signing) newKey(now time.Time) store.SessionKey {
	key := make([]byte, s.keyBytes)
	_, _ = rand.Read(key) // never fails
	return store.SessionKey{Key: base64.StdEncoding.EncodeToString(key), Algorithm: s.keyAlgorithm, Created: now.UnixMilli()}
}

// mac signs a body with the key of the config topic; nil without a key or for an
// algorithm that is not here.
func mac(k store.SessionKey, algorithm string, body []byte) []byte {
	key, err := base64.StdEncoding.DecodeString(k.Key)
	i := macIndex(algorithm)
	if err != nil || len(key) == 0 || i < 0 {
		return nil
	}
	m := hmac.New(macs[i].hash, key)
	m.Write(body)
	return m.Sum(nil)
}

// javaMAC reports whether Java has a MAC of that name, in any case of letters.
func javaMAC(name string) bool {
	switch strings.ToUpper(name) {
	case "HMACMD5", "HMACSHA1", "HMACSHA224", "HMACSHA256", "HMACSHA384", "HMACSHA512", "HMACSHA512/224", "HMACSHA512/256",
		"HMACSHA3-224", "HMACSHA3-256", "HMACSHA3-384", "HMACSHA3-512":
		return true
	}
	return false
}

// javaBase64 decodes as Java's basic decoder does, which takes texts without padding,
// and says what is wrong in its words.
func javaBase64(s string) (data []byte, problem string) {
	text := strings.TrimRight(s, "=")
	pad := len(s) - len(text)
	for i := range len(text) {
		c := text[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return nil, fmt.Sprintf("Illegal base64 character %x", c)
		}
	}
	switch {
	case len(s) == 1:
		return nil, "Input byte[] should at least have 2 bytes for base64 bytes"
	case pad > 0 && (pad > 2 || len(s)%4 != 0):
		return nil, "Input byte array has wrong 4-byte ending unit"
	case len(text)%4 == 1:
		return nil, "Last unit does not have enough valid bits"
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, "Illegal base64: " + err.Error()
	}
	return data, ""
}
