package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// ioctl calls an operation of the kernel on a terminal.
func ioctl(t *testing.T, f *os.File, operation uintptr, argument unsafe.Pointer) {
	t.Helper()
	if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), operation, uintptr(argument)); err != 0 {
		t.Fatal(err)
	}
}

// pty returns both ends of a terminal: where a program writes, and where it is shown.
func pty(t *testing.T) (program, shown *os.File) {
	t.Helper()
	shown, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shown.Close() })
	var number, locked int32
	ioctl(t, shown, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	ioctl(t, shown, syscall.TIOCGPTN, unsafe.Pointer(&number))
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program, shown
}

// resize gives a terminal another size.
func resize(t *testing.T, shown *os.File, columns, rows uint16) {
	t.Helper()
	size := [4]uint16{rows, columns}
	ioctl(t, shown, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

func TestATerminalIsAskedForItsSizeAtEachDraw(t *testing.T) {
	program, shown := pty(t)
	for _, name := range []string{"CI", "JPY_PARENT_PID", "KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG", "NO_COLOR"} {
		t.Setenv(name, "")
	}
	t.Setenv("TERM", "xterm")
	term := (&Terminal{In: program, Out: program, Err: program}).escaping()
	resize(t, shown, 100, 30)
	if !term.Redraws() || !term.Interactive() || !Colours(term.Err) || term.Columns() != 100 || term.TalkColumns() != 100 || (ProgressFlags{}).Mode(term) != ProgressLive {
		t.Error("it is no terminal of 100 columns on which lines are redrawn")
	}
	lines := bufio.NewReader(shown)
	next := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(line, "\r\n")
	}
	long := strings.Repeat("x", 120)
	term.Draw(long, "two")
	if got := next(); got != long[:98]+"…" {
		t.Errorf("%q", got)
	}
	next()
	resize(t, shown, 40, 30) // the line of 99 columns takes three rows now
	term.Draw(long)
	if got := next(); got != "\r\x1b[4A\x1b[J"+long[:38]+"…" {
		t.Errorf("on the narrower terminal: %q", got)
	}
	resize(t, shown, 100, 2)
	term.Draw("one", "has no room")
	if got := next(); got != "\r\x1b[1A\x1b[Jone" {
		t.Errorf("on the lower terminal: %q", got)
	}
	if _, err := fmt.Fprintln(term.Err, "talk"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "\r\x1b[1A\x1b[Jtalk" {
		t.Errorf("talk: %q", got)
	}
	t.Setenv("TERM", "dumb")
	if term.Redraws() || Colours(term.Err) {
		t.Error("it draws on a terminal that cannot")
	}
}

func TestWordsArePaintedWhereThereAreColours(t *testing.T) {
	program, shown := pty(t)
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	term := (&Terminal{In: program, Out: program, Err: program}).escaping()
	lines := bufio.NewReader(shown)
	done := Painted{At: regexp.MustCompile(`is (done)`), Colour: Green}
	for _, c := range []struct{ name, value, want string }{
		{"TERM", "xterm", "it is \x1b[32mdone\x1b[0m, \uFFFD[31mred"}, {"TERM", "dumb", "it is done, \uFFFD[31mred"}, {"NO_COLOR", "1", "it is done, \uFFFD[31mred"},
	} {
		t.Setenv("TERM", "xterm")
		t.Setenv(c.name, c.value)
		for _, to := range []io.Writer{term.Out, term.Err} {
			if err := Paint(to, "it is done, \x1b[31mred\n", done); err != nil {
				t.Fatal(err)
			}
			if got, err := lines.ReadString('\n'); err != nil || strings.TrimRight(got, "\r\n") != c.want {
				t.Errorf("with %s=%s it is %q, want %q: %v", c.name, c.value, got, c.want, err)
			}
		}
	}
}
