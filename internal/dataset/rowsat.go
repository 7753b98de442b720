package dataset

import (
	"fmt"
	"strings"
)

// seek consumes everything up to the array that stands at the path, so that its elements are read
// as rows. What stands before it may be of any size.
func (j *jsonRows) seek(path string) error {
	c, ok := j.space()
	switch {
	case !ok && j.w.failure() != nil:
		return j.w.failure()
	case !ok || c != '{':
		return fmt.Errorf("--rows-at %s needs an object at the top of the file, and this one begins with %s: leave --rows-at out", path, excerpt(firstLine(j.w.data())))
	}
	j.w.at++
	rest, where := path, "at the top of the file"
	var seen []string
	for {
		name, c, err := j.member(path)
		if err != nil {
			return err
		}
		switch {
		case name == nil:
			return fmt.Errorf("--rows-at %s: the object %s has no list %q: it has %s", path, where, rest, list(seen))
		case *name == rest && c == '[':
			j.w.at++
			j.in, j.element, j.elements, j.end = true, true, 0, true
			return nil
		case *name == rest:
			return fmt.Errorf("--rows-at %s: %q is %s, not a list of rows", path, *name, kindOf(c))
		case strings.HasPrefix(rest, *name+".") && c == '{':
			rest, where, seen = rest[len(*name)+1:], fmt.Sprintf("%q", *name), nil
			j.w.at++
			continue
		}
		seen = append(seen, *name)
		if _, ok := j.skipValue(); !ok {
			return j.notJSON(path)
		}
	}
}

// member consumes the next name of an object with its colon, and returns it with the first byte of
// its value; nil is the end of the object.
func (j *jsonRows) member(path string) (name *string, value byte, err error) {
	c, ok := j.space()
	if ok && c == ',' {
		j.w.at++
		c, ok = j.space()
	}
	switch {
	case !ok:
		return nil, 0, j.notJSON(path)
	case c == '}':
		return nil, 0, nil
	case c != '"':
		return nil, 0, j.notJSON(path)
	}
	end, r := j.scanner.value(j.w.data(), j.w.err != nil)
	for r == unfinished && j.w.more() {
		end, r = j.scanner.value(j.w.data(), j.w.err != nil)
	}
	if r != complete {
		return nil, 0, j.notJSON(path)
	}
	text := unquote(j.w.data()[:end])
	j.w.at += end
	if c, ok = j.space(); !ok || c != ':' {
		return nil, 0, j.notJSON(path)
	}
	j.w.at++
	if c, ok = j.space(); !ok {
		return nil, 0, j.notJSON(path)
	}
	return &text, c, nil
}

// notJSON says where the file stops being JSON before the array is found.
func (j *jsonRows) notJSON(path string) error {
	if err := j.w.failure(); err != nil {
		return err
	}
	if len(j.w.data()) == 0 {
		return fmt.Errorf("--rows-at %s: the file ends before the list: fetch or write it again", path)
	}
	return fmt.Errorf("--rows-at %s: line %d is not JSON at %s: repair it", path, j.at, excerpt(firstLine(j.w.data())))
}
