package record

import "math"

// Cell is one value on a Batch's tape: 16 bytes, no pointers. Its kind is the
// Connect type of the value (Null for null), so a value can be read without its
// schema. The zero Cell is null.
type Cell struct {
	bits uint64 // a number, or an offset into Arena (String, Bytes) or Cells (Array, Map, Struct)
	n    uint32 // bytes, or number of child cells (of a map: twice its entries)
	kind Type
}

// Kind returns the type of the value; Null when there is none.
func (c Cell) Kind() Type { return c.kind }

// IsNull reports whether the cell holds no value.
func (c Cell) IsNull() bool { return c.kind == Null }

// Int returns the value of an Int8, Int16, Int32 or Int64 cell.
func (c Cell) Int() int64 { return int64(c.bits) }

// Float returns the value of a Float32 (widened) or Float64 cell.
func (c Cell) Float() float64 { return math.Float64frombits(c.bits) }

// Bool returns the value of a Boolean cell.
func (c Cell) Bool() bool { return c.bits != 0 }

// Len returns the bytes of a String or Bytes, the elements of an Array, the
// fields of a Struct, and twice the entries of a Map.
func (c Cell) Len() int { return int(c.n) }

// IntCell makes an integer cell of the given kind (Int8, Int16, Int32, Int64).
func IntCell(kind Type, v int64) Cell { return Cell{bits: uint64(v), kind: kind} }

// Int64Cell makes an Int64 cell.
func Int64Cell(v int64) Cell { return Cell{bits: uint64(v), kind: Int64} }

// Int32Cell makes an Int32 cell.
func Int32Cell(v int32) Cell { return Cell{bits: uint64(int64(v)), kind: Int32} }

// javaNaN is the one NaN of Java's serialised forms; Go's own has a bit more.
const javaNaN = 0x7ff8000000000000

// Float32Cell makes a Float32 cell. Every NaN is the same one.
func Float32Cell(v float32) Cell {
	c := Float64Cell(float64(v))
	c.kind = Float32
	return c
}

// Float64Cell makes a Float64 cell. Every NaN is the same one.
func Float64Cell(v float64) Cell {
	if v != v {
		return Cell{bits: javaNaN, kind: Float64}
	}
	return Cell{bits: math.Float64bits(v), kind: Float64}
}

// BoolCell makes a Boolean cell.
func BoolCell(v bool) Cell {
	if v {
		return Cell{bits: 1, kind: Boolean}
	}
	return Cell{kind: Boolean}
}
