package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The parts of a CycloneDX 1.6 document that are used: the programs, the modules that are linked
// into them, and which program has which.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// billOfMaterials lists what the programs in a folder are made of. It asks the binaries
// themselves, and so names what is linked and not what go.mod names.
func billOfMaterials(folder string, p platform, s stamp) ([]byte, error) {
	all := component{Type: "application", Ref: "gleaner", Name: "gleaner", Version: s.version, Properties: []property{
		{"platform", p.String()}, {"commit", s.commit},
	}}
	b := bom{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: metadata{Timestamp: s.time.UTC().Format(time.RFC3339), Component: all},
	}
	whole := dependency{Ref: all.Ref}
	modules := map[string]component{}
	for _, program := range programs() {
		name := p.binary(program)
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("read the modules of %s: %w", name, err)
		}
		sum := sha256.Sum256(data)
		ref := "program:" + name
		b.Components = append(b.Components, component{
			Type: "application", Ref: ref, Name: name, Version: info.Main.Version, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		})
		whole.DependsOn = append(whole.DependsOn, ref)
		links := dependency{Ref: ref}
		for _, m := range append(info.Deps, &debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}) {
			c := module(m)
			modules[c.Ref] = c
			links.DependsOn = append(links.DependsOn, c.Ref)
		}
		b.Dependencies = append(b.Dependencies, links)
	}
	refs := make([]string, 0, len(modules))
	for ref := range modules {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	for _, ref := range refs {
		b.Components = append(b.Components, modules[ref])
	}
	b.Dependencies = append([]dependency{whole}, b.Dependencies...)
	out, err := json.MarshalIndent(b, "", "  ")
	return append(out, '\n'), err
}

// module returns a Go module as a component. Its sum is the one of go.sum: a hash of its files,
// not of an archive.
func module(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	url := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := component{Type: "library", Ref: url, Name: m.Path, Version: m.Version, PURL: url}
	if m.Sum != "" {
		c.Properties = []property{{"go.sum", m.Sum}}
	}
	return c
}
