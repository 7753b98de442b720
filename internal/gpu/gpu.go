// Package gpu finds the GPUs of this machine. It asks nvidia-smi, so it knows NVIDIA's only.
package gpu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Device is one GPU of this machine, as the driver names it.
type Device struct {
	Index     int
	UUID      string
	Name      string // of its kind, such as "Tesla T4"
	MemoryMiB int    // 0: the driver does not tell
}

// String returns how people call it, such as "GPU 0 Tesla T4".
func (d Device) String() string { return fmt.Sprintf("GPU %d %s", d.Index, d.Name) }

// listWithin is how long the driver may take to list the GPUs. On some machines the first time
// takes seconds.
const listWithin = 30 * time.Second

// Find returns the GPUs of this machine that are wanted, in that order: "auto" means all, otherwise
// it is a list of indexes or UUIDs with commas between them. It fails if there is no GPU, or not
// one that is wanted.
func Find(ctx context.Context, wanted string) ([]Device, error) {
	stdout, err := query(ctx, "--query-gpu=index,uuid,name,memory.total")
	if err != nil {
		return nil, err
	}
	all, err := parse(stdout)
	if err != nil {
		return nil, fmt.Errorf("looking for GPUs: %w", err)
	}
	return choose(all, wanted)
}

// query asks the driver, and returns lines with commas between the fields.
func query(ctx context.Context, what string) (string, error) {
	limited, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	command := exec.CommandContext(limited, "nvidia-smi", what, "--format=csv,noheader,nounits")
	command.WaitDelay = time.Second
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("looking for GPUs: %w: without an NVIDIA driver there is no GPU to use; switch the notebook's accelerator on, or name running servers with --ollama", err)
	case limited.Err() != nil && ctx.Err() == nil:
		return "", fmt.Errorf("looking for GPUs: nvidia-smi did not answer within %s: the driver hangs, restart the machine", listWithin)
	case err != nil:
		return "", fmt.Errorf("looking for GPUs: nvidia-smi: %w: %s", err, firstLine(stderr.String()+string(stdout)))
	}
	return string(stdout), nil
}

// A Use is what a GPU's memory is used for.
type Use struct {
	UsedMiB   int
	Processes []string // such as "ollama (4711)"
}

// Uses returns what uses the GPUs of this machine, by UUID. What the driver does not tell is left
// out: in a container it names no processes.
func Uses(ctx context.Context) (map[string]Use, error) {
	memory, err := query(ctx, "--query-gpu=uuid,memory.used")
	if err != nil {
		return nil, err
	}
	uses := map[string]Use{}
	for fields := range rows(memory, 2) {
		used, _ := strconv.Atoi(fields[1])
		uses[fields[0]] = Use{UsedMiB: used}
	}
	apps, err := query(ctx, "--query-compute-apps=gpu_uuid,pid,process_name")
	if err != nil {
		return uses, nil // a driver that does not tell
	}
	for fields := range rows(apps, 3) {
		use := uses[fields[0]]
		use.Processes = append(use.Processes, fmt.Sprintf("%s (%s)", filepath.Base(fields[2]), fields[1]))
		uses[fields[0]] = use
	}
	return uses, nil
}

// rows returns the fields of the lines that have that many.
func rows(out string, n int) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(out) {
			fields := strings.SplitN(line, ",", n)
			for i := range fields {
				fields[i] = strings.TrimSpace(fields[i])
			}
			if len(fields) == n && !yield(fields) {
				return
			}
		}
	}
}

// parse reads nvidia-smi's lines, such as "0, GPU-1c9d…, Tesla T4, 15360".
func parse(out string) ([]Device, error) {
	var all []Device
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.Split(line, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if len(fields) != 4 || fields[1] == "" {
			return nil, fmt.Errorf("nvidia-smi said %q, which is no GPU", strings.TrimSpace(line))
		}
		index, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fmt.Errorf("nvidia-smi said %q, which is no GPU", strings.TrimSpace(line))
		}
		memory, _ := strconv.Atoi(fields[3]) // "[N/A]" where memory is shared with the machine
		all = append(all, Device{Index: index, UUID: fields[1], Name: fields[2], MemoryMiB: memory})
	}
	if len(all) == 0 {
		return nil, errors.New("nvidia-smi lists no GPU: switch the notebook's accelerator on, or name running servers with --ollama")
	}
	return all, nil
}

// choose returns the wanted ones of all GPUs, in the order in which they are wanted.
func choose(all []Device, wanted string) ([]Device, error) {
	if wanted == "auto" {
		return all, nil
	}
	var chosen []Device
	for want := range strings.SplitSeq(wanted, ",") {
		want = strings.TrimSpace(want)
		i := slices.IndexFunc(all, func(d Device) bool { return strconv.Itoa(d.Index) == want || d.UUID == want })
		switch {
		case i < 0:
			return nil, fmt.Errorf("there is no GPU %q: this machine has %s", want, list(all))
		case slices.Contains(chosen, all[i]):
			return nil, fmt.Errorf("GPU %s stands there twice", want)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func list(all []Device) string {
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = fmt.Sprintf("%d (%s)", d.Index, d.Name)
	}
	return strings.Join(names, ", ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
