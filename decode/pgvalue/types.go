package pgvalue

import (
	"math"
)

// OIDs of PostgreSQL's built-in types, from pg_type.dat.
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidJSON        = 114
	oidXML         = 142
	oidPoint       = 600
	oidLseg        = 601
	oidPath        = 602
	oidBox         = 603
	oidPolygon     = 604
	oidLine        = 628
	oidFloat4      = 700
	oidFloat8      = 701
	oidCircle      = 718
	oidMoney       = 790
	oidMacaddr8    = 774
	oidMacaddr     = 829
	oidInet        = 869
	oidCidr        = 650
	oidBPChar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidTimeTZ      = 1266
	oidBit         = 1560
	oidVarbit      = 1562
	oidNumeric     = 1700
	oidRefcursor   = 1790
	oidUUID        = 2950
	oidTSVector    = 3614
	oidJSONB       = 3802
	oidInt4Range   = 3904
	oidNumRange    = 3906
	oidTSRange     = 3908
	oidTSTZRange   = 3910
	oidDateRange   = 3912
	oidInt8Range   = 3926
	oidBitArray    = 1561
	oidInt2Vector  = 22
	oidOIDVector   = 30
)

// unlimited is the length the PostgreSQL JDBC driver gives to types without one;
// it leaks into schema parameters.
const unlimited = math.MaxInt32

// numericDisplay is the driver's display size of a numeric without modifier, which
// Debezium's stream path takes for its length.
const numericDisplay = 131089

// builtin is a core scalar type and its array.
type builtin struct {
	name  string
	oid   uint32
	array uint32
}

var builtins = []builtin{
	{"bool", oidBool, 1000}, {"bytea", oidBytea, 1001}, {"char", oidChar, 1002}, {"name", oidName, 1003},
	{"int8", oidInt8, 1016}, {"int2", oidInt2, 1005}, {"int4", oidInt4, 1007}, {"text", oidText, 1009},
	{"oid", oidOID, 1028}, {"json", oidJSON, 199}, {"xml", oidXML, 143}, {"point", oidPoint, 1017},
	{"lseg", oidLseg, 1018}, {"path", oidPath, 1019}, {"box", oidBox, 1020}, {"polygon", oidPolygon, 1027},
	{"line", oidLine, 629}, {"float4", oidFloat4, 1021}, {"float8", oidFloat8, 1022}, {"circle", oidCircle, 719},
	{"money", oidMoney, 791}, {"macaddr8", oidMacaddr8, 775}, {"macaddr", oidMacaddr, 1040}, {"inet", oidInet, 1041},
	{"cidr", oidCidr, 651}, {"bpchar", oidBPChar, 1014}, {"varchar", oidVarchar, 1015}, {"date", oidDate, 1182},
	{"time", oidTime, 1183}, {"timestamp", oidTimestamp, 1115}, {"timestamptz", oidTimestampTZ, 1185},
	{"interval", oidInterval, 1187}, {"timetz", oidTimeTZ, 1270}, {"bit", oidBit, oidBitArray},
	{"varbit", oidVarbit, 1563}, {"numeric", oidNumeric, 1231}, {"refcursor", oidRefcursor, 2201},
	{"uuid", oidUUID, 2951}, {"tsvector", oidTSVector, 3643}, {"jsonb", oidJSONB, 3807},
	{"int4range", oidInt4Range, 3905}, {"numrange", oidNumRange, 3907}, {"tsrange", oidTSRange, 3909},
	{"tstzrange", oidTSTZRange, 3911}, {"daterange", oidDateRange, 3913}, {"int8range", oidInt8Range, 3927},
}

// Builtin returns the pg_type row of a core type by its OID, or nil. Resolvers may
// fall back to it; Compile does so for what its Types does not know.
func Builtin(oid uint32) *Type {
	for _, b := range builtins {
		switch oid {
		case b.oid:
			return &Type{OID: oid, Schema: "pg_catalog", Name: b.name, Kind: 'b'}
		case b.array:
			return &Type{OID: oid, Schema: "pg_catalog", Name: "_" + b.name, Kind: 'b', Elem: b.oid}
		}
	}
	return nil
}

// resolver looks types up, falling back to the built-in ones.
type resolver struct{ types Types }

func (r resolver) get(oid uint32) *Type {
	if r.types != nil {
		if t := r.types.Type(oid); t != nil {
			return t
		}
	}
	return Builtin(oid)
}

// maxDomains bounds how deep domains may be nested, so that a broken catalog
// cannot send us round in circles.
const maxDomains = 64

// root unwraps domains at any depth.
func (r resolver) root(t *Type) *Type {
	for i := 0; t != nil && t.Kind == 'd' && i < maxDomains; i++ {
		t = r.get(t.Base)
	}
	return t
}

// shape is what Debezium knows of a column: its type names and the length and
// scale that the JDBC driver derives from the modifier.
type shape struct {
	typ      *Type // as declared
	root     *Type // domains unwrapped
	length   int
	scale    int
	scaleSet bool // false only on the snapshot path for a numeric without modifier
}

// shapeOf computes length and scale. The stream path takes them from the RELATION
// message's modifier, the snapshot path from the driver's column metadata, which
// differs for a numeric without modifier.
func (r resolver) shapeOf(col *Column, path Path) (shape, bool) {
	t := r.get(col.TypeOID)
	if t == nil {
		return shape{}, false
	}
	s := shape{typ: t, root: r.root(t), scaleSet: true}
	if s.root == nil {
		return shape{}, false
	}
	if t.Kind == 'd' {
		s.length, s.scale = r.defaultLength(t, 0), r.defaultScale(t, 0)
		return s, true
	}
	base := r.arrayBase(t)
	s.length, s.scale = precision(base, col.Typmod), scaleOf(base, col.Typmod)
	if base == oidNumeric && col.Typmod == -1 && path == Snapshot && t.Elem == 0 {
		s.length, s.scale, s.scaleSet = 0, 0, false
		return s, true
	}
	if s.length == 0 {
		s.length = displaySize(base, col.Typmod)
	}
	return s, true
}

