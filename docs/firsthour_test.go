package docs_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gleaner/internal/needtest"
)

// firstHour is the page whose commands are run in order by a test of their own, with the files that
// people get: TestTheFirstHour.
const firstHour = "docs/firsthour.md"

// tools is what the commands of the page find beside gleaner and Python. Go is not among them.
var tools = strings.Fields("bash sh cat cp grep gzip head kill ls mkdir mv rm tail tar uniq wc")

// The fifty things of the page are done in their order, in one folder, with an empty home, by the
// wheel and the archive that a release builds. What is seen has to be what the page shows.
func TestTheFirstHour(t *testing.T) {
	if runtime.GOOS != "linux" {
		needtest.Skip(t, "the page is for a shell of Linux")
	}
	python := needtest.Env(t, "LOADERS_TEST_PYTHON", "the first hour is not tried; .ci/loaders.sh prints what to set")
	things := thingsOf(t, text(t, firstHour))
	if len(things) != 50 {
		t.Errorf("%s has %d things, want fifty", firstHour, len(things))
	}
	h := newcomer(t, python)
	h.jupyter = needtest.Env(t, "JUPYTER_TEST_PYTHON", "the cell of the first hour is not executed; .ci/jupyter.sh prints what to set")
	for _, a := range things {
		began := time.Now()
		for _, m := range a.moves {
			h.do(a, m)
		}
		t.Logf("%s: %s", a.title, time.Since(began).Round(10*time.Millisecond))
	}
}

// A thing is a section of the page.
type thing struct {
	title string
	moves []move
}

// A move is a block of the page: commands with what is then seen, or what is seen in terminals that
// were opened before.
type move struct {
	language, content string // no language: nothing is typed
	mark              string // what the comment above it says
	seen              string
	code              int // how it ends
}

var (
	thingForm = regexp.MustCompile(`(?m)^## (\d+)\. .*$`)
	moveForm  = regexp.MustCompile("(?ms)(?:^<!-- ([^\n]*) -->\n)?^```(sh|python|text|json)\n(.*?)^```$")
	codeForm  = regexp.MustCompile(`[Ee]xit code (\d+)`)
)

// The marks of blocks, as comments above them.
const (
	markBeside = "another terminal, until: " // it stays, and is there when it has said this
	markCtrlC  = "Ctrl-C after: "            // the key is pressed when it has said this
	markKill   = "kill -9 after: "
	markOthers = "in the other terminals"        // what those say at their end
	markStop   = "Ctrl-C in the other terminals" // the key is pressed there before
	markCell   = "a cell"                        // of a notebook, which Jupyter executes
)

// thingsOf reads the page. What is seen stands below its commands, and the exit code, if it is not
// 0, between them or after.
func thingsOf(t *testing.T, page string) (all []thing) {
	t.Helper()
	heads := thingForm.FindAllStringSubmatchIndex(page, -1)
	for i, head := range heads {
		if number := page[head[2]:head[3]]; number != strconv.Itoa(i+1) {
			t.Errorf("thing %d has the number %s", i+1, number)
		}
		end := len(page)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		a := thing{title: strings.TrimPrefix(page[head[0]:head[1]], "## ")}
		a.moves = movesOf(t, a.title, page[head[1]:end])
		all = append(all, a)
	}
	return all
}

func movesOf(t *testing.T, title, section string) (moves []move) {
	t.Helper()
	found := moveForm.FindAllStringSubmatchIndex(section, -1)
	group := func(at []int, i int) string {
		if at[2*i] < 0 {
			return ""
		}
		return section[at[2*i]:at[2*i+1]]
	}
	for i, at := range found {
		end := len(section)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		m := move{mark: group(at, 1), language: group(at, 2), content: group(at, 3)}
		isSeen := m.language == "text" || m.language == "json"
		switch {
		case isSeen && m.mark != "":
			moves = append(moves, move{mark: m.mark, seen: m.content})
		case isSeen && len(moves) > 0:
			moves[len(moves)-1].seen += m.content
		case isSeen:
			t.Errorf("%s: what is seen has no command", title)
		default:
			moves = append(moves, m)
		}
		if code := codeForm.FindStringSubmatch(section[at[1]:end]); code != nil && len(moves) > 0 {
			moves[len(moves)-1].code, _ = strconv.Atoi(code[1]) // the form says that it is a number
		}
	}
	if len(moves) == 0 {
		t.Errorf("%s: there is no command", title)
	}
	return moves
}

