package cli

import (
	"fmt"
	"strconv"
)

// MaxAutoSlots is how many slots are tried on a server that does not say how many it has: more do
// not fit onto the GPUs that Gleaner is made for.
const MaxAutoSlots = 16

// Slots is the value of --slots. The zero value is one that was not given.
type Slots struct {
	Most int  // generations at a time
	Auto bool // use the number with which the server is fastest, which is found at work
}

// UnmarshalText reads a number or the word auto.
func (s *Slots) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*s = Slots{MaxAutoSlots, true}
		return nil
	}
	n, err := strconv.Atoi(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("slots %q is neither a number nor auto", text)
	case n < 1:
		return fmt.Errorf("slots %d is not positive", n)
	}
	*s = Slots{Most: n}
	return nil
}

// String returns the number, or the word auto.
func (s Slots) String() string {
	if s.Auto {
		return "auto"
	}
	return strconv.Itoa(s.Most)
}
