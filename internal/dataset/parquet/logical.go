package parquet

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go/format"
)

// An appender appends a value that is not null as JSON. errNull says that the value is a number
// that JSON does not have.
type appender func(dst, value []byte) ([]byte, error)

var errNull = errors.New("no JSON number")

const (
	maxScale        = 1000
	maxDecimalBytes = 1 << 10
)

// appenderOf chooses by what the bytes of a column mean.
func appenderOf(e element, width int) (appender, error) {
	kind := format.Type(e.kind)
	a := e.logical
	fits := func(kinds ...format.Type) error {
		for _, k := range kinds {
			if k == kind {
				return nil
			}
		}
		return fmt.Errorf("its values are of type %s, which does not go with what they are said to mean, so the file is damaged: get it again", kind)
	}
	switch a.id {
	case none, logicalUnknown:
		return physical(kind)
	case logicalString, logicalEnum:
		return appendText, fits(format.ByteArray, format.FixedLenByteArray)
	case logicalJSON:
		return appendJSON, fits(format.ByteArray)
	case logicalBSON, logicalGeometry, logicalGeography:
		return appendBase64, fits(format.ByteArray)
	case logicalUUID:
		return appendUUID, errors.Join(fits(format.FixedLenByteArray), wide(width, 16))
	case logicalFloat16:
		return appendFloat16, errors.Join(fits(format.FixedLenByteArray), wide(width, 2))
	case logicalInterval:
		return appendInterval, errors.Join(fits(format.FixedLenByteArray), wide(width, 12))
	case logicalDate:
		return appendDate, fits(format.Int32)
	case logicalTime, logicalTimestamp:
		if a.unit < 1 || a.unit > 3 {
			return nil, fmt.Errorf("its times have the unit %d, which is not known: write the file again with pyarrow", a.unit)
		}
		if a.id == logicalTime {
			return timeOf(a, width), fits(format.Int32, format.Int64)
		}
		return timestampOf(a), fits(format.Int64)
	case logicalInteger:
		return integer(a.unsigned), fits(format.Int32, format.Int64)
	case logicalDecimal:
		if a.scale < 0 || a.scale > maxScale {
			return nil, fmt.Errorf("its numbers have %d decimal places, and up to %d are read: write it with fewer", a.scale, maxScale)
		}
		return decimal(kind, int(a.scale)), fits(format.Int32, format.Int64, format.ByteArray, format.FixedLenByteArray)
	case logicalMap, logicalList:
		return physical(kind) // on a leaf it means nothing
	}
	return nil, fmt.Errorf("its logical type has the number %d, which is not known: write the column as text, with DuckDB or pyarrow", a.id)
}

func wide(width, want int) error {
	if width != want {
		return fmt.Errorf("its values have %d bytes and need %d, so the file is damaged: get it again", width, want)
	}
	return nil
}

// physical is for columns that say nothing but how they are stored.
func physical(kind format.Type) (appender, error) {
	switch kind {
	case format.Boolean:
		return func(dst, v []byte) ([]byte, error) { return strconv.AppendBool(dst, v[0] != 0), nil }, nil
	case format.Int32, format.Int64:
		return integer(false), nil
	case format.Int96:
		return appendInt96, nil
	case format.Float:
		return func(dst, v []byte) ([]byte, error) {
			return finite(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 32)
		}, nil
	case format.Double:
		return func(dst, v []byte) ([]byte, error) {
			return finite(dst, math.Float64frombits(binary.LittleEndian.Uint64(v)), 64)
		}, nil
	}
	return appendBase64, nil
}

func finite(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...), errNull
	}
	return appendFloat(dst, f, bits), nil
}

// signed reads an integer of four or eight bytes.
func signed(v []byte) int64 {
	if len(v) == 4 {
		return int64(int32(binary.LittleEndian.Uint32(v)))
	}
	return int64(binary.LittleEndian.Uint64(v))
}

func integer(unsigned bool) appender {
	if !unsigned {
		return func(dst, v []byte) ([]byte, error) { return strconv.AppendInt(dst, signed(v), 10), nil }
	}
	return func(dst, v []byte) ([]byte, error) {
		if len(v) == 4 {
			return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(v)), 10), nil
		}
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(v), 10), nil
	}
}

// A badText is a value of a text column that is no UTF-8.
type badText struct{ at int }

func (b badText) Error() string { return fmt.Sprintf("byte %d of the text is no UTF-8", b.at+1) }

func appendText(dst, v []byte) ([]byte, error) {
	if at := invalidAt(v); at >= 0 {
		return dst, badText{at}
	}
	return appendString(dst, v), nil
}

// appendJSON embeds what is valid, on one line, and gives the rest as text.
func appendJSON(dst, v []byte) ([]byte, error) {
	if invalidAt(v) < 0 && json.Valid(v) {
		var line bytes.Buffer
		if err := json.Compact(&line, v); err == nil {
			return append(dst, line.Bytes()...), nil
		}
	}
	return appendText(dst, v)
}

