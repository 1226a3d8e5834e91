package pgvalue

import (
	"bytes"

	"millrace/internal/record"
)

// codecVector decodes pgvector's vector (float64) and halfvec (float32).
func codecVector(half bool) *codec {
	name, elem := "io.debezium.data.DoubleVector", record.PlainFloat64
	if half {
		name, elem = "io.debezium.data.FloatVector", record.PlainFloat32
	}
	s := logical(record.Array, name)
	s.Elem = elem
	c := &codec{schema: s, notOptionalElem: true}
	c.fallback = func(b *record.Batch) record.Cell { return b.Alloc(record.Array, 0) }
	c.decode = func(b *record.Batch, t []byte) (record.Cell, error) {
		t = bytes.TrimSpace(t)
		if len(t) < 3 || t[0] != '[' || t[len(t)-1] != ']' {
			return record.Cell{}, errVector
		}
		t = t[1 : len(t)-1]
		arr := b.Alloc(record.Array, bytes.Count(t, []byte{','})+1)
		for i := 0; i < arr.Len(); i++ {
			var part []byte
			part, t, _ = bytes.Cut(t, []byte{','})
			v, err := decodeVectorElem(half, bytes.TrimSpace(part))
			if err != nil {
				return record.Cell{}, err
			}
			b.SetChild(arr, i, v)
		}
		return arr, nil
	}
	return c
}

func decodeVectorElem(half bool, t []byte) (record.Cell, error) {
	if half {
		v, ok := parseFloat(t, 32)
		if !ok {
			return record.Cell{}, errVector
		}
		return record.Float32Cell(float32(v)), nil
	}
	v, ok := parseFloat(t, 64)
	if !ok {
		return record.Cell{}, errVector
	}
	return record.Float64Cell(v), nil
}

// codecSparse decodes pgvector's sparsevec, "{1:1.5,3:2}/5".
func codecSparse() *codec {
	s := logical(record.Struct, "io.debezium.data.SparseDoubleVector")
	s.Doc = "Sparse double vector"
	s.Fields = []record.Field{
		{Name: "dimensions", Schema: record.PlainInt16},
		{Name: "vector", Schema: &record.Schema{Type: record.Map, Key: record.PlainInt16, Elem: record.PlainFloat64}},
	}
	c := &codec{schema: s, decode: decodeSparse, notOptionalElem: true}
	c.fallback = func(b *record.Batch) record.Cell {
		m := b.Alloc(record.Map, 0)
		st := b.Alloc(record.Struct, 2)
		b.SetChild(st, 0, record.IntCell(record.Int16, 0))
		b.SetChild(st, 1, m)
		return st
	}
	return c
}

func decodeSparse(b *record.Batch, t []byte) (record.Cell, error) {
	body, dims, ok := bytes.Cut(bytes.TrimSpace(t), []byte{'/'})
	if !ok || len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return record.Cell{}, errSparse
	}
	n, err := decodeInt2(b, dims)
	if err != nil {
		return record.Cell{}, errSparse
	}
	body = bytes.TrimSpace(body[1 : len(body)-1])
	var keys []int16
	var values []float64
	for len(body) > 0 {
		var part []byte
		part, body, _ = bytes.Cut(body, []byte{','})
		k, v, ok := bytes.Cut(part, []byte{':'})
		key, err := decodeInt2(b, bytes.TrimSpace(k))
		x, okv := parseFloat(bytes.TrimSpace(v), 64)
		if !ok || err != nil || !okv {
			return record.Cell{}, errSparse
		}
		keys, values = append(keys, int16(key.Int())), append(values, x)
	}
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	size := 1 // Debezium sizes the map by the number of entries
	for size < len(keys) {
		size *= 2
	}
	javaOrder(order, size, func(i int) int32 { return int32(keys[i]) })
	m := b.Alloc(record.Map, 2*len(keys))
	for at, i := range order {
		b.SetChild(m, 2*at, record.IntCell(record.Int16, int64(keys[i])))
		b.SetChild(m, 2*at+1, record.Float64Cell(values[i]))
	}
	st := b.Alloc(record.Struct, 2)
	b.SetChild(st, 0, n)
	b.SetChild(st, 1, m)
	return st, nil
}
