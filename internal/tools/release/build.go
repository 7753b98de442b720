package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs returns the folders of the programs that are built. Each binary has its folder's name.
func programs() []string { return []string{"producer", "consumer", "sink", "deploy/gleaner"} }

// A platform is an operating system and an architecture, as Go names them.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// binary returns the file name of a program.
func (p platform) binary(program string) string {
	name := filepath.Base(program)
	if p.os == "windows" {
		name += ".exe"
	}
	return name
}

// env returns the environment of the go command for this platform, independent of the settings of
// this machine.
func (p platform) env() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
}

// A stamp is what the go command wrote into a binary about its origin.
type stamp struct {
	version string    // a tag, or a version made from the time and the commit
	commit  string    // its full hash
	time    time.Time // of the commit: the time of everything in the archives
}

// moduleRoot returns the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err == nil && filepath.Base(file) != "go.mod" {
		err = errors.New("there is no go.mod here or above")
	}
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(file), nil
}

// clone makes a fresh copy of the commit that is checked out: a release holds what is committed
// and nothing else, and the go command finds no version in a worktree.
func clone(ctx context.Context, root, into string, report func(string)) error {
	git := func(dir string, args ...string) (string, error) {
		command := exec.CommandContext(ctx, "git", args...)
		command.Dir = dir
		out, err := command.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		if err != nil {
			err = fmt.Errorf("git %s: %w", args[0], err)
		}
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git(root, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if changes, err := git(root, "status", "--porcelain"); err != nil {
		return err
	} else if changes != "" {
		report("changes that are not committed are left out:\n" + changes)
	}
	if _, err := git(root, "clone", "--quiet", "--shared", "--no-checkout", root, into); err != nil {
		return err
	}
	_, err = git(into, "checkout", "--quiet", "--detach", commit)
	return err
}

// build builds the programs of an order for a platform into a folder. Nothing of this machine gets
// into them: no cgo, no paths, no build id of the linker's. The version comes from git, through the
// go command, unless what lies here is built.
func build(ctx context.Context, root, into string, p platform, o order) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	for _, program := range o.programs() {
		command := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", fmt.Sprintf("-buildvcs=%t", !o.here), "-ldflags=-s -w -buildid=",
			"-o", filepath.Join(into, p.binary(program)), "./"+program)
		command.Dir = root
		command.Env = p.env()
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s for %s: %w\n%s", program, p, err, out)
		}
	}
	return nil
}

// stampHere returns the stamp of what lies in a folder, which has no commit. Its time is the first
// that a zip can hold.
func stampHere() stamp {
	return stamp{version: "v0.0.0+here", commit: "none", time: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// stampOf reads the stamp of a binary.
func stampOf(file string) (stamp, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return stamp{}, fmt.Errorf("read the version of %s: %w", file, err)
	}
	s := stamp{version: info.Main.Version}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			s.commit = setting.Value
		case "vcs.time":
			if s.time, err = time.Parse(time.RFC3339, setting.Value); err != nil {
				return stamp{}, fmt.Errorf("read the time of the commit in %s: %w", file, err)
			}
		}
	}
	if s.commit == "" || s.time.IsZero() {
		return stamp{}, fmt.Errorf("%s has no commit: the go command found no git repository", file)
	}
	return s, nil
}