func appendBase64(dst, v []byte) ([]byte, error) {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, v)
	return append(dst, '"'), nil
}

func appendUUID(dst, v []byte) ([]byte, error) {
	dst = append(dst, '"')
	for i, end := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			dst = append(dst, '-')
		}
		start := []int{0, 4, 6, 8, 10}[i]
		dst = hex.AppendEncode(dst, v[start:end])
	}
	return append(dst, '"'), nil
}

func appendFloat16(dst, v []byte) ([]byte, error) {
	f := halfValue(binary.LittleEndian.Uint16(v))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...), errNull
	}
	return appendHalf(dst, f), nil
}

func appendInterval(dst, v []byte) ([]byte, error) {
	return fmt.Appendf(dst, `{"months":%d,"days":%d,"milliseconds":%d}`,
		binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[4:]), binary.LittleEndian.Uint32(v[8:])), nil
}

func appendDate(dst, v []byte) ([]byte, error) {
	day := time.Unix(signed(v)*86400, 0).UTC()
	return append(day.AppendFormat(append(dst, '"'), time.DateOnly), '"'), nil
}

// units returns how many of a unit make a second.
func units(unit int64) int64 { return []int64{0, 1e3, 1e6, 1e9}[unit] }

func timestampOf(a annotation) appender {
	second := units(a.unit)
	return func(dst, v []byte) ([]byte, error) {
		n := signed(v)
		seconds, rest := n/second, n%second
		if rest < 0 {
			seconds, rest = seconds-1, rest+second
		}
		return appendTime(dst, seconds, rest*(1e9/second), a.utc), nil
	}
}

// appendTime appends a point in time, with as many groups of three decimal places as it needs.
func appendTime(dst []byte, seconds, nanos int64, utc bool) []byte {
	dst = time.Unix(seconds, 0).UTC().AppendFormat(append(dst, '"'), "2006-01-02T15:04:05")
	dst = appendFraction(dst, nanos)
	if utc {
		dst = append(dst, 'Z')
	}
	return append(dst, '"')
}

func appendFraction(dst []byte, nanos int64) []byte {
	switch {
	case nanos == 0:
		return dst
	case nanos%1e6 == 0:
		return fmt.Appendf(dst, ".%03d", nanos/1e6)
	case nanos%1e3 == 0:
		return fmt.Appendf(dst, ".%06d", nanos/1e3)
	}
	return fmt.Appendf(dst, ".%09d", nanos)
}

// timeOf reads a time of day. What is none is given as the number that it is.
func timeOf(a annotation, width int) appender {
	second := units(a.unit)
	return func(dst, v []byte) ([]byte, error) {
		n := signed(v)
		if n < 0 || n >= 86400*second {
			return strconv.AppendInt(dst, n, 10), nil
		}
		s := n / second
		dst = fmt.Appendf(dst, `"%02d:%02d:%02d`, s/3600, s/60%60, s%60)
		return append(appendFraction(dst, n%second*(1e9/second)), '"'), nil
	}
}

// appendInt96 appends a timestamp of old writers: nanoseconds of a day, and the Julian day.
func appendInt96(dst, v []byte) ([]byte, error) {
	const epoch = 2440588
	nanos := int64(binary.LittleEndian.Uint64(v))
	day := int64(int32(binary.LittleEndian.Uint32(v[8:]))) - epoch
	seconds, rest := nanos/1e9, nanos%1e9
	if rest < 0 {
		seconds, rest = seconds-1, rest+1e9
	}
	return appendTime(dst, day*86400+seconds, rest, false), nil
}

// decimal reads numbers with a fixed number of decimal places, all of which stay.
func decimal(kind format.Type, scale int) appender {
	if kind == format.Int32 || kind == format.Int64 {
		return func(dst, v []byte) ([]byte, error) {
			var digits [24]byte
			return appendDecimal(dst, strconv.AppendInt(digits[:0], signed(v), 10), scale), nil
		}
	}
	return func(dst, v []byte) ([]byte, error) {
		if len(v) == 0 || len(v) > maxDecimalBytes {
			return dst, fmt.Errorf("a decimal number has %d bytes, and 1 to %d are read", len(v), maxDecimalBytes)
		}
		n := new(big.Int).SetBytes(v)
		if v[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v))))
		}
		return appendDecimal(dst, n.Append(nil, 10), scale), nil
	}
}

// appendDecimal puts the point into digits.
func appendDecimal(dst, digits []byte, scale int) []byte {
	if len(digits) > 0 && digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	if scale == 0 {
		return append(dst, digits...)
	}
	if len(digits) <= scale {
		dst = append(dst, '0', '.')
		for range scale - len(digits) {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	point := len(digits) - scale
	return append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
}
