package view

import "strings"

// folded breaks a text into lines of at most this many columns, between words where that is
// possible. No line is empty but those of the text.
func folded(s string, columns int) (lines []string) {
	for _, line := range strings.Split(strings.ReplaceAll(s, "\t", "    "), "\n") {
		for {
			end := fits(line, columns)
			if end == len(line) {
				lines = append(lines, line)
				break
			}
			next := end
			if space := strings.LastIndexByte(line[:end+1], ' '); space > 0 {
				end, next = space, space+1
			}
			lines = append(lines, line[:end])
			line = line[next:]
		}
	}
	return lines
}

// fits returns how many bytes of a line fit into this many columns, at least a character.
func fits(line string, columns int) int {
	used := 0
	for at, r := range line {
		if used += width(r); used > columns && at > 0 {
			return at
		}
	}
	return len(line)
}

// width returns how many columns of a terminal a character takes, by a coarse table.
func width(r rune) int {
	for _, wide := range [][2]rune{
		{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
	} {
		if r >= wide[0] && r <= wide[1] {
			return 2
		}
	}
	return 1
}
