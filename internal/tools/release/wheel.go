package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A distribution is a package of Python that brings a program along.
type distribution struct {
	name    string // as pip knows it
	module  string // its folder below deploy/python, as Python imports it
	program string // one of programs
	command string // what the program is called where it is installed
	summary string
}

// distributions returns the wheels that are built. Helpers need no more than the second, which is
// small.
func distributions() []distribution {
	return []distribution{
		{"gleaner-llm", "gleaner", "deploy/gleaner", "gleaner", "Turn a dataset of instructions into a dataset of model answers"},
		{"gleaner-consumer", "gleaner_consumer", "consumer", "gleaner-consumer", "Let the GPUs of this machine answer a dataset of a team"},
	}
}

// pythons is the oldest Python that the packages run with.
const pythons = ">=3.9"

// pythonFolder is where the packages lie.
const pythonFolder = "deploy/python"

// wheelTag returns the tag of a wheel for a platform, or "" where pip knows none. A static program
// runs with every libc; manylinux2014 is what every pip of today takes.
func wheelTag(p platform) string {
	tags := map[platform]string{
		{"linux", "amd64"}:   "manylinux2014_x86_64",
		{"linux", "arm64"}:   "manylinux2014_aarch64",
		{"darwin", "amd64"}:  "macosx_11_0_x86_64",
		{"darwin", "arm64"}:  "macosx_11_0_arm64",
		{"windows", "amd64"}: "win_amd64",
		{"windows", "arm64"}: "win_arm64",
	}
	if tag := tags[p]; tag != "" {
		return "py3-none-" + tag
	}
	return ""
}

var (
	versionForm  = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.-]+?))??(?:-?(?:0\.)?(\d{14})-([0-9a-f]{12}))?(?:\+([0-9A-Za-z.]+))?$`)
	preRelease   = regexp.MustCompile(`^(a|alpha|b|beta|rc)[.-]?(\d*)$`)
	preReleaseAs = map[string]string{"a": "a", "alpha": "a", "b": "b", "beta": "b", "rc": "rc"}
)

// pythonVersion returns a version of Go's as PEP 440 spells it: that of a tag as it is, that of
// another commit as a development version, which pip takes only if it is asked for it.
func pythonVersion(version string) (string, error) {
	parts := versionForm.FindStringSubmatch(version)
	if parts == nil {
		return "", fmt.Errorf("version %q is none that PEP 440 has a spelling for: give the tag a form such as v1.2.3 or v1.2.3-rc.1", version)
	}
	number, pre, at, commit, build := parts[1], strings.TrimSuffix(parts[2], "."), parts[3], parts[4], parts[5]
	if pre != "" {
		form := preRelease.FindStringSubmatch(pre)
		if form == nil {
			return "", fmt.Errorf("version %q: PEP 440 knows the pre-releases alpha, beta and rc with a number, not %q", version, pre)
		}
		number += preReleaseAs[form[1]]
		if form[2] == "" {
			form[2] = "0"
		}
		number += form[2]
	}
	var local []string
	if at != "" {
		if pre != "" {
			number += ".post0" // after the pre-release from which it was made
		}
		number += ".dev" + at
		local = append(local, "g"+commit)
	}
	if build != "" {
		local = append(local, strings.ToLower(build))
	}
	if len(local) > 0 {
		number += "+" + strings.Join(local, ".")
	}
	return number, nil
}

// wheel returns a wheel and its name: the package and the program, which pip installs as a command.
func wheel(source, bin string, d distribution, p platform, s stamp) (name string, packed []byte, err error) {
	version, err := pythonVersion(s.version)
	if err != nil {
		return "", nil, err
	}
	base := strings.ReplaceAll(d.name, "-", "_") + "-" + version
	members, err := pythonFiles(filepath.Join(source, filepath.FromSlash(pythonFolder)), d.module)
	if err != nil {
		return "", nil, err
	}
	program, err := os.ReadFile(filepath.Join(bin, p.binary(d.program)))
	if err != nil {
		return "", nil, err
	}
	info := base + ".dist-info"
	license, err := os.ReadFile(filepath.Join(source, "LICENSE"))
	if err != nil {
		return "", nil, err
	}
	readme, err := os.ReadFile(filepath.Join(source, filepath.FromSlash(pythonFolder), "README.md"))
	if err != nil {
		return "", nil, err
	}
	members = append(members,
		member{base + ".data/scripts/" + p.binary(d.command), 0o755, program},
		member{info + "/METADATA", 0o644, metadataOf(d, version, readme)},
		member{info + "/WHEEL", 0o644, fmt.Appendf(nil, "Wheel-Version: 1.0\nGenerator: gleaner\nRoot-Is-Purelib: false\nTag: %s\n", wheelTag(p))},
		member{info + "/licenses/LICENSE", 0o644, license},
	)
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	members = append(members, member{info + "/RECORD", 0o644, record(members, info+"/RECORD")})
	packed, err = zipOf(members, s.time)
	return base + "-" + wheelTag(p) + ".whl", packed, err
}

// metadataOf returns the core metadata of a distribution, with its README as the description.
func metadataOf(d distribution, version string, readme []byte) []byte {
	return fmt.Appendf(nil, "Metadata-Version: 2.4\nName: %s\nVersion: %s\nSummary: %s\nLicense-Expression: MIT\nLicense-File: LICENSE\n"+
		"Requires-Python: %s\nClassifier: Programming Language :: Python :: 3\nClassifier: Typing :: Typed\nDescription-Content-Type: text/markdown\n\n%s",
		d.name, version, d.summary, pythons, readme)
}

// record returns the file that lists the others of a wheel with their sums.
func record(members []member, itself string) []byte {
	var b bytes.Buffer
	for _, m := range members {
		sum := sha256.Sum256(m.data)
		fmt.Fprintf(&b, "%s,sha256=%s,%d\n", m.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(m.data))
	}
	fmt.Fprintf(&b, "%s,,\n", itself)
	return b.Bytes()
}

// pythonFiles returns the files of a package. A file that is a link to one of another package is
// a copy of it.
func pythonFiles(folder, module string) (members []member, err error) {
	err = filepath.WalkDir(filepath.Join(folder, module), func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "__pycache__":
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		members = append(members, member{filepath.ToSlash(name), 0o644, data})
		return nil
	})
	return members, err
}

// wheels writes the wheels of a platform, and returns their names.
func wheels(source, bin, out string, p platform, s stamp) (names []string, err error) {
	if wheelTag(p) == "" {
		return nil, nil
	}
	for _, d := range distributions() {
		name, packed, err := wheel(source, bin, d, p, s)
		if err != nil {
			return nil, fmt.Errorf("pack the wheel of %s for %s: %w", d.name, p, err)
		}
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(out, name), packed, 0o644); err != nil {
			return nil, err
		}
	}
	return names, nil
}
