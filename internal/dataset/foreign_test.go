package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/needtest"
)

// zipped returns a zip archive with a file.
func zipped(t testing.TB, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"[Content_Types].xml", name} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsNoDatasetIsNamedWithTheWayOut(t *testing.T) {
	tar := strings.Repeat("\x00", 257) + "ustar\x0000"
	for _, c := range []struct{ name, content, want string }{
		{"zip", zipped(t, "a.jsonl", "{}"), "is a zip archive: unpack it, and name the file or the folder, with: python3 -m zipfile -e q.jsonl q-converted"},
		{"Excel", zipped(t, "xl/workbook.xml", "<x/>"), `is an Excel workbook: in Excel save its sheet as "CSV UTF-8", or convert it with: python3 -c 'import pandas,sys; pandas.read_excel(sys.argv[1], dtype=str).to_csv(sys.argv[2], index=False)' q.jsonl q-converted.csv`},
		{"old Excel", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook or another Office file: save it as CSV (UTF-8) and name that file"},
		{"torch", zipped(t, "archive/data.pkl", "x"), "is a file of torch.save, not rows: write its rows with json.dumps, one on each line"},
		{"xz", "\xfd7zXZ\x00", "is compressed with xz, which is not read: unpack it with: python3 -c 'import lzma,shutil,sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' q.jsonl > q-converted"},
		{"bzip2", "BZh91AY&SY\x00", "is compressed with bzip2, which is not read: unpack it with: python3 -c 'import bz2,shutil,sys; shutil.copyfileobj(bz2.open(sys.argv[1]), sys.stdout.buffer)' q.jsonl > q-converted"},
		{"packed tar", packed(t, "gzip", tar), "is a tar archive: unpack it, and name the file or the folder, with: tar -xf q.jsonl"},
		{"packed twice", packed(t, "zstd", packed(t, "gzip", "{}")), "is compressed twice: unpack it once with: python3 -c 'import gzip,shutil,sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)' q.jsonl > q-converted"},
		{"Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 99812\n", "is a Git LFS pointer, not the data itself: fetch the data in its folder with: git lfs pull"},
		{"web page", "\n<!DOCTYPE html>\n<html><head><title>Log in</title>", "is a web page, not data, perhaps an error or a page to log in: open the address in a browser and download the file itself"},
		{"XML", "<?xml version=\"1.0\"?><Error/>", "is XML or HTML, which is not read (it begins with \"<?xml version=\\\"1.0\\\"?><Error/>\"): convert it to JSON Lines or CSV"},
		{"Arrow file", "ARROW1\x00\x00\xff\xff\xff\xff", "is an Arrow file: write it as Parquet, which keeps every number, with: python3 -c 'import pyarrow.feather as f,pyarrow.parquet as p,sys; p.write_table(f.read_table(sys.argv[1]), sys.argv[2])' q.jsonl q-converted.parquet"},
		{"Arrow stream", "\xff\xff\xff\xff\x78\x00\x00\x00\x10\x00", "is an Arrow file of the library datasets: write it as Parquet, which keeps every number (to_json rounds), with: python3 -c 'import sys; from datasets import Dataset; Dataset.from_file(sys.argv[1]).to_parquet(sys.argv[2])' q.jsonl q-converted.parquet"},
		{"pickle", "\x80\x04\x95\x10\x00", "is a pickle of Python, which can run any program when it is opened and is not read: if it is yours, load it and write its rows with json.dumps, one on each line"},
		{"SQLite", "SQLite format 3\x00", "is a SQLite database: write the table with its rows into a file with: python3 -c 'import sqlite3"},
		{"safetensors", "\x50\x00\x00\x00\x00\x00\x00\x00{\"weight\":", "is a safetensors file with the weights of a model, not a dataset: name a file with rows"},
		{"NumPy", "\x93NUMPY\x01\x00", "is an array of NumPy, not rows: write its rows with json.dumps, one on each line"},
		{"PNG", "\x89PNG\r\n", "is an image, not a dataset: name a file with rows"},
		{"WebP", "RIFF\x10\x00\x00\x00WEBPVP8 ", "is an image, not a dataset: name a file with rows"},
		{"MP3", "ID3\x04\x00", "is audio or video, not a dataset: name a file with rows"},
		{"PDF", "%PDF-1.7", "is a PDF, not a dataset: name a file with rows"},
		{"prose", "It was a dark and stormy night.\nThe rain fell, in torrents, and so on\nand on, too.", "begins with \"It was a dark and stormy night.\": that is neither JSON nor a table with a header"},
		{"bytes", "\x01\x02\xfe\xff\x00", "has a NUL byte at column 5: the file is damaged, or no text in UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewReader(strings.NewReader(c.content), "q.jsonl")
			if err == nil || !strings.HasPrefix(err.Error(), "dataset q.jsonl "+c.want) {
				t.Errorf("error %v\nwant dataset q.jsonl %s", err, c.want)
			}
		})
	}
}

