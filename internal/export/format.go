package export

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The kinds of files.
const (
	formatLines   = "JSON Lines"
	formatArray   = "a JSON array"
	formatCSV     = "CSV"
	formatParquet = "Parquet"
	formatFolder  = "a folder of Parquet"
)

// A format is how the rows are written.
type format struct {
	kind    string
	comma   byte   // formatCSV: between cells
	packing string // "", ".gz" or ".zst"
}

// formatOf returns the format for an output. The suffix decides. What is neither a file nor a
// folder, such as a pipe, gets JSON Lines unless it has a suffix.
func formatOf(out string) (format, error) {
	switch {
	case out == "-":
		return format{kind: formatLines}, nil
	case out == "":
		return format{}, fmt.Errorf("--out is empty: %s", spellings)
	case OnHub(out):
		return format{kind: formatFolder}, nil
	case strings.Contains(out, "://"):
		return format{}, fmt.Errorf("--out %s: this is no file or folder of this machine: %s", out, spellings)
	}
	info, err := os.Stat(out)
	if os.IsPathSeparator(out[len(out)-1]) || err == nil && info.IsDir() {
		return format{kind: formatFolder}, nil
	}
	f, name := format{}, strings.ToLower(filepath.Base(out))
	for _, packing := range []string{".gz", ".zst"} {
		if rest, ok := strings.CutSuffix(name, packing); ok {
			name, f.packing = rest, packing
			break
		}
	}
	switch suffix := filepath.Ext(name); suffix {
	case ".jsonl", ".ndjson":
		f.kind = formatLines
	case ".json":
		f.kind = formatArray
	case ".csv":
		f.kind, f.comma = formatCSV, ','
	case ".tsv":
		f.kind, f.comma = formatCSV, '\t'
	case ".parquet":
		if f.packing != "" {
			return format{}, fmt.Errorf("--out %s: Parquet is compressed inside: leave out %s", out, f.packing)
		}
		f.kind = formatParquet
	default:
		if err == nil && !info.Mode().IsRegular() {
			return format{kind: formatLines}, nil
		}
		return format{}, fmt.Errorf("--out %s: the end of the name does not say a format that can be written: %s", out, spellings)
	}
	return f, nil
}

// OnHub reports whether an output is a dataset of the Hugging Face hub. It is written as a folder,
// which is pushed.
func OnHub(out string) bool { return strings.HasPrefix(out, "hf://") }

// spellings says what an output may be.
const spellings = "name it .jsonl, .json, .csv or .tsv (each also with .gz or .zst) or .parquet; DIR/ is a folder of Parquet, hf://datasets/ME/NAME pushes one to the hub, - is standard output"
