package export

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"

	"gleaner/internal/pipeline"
)

// maxInputs bounds how many input files a run knows again.
const maxInputs = 2000

// InputKeys returns keys by which a run knows the files that were its inputs again, and which do
// not say where these are. What is no file of this machine has none.
func InputKeys(files []string) (keys []string) {
	for _, file := range files {
		if real, err := filepath.EvalSymlinks(file); err == nil && len(keys) < maxInputs {
			keys = append(keys, inputKey(real))
		}
	}
	return keys
}

// inputKey returns the key of a file by its path, in which no links are left.
func inputKey(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:8])
}

// checkRun returns an error for an output that was an input of the run, or has the name of its
// dataset and was not written by it: then it is probably the dataset itself, of which a run of an
// earlier version knows no more than its name.
func (c Config) checkRun(run pipeline.Run) error {
	if c.Out == "-" {
		return nil
	}
	path, info, err := resolve(c.Out)
	if err != nil || info == nil {
		return err
	}
	if info.IsDir() {
		names, _, err := belongs(c.Out, path)
		for _, name := range names {
			if isInput(run, filepath.Join(path, name)) {
				return fmt.Errorf("output %s: %s in it was an input of run %s, which is never overwritten: choose another folder", c.Out, name, run.Name)
			}
		}
		return err
	}
	if isInput(run, path) {
		return fmt.Errorf("output %s was an input of run %s, which is never overwritten: choose another name", c.Out, run.Name)
	}
	name := filepath.Base(run.Spec.Dataset.Name)
	if !info.Mode().IsRegular() || filepath.Base(c.Out) != name && filepath.Base(path) != name {
		return nil
	}
	m, err := readMark(markOf(path))
	if err != nil || m.Run == run.Name {
		return err
	}
	return fmt.Errorf("output %s has the name of the dataset of run %s, which is never overwritten: choose another name", c.Out, run.Name)
}

// isInput reports whether a file was an input of the run.
func isInput(run pipeline.Run, path string) bool {
	return slices.Contains(run.Spec.Dataset.Files, inputKey(path))
}