func TestAWordIsNotTakenForAFormat(t *testing.T) {
	for _, content := range []string{
		`{"id": "DUCK"}`, "PAR1,b\n1,2\n", "ORC\tb\n1\t2\n", "ID3;b\n1;2\n", `{"` + strings.Repeat("x", 254) + `":"ustar"}`, "GGUF,BZh\n1,2\n", `{"a":"ftyp"}`,
		"{\"a\": \"\x1b[1m\u00e9\"}",
	} {
		rows, bad, err := readNamed(t, content, "a")
		if err != nil || len(rows)+len(bad) != 1 {
			t.Errorf("%q: rows %q, bad %q: %v", content, rows, bad, err)
		}
	}
}

// A command in a message has to work as it is printed, whatever the file is called, and to leave
// numbers as they are.
func TestTheCommandsInMessagesWork(t *testing.T) {
	needtest.Tool(t, "python3")
	for _, c := range []struct {
		name, file, content string
		want                []string
	}{
		{"comma after each object", "commas.jsonl", "{\"id\": 9007199254740993, \"p\": 1.10},\r\n{\"id\": 2, \"p\": \"x,\"},\n", []string{`{"id": 9007199254740993, "p": 1.10}`, `{"id": 2, "p": "x,"}`}},
		{"commas in objects", "it's a $file.jsonl", "{\"a\": [1.10, 2,], \"b\": \"x,}\\\",]\",}\n{\"a\": 1,  }\n", []string{`{"a": [1.10, 2], "b": "x,}\",]"}`, `{"a": 1  }`}},
		{"Python", "-repr.jsonl", "{'a': 1.1, 'b': None, 'c': True, 'd': \"it's\", 'e': 9007199254740993}\n", []string{`{"a": 1.1, "b": null, "c": true, "d": "it's", "e": 9007199254740993}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := inputFiles(t, map[string]string{c.file: c.content})
			t.Chdir(dir)
			r, err := Open(c.file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Next()
			r.Close()
			if err == nil {
				t.Fatal("the row is good")
			}
			run(t, err.Error())
			converted, _ := filepath.Glob("*-converted.jsonl")
			if len(converted) != 1 {
				t.Fatalf("there are %q", converted)
			}
			_, rows := readSource(t, SourceOptions{Inputs: converted})
			if diff := cmp.Diff(c.want, rows); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if left, err := os.ReadFile(c.file); err != nil || string(left) != c.content {
				t.Errorf("the file itself is %q now: %v", left, err)
			}
		})
	}
}

func TestTheCommandForSQLiteWorks(t *testing.T) {
	python := needtest.Tool(t, "python3")
	t.Chdir(t.TempDir())
	script := `import sqlite3; c=sqlite3.connect("a b.db"); c.execute("create table q(id integer, t text)"); c.execute("insert into q values(9007199254740993, 'ü')"); c.commit()`
	if out, err := exec.Command(python, "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, err := Open("a b.db")
	if err == nil {
		t.Fatal("a database was opened")
	}
	run(t, strings.ReplaceAll(err.Error(), " TABLE ", " q "))
	row, err := os.ReadFile("rows-converted.jsonl")
	if want := `{"id": 9007199254740993, "t": "\u00fc"}` + "\n"; string(row) != want || !json.Valid(row) {
		t.Errorf("%s, %v, want %s", row, err, want)
	}
}

// run runs the command at the end of a message.
func run(t *testing.T, message string) {
	t.Helper()
	_, command, ok := strings.Cut(message, "with: ")
	if !ok {
		t.Fatalf("%s names no command", message)
	}
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}
