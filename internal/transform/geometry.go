package transform

import (
	"encoding/binary"
	"strconv"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/record"
)

const geometryName = "io.debezium.data.geometry.Geometry"

// leafPlan leads to the structs of one kind within a schema; nil: there are none.
type leafPlan struct {
	leaf   bool // this very schema
	schema *record.Schema
	index  []int
	nested []*leafPlan
	elem   *leafPlan // of an array
}

// findLeaves compiles the way to every struct with the name.
func findLeaves(s *record.Schema, name string) *leafPlan {
	switch {
	case s == nil:
	case s.Type == record.Struct && s.Name == name:
		return &leafPlan{leaf: true, schema: s}
	case s.Type == record.Array:
		if e := findLeaves(s.Elem, name); e != nil {
			return &leafPlan{elem: e}
		}
	case s.Type == record.Struct:
		p := &leafPlan{}
		for i, f := range s.Fields {
			if n := findLeaves(f.Schema, name); n != nil {
				p.index, p.nested = append(p.index, i), append(p.nested, n)
			}
		}
		if p.index != nil {
			return p
		}
	}
	return nil
}

// visit rebuilds a value with change applied to its leaves.
func (p *leafPlan) visit(b *record.Batch, c record.Cell, change func(*record.Batch, *record.Schema, record.Cell) (record.Cell, error)) (record.Cell, error) {
	if c.IsNull() {
		return c, nil
	}
	if p.leaf {
		return change(b, p.schema, c)
	}
	out := b.CloneChildren(c, 0)
	if p.elem != nil {
		for i := 0; i < out.Len(); i++ {
			v, err := p.elem.visit(b, b.Child(out, i), change)
			if err != nil {
				return c, err
			}
			b.SetChild(out, i, v)
		}
		return out, nil
	}
	for k, i := range p.index {
		v, err := p.nested[k].visit(b, b.Child(out, i), change)
		if err != nil {
			return c, err
		}
		b.SetChild(out, i, v)
	}
	return out, nil
}

type geometryPlan struct {
	leaves   *leafPlan // nil: the schema has no geometry
	defaults *defaultsPlan
}

// geometryStep changes the WKB of geometries.
type geometryStep struct {
	plans planCache[*geometryPlan]
	srids map[int64]bool // SwapGeometryCoordinates: which to swap; nil: GeometryFormatTransformer
	strip bool           // take the SRID out instead of putting it in
	buf   []byte
}

func swapDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("srids", configdef.String, noDefault, configdef.Low, configdef.WidthMedium, "Geometry SRIDs that should be considered for coordinate swapping", "SRIDs of the geometries to swap; 4326, 3857 and 4269 when not set.", func(in configdef.Input) []string {
			for _, x := range configdef.SplitList(in.Value) {
				if _, err := strconv.Atoi(x); err != nil {
					return invalid(in, x+" is no number")
				}
			}
			return nil
		}),
	}}
}

func newSwap(v configdef.Values) (Step, error) {
	t := &geometryStep{srids: map[int64]bool{}}
	list := v.List("srids")
	if !v.IsSet("srids") {
		list = []string{"4326", "3857", "4269"}
	}
	for _, x := range list {
		n, err := strconv.ParseInt(x, 10, 32)
		if err != nil {
			return nil, err
		}
		t.srids[n] = true
	}
	return t, nil
}

func geometryFormatDef() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		dopt("format", configdef.String, "wkb", configdef.Low, configdef.WidthMedium, "Target Format", "wkb puts the SRID into geometries that lack it, ewkb takes it out: the names stand for what comes in, as in Debezium.", enum("wkb", "ewkb")),
	}}
}

func newGeometryFormat(v configdef.Values) (Step, error) {
	return &geometryStep{strip: strings.EqualFold(v.String("format"), "ewkb")}, nil
}

func (t *geometryStep) Apply(b *record.Batch, r *record.Record) (bool, error) {
	if r.Value.Kind() != record.Struct || r.ValueSchema == nil {
		return true, nil
	}
	p, ok := t.plans.lookup(r.ValueSchema)
	if !ok {
		p = t.plans.store(r.ValueSchema, &geometryPlan{findLeaves(r.ValueSchema, geometryName), compileDefaults(r.ValueSchema)})
	}
	v := p.defaults.apply(b, r.Value)
	var err error
	if p.leaves != nil {
		v, err = p.leaves.visit(b, v, t.change)
	}
	if err == nil {
		r.Value = v
	}
	return true, err
}

