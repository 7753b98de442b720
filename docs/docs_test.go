// Package docs_test holds the project's pages to what they say: links lead somewhere, files and
// names exist, and commands run.
package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// root is the folder of the module, from where a test of this package runs.
const root = ".."

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// everyPage returns the Markdown files of the project, as paths from the root.
func everyPage(t *testing.T) (pages []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && relative != "." && (name != ".github" && strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist") {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(name, ".md") {
			pages = append(pages, filepath.ToSlash(relative))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 20 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// ownPages are the pages whose commands and names are checked here. Those of deployments have a
// test of their own, beside them.
func ownPages(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(everyPage(t), func(page string) bool {
		return strings.HasPrefix(page, "deploy/") || strings.HasPrefix(page, ".github/")
	})
}

func TestTheReadmeIsOnePage(t *testing.T) {
	readme := text(t, "README.md")
	if lines := strings.Count(readme, "\n"); lines > 120 {
		t.Errorf("README.md has %d lines, 120 are enough", lines)
	}
	number := 0
	for line := range strings.Lines(readme) {
		number++
		if columns := utf8.RuneCountInString(strings.TrimRight(line, "\n")); columns > 120 {
			t.Errorf("README.md:%d has %d columns, 120 are enough", number, columns)
		}
	}
}

// The two commands that need nothing but Go come first.
// The first commands are for people without Go; two others do all the set-up of a clone.
func TestTheReadmeBeginsWithTheCommandsThatSetUpEverything(t *testing.T) {
	var lines []string
	for _, b := range blocks(t, "README.md") {
		if b.language == shell {
			lines = append(lines, b.lines()...)
		}
	}
	want := []string{
		"pip install ./gleaner_llm-*.whl && gleaner run", "tar -xzf gleaner_*_linux_amd64.tar.gz && ./gleaner_*_linux_amd64/gleaner run",
		"go run ./deploy/gleaner run",
	}
	if !strings.Contains(withoutBlocks(text(t, "README.md")), "`go tool task test`") {
		t.Error("README.md does not say how all tests run")
	}
	if len(lines) < len(want) || !slices.Equal(lines[:len(want)], want) {
		t.Errorf("README.md begins with the commands %q, want %q", lines[:min(len(want), len(lines))], want)
	}
}

func TestTheReadmeListsEveryPage(t *testing.T) {
	_, list, ok := strings.Cut(text(t, "README.md"), "\n## Where to read on\n")
	if !ok {
		t.Fatal("README.md has no list of pages")
	}
	for _, page := range everyPage(t) {
		inList := strings.HasPrefix(page, "docs/decisions/") && page != "docs/decisions/README.md" ||
			strings.HasPrefix(page, ".github/") || page == "README.md" || strings.Contains(list, "]("+page+")")
		if !inList {
			t.Errorf("README.md does not list %s", page)
		}
	}
}

// Each decision is a short page of one form, and is in the list of decisions.
func TestEachDecisionHasItsPage(t *testing.T) {
	const folder = "docs/decisions/"
	list := text(t, folder+"README.md")
	for _, page := range everyPage(t) {
		name, ok := strings.CutPrefix(page, folder)
		if !ok || name == "README.md" {
			continue
		}
		content := text(t, page)
		if !strings.Contains(list, "]("+name+")") {
			t.Errorf("%sREADME.md does not list %s", folder, name)
		}
		if lines := strings.Count(content, "\n"); lines < 20 || lines > 50 {
			t.Errorf("%s has %d lines, 20 to 50 are right", page, lines)
		}
		headings := regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(content, -1)
		if want := []string{"## Context", "## Decision", "## Consequences"}; len(headings) != 4 || !slices.Equal(headings[1:], want) {
			t.Errorf("%s has the headings %q, want a title and %q", page, headings, want)
		}
	}
}

func TestTheChangeLogBeginsWithWhatIsNotReleased(t *testing.T) {
	headings := regexp.MustCompile(`(?m)^##+ .*$`).FindAllString(text(t, "CHANGELOG.md"), -1)
	if len(headings) == 0 || headings[0] != "## Unreleased" {
		t.Errorf("CHANGELOG.md has the headings %q", headings)
	}
}

var linkForm = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	count := 0
	for _, page := range everyPage(t) {
		for _, match := range linkForm.FindAllStringSubmatch(withoutBlocks(text(t, page)), -1) {
			if strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			count++
			if problem := brokenLink(t, page, match[1]); problem != "" {
				t.Errorf("%s links to %s: %s", page, match[1], problem)
			}
		}
	}
	t.Logf("%d links", count)
}

// brokenLink says what is wrong with a relative link, or nothing.
func brokenLink(t *testing.T, page, link string) string {
	t.Helper()
	path, heading, hasHeading := strings.Cut(link, "#")
	target := page
	if path != "" {
		target = filepath.ToSlash(filepath.Join(filepath.Dir(page), path))
	}
	if strings.HasPrefix(target, "..") {
		return "it leaves the project"
	}
	if _, err := os.Stat(filepath.Join(root, target)); err != nil {
		return err.Error()
	}
	if hasHeading && !slices.Contains(anchors(text(t, target)), heading) {
		return "there is no such heading"
	}
	return ""
}

// anchors returns the names under which the headings of a page can be linked to.
func anchors(page string) (all []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutBlocks(page), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1]))
	}
	return all
}

