package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// pages returns what an archive holds beside the programs, by patterns below the module's folder.
// It lies in the archive where it lies there, so that links between pages lead somewhere.
func pages() []string {
	return []string{
		"LICENSE", "docs/*.md", "deploy/atlas/README.md", "deploy/compose/*", "deploy/kaggle/*.ipynb", "deploy/kaggle/README.md",
		"deploy/nats/permissions.conf", "deploy/python/README.md", "deploy/synadia/*", "deploy/systemd/*",
	}
}

// content returns the files of an archive that are the same on every platform but the first, which
// says how to begin on this one.
func content(source string, p platform, s stamp) ([]member, error) {
	readme, err := readmeOf(p, s)
	if err != nil {
		return nil, err
	}
	members := []member{{"README.md", 0o644, readme}}
	for _, pattern := range pages() {
		found, err := filepath.Glob(filepath.Join(source, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no %s in %s", pattern, source)
		}
		for _, file := range found {
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			if info.IsDir() || strings.HasPrefix(info.Name(), ".") { // what people have there of their own, such as .env
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(source, file)
			if err != nil {
				return nil, err
			}
			mode := os.FileMode(0o644)
			if strings.HasSuffix(name, ".sh") {
				mode = 0o755
			}
			members = append(members, member{filepath.ToSlash(name), mode, data})
		}
	}
	return members, nil
}

// readme is for who unpacks an archive and has nothing else.
var readme = template.Must(template.New("README.md").Parse(`# Gleaner {{.Version}}

Gleaner turns a dataset of instructions into a dataset of model answers. Nothing has to be installed:

    {{.Run}}gleaner run
    {{.Run}}gleaner run --input train.jsonl --field question --model mistral --out answers.jsonl

The first is a demo of fifty questions. The second answers your own, with a model of [Ollama](https://ollama.com); the same
command goes on where it was stopped. ` + "`{{.Run}}gleaner help`" + ` lists all commands, and ` + "`{{.Run}}gleaner doctor`" + ` looks whether all
that they need is there.{{if .Quarantine}} If macOS refuses programs of a download: ` + "`xattr -d com.apple.quarantine gleaner`" + `.{{end}}

| here | what it is |
| --- | --- |
| {{.Programs}} | the programs; ` + "`gleaner`" + ` can do all that the others do |
| [docs](docs/commands.md) | every command, datasets and prompts, [the files that come out](docs/export.md), [working as a team](docs/team.md) |
| [deploy/kaggle](deploy/kaggle/README.md) | notebooks for Kaggle and Colab: ` + "`solo.ipynb`" + ` for one person, ` + "`team.ipynb`" + ` for helpers of a team |
| [deploy/compose](deploy/compose/README.md) | everything on one machine with containers; the Dockerfile takes the programs from here |
| [deploy/systemd](deploy/systemd/README.md) | units for machines that stay on |
| [deploy/nats](deploy/nats/permissions.conf) | users and permissions of a NATS server of your own |
| [deploy/python](deploy/python/README.md) | the same from Python; its wheels lie beside this archive |
| sbom.cdx.json, LICENSE | what is linked into the programs; MIT |
`))

// readmeOf returns the README of an archive for a platform.
func readmeOf(p platform, s stamp) ([]byte, error) {
	var names []string
	for _, program := range programs() {
		names = append(names, "`"+p.binary(program)+"`")
	}
	run := "./"
	if p.os == "windows" {
		run = `.\`
	}
	var b bytes.Buffer
	err := readme.Execute(&b, struct {
		Version, Run, Programs string
		Quarantine             bool
	}{strings.TrimPrefix(s.version, "v"), run, strings.Join(names, ", "), p.os == "darwin"})
	return b.Bytes(), err
}
