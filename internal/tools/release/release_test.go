package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/needtest"
)

func TestTheSameCommitGivesTheSameBytes(t *testing.T) {
	program, here := releaser(t), platform{runtime.GOOS, runtime.GOARCH}
	root, other := repository(t), filepath.Join(t.TempDir(), "another", "folder")
	if err := clone(t.Context(), root, other, func(line string) { t.Error(line) }); err != nil {
		t.Fatal(err)
	}
	first, second := t.TempDir(), t.TempDir()
	names := run(t, root, program, "--out", first, "--platforms", here.String())
	// What an earlier release left does not stay.
	if err := os.WriteFile(filepath.Join(second, "gleaner_old.zip"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, other, program, "--out", second, "--platforms", here.String())
	if diff := cmp.Diff(contents(t, first), contents(t, second)); diff != "" {
		t.Errorf("two releases differ (-first +second):\n%s", diff)
	}
	checkSums(t, first, names)

	archive := names[slices.IndexFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".whl") })]
	files := unpack(t, archive)
	checkContent(t, files, here)
	bill := checkBill(t, files, here)
	checkWheels(t, first, bill.Metadata.Component.Version)
	commit := run(t, root, "git", "rev-parse", "HEAD")[0]
	if stamped := bill.Metadata.Component.Properties[1].Value; stamped != commit {
		t.Errorf("the SBOM is of commit %s, want %s", stamped, commit)
	}
	for _, program := range programs() {
		name := here.binary(program)
		binary := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(binary, files[name], 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), binary, "--version").CombinedOutput()
		if err != nil || !strings.Contains(string(out), " "+bill.Metadata.Component.Version+" ") || !strings.Contains(string(out), "commit "+commit) {
			t.Errorf("%s --version: %v, %s\nwant version %s and commit %s", name, err, out, bill.Metadata.Component.Version, commit)
		}
	}
}

// releaser builds the command. It is run as a process, without the race detector, with which
// packing takes minutes.
func releaser(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "release")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, said)
	}
	return program
}

// repository returns a new git repository whose only commit is the content of the module's folder.
// So the test sees changes that are not committed, and works where the folder is no repository.
func repository(t *testing.T) (root string) {
	t.Helper()
	needtest.Tool(t, "git")
	module, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull) // without anyone's hooks, signatures and ignored files
	root = t.TempDir()
	run(t, root, "git", "init", "--quiet")
	run(t, root, "git", "--work-tree", module, "add", "--all")
	run(t, root, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message=what lies there")
	run(t, root, "git", "reset", "--quiet", "--hard")
	return root
}

// run runs a program in a folder and returns the lines that it prints.
func run(t *testing.T, dir, program string, args ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = dir
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, &said)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// Compiling all of it for each platform would take minutes. That our own code compiles there is
// what vet shows (task lint); here every package that is linked has files for each platform.
func TestEveryPlatformHasAllPackages(t *testing.T) {
	platforms := defaultPlatforms()
	if len(platforms) != 5 {
		t.Errorf("a release is for %v", platforms)
	}
	for _, name := range platforms {
		os, arch, _ := strings.Cut(name, "/")
		args := []string{"list", "-deps"}
		for _, program := range programs() {
			args = append(args, "gleaner/"+program)
		}
		list := exec.CommandContext(t.Context(), "go", args...)
		list.Env = platform{os, arch}.env()
		if said, err := list.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// defaultPlatforms returns what a release is for if nothing is said.
func defaultPlatforms() []string {
	field, _ := reflect.TypeFor[command]().FieldByName("Platforms")
	return strings.Split(field.Tag.Get("default"), ",")
}

// contents returns the checksum of each file of a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sums[entry.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return sums
}

// checkSums checks that the sums name every other file of the folder, with its sum.
func checkSums(t *testing.T, folder string, names []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(data)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		said[name] = sum
	}
	is := contents(t, folder)
	delete(is, sumsFile)
	if diff := cmp.Diff(is, said); diff != "" {
		t.Errorf("%s (-files +sums):\n%s", sumsFile, diff)
	}
	if len(names) != len(is)+1 {
		t.Errorf("the release names %q, there are %d files and the sums", names, len(is))
	}
}

