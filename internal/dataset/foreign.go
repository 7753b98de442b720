package dataset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// isParquet reports whether a file begins as Parquet files do.
func isParquet(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PAR1")) && !looksLikeText(head)
}

// looksLikeText reports whether the beginning of a file has no byte that texts do not have.
func looksLikeText(head []byte) bool {
	return bytes.IndexFunc(head[:min(len(head), 512)], func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", r) }) < 0
}

// A mark is what files of a format have at an offset.
type mark struct {
	at          int
	bytes, what string
}

// foreign recognizes by the first bytes of a file that it is nothing that can be read. It returns
// what the file is and what to do about it, or nothing.
func foreign(head []byte, name string) string {
	text := looksLikeText(head)
	for _, m := range marks() {
		if text && m.bytes != "%PDF" && strings.IndexFunc(m.bytes, func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf }) < 0 {
			continue // a word in a text
		}
		if len(head) > m.at && bytes.HasPrefix(head[m.at:], []byte(m.bytes)) {
			return m.what
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return archive(head, name)
	case bytes.HasPrefix(head, []byte("\xff\xff\xff\xff")) && len(head) > 8 && head[7] == 0:
		return arrowStream(filepath.Dir(name))
	case bytes.HasPrefix(head, []byte("ARROW1")):
		return "is an Arrow file: write it as Parquet, which keeps every number, with: " + feather()
	case len(head) > 9 && head[7] == 0 && head[6] == 0 && head[8] == '{' && head[9] == '"':
		return "is a safetensors file with the weights of a model, not a dataset: name a file with rows"
	case len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && !utf8.Valid(head[:2]):
		return pickle()
	case bytes.HasPrefix(head, []byte("RIFF")) && len(head) > 12:
		return "is " + map[bool]string{true: "an image", false: "audio or video"}[string(head[8:12]) == "WEBP"] + ", not a dataset: name a file with rows"
	}
	return ""
}

// marks lists the formats that their first bytes tell.
func marks() []mark {
	const unpack = ": unpack it, or use gzip or zstd"
	image, sound := "is an image, not a dataset: name a file with rows", "is audio or video, not a dataset: name a file with rows"
	return []mark{
		{0, "SQLite format 3", "is a SQLite database: write the table with its rows into a file with: " +
			`python3 -c 'import sqlite3,json,sys; c=sqlite3.connect(sys.argv[1]); c.row_factory=sqlite3.Row; [print(json.dumps(dict(r))) for r in c.execute("select * from "+sys.argv[2])]' ` + fileMark + " TABLE > " + newMark + ".jsonl"},
		{8, "DUCK", "is a DuckDB database: write the table with its rows into a file with: " +
			`python3 -c 'import duckdb,sys; duckdb.connect(sys.argv[1]).sql("from "+sys.argv[2]).write_parquet(sys.argv[3])' ` + fileMark + " TABLE " + newMark + ".parquet"},
		{0, "BZh", "is compressed with bzip2, which is not read: unpack it with: " + unpacked("bz2")},
		{0, "\xfd7zXZ", "is compressed with xz, which is not read: unpack it with: " + unpacked("lzma")},
		{0, "\x1f\x8b", "is compressed twice: unpack it once with: " + unpacked("gzip")},
		{0, "\x28\xb5\x2f\xfd", "is compressed twice: unpack it once"},
		{0, "\x04\x22\x4d\x18", "is compressed with lz4, which is not read" + unpack},
		{0, "\x1f\x9d", "is compressed with compress, which is not read" + unpack},
		{0, "\xff\x06\x00\x00sNaPpY", "is compressed with snappy, which is not read" + unpack},
		{0, "7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it and name the file in it"},
		{0, "Rar!", "is a rar archive: unpack it and name the file in it"},
		{257, "ustar", "is a tar archive: unpack it, and name the file or the folder, with: tar -xf " + fileMark},
		{0, "\xd0\xcf\x11\xe0", "is an old Excel workbook or another Office file: save it as CSV (UTF-8) and name that file"},
		{0, "ORC", "is an ORC file, which is not read: convert it with: " +
			`python3 -c 'import pyarrow.orc as o,pyarrow.parquet as p,sys; p.write_table(o.read_table(sys.argv[1]), sys.argv[2])' ` + fileMark + " " + newMark + ".parquet"},
		{0, "Obj\x01", "is an Avro file, which is not read: convert it to Parquet or JSON Lines"},
		{0, "FEA1", "is a Feather file: convert it with: " + feather()},
		{0, "\x93NUMPY", "is an array of NumPy, not rows: write its rows with json.dumps, one on each line"},
		{0, "\x89HDF\r\n", "is an HDF5 file, which is not read: write its rows as CSV or Parquet with pandas"},
		{0, "GGUF", "is a GGUF file with the weights of a model, not a dataset: name a file with rows"},
		{0, "%PDF", "is a PDF, not a dataset: name a file with rows"},
		{0, "\x89PNG", image}, {0, "\xff\xd8\xff", image}, {0, "GIF8", image}, {0, "II*\x00", image}, {0, "MM\x00*", image},
		{0, "ID3", sound}, {0, "OggS", sound}, {0, "fLaC", sound}, {4, "ftyp", sound}, {0, "\x1aE\xdf\xa3", sound},
		{0, "\x7fELF", "is a program, not a dataset: name a file with rows"},
	}
}

func unpacked(module string) string {
	return `python3 -c 'import ` + module + `,shutil,sys; shutil.copyfileobj(` + module + `.open(sys.argv[1]), sys.stdout.buffer)' ` + fileMark + " > " + newMark
}

// archive says what is in a zip archive.
func archive(head []byte, name string) string {
	has := func(part string) bool { return bytes.Contains(head, []byte(part)) }
	lower := strings.ToLower(name)
	switch {
	case has("xl/workbook") || has("xl/worksheets") || has("xl/_rels") || has("xl/styles") || strings.HasSuffix(lower, ".xlsx") || strings.HasSuffix(lower, ".xlsm"):
		return "is an Excel workbook: in Excel save its sheet as \"CSV UTF-8\", or convert it with: " +
			`python3 -c 'import pandas,sys; pandas.read_excel(sys.argv[1], dtype=str).to_csv(sys.argv[2], index=False)' ` + fileMark + " " + newMark + ".csv"
	case has("mimetypeapplication/vnd.oasis.opendocument.spreadsheet") || strings.HasSuffix(lower, ".ods"):
		return "is a spreadsheet of LibreOffice: save it as CSV (UTF-8) and name that file"
	case has("word/document") || has("word/_rels"):
		return "is a Word document, not a dataset: name a file with rows"
	case has("/data.pkl") || has("archive/"):
		return "is a file of torch.save, not rows: write its rows with json.dumps, one on each line"
	case has(".npy"):
		return "is a file of numpy.savez, not rows: write its rows with json.dumps, one on each line"
	}
	return "is a zip archive: unpack it, and name the file or the folder, with: python3 -m zipfile -e " + fileMark + " " + newMark
}

// arrowStream says how an Arrow file that the library datasets wrote becomes one that can be read.
func arrowStream(folder string) string {
	const what = "is an Arrow file of the library datasets: write it as Parquet, which keeps every number (to_json rounds), with: "
	if isSaved(folder) {
		return what + savedToDisk(folder)
	}
	return what + `python3 -c 'import sys; from datasets import Dataset; Dataset.from_file(sys.argv[1]).to_parquet(sys.argv[2])' ` + fileMark + " " + newMark + ".parquet"
}

// isSaved reports whether save_to_disk of datasets wrote a folder.
func isSaved(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "state.json"))
	return err == nil
}

