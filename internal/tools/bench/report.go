package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/view"
)

// A Report is everything that was measured; a benchmark that was not asked for is nil.
type Report struct {
	Machine  Machine   `json:"machine"`
	Quick    bool      `json:"quick,omitempty"` // then the figures mean nothing
	KeepBusy *KeepBusy `json:"keep_busy,omitempty"`
	Capacity *Capacity `json:"capacity,omitempty"`
	Load     *Load     `json:"load_and_export,omitempty"`
}

// A Machine is where the figures come from.
type Machine struct {
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"` // that Go uses
	Go      string    `json:"go"`
	Version string    `json:"version"` // of Gleaner
	At      time.Time `json:"at"`
}

func thisMachine() Machine {
	return Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		Version: cli.Version(), At: time.Now().UTC().Truncate(time.Second),
	}
}

func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %s of %s, %s, gleaner %s, %s", m.OS, m.Arch, view.Plural(m.Cores, "core", "cores"), m.CPU, m.Go, m.Version, m.At.Format(time.RFC3339))
}

// The functions below read what Linux says of the processor and of this process. Elsewhere
// nothing is known.

func cpuName() string {
	if name := procField("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return "an unknown processor"
}

// procField returns the value of a line "name: value".
func procField(path, name string) string {
	data, _ := os.ReadFile(path)
	m := regexp.MustCompile(`(?m)^` + name + `\s*:\s*(.*)$`).FindSubmatch(data)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// peakBytes returns the most memory that this process has had, 0 where that is not known.
func peakBytes() int {
	kilobytes, _ := strconv.Atoi(strings.TrimSuffix(procField("/proc/self/status", "VmHWM"), " kB"))
	return kilobytes << 10
}

// cpuTime returns how long this process has used processors, 0 where that is not known.
func cpuTime() time.Duration {
	stat, _ := os.ReadFile("/proc/self/stat")
	_, rest, _ := strings.Cut(string(stat), ") ") // the program's name before it may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // Linux counts hundredths of a second for programs
}

// table prints rows of cells that are separated by tabs, under a title and a sentence that says
// what they are.
func table(w io.Writer, title, what, head string, rows []string) {
	fmt.Fprintf(w, "\n%s\n%s\n\n", strings.ToUpper(title), what)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([]string{head}, rows...) {
		fmt.Fprintln(t, row+"\t")
	}
	_ = t.Flush() // a terminal that has gone is noticed when the figures are written
}

// rate returns n per second.
func rate(n int, took time.Duration) float64 { return float64(n) / max(took.Seconds(), 1e-9) }

func mebibytes(n int) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