func (t *geometryStep) change(b *record.Batch, s *record.Schema, c record.Cell) (record.Cell, error) {
	wi, _ := s.Field("wkb")
	si, _ := s.Field("srid")
	if wi < 0 || si < 0 || b.Child(c, wi).IsNull() {
		return c, nil
	}
	srid := b.Child(c, si)
	t.buf = append(t.buf[:0], b.Raw(b.Child(c, wi))...)
	var err error
	if t.srids != nil {
		if srid.IsNull() || !t.srids[srid.Int()] {
			return c, nil
		}
		if _, err = swapWKB(t.buf, 0); err != nil {
			err = &errs.Error{Java: errs.DebeziumException, Msg: "Failed to swap EWKB/WKB coordinates", Cause: err}
		}
	} else {
		// One geometry with an SRID inside turns the step round for good, as in Debezium.
		t.strip = t.strip || extendedWKB(t.buf)
		if !t.strip && srid.IsNull() {
			return c, connectErr("Cannot convert to EWKB when SRID is null")
		}
		t.buf, err = setSRID(t.buf, t.strip, uint32(srid.Int()))
	}
	if err != nil {
		return c, err
	}
	v := b.BytesCell(record.Bytes, t.buf)
	out := b.CloneChildren(c, 0)
	b.SetChild(out, wi, v)
	return out, nil
}

// Flags of the type word of EWKB.
const (
	wkbZ    = 0x80000000
	wkbM    = 0x40000000
	wkbSRID = 0x20000000
)

func wkbOrder(p []byte) binary.ByteOrder {
	if p[0] == 0 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func extendedWKB(p []byte) bool {
	return len(p) >= 5 && wkbOrder(p).Uint32(p[1:])&wkbSRID != 0
}

// setSRID takes the SRID out of a geometry, or puts it in.
func setSRID(p []byte, strip bool, srid uint32) ([]byte, error) {
	if len(p) == 0 && strip {
		return p, nil
	}
	if len(p) < 5 {
		return p, dataErr("the geometry has %d bytes, which is no WKB", len(p))
	}
	o := wkbOrder(p)
	kind := o.Uint32(p[1:])
	switch has := kind&wkbSRID != 0; {
	case strip && has:
		if len(p) < 9 {
			return p, dataErr("the geometry ends in its SRID")
		}
		o.PutUint32(p[1:], kind&^wkbSRID)
		return append(p[:5], p[9:]...), nil
	case !strip && !has:
		p = append(p, 0, 0, 0, 0)
		copy(p[9:], p[5:len(p)-4])
		o.PutUint32(p[1:], kind|wkbSRID)
		o.PutUint32(p[5:], srid)
	}
	return p, nil
}

// wkbReader walks a geometry and swaps x and y as it goes.
type wkbReader struct {
	p     []byte
	at    int
	order binary.ByteOrder
	dims  int
}

// count reads a number of parts; no geometry has more of them than bytes.
func (w *wkbReader) count() (int, bool) {
	if w.at+4 > len(w.p) {
		return 0, false
	}
	n := int(w.order.Uint32(w.p[w.at:]))
	w.at += 4
	return n, n <= len(w.p)
}

// points swaps n coordinates.
func (w *wkbReader) points(n int) bool {
	if n > (len(w.p)-w.at)/(8*w.dims) {
		return false
	}
	for ; n > 0; n-- {
		x, y := w.order.Uint64(w.p[w.at:]), w.order.Uint64(w.p[w.at+8:])
		w.order.PutUint64(w.p[w.at:], y)
		w.order.PutUint64(w.p[w.at+8:], x)
		w.at += 8 * w.dims
	}
	return true
}

// swapWKB swaps x and y of every coordinate in place and returns the bytes read.
func swapWKB(p []byte, depth int) (int, error) {
	bad := dataErr("the geometry is no WKB")
	if len(p) < 5 || depth > 32 {
		return 0, bad
	}
	w := wkbReader{p: p, at: 5, order: wkbOrder(p), dims: 2}
	kind := w.order.Uint32(p[1:])
	if kind&wkbZ != 0 {
		w.dims++
	}
	if kind&wkbM != 0 {
		w.dims++
	}
	if kind&wkbSRID != 0 {
		w.at += 4
	}
	kind &= 0x1FFFFFFF
	switch kind / 1000 { // ISO's way of saying the same
	case 1, 2:
		w.dims = 3
	case 3:
		w.dims = 4
	}
	var ok bool
	var n int
	switch kind % 1000 {
	case 1:
		ok = w.points(1)
	case 2:
		if n, ok = w.count(); ok {
			ok = w.points(n)
		}
	case 3:
		rings, some := w.count()
		for ok = some; ok && rings > 0; rings-- {
			if n, ok = w.count(); ok {
				ok = w.points(n)
			}
		}
	case 4, 5, 6, 7:
		var parts int
		parts, ok = w.count()
		for ; ok && parts > 0; parts-- {
			n, err := swapWKB(p[min(w.at, len(p)):], depth+1)
			if err != nil {
				return 0, err
			}
			w.at += n
		}
	default:
		return 0, dataErr("geometries of WKB type %d are not known", kind)
	}
	if !ok {
		return 0, bad
	}
	return w.at, nil
}