func TestTheCheckOfLinksBites(t *testing.T) {
	for link, broken := range map[string]bool{
		"docs/commands.md": false, "docs/nothing.md": true, "../other": true,
		"docs/commands.md#datasets-and-prompts": false, "docs/commands.md#nonsense": true, "#your-own-data": false,
	} {
		if got := brokenLink(t, "README.md", link) != ""; got != broken {
			t.Errorf("README.md to %s is broken: %v, want %v", link, got, broken)
		}
	}
}

// A block is a fenced block of code on a page.
type block struct {
	page     string
	line     int
	language string
	content  string
	notRun   string // why it cannot be run here; empty: it is run
}

func (b block) where() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// lines returns the block's commands: without comments, empty lines and what is continued.
func (b block) lines() (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(b.content, "\\\n", " ")) {
		line = strings.TrimRight(line, "\n")
		if comment := regexp.MustCompile(`(^|\s)#.*$`).FindStringIndex(line); comment != nil {
			line = line[:comment[0]]
		}
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// shell is the language of blocks that hold commands, and file that of a file for the commands
// after it, whose name stands in a comment in its first line.
const (
	shell = "sh"
	file  = "yaml"
)

var notRunForm = regexp.MustCompile(`^<!-- not run: (.+) -->$`)

// blocks returns the blocks of a page. A block says what it is, and one with commands that no
// test can run says why in a comment above it.
func blocks(t *testing.T, page string) (all []block) {
	t.Helper()
	var open *block
	before := ""
	number := 0
	for line := range strings.Lines(text(t, page)) {
		number++
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			open = &block{page: page, line: number, language: strings.TrimPrefix(trimmed, "```")}
			if reason := notRunForm.FindStringSubmatch(before); reason != nil {
				open.notRun = reason[1]
			}
			if !slices.Contains([]string{shell, file, "python", "text", "json"}, open.language) {
				t.Errorf("%s: the block is of language %q; use sh for commands, yaml for a file that they read, python, text or json for what is not", open.where(), open.language)
			}
		case open != nil && trimmed == "```":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.content += line + "\n"
		case strings.HasPrefix(line, "    ") && before == "":
			t.Errorf("%s:%d: an indented block does not say what it is: fence it", page, number)
		}
		before = trimmed
	}
	if open != nil {
		t.Errorf("%s: the block does not end", open.where())
	}
	return all
}

// withoutBlocks returns a page without its fenced blocks and spans of code, except those that are
// the text of a link.
func withoutBlocks(page string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(page, "")
}
