package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A problem is what makes a row unusable and leaves the others as they are.
type problem struct{ text string }

func (p *problem) Error() string { return p.text }

func isProblem(err error) bool {
	_, ok := errors.AsType[*problem](err)
	return ok
}

// value appends one value of a node, with everything in it.
func (r *Reader) value(dst []byte, n *node) ([]byte, error) {
	first := r.columns[n.first]
	if err := first.load(); err != nil {
		return dst, first.early(err)
	}
	def := first.def()
	if n.optional && def < n.def {
		return append(dst, "null"...), r.leave(n)
	}
	switch n.kind {
	case leafNode:
		return r.leaf(dst, n)
	case structNode:
		return r.object(dst, n)
	}
	if def < n.elementDef {
		if n.kind == mapNode {
			return append(dst, '{', '}'), r.leave(n)
		}
		return append(dst, '[', ']'), r.leave(n)
	}
	if n.kind == mapNode {
		return r.pairs(dst, n)
	}
	return r.list(dst, n)
}

func (c *column) early(err error) error {
	if err == io.EOF {
		return c.damaged(fmt.Errorf("its values end before its rows"))
	}
	return err
}

// leave goes past what a null or an empty list left in the columns of a node.
func (r *Reader) leave(n *node) error {
	for _, c := range r.columns[n.first:n.last] {
		if err := c.load(); err != nil {
			return c.early(err)
		}
		if _, err := c.take(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) leaf(dst []byte, n *node) ([]byte, error) {
	value, err := n.column.take()
	if err != nil {
		return dst, err
	}
	if value == nil { // a level that no value of the column may have
		return dst, n.column.damaged(errPage)
	}
	if len(dst)+2*len(value) > maxRowBytes {
		return dst, tooLong()
	}
	before := len(dst)
	dst, err = n.write(dst, value)
	switch {
	case err == nil:
	case err == errNull:
		r.nans++
	default:
		return dst[:before], &problem{fmt.Sprintf("column %q: %v", n.column.path, err)}
	}
	return dst, nil
}

func tooLong() error {
	return &problem{fmt.Sprintf("it is longer than %d MiB as JSON", maxRowBytes>>20)}
}

func (r *Reader) object(dst []byte, n *node) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i, child := range n.children {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, child.key...)
		if dst, err = r.value(dst, child); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (r *Reader) list(dst []byte, n *node) ([]byte, error) {
	dst = append(dst, '[')
	for i := 0; ; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = r.value(dst, n.children[0]); err != nil {
			return dst, err
		}
		if more, err := r.more(dst, n); !more {
			return append(dst, ']'), err
		}
	}
}

// more reports whether a list or a map has a further element.
func (r *Reader) more(dst []byte, n *node) (bool, error) {
	if len(dst) > maxRowBytes {
		return false, tooLong()
	}
	first := r.columns[n.first]
	switch err := first.load(); {
	case err == io.EOF:
		return false, nil
	case err != nil:
		return false, err
	}
	return first.rep() >= n.rep, nil
}

// pairs appends a map as an object. A key that stands there twice is a problem of the row.
func (r *Reader) pairs(dst []byte, n *node) ([]byte, error) {
	dst = append(dst, '{')
	key, value := n.children[0].children[0], n.children[0].children[1]
	var keys [][]byte
	for i := 0; ; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		before := len(dst)
		var err error
		if dst, err = r.value(dst, key); err != nil {
			return dst, err
		}
		keys = append(keys, slices.Clone(dst[before:]))
		dst = append(dst, ':')
		if dst, err = r.value(dst, value); err != nil {
			return dst, err
		}
		if more, err := r.more(dst, n); err != nil || !more {
			if twice := duplicate(keys); err == nil && twice != nil {
				err = &problem{fmt.Sprintf("column %q: the key %.100s stands there twice", key.column.path, twice)}
			}
			return append(dst, '}'), err
		}
	}
}

func duplicate(keys [][]byte) []byte {
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i-1], keys[i]) {
			return keys[i]
		}
	}
	return nil
}
