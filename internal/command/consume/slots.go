package consume

import (
	"fmt"
	"strconv"
)

// maxAuto is how many slots are tried on a server that does not say how many it has: more do not
// fit onto the GPUs that Gleaner is made for.
const maxAuto = 16

// slots is the value of --slots.
type slots struct {
	Most int
	Auto bool
}

// UnmarshalText reads a number or the word auto.
func (s *slots) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*s = slots{maxAuto, true}
		return nil
	}
	n, err := strconv.Atoi(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("slots %q is neither a number nor auto", text)
	case n < 1:
		return fmt.Errorf("slots %d is not positive", n)
	}
	*s = slots{Most: n}
	return nil
}

func (s slots) String() string {
	if s.Auto {
		return "auto"
	}
	return strconv.Itoa(s.Most)
}