// asCell executes a cell in a kernel of its own, and shows what stands below it then.
const asCell = `
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(sys.argv[1])])
NotebookClient(book, timeout=120, kernel_name="python3").execute()
for output in book.cells[0].outputs:
    print(output.get("text") or output["data"]["text/plain"])
`

// An hour is where the newcomer sits.
type hour struct {
	t      *testing.T
	dir    string
	env    []string
	beside []*terminal

	jupyter string            // a Python that has it, for cells
	site    string            // where the newcomer's packages are installed
	ports   *strings.Replacer // those of the page may be in use, so others stand for them
}

// newcomer builds what a release hands out, and prepares a folder with it, an empty home, and a
// Python environment with the libraries of the Python that is named.
func newcomer(t *testing.T, python string) *hour {
	t.Helper()
	base := t.TempDir()
	h := &hour{t: t, dir: filepath.Join(base, "work"), ports: strings.NewReplacer("127.0.0.1:4222", free(t), "127.0.0.1:11411", free(t))}
	venv, home, path := filepath.Join(base, "venv"), filepath.Join(base, "home"), filepath.Join(base, "tools")
	for _, dir := range []string{h.dir, home, path} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "go", "run", "../internal/tools/release", "--here", "--platforms="+runtime.GOOS+"/"+runtime.GOARCH, "--out="+h.dir)
	output(t, python, "-m", "venv", venv)
	const site = "import sysconfig; print(sysconfig.get_path('purelib'))"
	libraries := output(t, python, "-c", site)
	inside := strings.TrimSpace(output(t, filepath.Join(venv, "bin", "python"), "-c", site))
	h.site = inside
	if err := os.WriteFile(filepath.Join(inside, "libraries.pth"), []byte(libraries), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		if err := os.Symlink(needtest.Tool(t, tool), filepath.Join(path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	h.env = []string{
		"HOME=" + home, "PATH=" + filepath.Join(venv, "bin") + ":" + path, "LANG=C.UTF-8", "USER=newcomer", "TMPDIR=" + base,
		"OLLAMA_HOST=http://127.0.0.1:9", // where no server is
		"HF_ENDPOINT=http://127.0.0.1:9",
		"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INDEX=1",
	}
	return h
}

// free returns an address on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			said = append(said, exit.Stderr...)
		}
		t.Fatalf("%s %v: %v\n%s", program, args, err, said)
	}
	return string(said)
}

// A terminal is where commands were typed.
type terminal struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
	news chan struct{} // there is more in said
	done chan struct{} // it has ended
}

func (o *terminal) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default:
	}
	return o.said.Write(data)
}

func (o *terminal) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// begin types commands.
func (h *hour) begin(m move) *terminal {
	h.t.Helper()
	m.content = h.ports.Replace(m.content)
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*time.Minute)
	h.t.Cleanup(cancel)
	kept := filepath.Join(filepath.Dir(h.dir), "exported") // what is exported holds until the end of the page
	before := "set -euo pipefail\nif [ -e " + kept + " ]; then . " + kept + "; fi\n"
	script := before + m.content + "cd " + h.dir + "\nexport -p >" + kept + "\n"
	if m.mark != "" {
		script = before + "exec " + strings.TrimSpace(m.content) // it is the command that is stopped, and that says how it ends
	}
	o := &terminal{cmd: exec.CommandContext(ctx, "bash", "-c", script), news: make(chan struct{}, 1), done: make(chan struct{})}
	if m.mark == markCell {
		o.cmd = exec.CommandContext(ctx, h.jupyter, "-c", asCell, m.content)
	} else if m.language == "python" {
		python := strings.TrimPrefix(strings.Split(h.env[1], ":")[0], "PATH=") + "/python"
		o.cmd = exec.CommandContext(ctx, python, "-")
		o.cmd.Stdin = strings.NewReader(m.content)
	}
	o.cmd.Dir, o.cmd.Env, o.cmd.Stdout, o.cmd.Stderr, o.cmd.WaitDelay = h.dir, h.env, o, o, 10*time.Second
	if m.mark == markCell { // whose kernel is of another Python
		o.cmd.Env = append(slices.Clone(h.env), "PYTHONPATH="+h.site)
	}
	if err := o.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = o.cmd.Wait() // the state says how it ended
		close(o.done)
	}()
	h.t.Cleanup(func() {
		_ = o.cmd.Process.Kill() // it may have ended
		<-o.done
	})
	return o
}

