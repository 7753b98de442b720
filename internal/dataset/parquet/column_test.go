package parquet

import (
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

func TestWhatAPageClaimsIsCheckedBeforeMemoryIsTaken(t *testing.T) {
	for codec, most := range map[format.CompressionCodec]int64{format.Snappy: 32, format.Lz4Raw: 256, format.Gzip: 1100} {
		c := &column{memory: &memory{}, unpacker: &decompressor{}, chunk: chunk{codec: codec}}
		_, _, err := c.unpackPage(pageHeader{kind: format.DataPage, packed: 10, plain: 10*most + 65}, make([]byte, 10), nil)
		if err == nil || !contains(err.Error(), "which it cannot") || c.memory.held != 0 {
			t.Errorf("%s: %d bytes are held (%v)", codec, c.memory.held, err)
		}
	}
	for name, c := range map[string]struct {
		h    pageHeader
		want string
	}{
		"bytes":    {pageHeader{packed: 11}, "a page claims 11 bytes, and 10 are left"},
		"size":     {pageHeader{plain: maxPageBytes + 1}, "write the file with smaller pages"},
		"values":   {pageHeader{values: maxPageValues + 1}, "write the file with smaller pages"},
		"levels":   {pageHeader{packed: 5, repBytes: 3, defBytes: 3}, "more bytes for its levels than it has"},
		"negative": {pageHeader{packed: -1}, "claims -1 bytes"},
	} {
		if err := c.h.check(10); err == nil || !contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func TestColumnsTogetherHoldBoundedMemory(t *testing.T) {
	m := &memory{}
	if err := m.hold(0, maxHeldBytes); err != nil {
		t.Fatal(err)
	}
	if _, err := grow(m, []uint32(nil), 1); err == nil || !contains(err.Error(), "bytes in memory at once") {
		t.Errorf("error %v", err)
	}
}
