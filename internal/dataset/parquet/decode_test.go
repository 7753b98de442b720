package parquet

import (
	"slices"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"pgregory.net/rapid"
)

func TestRunsAreDecodedAsTheLibraryEncodesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 8).Draw(t, "width")
		n := rapid.IntRange(1, 300).Draw(t, "n")
		var levels []byte
		for len(levels) < n {
			run := rapid.IntRange(1, 20).Draw(t, "run")
			levels = append(levels, slices.Repeat([]byte{byte(rapid.IntRange(0, 1<<width-1).Draw(t, "level"))}, run)...)
		}
		encoded, err := (&rle.Encoding{BitWidth: width}).EncodeLevels(nil, levels)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(levels))
		if err := hybrid(got, encoded, width); err != nil || !slices.Equal(got, levels) {
			t.Fatalf("%v, want %v (%v)", got, levels, err)
		}
	})
}

func TestIndexesAreDecodedAsTheLibraryEncodesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(0, 31).Draw(t, "width")
		indexes := rapid.SliceOfN(rapid.Int32Range(0, int32(1<<width-1)), 1, 200).Draw(t, "indexes")
		encoded, err := pq.RLEDictionary.EncodeInt32(nil, indexes)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint32, len(indexes))
		if err := hybrid(got, encoded[1:], int(encoded[0])); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if int32(got[i]) != indexes[i] {
				t.Fatalf("%v, want %v", got, indexes)
			}
		}
	})
}

func TestDifferencesAreDecodedAsTheLibraryEncodesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.Int64(), 0, 400).Draw(t, "numbers")
		encoded, err := pq.DeltaBinaryPacked.EncodeInt64(nil, numbers)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int64, len(numbers))
		rest, err := deltas(got, append(encoded, "rest"...))
		if err != nil || !slices.Equal(got, numbers) || string(rest) != "rest" {
			t.Fatalf("%v and %q, want %v (%v)", got, rest, numbers, err)
		}
		if _, err := deltas(make([]int64, len(numbers)+1), encoded); err == nil {
			t.Fatal("a wrong number of values is accepted")
		}
	})
}

func TestDamagedEncodingsAreErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data")
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		_ = hybrid(make([]byte, n), data, rapid.IntRange(-1, 40).Draw(t, "width")) // no panic is what counts
		_, _ = deltas(make([]int64, n), data)
		r := &thrift{data: data}
		r.pageHeader()
		_, _ = parseFooter(data)
	})
}

func TestHalfPrecisionNumbersAreTheShortestThatReadAsTheSame(t *testing.T) {
	for bits, want := range map[uint16]string{0x2e66: "0.1", 0x7bff: "65500.0", 0x0001: "6e-08", 0x8000: "-0.0", 0xc100: "-2.5", 0x3c01: "1.001"} {
		if got := string(appendHalf(nil, halfValue(bits))); got != want {
			t.Errorf("%#x is %s, want %s", bits, got, want)
		}
	}
}

func TestOldListsAreReadByTheRulesOfTheFormat(t *testing.T) {
	group := func(name string, repetition int, children int64, logical int) element {
		return element{name: name, kind: none, repetition: []repetitionType{0, 1, 2}[repetition], children: children, logical: annotation{id: logical}}
	}
	leaf := func(name string, repetition int) element {
		return element{name: name, kind: 1, repetition: []repetitionType{0, 1, 2}[repetition], logical: annotation{id: none}}
	}
	root := group("root", 0, 1, none)
	for name, c := range map[string]struct {
		schema []element
		want   string
	}{
		"three levels":          {[]element{root, group("l", 1, 1, logicalList), group("list", 2, 1, none), leaf("element", 1)}, "[leaf]"},
		"the element repeated":  {[]element{root, group("l", 1, 1, logicalList), leaf("element", 2)}, "[leaf]"},
		"two fields":            {[]element{root, group("l", 1, 1, logicalList), group("element", 2, 2, none), leaf("a", 0), leaf("b", 0)}, "[{a:leaf b:leaf}]"},
		"one field and array":   {[]element{root, group("l", 1, 1, logicalList), group("array", 2, 1, none), leaf("a", 0)}, "[{a:leaf}]"},
		"one field and a tuple": {[]element{root, group("l", 1, 1, logicalList), group("l_tuple", 2, 1, none), leaf("a", 0)}, "[{a:leaf}]"},
		"a list in a list":      {[]element{root, group("l", 1, 1, logicalList), group("array", 2, 1, logicalList), leaf("array", 2)}, "[[leaf]]"},
		"without annotation":    {[]element{root, leaf("l", 2)}, "[leaf]"},
		"a repeated struct":     {[]element{root, group("l", 2, 1, none), leaf("a", 1)}, "[{a:leaf}]"},
		"a list that is none":   {[]element{root, group("l", 1, 1, logicalList), leaf("a", 1)}, "{a:leaf}"},
		"a map":                 {[]element{root, group("l", 1, 1, logicalMap), group("map", 2, 2, none), leaf("k", 0), leaf("v", 1)}, "[{k:leaf v:leaf}]"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, _, err := buildTree(c.schema)
			if err != nil {
				t.Fatal(err)
			}
			if got := sketch(tree.children[0]); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// sketch writes a tree down.
func sketch(n *node) string {
	switch n.kind {
	case leafNode:
		return "leaf"
	case listNode:
		return "[" + sketch(n.children[0]) + "]"
	}
	out := "{"
	for i, child := range n.children {
		if i > 0 {
			out += " "
		}
		out += child.name + ":" + sketch(child)
	}
	return out + "}"
}

func TestSchemasThatCannotBeReadAreNamed(t *testing.T) {
	leaf := func(name string) element { return element{name: name, kind: 1, logical: annotation{id: none}} }
	root := element{name: "root", kind: none, children: 2, logical: annotation{id: none}}
	future := leaf("new")
	future.logical.id = 99
	for name, c := range map[string]struct {
		schema []element
		want   string
	}{
		"two of one name":  {[]element{root, leaf("a"), leaf("a")}, `it has two columns that are called "a": rename one`},
		"ends early":       {[]element{root, leaf("a")}, `its column "" is a struct with 2 fields`},
		"a name in latin1": {[]element{root, leaf("\xe9"), leaf("a")}, "is no UTF-8: rename"},
		"a future type":    {[]element{root, leaf("a"), future}, `its column "new": its logical type has the number 99`},
		"nothing":          {nil, "it has no schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := buildTree(c.schema)
			if err == nil || !contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}
