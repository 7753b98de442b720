package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A row is one JSON object. Of its columns only those are decoded that are used.
type row struct {
	data    []byte
	columns []column
	index   map[string]int // of wide rows
	dotted  bool           // a name has a dot, so that it may beat a path
	whole   value
}

type column struct {
	name    string
	raw     []byte
	value   value
	decoded bool
}

// wideRow is the number of columns from which on a row has an index.
const wideRow = 32

// parseRow finds the columns of a row. What read the row has checked it, so it is walked over once;
// where the walk cannot go on encoding/json says what is wrong.
func parseRow(data []byte) (r *row, err error) {
	r = &row{data: data, columns: make([]column, 0, 8)}
	defer r.explain(&err)
	d := decoder{data: data}
	if d.space(); d.data[d.at] != '{' {
		if json.Valid(data) {
			return nil, problem("the row is not a JSON object")
		}
		return nil, errNotJSON
	}
	err = d.object(func(name string) error {
		start := d.at
		d.skip()
		r.dotted = r.dotted || strings.Contains(name, ".")
		c := column{name: name, raw: data[start:d.at]}
		if i := r.find(name); i >= 0 { // the last one counts, as in Python
			r.columns[i] = c
			return nil
		}
		r.columns = append(r.columns, c)
		switch n := len(r.columns); {
		case r.index != nil:
			r.index[name] = n - 1
		case n > wideRow:
			r.index = make(map[string]int, 2*n)
			for i := range r.columns {
				r.index[r.columns[i].name] = i
			}
		}
		return nil
	})
	if d.space(); err == nil && d.at != len(data) {
		err = errNotJSON
	}
	return r, err
}

// errNotJSON ends the walk over a row that is no JSON.
var errNotJSON = errors.New("it is not JSON")

// explain is deferred where a row is walked over. It says why the walk ended or went beyond the end
// of the row.
func (r *row) explain(err *error) {
	left := recover()
	if left == nil && !errors.Is(*err, errNotJSON) {
		return
	}
	var v any
	wrong := json.Unmarshal(r.data, &v)
	if wrong == nil {
		panic(left) // the fault of the walk
	}
	*err = problem("the row is not JSON: %v", wrong)
}

// column returns the value of a column.
func (r *row) column(name string) (v value, ok bool, err error) {
	i := r.find(name)
	if i < 0 {
		return nil, false, nil
	}
	c := &r.columns[i]
	if !c.decoded {
		defer r.explain(&err)
		d := decoder{data: c.raw}
		if v, err = d.value(); err != nil {
			return nil, true, err
		}
		c.value, c.decoded = v, true
	}
	return c.value, true, nil
}

// find returns the number of a column, or -1.
func (r *row) find(name string) int {
	if r.index != nil {
		if i, ok := r.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range r.columns {
		if r.columns[i].name == name {
			return i
		}
	}
	return -1
}

// object returns the whole row as an object.
func (r *row) object() (value, error) {
	if r.whole == nil {
		d := &dict{}
		for _, c := range r.columns {
			v, _, err := r.column(c.name)
			if err != nil {
				return nil, err
			}
			_ = d.set(c.name, v) // a text can be a key
		}
		r.whole = d
	}
	return r.whole, nil
}

func (r *row) names() []string {
	all := make([]string, len(r.columns))
	for i, c := range r.columns {
		all[i] = c.name
	}
	return all
}

// A decoder reads JSON. It does not check it: where that is none it may return errNotJSON, panic,
// or take it for something else, and it always ends.
type decoder struct {
	data   []byte
	at     int
	depth  int
	frozen bool // what it returns is shared
}

func (d *decoder) space() {
	for d.at < len(d.data) && d.data[d.at] <= ' ' {
		d.at++
	}
}

// object reads an object and calls each before every value.
func (d *decoder) object(each func(name string) error) error {
	d.at++ // {
	for d.space(); d.data[d.at] != '}'; d.space() {
		if d.data[d.at] == ',' {
			d.at++
			d.space()
		}
		if d.data[d.at] != '"' {
			return errNotJSON
		}
		name := d.text()
		if d.space(); d.data[d.at] != ':' {
			return errNotJSON
		}
		d.at++
		d.space()
		if err := each(name); err != nil {
			return err
		}
	}
	d.at++
	return nil
}

// skip passes over a value.
func (d *decoder) skip() {
	depth := 0
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case '"':
			d.raw()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // the end of what a number stands in
			}
			if depth--; depth == 0 {
				d.at++
				return
			}
		case ',':
			if depth == 0 {
				return
			}
		}
		d.at++
	}
}

// raw passes over a text and returns what is between its quotes, and whether it has escapes.
func (d *decoder) raw() (text []byte, escapes bool) {
	start := d.at + 1
	quote := func(from int) int { // -1 is out of range later: the text does not end
		if i := bytes.IndexByte(d.data[from:], '"'); i >= 0 {
			return from + i
		}
		return -1
	}
	at, end := start, quote(start)
	for {
		slash := bytes.IndexByte(d.data[at:end], '\\')
		if slash < 0 {
			d.at = end + 1
			return d.data[start:end], escapes
		}
		escapes = true
		if at += slash + 2; at > end {
			end = quote(at)
		}
	}
}

func (d *decoder) text() string {
	start := d.at
	text, escapes := d.raw()
	if escapes || !utf8.Valid(text) {
		var s string
		if json.Unmarshal(d.data[start:d.at], &s) == nil {
			return s
		}
	}
	return string(text)
}

// value reads a value.
func (d *decoder) value() (value, error) {
	if d.depth++; d.depth > maxDepth {
		return nil, problem("the row has values more than %d levels deep", maxDepth)
	}
	defer func() { d.depth-- }()
	d.space()
	switch d.data[d.at] {
	case '"':
		return d.text(), nil
	case '{':
		o := &dict{}
		err := d.object(func(name string) error {
			v, err := d.value()
			_ = o.set(name, v) // a text can be a key
			return err
		})
		o.frozen = d.frozen
		return o, err
	case '[':
		return d.list()
	case 't':
		d.at += len("true")
		return true, nil
	case 'f':
		d.at += len("false")
		return false, nil
	case 'n':
		d.at += len("null")
		return nil, nil
	}
	start := d.at
	for d.at < len(d.data) && strings.IndexByte("+-.0123456789eE", d.data[d.at]) >= 0 {
		d.at++
	}
	if d.at == start {
		return nil, errNotJSON
	}
	return number(string(d.data[start:d.at])), nil
}

func (d *decoder) list() (value, error) {
	l := &list{frozen: d.frozen}
	d.at++ // [
	for d.space(); d.data[d.at] != ']'; d.space() {
		if d.data[d.at] == ',' {
			d.at++
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, v)
	}
	d.at++
	return l, nil
}

// number returns a number of JSON: an integer if it is one, else with its own text.
func number(text string) value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
		return n
	}
	if strings.ContainsAny(text, ".eE-") {
		if f, err := strconv.ParseFloat(text, 64); err == nil && (strings.ContainsAny(text, ".eE") || text == "-0") {
			return decimal{f, text}
		}
	}
	return bigNumber(text)
}

// decodeShared returns a value that all rows share, and that no template can change.
func decodeShared(data []byte) (value, error) {
	if !json.Valid(data) {
		var v any
		return nil, problem("it is not JSON: %v", json.Unmarshal(data, &v))
	}
	d := decoder{data: data, frozen: true}
	return d.value()
}
