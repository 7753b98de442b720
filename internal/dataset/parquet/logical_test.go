package parquet

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

// meaning returns what a value of a column is as JSON.
func meaning(t *testing.T, e element, value []byte) string {
	t.Helper()
	width := 0
	if format.Type(e.kind) != format.ByteArray {
		width = len(value)
	}
	write, err := appenderOf(e, width)
	if err != nil {
		t.Fatal(err)
	}
	out, err := write(nil, value)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

func TestValuesThatOldAndRareWritersHave(t *testing.T) {
	bytes, fixed, int32s, int64s, int96 := int(format.ByteArray), int(format.FixedLenByteArray), int(format.Int32), int(format.Int64), int(format.Int96)
	number := func(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }
	for name, c := range map[string]struct {
		kind  int
		a     annotation
		value []byte
		want  string
	}{
		"a decimal in bytes":           {bytes, annotation{id: logicalDecimal, scale: 2}, []byte{0x96}, "-1.06"},
		"a decimal in no bytes":        {bytes, annotation{id: logicalDecimal, scale: 2}, []byte{}, "error: a decimal number has 0 bytes, and 1 to 1024 are read"},
		"a decimal in many bytes":      {bytes, annotation{id: logicalDecimal}, []byte(strings.Repeat("x", 2000)), "error: a decimal number has 2000 bytes, and 1 to 1024 are read"},
		"a decimal below one":          {fixed, annotation{id: logicalDecimal, scale: 5}, []byte{0, 7}, "0.00007"},
		"a decimal of 32 bits":         {int32s, annotation{id: logicalDecimal, scale: 3}, []byte{0x18, 0xfc, 0xff, 0xff}, "-1.000"},
		"the least decimal":            {int64s, annotation{id: logicalDecimal, scale: 18}, number(-1 << 63), "-9.223372036854775808"},
		"a time that is none":          {int64s, annotation{id: logicalTime, unit: 2}, number(-1), "-1"},
		"the last timestamp":           {int64s, annotation{id: logicalTimestamp, unit: 3, utc: true}, number(1<<63 - 1), `"2262-04-11T23:47:16.854775807Z"`},
		"the first timestamp":          {int64s, annotation{id: logicalTimestamp, unit: 3}, number(-1 << 63), `"1677-09-21T00:12:43.145224192"`},
		"a day of 1582 by Spark":       {int96, annotation{id: none}, append(number(43_200_000_000_001), 0x19, 0x15, 0x23, 0), `"1582-10-15T12:00:00.000000001"`},
		"text of a fixed width":        {fixed, annotation{id: logicalString}, []byte("ab"), `"ab"`},
		"JSON on two lines":            {bytes, annotation{id: logicalJSON}, []byte("{\"a\":\n1.50}"), `{"a":1.50}`},
		"JSON that is none":            {bytes, annotation{id: logicalJSON}, []byte(`{'a'`), `"{'a'"`},
		"a uint32 that looks negative": {int32s, annotation{id: logicalInteger, bits: 32, unsigned: true}, []byte{255, 255, 255, 255}, "4294967295"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := meaning(t, element{kind: c.kind, logical: c.a}, c.value); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestMeaningsThatDoNotGoWithTheirValuesAreErrors(t *testing.T) {
	for _, c := range []struct {
		e     element
		width int
		want  string
	}{
		{element{kind: int(format.Double), logical: annotation{id: logicalDate}}, 8, "does not go with what they are said to mean"},
		{element{kind: int(format.FixedLenByteArray), logical: annotation{id: logicalUUID}}, 15, "its values have 15 bytes and need 16"},
		{element{kind: int(format.Int64), logical: annotation{id: logicalTimestamp, unit: 4}}, 8, "the unit 4"},
		{element{kind: int(format.Int64), logical: annotation{id: logicalDecimal, scale: 1 << 30}}, 8, "1073741824 decimal places"},
	} {
		if _, err := appenderOf(c.e, c.width); err == nil || !contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}
