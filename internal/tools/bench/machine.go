package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/view"
)

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

// The functions below read the processor's name and this process's use of the machine from Linux.
// On other systems they return the zero value.

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