func feather() string {
	return `python3 -c 'import pyarrow.feather as f,pyarrow.parquet as p,sys; p.write_table(f.read_table(sys.argv[1]), sys.argv[2])' ` + fileMark + " " + newMark + ".parquet"
}

func savedToDisk(folder string) string {
	return `python3 -c 'import sys; from datasets import load_from_disk; load_from_disk(sys.argv[1]).to_parquet("rows.parquet")' ` + shellWord(folder)
}

func pickle() string {
	return "is a pickle of Python, which can run any program when it is opened and is not read: if it is yours, load it and write its rows with json.dumps, one on each line"
}

// foreignText recognizes texts that are no data.
func foreignText(head []byte) string {
	text := bytes.TrimLeft(head, whitespace)
	lower := strings.ToLower(string(text[:min(len(text), 1000)]))
	switch {
	case len(bytes.TrimSpace(head)) == 0:
		return ""
	case strings.HasPrefix(lower, "version https://git-lfs.github.com/spec/"):
		return "is a Git LFS pointer, not the data itself: fetch the data in its folder with: git lfs pull"
	case strings.HasPrefix(lower, "<!doctype html") || strings.HasPrefix(lower, "<html") || strings.HasPrefix(lower, "<head") || strings.HasPrefix(lower, "<body"):
		return "is a web page, not data, perhaps an error or a page to log in: open the address in a browser and download the file itself"
	case strings.HasPrefix(lower, "<"):
		return fmt.Sprintf("is XML or HTML, which is not read (it begins with %s): convert it to JSON Lines or CSV", excerpt(firstLine(text)))
	case strings.HasPrefix(lower, "%yaml") || strings.HasPrefix(lower, "---\n"):
		return "is YAML or Markdown, not rows: convert it to JSON Lines or CSV"
	case strings.HasPrefix(lower, "(dp0") || strings.HasPrefix(lower, "(lp0"):
		return pickle()
	case strings.HasPrefix(lower, "pk\x03"):
		return "is a zip archive: unpack it"
	}
	return ""
}
