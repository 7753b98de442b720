// Release builds the files of a release: for each platform an archive with the static programs,
// their pages, notebooks and settings, beside it a list of what is linked into them (SBOM), two
// wheels for Python, and the checksums of all. The same commit gives the same bytes.
package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"gleaner/internal/cli"
)

type command struct {
	Out       string   `default:"dist" placeholder:"DIR" help:"Folder for the archives. What an earlier release left there is removed."`
	Platforms []string `default:"linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64" placeholder:"OS/ARCH" help:"What to build for."`
	Only      string   `enum:"archives,wheels," default:"" placeholder:"archives|wheels" help:"Build nothing else."`
	Here      bool     `help:"Build what lies in the folder, committed or not, without a version. For trying things out: such files are not handed out."`
}

func main() { cli.Main("release", "Build the archives that are handed out.", &command{}) }

func (c *command) Run(ctx context.Context, t *cli.Terminal) error {
	var platforms []platform
	for _, text := range c.Platforms {
		os, arch, ok := strings.Cut(text, "/")
		if !ok || os == "" || arch == "" {
			return cli.Usage("platform %q: use OS/ARCH, such as linux/amd64", text)
		}
		platforms = append(platforms, platform{os, arch})
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	files, err := release(ctx, order{root: root, here: c.Here, only: c.Only, platforms: platforms}, c.Out, func(line string) { fmt.Fprintln(t.Err, line) })
	if err != nil {
		return err
	}
	for _, name := range files {
		fmt.Fprintln(t.Out, filepath.Join(c.Out, name))
	}
	return nil
}
