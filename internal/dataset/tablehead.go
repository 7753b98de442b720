package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gleaner/internal/pipeline"
)

// mostColumns is how many columns a table may have.
const mostColumns = 10_000

// A tableForm is how a table is written.
type tableForm struct {
	delimiter byte
	loneCR    bool
	skip      int // lines before the header
}

// header reads the first record as the names of the columns.
func (t *tableRows) header() error {
	for {
		t.heads = [][]byte{[]byte("[")}
		data, last := t.w.data(), t.w.err != nil
		end, ok := t.names(data, last)
		switch {
		case len(data) > 0 && ok:
		case t.w.more():
			continue
		case t.w.failure() != nil:
			return t.w.failure()
		case len(data) == 0:
			return errors.New("has no header")
		default:
			return errors.New("has a header with a quote that is not closed: close it, or double it if it is part of the text")
		}
		t.w.at += end
		t.at += t.lines
		if len(bytes.TrimRight(data[:end], "\r\n")) > 0 {
			return t.use()
		}
	}
}

// names parses the header; the cells stand in out, a line for each, since a line end within one is
// written as an escape.
func (t *tableRows) names(data []byte, last bool) (end int, ok bool) {
	t.cells, t.lines, t.fault = 0, 0, ""
	t.out = t.out[:0]
	for i := 0; ; i++ {
		t.cells++
		if i, ok = t.cell(data, i, last); !ok {
			return 0, false
		}
		if i < len(data) && data[i] == t.delimiter && t.cells <= mostColumns {
			t.out = append(t.out, '\n')
			continue
		}
		if i == len(data) {
			return i, true
		}
		t.lines++
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		return i + 1, true
	}
}

// use makes the columns of the names that were read.
func (t *tableRows) use() error {
	cells := bytes.Split(bytes.Clone(t.out), []byte{'\n'})
	seen := map[string]int{}
	t.heads = t.heads[:0]
	switch {
	case t.fault != "":
		return fmt.Errorf("has a header that cannot be read: it %s", t.fault)
	case len(t.out) > pipeline.MaxRowBytes || t.cells > mostColumns:
		return fmt.Errorf("has a header of more than %d columns: is its first line the header?", mostColumns)
	case !bytes.Equal(t.out, bytes.ToValidUTF8(t.out, nil)):
		return fmt.Errorf("has a header that is not valid UTF-8: name the file's encoding, as in --encoding cp1252, or convert the file to UTF-8")
	}
	for i, cell := range cells {
		name := ""
		if string(cell) != "null" {
			name = unquote(cell)
		}
		switch first := seen[name]; {
		case name == "" && i == 0 && len(cells) > 1:
			return errors.New("has no name for its first column, as where pandas wrote the index: write it with index=False, or put a name at the beginning of the first line")
		case name == "":
			return fmt.Errorf("has no name for column %d of %d: the first line has to name each column", i+1, len(cells))
		case first > 0:
			return fmt.Errorf("names the columns %d and %d both %.60q, and one of them would be lost: rename one in the first line", first, i+1, name)
		}
		seen[name] = i + 1
		head := append([]byte{','}, cell...)
		if i == 0 {
			head[0] = '{'
		}
		t.heads = append(t.heads, append(head, ':'))
	}
	t.out = nil
	return nil
}

// sniffed is how much of a text decides whether it is a table.
const sniffed = 64 << 10

// sniffTable finds out whether a text is a table, and how it is written. Head is the beginning of
// the text, whole is true if that is all of it. A table by its name may have one column alone.
func sniffTable(head []byte, whole bool, name string) (form tableForm, ok bool) {
	form.loneCR = bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0
	line := string(bytes.TrimRight(firstLine(head), "\r"))
	if rest, found := strings.CutPrefix(strings.ToLower(strings.Trim(line, `"`)), "sep="); found && len(rest) == 1 && !form.loneCR {
		return tableForm{delimiter: rest[0], skip: 1}, true // as Excel writes it
	}
	best := 0.0
	for _, delimiter := range []byte{',', '\t', ';', '|'} {
		if score := agreement(head, whole, tableForm{delimiter: delimiter, loneCR: form.loneCR}); score > best {
			best, form.delimiter = score, delimiter
		}
	}
	switch byName := isTableName(name); {
	case best > 0:
		return form, true
	case byName:
		form.delimiter = ','
		if strings.Contains(strings.ToLower(name), ".tsv") {
			form.delimiter = '\t'
		}
		return form, true
	}
	return form, false
}

// isTableName reports whether a file is called a table.
func isTableName(name string) bool {
	name = strings.ToLower(name)
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".tsv") || strings.HasSuffix(name, ".tab")
}

// agreement says how well the records at the beginning of a text have as many cells as the first
// one, or 0 if it is no table with this delimiter. More columns are better.
func agreement(head []byte, whole bool, form tableForm) float64 {
	const most = 50
	t := newTable(&window{in: bytes.NewReader(nil), buf: head, end: len(head), err: io.EOF}, form)
	columns, agree, records := 0, 0, 0
	for i := 0; i < len(head) && records < most; {
		end, ok := t.parse(head[i:], whole)
		if !ok {
			break
		}
		if blank := len(bytes.Trim(head[i:i+end], "\r\n")) == 0; !blank {
			if records++; records == 1 {
				columns = t.cells
			}
			if t.cells == columns && t.fault == "" {
				agree++
			}
		}
		i += end
	}
	if columns < 2 || 2*agree < records {
		return 0
	}
	return float64(agree)/float64(records) + float64(min(columns, 1000))/2000
}
