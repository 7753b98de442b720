package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gleaner/internal/cli"
	"gleaner/internal/disk"
	"gleaner/internal/export"
	"gleaner/internal/hub"
	"gleaner/internal/view"
)

// hubConfig returns how the hub is spoken to. What says what is done with a file.
func hubConfig(progress *view.Progress, what string) hub.Config {
	config := hub.ConfigFromEnv(os.Getenv)
	config.Free = disk.Free
	config.Progress = func(file string, done, total int64) {
		progress.Transfer(what+file, done, total)
	}
	return config
}

// A hubOutput is an output on the hub: a folder of this machine that is pushed and then removed.
// The zero value is any other output.
type hubOutput struct {
	config   hub.Config
	progress *view.Progress
	push     hub.Push
	top      string // what is removed
}

// outputOf checks an output before anything is written or generated. What is pushed to the hub is
// written below a folder first; "" is that for temporary files.
func (f ExportFlags) outputOf(ctx context.Context, config export.Config, below string, progress *view.Progress) (hubOutput, error) {
	if !export.OnHub(config.Out) {
		if f.Public {
			return hubOutput{}, cli.Usage("--public: it is of datasets on the hub: give --out hf://datasets/ME/NAME")
		}
		return hubOutput{}, nil
	}
	if err := export.Check(config); err != nil {
		return hubOutput{}, err
	}
	o := hubOutput{
		config: hubConfig(progress, "pushing "), progress: progress,
		push: hub.Push{Repo: config.Out, Public: f.Public, Force: f.Force, Claims: export.FolderPatterns()},
	}
	if err := hub.CheckPush(ctx, o.config, o.push); err != nil {
		return hubOutput{}, err
	}
	if o.top = filepath.Join(below, "push"); below == "" {
		var err error
		if o.top, err = os.MkdirTemp("", "gleaner-push-*"); err != nil {
			return hubOutput{}, fmt.Errorf("a folder for what is pushed: %w: set TMPDIR to one that can be written", err)
		}
	}
	repo, _, _ := strings.Cut(config.Out, "@")
	o.push.Folder = filepath.Join(o.top, filepath.FromSlash(strings.TrimPrefix(repo, "hf://"))) + string(filepath.Separator)
	return o, nil
}

// path returns where the export goes, which is out unless that is on the hub.
func (o hubOutput) path(out string) string {
	if o.push.Folder == "" {
		return out
	}
	return o.push.Folder
}

// send pushes what was exported, and says where it is. Any other output stays where it is.
func (o hubOutput) send(ctx context.Context, run, model string, where *string, notes *[]string) error {
	if o.push.Repo == "" {
		return nil
	}
	o.push.Message = fmt.Sprintf("Answers of %s, run %s\n\nGenerated with Gleaner %s", model, run, cli.Version())
	pushed, err := hub.Upload(ctx, o.config, o.push)
	o.progress.Clear()
	if err != nil {
		return fmt.Errorf("%w. The answers are stored: the same command pushes them again", err)
	}
	if pushed.Private {
		page, _, _ := strings.Cut(pushed.URL, "/tree/")
		*notes = append(*notes, fmt.Sprintf("the dataset is private: only its owners see it, until that is changed at %s/settings", page))
	}
	*where = pushed.URL
	return nil
}

// remove removes the folder.
func (o hubOutput) remove() {
	if o.top != "" {
		_ = os.RemoveAll(o.top) // the next push into this folder replaces what is left of it
	}
}