// inFolder returns the name of a file in the only folder of an archive.
func inFolder(name string) string {
	_, inside, _ := strings.Cut(name, "/")
	return inside
}

// checkContent checks that an archive holds what its users need, no code, and what its README
// names.
func checkContent(t *testing.T, files map[string][]byte, p platform) {
	t.Helper()
	for _, name := range []string{
		"LICENSE", "README.md", "sbom.cdx.json", "deploy/kaggle/solo.ipynb", "deploy/kaggle/team.ipynb", "deploy/nats/permissions.conf", "deploy/compose/compose.yaml",
		"deploy/compose/Dockerfile", "deploy/compose/env.example", "deploy/systemd/gleaner-serve.service", "deploy/systemd/gleaner-consumer.service", "docs/commands.md", "docs/team.md",
	} {
		if len(files[name]) == 0 {
			t.Errorf("the archive has no %s", name)
		}
	}
	for name := range files {
		if strings.HasSuffix(name, ".go") || strings.HasPrefix(path.Base(name), ".") {
			t.Errorf("the archive has %s", name)
		}
	}
	page := string(files["README.md"])
	for _, program := range programs() {
		if !strings.Contains(page, "`"+p.binary(program)+"`") {
			t.Errorf("the README does not name %s", program)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(page, -1) {
		if len(files[link[1]]) == 0 {
			t.Errorf("the README links to %s, which is not in the archive", link[1])
		}
	}
}

// unpack returns the files of an archive by their names in its only folder.
func unpack(t *testing.T, archive string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	if strings.HasSuffix(archive, ".zip") {
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.File {
			in, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if files[inFolder(f.Name)], err = io.ReadAll(in); err != nil {
				t.Fatal(err)
			}
		}
		return files
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[inFolder(header.Name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// checkBill checks that the SBOM names every program with its sum, and modules that are surely
// linked.
func checkBill(t *testing.T, files map[string][]byte, p platform) bom {
	t.Helper()
	var bill bom
	if err := json.Unmarshal(files["sbom.cdx.json"], &bill); err != nil {
		t.Fatal(err)
	}
	refs := map[string]bool{bill.Metadata.Component.Ref: true}
	names := map[string]component{}
	for _, c := range bill.Components {
		if refs[c.Ref] {
			t.Errorf("component %s stands there twice", c.Ref)
		}
		refs[c.Ref], names[c.Name] = true, c
	}
	for _, program := range programs() {
		name := p.binary(program)
		want := []hash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(files[name]))}}
		if diff := cmp.Diff(want, names[name].Hashes); diff != "" {
			t.Errorf("the sum of %s (-file +SBOM):\n%s", name, diff)
		}
	}
	for _, m := range []string{"std", "github.com/nats-io/nats.go", "go.mongodb.org/mongo-driver/v2", "modernc.org/sqlite"} {
		if c := names[m]; c.Version == "" || c.PURL == "" {
			t.Errorf("the SBOM says of module %s: %+v", m, c)
		}
	}
	for _, d := range bill.Dependencies {
		for _, on := range append(d.DependsOn, d.Ref) {
			if !refs[on] {
				t.Errorf("a dependency names %s, which is no component", on)
			}
		}
	}
	return bill
}

func TestArchivesKnowNoTimeButTheCommits(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.FixedZone("somewhere", 3600))
	members := []member{{"README.md", 0o644, []byte("read me")}, {"consumer", 0o755, bytes.Repeat([]byte("program"), 1000)}}
	for name, pack := range map[string]func(string, []member, time.Time) ([]byte, error){"gleaner.tar.gz": tarball, "gleaner.zip": zipfile} {
		first, err := pack("gleaner", members, at)
		if err != nil {
			t.Fatal(err)
		}
		second, err := pack("gleaner", members, at.UTC())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s depends on the time zone", name)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, first, 0o644); err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{"README.md": members[0].data, "consumer": members[1].data}
		if diff := cmp.Diff(want, unpack(t, file)); diff != "" {
			t.Errorf("%s (-packed +unpacked):\n%s", name, diff)
		}
	}
}