// arrayBase is the driver's convertArrayToBaseOid: built-in array types have the
// modifiers of their elements; others do not.
func (r resolver) arrayBase(t *Type) uint32 {
	if t.Elem == 0 {
		return t.OID
	}
	for _, b := range builtins {
		if b.array == t.OID {
			return b.oid
		}
	}
	return t.OID
}

func (r resolver) defaultLength(t *Type, depth int) int {
	if t == nil || depth > maxDomains {
		return unlimited
	}
	if t.Kind != 'd' {
		base := r.arrayBase(t)
		if n := precision(base, -1); n != 0 {
			return n
		}
		return displaySize(base, -1)
	}
	parent := r.get(t.Base)
	if t.BaseMod == -1 || parent == nil {
		return r.defaultLength(parent, depth+1)
	}
	base := r.arrayBase(parent)
	n := precision(base, t.BaseMod)
	if n == 0 {
		n = displaySize(base, t.BaseMod)
	}
	if n == 0 {
		return unlimited
	}
	return n
}

func (r resolver) defaultScale(t *Type, depth int) int {
	if t == nil || depth > maxDomains {
		return 0
	}
	if t.Kind != 'd' {
		return scaleOf(r.arrayBase(t), -1)
	}
	parent := r.get(t.Base)
	if t.BaseMod == -1 || parent == nil {
		return r.defaultScale(parent, depth+1)
	}
	return scaleOf(r.arrayBase(parent), t.BaseMod)
}

// precision is the length of a type by the JDBC driver's rules.
func precision(oid uint32, mod int32) int {
	switch oid {
	case oidInt2:
		return 5
	case oidInt4, oidOID:
		return 10
	case oidInt8:
		return 19
	case oidFloat4:
		return 8
	case oidFloat8:
		return 17
	case oidNumeric:
		if mod == -1 {
			return 0
		}
		return int((mod-4)>>16) & 0xFFFF
	case oidBool, oidChar:
		return 1
	case oidBPChar, oidVarchar:
		if mod == -1 {
			return unlimited
		}
		return int(mod) - 4
	case oidDate, oidTime, oidTimeTZ, oidTimestamp, oidTimestampTZ, oidInterval:
		return displaySize(oid, mod)
	case oidBit:
		return int(mod)
	case oidVarbit:
		if mod == -1 {
			return unlimited
		}
		return int(mod)
	}
	return unlimited
}

// scaleOf is the scale of a type by the JDBC driver's rules. The mask makes a
// negative numeric scale a large positive one, as the driver does.
func scaleOf(oid uint32, mod int32) int {
	switch oid {
	case oidFloat4:
		return 8
	case oidFloat8:
		return 17
	case oidNumeric:
		if mod == -1 {
			return 0
		}
		return int(mod-4) & 0xFFFF
	case oidTime, oidTimeTZ, oidTimestamp, oidTimestampTZ:
		if mod == -1 {
			return 6
		}
		return int(mod)
	case oidInterval:
		if mod == -1 {
			return 6
		}
		return int(mod) & 0xFFFF
	}
	return 0
}

// displaySize is the display width of a type by the JDBC driver's rules.
func displaySize(oid uint32, mod int32) int {
	seconds := 0
	switch mod {
	case -1:
		seconds = 7
	case 0:
	case 1:
		seconds = 3
	default:
		seconds = int(mod) + 1
	}
	switch oid {
	case oidDate:
		return 13
	case oidTime:
		return 8 + seconds
	case oidTimeTZ:
		return 14 + seconds
	case oidTimestamp:
		return 22 + seconds
	case oidTimestampTZ:
		return 28 + seconds
	case oidInterval:
		return 49
	case oidNumeric:
		if mod == -1 {
			return numericDisplay
		}
	case oidBit:
		return int(mod)
	}
	return unlimited
}

// sourceName is the type's name as the propagated schema parameter spells it,
// before upper-casing. The snapshot path sees the driver's names: serial for a
// sequence default, and schema and quotes for a type outside the search path.
func (s shape) sourceName(col *Column, path Path) string {
	if path == Snapshot {
		if col.Serial {
			switch s.typ.OID {
			case oidInt2:
				return "smallserial"
			case oidInt4:
				return "serial"
			case oidInt8:
				return "bigserial"
			}
		}
		if sc := s.typ.Schema; sc != "" && sc != "pg_catalog" && sc != "public" {
			return `"` + sc + `"."` + s.typ.Name + `"`
		}
	}
	return s.typ.Name
}

// SourceTypeName is the type name that Debezium's filters by data type and its
// propagated parameters see: the declared type's name; on the snapshot path serial
// for a sequence default, and schema and quotes for a type outside the search path.
func SourceTypeName(col *Column, types Types, path Path) string {
	s, ok := resolver{types}.shapeOf(col, path)
	if !ok {
		return "unknown"
	}
	return s.sourceName(col, path)
}

// textual reports whether the JDBC driver calls the type a character type, which
// is what masks and hashes apply to.
func (s shape) textual() bool {
	switch s.root.OID {
	case oidChar, oidBPChar, oidVarchar, oidText, oidName:
		return true
	}
	return s.root.Kind == 'e'
}

// KeyDiffers reports whether the column decodes differently in the record's key,
// options aside; see Column.InKey.
func KeyDiffers(col *Column, types Types) bool {
	r := resolver{types}
	t := r.root(r.get(col.TypeOID))
	return t != nil && t.OID == oidName
}