// until returns when the terminal shows this.
func (h *hour) until(o *terminal, sign string) {
	h.t.Helper()
	for !strings.Contains(o.text(), sign) {
		select {
		case <-o.news:
		case <-o.done:
			if !strings.Contains(o.text(), sign) {
				h.t.Fatalf("%q is not said:\n%s", sign, o.text())
			}
		}
	}
}

// do does what a block says, and compares.
func (h *hour) do(a thing, m move) {
	h.t.Helper()
	if m.language == "" {
		h.others(a, m)
		return
	}
	o := h.begin(m)
	if sign, ok := strings.CutPrefix(m.mark, markBeside); ok {
		h.until(o, sign)
		h.beside = append(h.beside, o)
		return
	}
	for mark, signal := range map[string]os.Signal{markCtrlC: os.Interrupt, markKill: syscall.SIGKILL} {
		if sign, ok := strings.CutPrefix(m.mark, mark); ok {
			h.until(o, sign)
			_ = o.cmd.Process.Signal(signal) // it has not been waited for
		}
	}
	<-o.done
	code := o.cmd.ProcessState.ExitCode()
	if status, ok := o.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if code != m.code {
		h.t.Errorf("%s\n%s\nexit code %d, and the page says %d; what is seen:\n%s", a.title, m.content, code, m.code, o.text())
	}
	h.compare(a, m, o.text())
}

// others waits for the other terminals, and compares what they have said.
func (h *hour) others(a thing, m move) {
	h.t.Helper()
	var said strings.Builder
	for _, o := range slices.Backward(h.beside) { // the last that was opened is the first to be closed
		if m.mark == markStop {
			_ = o.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		}
		<-o.done
		if code := o.cmd.ProcessState.ExitCode(); code != m.code {
			h.t.Errorf("%s\n%s\nexit code %d, and the page says %d; what is seen:\n%s", a.title, o.cmd.Args, code, m.code, o.text())
		}
		said.WriteString(o.text())
	}
	if len(h.beside) == 0 || m.mark != markStop && m.mark != markOthers {
		h.t.Errorf("%s: no other terminal is open, or the mark is not one: %s", a.title, m.mark)
	}
	h.beside = nil
	h.compare(a, m, said.String())
}

// compare fails where a line of the page is not among what is seen, below the line before it.
func (h *hour) compare(a thing, m move, seen string) {
	h.t.Helper()
	if missing := unseen(m.seen, seen); missing != "" {
		h.t.Errorf("%s\n%s\nthe page shows a line that is not seen:\n%s\nwhat is seen:\n%s", a.title, m.content, missing, seen)
	}
}

// unseen returns the first line of a page that is not seen, or nothing. "…" stands for any text,
// and any number of spaces for any other: tables are as wide as what is in them.
func unseen(page, seen string) string {
	plain := func(line string) string { return strings.Join(strings.Fields(line), " ") }
	lines := strings.Split(seen, "\n")
	for want := range strings.Lines(page) {
		if plain(want) == "" || plain(want) == "…" {
			continue
		}
		form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(plain(want)), "…", ".*") + "$")
		at := slices.IndexFunc(lines, func(line string) bool { return form.MatchString(plain(line)) })
		if at < 0 {
			return plain(want)
		}
		lines = lines[at+1:]
	}
	return ""
}

func TestWhatIsSeenIsCompared(t *testing.T) {
	const seen = "one\ntwo 2\nthree\n"
	for page, missing := range map[string]string{
		"one\nthree\n": "", "…\ntwo …\n": "", "two\n": "two", "three\none\n": "one", "o.e\n": "o.e", "four\n": "four", "two  2\n": "",
	} {
		if got := unseen(page, seen); got != missing {
			t.Errorf("of %q %q is not seen, want %q", page, got, missing)
		}
	}
}
