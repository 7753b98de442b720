package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestVersionsAreSpelledAsPythonSpellsThem(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                               "1.2.3",
		"v1.2.3-rc.1":                          "1.2.3rc1",
		"v1.2.3-beta":                          "1.2.3b0",
		"v1.2.3-alpha4":                        "1.2.3a4",
		"v0.0.0+here":                          "0.0.0+here",
		"v1.2.3+dirty":                         "1.2.3+dirty",
		"v1.2.3-nightly":                       "",
		"(devel)":                              "",
		"v0.0.0-20261130162547-abcdef123456":   "0.0.0.dev20261130162547+gabcdef123456",
		"v1.2.4-0.20261130162547-abcdef123456": "1.2.4.dev20261130162547+gabcdef123456",
		"v1.2.4-0.20261130162547-abcdef123456+dirty": "1.2.4.dev20261130162547+gabcdef123456.dirty",
		"v1.2.3-rc.1.0.20261130162547-abcdef123456":  "1.2.3rc1.post0.dev20261130162547+gabcdef123456",
	} {
		got, err := pythonVersion(version)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q in Python, %v; want %q", version, got, err, want)
		}
	}
}

func TestEveryPlatformOfAReleaseHasAWheel(t *testing.T) {
	for _, name := range defaultPlatforms() {
		os, arch, _ := strings.Cut(name, "/")
		if wheelTag(platform{os, arch}) == "" {
			t.Errorf("%s has no wheel", name)
		}
	}
}

// mostBytes is how large a wheel may be: that of helpers is loaded at each start of a notebook.
func mostBytes(distribution string) int64 {
	if distribution == "gleaner-consumer" {
		return 8 << 20
	}
	return 24 << 20
}

// checkWheels checks that each wheel lists what it holds, that its program can be executed, and
// that it is small.
func checkWheels(t *testing.T, folder, version string) {
	t.Helper()
	number, err := pythonVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range distributions() {
		base := strings.ReplaceAll(d.name, "-", "_") + "-" + number
		found, err := filepath.Glob(filepath.Join(folder, base+"-py3-none-*.whl"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the wheels of %s are %q, %v", d.name, found, err)
		}
		r, err := zip.OpenReader(found[0])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		modes, sums, size := map[string]string{}, map[string]string{}, int64(0)
		var listed string
		for _, f := range r.File {
			data := inside(t, f)
			modes[f.Name], size = f.Mode().String(), size+int64(f.CompressedSize64)
			sum := sha256.Sum256(data)
			sums[f.Name] = fmt.Sprintf("sha256=%s,%d", base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
			if strings.HasSuffix(f.Name, "/RECORD") {
				listed, sums[f.Name] = string(data), ","
			}
		}
		if size > mostBytes(d.name) {
			t.Errorf("the wheel of %s has %d bytes, more than %d", d.name, size, mostBytes(d.name))
		}
		for line := range strings.Lines(listed) {
			name, sum, _ := strings.Cut(strings.TrimSpace(line), ",")
			if sums[name] != sum {
				t.Errorf("%s: RECORD says %q of %s, which is %q", d.name, sum, name, sums[name])
			}
			delete(sums, name)
		}
		if len(sums) > 0 {
			t.Errorf("%s: RECORD does not list %v", d.name, sums)
		}
		script := base + ".data/scripts/" + platform{runtime.GOOS, runtime.GOARCH}.binary(d.command)
		for _, name := range []string{script, d.module + "/__init__.py", d.module + "/py.typed", d.module + "/_process.py"} {
			if modes[name] == "" {
				t.Errorf("%s has no %s", d.name, name)
			}
		}
		if modes[script] != "-rwxr-xr-x" {
			t.Errorf("%s: the program's mode is %s", d.name, modes[script])
		}
	}
}

func inside(t *testing.T, f *zip.File) []byte {
	t.Helper()
	in, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
