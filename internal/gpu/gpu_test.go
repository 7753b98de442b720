package gpu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoT4 = "0, GPU-aaaa, Tesla T4, 15360\n1, GPU-bbbb, Tesla T4, 15360\n"

// fakeSMI puts a stand-in for nvidia-smi on the PATH.
func fakeSMI(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestGPUsAreTakenFromNvidiaSmi(t *testing.T) {
	first, second := Device{0, "GPU-aaaa", "Tesla T4", 15360}, Device{1, "GPU-bbbb", "Tesla T4", 15360}
	for _, c := range []struct {
		script, wanted string
		want           []Device
		problem        string
	}{
		{"echo '" + twoT4 + "'", "auto", []Device{first, second}, ""},
		{"echo '" + twoT4 + "'", "1", []Device{second}, ""},
		{"echo '" + twoT4 + "'", "1, 0", []Device{second, first}, ""},
		{"echo '" + twoT4 + "'", "GPU-aaaa", []Device{first}, ""},
		{"echo '" + twoT4 + "'", "2", nil, "this machine has 0 (Tesla T4), 1 (Tesla T4)"},
		{"echo '" + twoT4 + "'", "0,0", nil, "twice"},
		{"echo '0, GPU-cccc, GB10, [N/A]'", "auto", []Device{{0, "GPU-cccc", "GB10", 0}}, ""},
		{"echo", "auto", nil, "accelerator"},
		{"echo 'No devices were found'", "auto", nil, "No devices were found"},
		{"echo 'cannot communicate with the driver' >&2; exit 9", "auto", nil, "cannot communicate with the driver"},
	} {
		fakeSMI(t, c.script)
		got, err := Find(t.Context(), c.wanted)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.script, c.wanted, diff)
		}
		if (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s, %s: %v, want %q", c.script, c.wanted, err, c.problem)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(t.Context(), "auto"); err == nil || !strings.Contains(err.Error(), "--ollama") {
		t.Errorf("without nvidia-smi: %v", err)
	}
}

func TestWhatUsesTheGPUsIsTold(t *testing.T) {
	fakeSMI(t, `case "$1" in
--query-gpu*) echo 'GPU-aaaa, 9000'; echo 'GPU-bbbb, [N/A]';;
*) echo 'GPU-aaaa, 4711, /usr/bin/ollama'; echo 'GPU-aaaa, 4712, python, -c x';;
esac`)
	got, err := Uses(t.Context())
	want := map[string]Use{"GPU-aaaa": {9000, []string{"ollama (4711)", "python, -c x (4712)"}}, "GPU-bbbb": {}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
