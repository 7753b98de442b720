package text

import "strings"

// mostNamed is how many names are listed.
const mostNamed = 20

// DidYouMean ends a sentence about a wrong name with the one that was meant, see Nearest, or with
// some of those that there are; without any it is empty.
func DidYouMean(wrong string, names []string) string {
	if best := Nearest(wrong, names); best != "" {
		return ": did you mean " + Printable(best) + "?"
	}
	if len(names) == 0 {
		return ""
	}
	some := Printable(strings.Join(names[:min(len(names), mostNamed)], ", "))
	if len(names) > mostNamed {
		some += ", …"
	}
	return ": there are " + some
}
