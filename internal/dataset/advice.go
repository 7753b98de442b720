package dataset

import (
	"path/filepath"
	"strings"
)

// stdinName is how the standard input is shown.
const stdinName = "standard input"

// Marks stand for names in a command, until the file is known. No other text holds these bytes.
const (
	fileMark = "\x00" // the file
	newMark  = "\x01" // a file that the command writes, without its suffix
)

// Commands that people can run as they are printed. They use what a machine with Python has, and
// leave every number as it is written.

// withFile puts the name of the file into a command.
func withFile(text, name string) string {
	if !strings.Contains(text, fileMark) {
		return text
	}
	stem := filepath.Base(name)
	for suffix := filepath.Ext(stem); suffix != "" && suffix != stem && len(suffix) < 9; suffix = filepath.Ext(stem) {
		stem = strings.TrimSuffix(stem, suffix)
	}
	if name == stdinName || strings.ContainsFunc(stem, func(r rune) bool { return !safeInShell(r) }) {
		stem = "rows" // never the name of the file itself, which the shell would empty
	}
	return strings.NewReplacer(fileMark, shellWord(name), newMark, stem+"-converted").Replace(text)
}

// shellWord returns a name as a shell takes it.
func shellWord(name string) string {
	switch {
	case name == stdinName:
		return "FILE"
	case strings.HasPrefix(name, "-"):
		name = "./" + name
	}
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !safeInShell(r) }) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

func safeInShell(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/+,:@%", r)
}

// withoutCommas removes commas before closing brackets, and knows strings.
func withoutCommas() string {
	return `remove it, all of them with: ` +
		`python3 -c 'import re,sys; sys.stdout.buffer.write(re.sub(rb"""("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])""", lambda m: m[1] or b"", open(sys.argv[1], "rb").read()))' ` + fileMark + ` > ` + newMark + `.jsonl`
}

// withoutLineCommas removes a comma at the end of each line.
func withoutLineCommas() string {
	return `remove it, all of them with: ` +
		`python3 -c 'import sys; sys.stdout.buffer.writelines(l.strip().rstrip(b",") + b"\n" for l in open(sys.argv[1], "rb"))' ` + fileMark + ` > ` + newMark + `.jsonl`
}

// fromColumns writes the rows of a table that one object holds column by column.
func fromColumns() string {
	return `write it with orient="records" and lines=True, or convert it with: ` +
		`python3 -c 'import json,sys; d=json.load(open(sys.argv[1], encoding="utf-8")); v=[c.values() if isinstance(c, dict) else c for c in d.values()]; [print(json.dumps(dict(zip(d, r)))) for r in zip(*v)]' ` + fileMark + ` > ` + newMark + `.jsonl`
}

// fromPython converts lines that hold what Python's repr shows.
func fromPython() string {
	return `write such rows with json.dumps, or convert them with: ` +
		`python3 -c 'import ast,json,sys; [print(json.dumps(ast.literal_eval(l))) for l in open(sys.argv[1], encoding="utf-8")]' ` + fileMark + ` > ` + newMark + `.jsonl`
}
