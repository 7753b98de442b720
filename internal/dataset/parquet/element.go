package parquet

import (
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// none is what stands for an annotation or a type that is not there.
const none = -1

// The fields of the union LogicalType in the format.
const (
	logicalString    = 1
	logicalMap       = 2
	logicalList      = 3
	logicalEnum      = 4
	logicalDecimal   = 5
	logicalDate      = 6
	logicalTime      = 7
	logicalTimestamp = 8
	logicalInteger   = 10
	logicalUnknown   = 11
	logicalJSON      = 12
	logicalBSON      = 13
	logicalUUID      = 14
	logicalFloat16   = 15
	logicalVariant   = 16
	logicalGeometry  = 17
	logicalGeography = 18
)

// logicalInterval is not in the union: only the older annotation has it.
const logicalInterval = 1000

// An annotation says what the bytes of a column mean.
type annotation struct {
	id        int // of a logical type, or none
	scale     int64
	precision int64
	unit      int64 // 1 ms, 2 µs, 3 ns
	utc       bool
	bits      int64
	unsigned  bool
}

// An element is one node of the schema, which is written as a list in depth-first order.
type element struct {
	name       string
	kind       int // format.Type, or none for a group
	length     int64
	repetition format.FieldRepetitionType
	children   int64
	converted  int
	scale      int64
	precision  int64
	logical    annotation
}

func (t *thrift) element() element {
	e := element{kind: none, converted: none, logical: annotation{id: none}}
	t.fields(func(id int, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			e.kind = int(t.int())
		case id == 2 && kind == thriftI32:
			e.length = t.int()
		case id == 3 && kind == thriftI32:
			e.repetition = format.FieldRepetitionType(t.int())
		case id == 4 && kind == thriftBinary:
			e.name = string(t.bytes())
		case id == 5 && kind == thriftI32:
			e.children = t.int()
		case id == 6 && kind == thriftI32:
			e.converted = int(t.int())
		case id == 7 && kind == thriftI32:
			e.scale = t.int()
		case id == 8 && kind == thriftI32:
			e.precision = t.int()
		case id == 10 && kind == thriftStruct:
			e.logical = t.annotation()
		default:
			t.skip(kind, 0)
		}
	})
	if e.logical.id == none {
		e.logical = e.fromConverted()
	}
	return e
}

func (t *thrift) annotation() annotation {
	a := annotation{id: none}
	t.fields(func(id int, kind byte) {
		if kind != thriftStruct {
			t.skip(kind, 0)
			return
		}
		a.id = id
		t.fields(func(field int, kind byte) { t.parameter(&a, field, kind) })
	})
	return a
}

// parameter reads a field of the struct inside of a logical type.
func (t *thrift) parameter(a *annotation, field int, kind byte) {
	switch {
	case a.id == logicalDecimal && kind == thriftI32 && field == 1:
		a.scale = t.int()
	case a.id == logicalDecimal && kind == thriftI32 && field == 2:
		a.precision = t.int()
	case (a.id == logicalTime || a.id == logicalTimestamp) && field == 1 && kind <= thriftFalse:
		a.utc = kind == thriftTrue
	case (a.id == logicalTime || a.id == logicalTimestamp) && field == 2 && kind == thriftStruct:
		t.fields(func(unit int, kind byte) {
			a.unit = int64(unit)
			t.skip(kind, 0)
		})
	case a.id == logicalInteger && field == 1 && kind == thriftByte:
		a.bits = int64(t.byte())
	case a.id == logicalInteger && field == 2 && kind <= thriftFalse:
		a.unsigned = kind == thriftFalse
	default:
		t.skip(kind, 0)
	}
}

// fromConverted translates the older annotations, of which old files have no other.
func (e element) fromConverted() annotation {
	switch c := deprecated.ConvertedType(e.converted); c {
	case deprecated.UTF8:
		return annotation{id: logicalString}
	case deprecated.Map, deprecated.MapKeyValue:
		return annotation{id: logicalMap}
	case deprecated.List:
		return annotation{id: logicalList}
	case deprecated.Enum:
		return annotation{id: logicalEnum}
	case deprecated.Decimal:
		return annotation{id: logicalDecimal, scale: e.scale, precision: e.precision}
	case deprecated.Date:
		return annotation{id: logicalDate}
	case deprecated.TimeMillis, deprecated.TimeMicros:
		return annotation{id: logicalTime, unit: int64(c-deprecated.TimeMillis) + 1, utc: true}
	case deprecated.TimestampMillis, deprecated.TimestampMicros:
		return annotation{id: logicalTimestamp, unit: int64(c-deprecated.TimestampMillis) + 1, utc: true}
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return annotation{id: logicalInteger, bits: 8 << (c - deprecated.Uint8), unsigned: true}
	case deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
		return annotation{id: logicalInteger, bits: 8 << (c - deprecated.Int8)}
	case deprecated.Json:
		return annotation{id: logicalJSON}
	case deprecated.Bson:
		return annotation{id: logicalBSON}
	case deprecated.Interval:
		return annotation{id: logicalInterval}
	}
	return annotation{id: none}
}
