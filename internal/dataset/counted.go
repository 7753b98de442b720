package dataset

import (
	"io"
	"strconv"
)

// counted makes rows that have their number alone, for prompts that need no dataset.
type counted struct {
	rows, made int
	out        []byte
}

func (c *counted) next() ([]byte, error) {
	if c.made == c.rows {
		return nil, io.EOF
	}
	c.out = strconv.AppendInt(append(c.out[:0], `{"i":`...), int64(c.made), 10)
	c.out = append(c.out, '}')
	c.made++
	return c.out, nil
}

func (c *counted) position() int { return c.made }
func (c *counted) notes() notes  { return notes{} }
