package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const sumsFile = "SHA256SUMS"

// An order says what to build.
type order struct {
	root      string // folder of the module
	here      bool   // what lies there, and not the commit that is checked out
	only      string // "archives", "wheels", or "" for both
	platforms []platform
}

// programs returns the programs that it takes.
func (o order) programs() []string {
	if o.only != "wheels" {
		return programs()
	}
	var needed []string
	for _, d := range distributions() {
		needed = append(needed, d.program)
	}
	return needed
}

// release builds what is ordered: an archive with its SBOM and the wheels for each platform into
// a folder, with the checksums of all of them. It returns the names of the files, in order.
func release(ctx context.Context, o order, out string, report func(string)) (names []string, err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	if err := sweep(out); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "gleaner-release-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	source := o.root
	if !o.here {
		source = filepath.Join(work, "source")
		if err := clone(ctx, o.root, source, report); err != nil {
			return nil, err
		}
	}
	for _, p := range o.platforms {
		report("building for " + p.String())
		bin := filepath.Join(work, p.os+"_"+p.arch)
		s, err := o.build(ctx, source, bin, p)
		if err != nil {
			return nil, err
		}
		if o.only != "wheels" {
			made, err := archives(source, bin, out, p, s)
			if err != nil {
				return nil, err
			}
			names = append(names, made...)
		}
		if o.only != "archives" {
			made, err := wheels(source, bin, out, p, s)
			if err != nil {
				return nil, err
			}
			names = append(names, made...)
		}
	}
	slices.Sort(names)
	if err := writeSums(out, names); err != nil {
		return nil, err
	}
	return append(names, sumsFile), nil
}

// build builds the programs of a platform into a folder, and says what they are.
func (o order) build(ctx context.Context, source, bin string, p platform) (stamp, error) {
	if err := build(ctx, source, bin, p, o); err != nil {
		return stamp{}, err
	}
	if o.here {
		return stampHere(), nil
	}
	return stampOf(filepath.Join(bin, p.binary(o.programs()[0])))
}

// sweep removes the files of an earlier release: the checksums would not name them.
func sweep(out string) error {
	old, err := filepath.Glob(filepath.Join(out, "gleaner_*")) // archives, and wheels
	if err != nil {
		return err
	}
	for _, file := range append(old, filepath.Join(out, sumsFile)) {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// archives makes the archive of one platform and its SBOM, and returns their names.
func archives(source, bin, out string, p platform, s stamp) ([]string, error) {
	base := fmt.Sprintf("gleaner_%s_%s_%s", strings.TrimPrefix(s.version, "v"), p.os, p.arch)
	bom, err := billOfMaterials(bin, p, s)
	if err != nil {
		return nil, err
	}
	members, err := content(source, p, s)
	if err != nil {
		return nil, err
	}
	members = append(members, member{"sbom.cdx.json", 0o644, bom})
	for _, program := range programs() {
		name := p.binary(program)
		data, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, 0o755, data})
	}
	archive, pack := base+".tar.gz", tarball
	if p.os == "windows" {
		archive, pack = base+".zip", zipfile
	}
	packed, err := pack(base, members, s.time)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", archive, err)
	}
	return []string{archive, base + ".cdx.json"}, errors.Join(
		os.WriteFile(filepath.Join(out, archive), packed, 0o644),
		os.WriteFile(filepath.Join(out, base+".cdx.json"), bom, 0o644))
}

// writeSums writes the checksums as sha256sum -c reads them.
func writeSums(out string, names []string) error {
	var sums bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
	}
	return os.WriteFile(filepath.Join(out, sumsFile), sums.Bytes(), 0o644)
}
