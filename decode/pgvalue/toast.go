package pgvalue

import (
	"crypto/md5"
	"encoding/hex"

	"millrace/internal/record"
)

// toastKind says which placeholder stands for an unchanged TOAST value.
type toastKind int

const (
	toastNone   toastKind = iota // none fits: null, with a warning
	toastText                    // the placeholder as text
	toastBinary                  // by binary.handling.mode
	toastHstore                  // one entry, placeholder => placeholder
)

// toastOf makes the placeholder of a column. ok is false when none fits the
// column's schema; nil with ok true is a null that Debezium does not complain of.
// Debezium chooses by the name of the declared type, so a domain never counts as
// an array or an hstore.
func (c *compiler) toastOf(s shape, cd *codec) (d *record.Datum, ok bool) {
	ph := c.modes.Placeholder
	text := string([]rune(string(ph)))
	var b record.Batch
	declared := s.typ == s.root
	switch cd.toast {
	case toastText:
		return record.NewDatum(&b, b.StringCell(text)), true
	case toastBinary:
		switch c.modes.Binary {
		case "hex":
			return record.NewDatum(&b, b.StringCell(text)), true
		case "base64", "base64-url-safe":
			return nil, true
		}
		return record.NewDatum(&b, b.BytesCell(record.Bytes, ph)), true
	case toastHstore:
		return c.hstoreToast(&b, text, declared)
	}
	if cd.schema.Type == record.Array && declared {
		return c.arrayToast(&b, s, cd, text)
	}
	return nil, false
}

func (c *compiler) hstoreToast(b *record.Batch, text string, declared bool) (*record.Datum, bool) {
	if c.modes.Hstore == "map" {
		if !declared {
			return nil, false
		}
		m := b.Alloc(record.Map, 2)
		b.SetChild(m, 0, b.StringCell(text))
		b.SetChild(m, 1, b.StringCell(text))
		return record.NewDatum(b, m), true
	}
	if !declared {
		return record.NewDatum(b, b.StringCell(text)), true
	}
	q := appendJSONText(nil, []byte(text))
	js := append(append(append(append([]byte{'{'}, q...), ':'), q...), '}')
	return record.NewDatum(b, b.BytesCell(record.String, js)), true
}

// arrayToast fills arrays: text in the text family, bytes in bytea, the
// placeholder's bytes as numbers in int4, date and int8, a name-based UUID.
func (c *compiler) arrayToast(b *record.Batch, s shape, cd *codec, text string) (*record.Datum, bool) {
	ph := c.modes.Placeholder
	one := func(v record.Cell) (*record.Datum, bool) {
		arr := b.Alloc(record.Array, 1)
		b.SetChild(arr, 0, v)
		return record.NewDatum(b, arr), true
	}
	switch s.typ.Name {
	case "_text", "_varchar", "_bpchar", "_json", "_jsonb":
		return one(b.StringCell(text))
	case "_bytea":
		if cd.schema.Elem.Type != record.Bytes {
			return nil, false
		}
		return one(b.BytesCell(record.Bytes, ph))
	case "_uuid":
		return one(b.StringCell(nameUUID(ph)))
	case "_int4", "_date", "_int8":
		e := cd.schema.Elem
		if e.Type == record.String || e.Name == nameConnectDate {
			return nil, false
		}
		arr := b.Alloc(record.Array, len(ph))
		for i, v := range ph {
			b.SetChild(arr, i, record.IntCell(e.Type, int64(int8(v))))
		}
		return record.NewDatum(b, arr), true
	}
	return nil, false
}

// nameUUID is Java's UUID.nameUUIDFromBytes: version 3 without a namespace.
func nameUUID(name []byte) string {
	h := md5.Sum(name)
	h[6] = h[6]&0x0F | 0x30
	h[8] = h[8]&0x3F | 0x80
	x := hex.EncodeToString(h[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
