package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A GPU is one of this machine, as the driver names it.
type GPU struct {
	Index     int
	UUID      string
	Name      string // of its kind, such as "Tesla T4"
	MemoryMiB int
}

func (g GPU) String() string { return fmt.Sprintf("GPU %d %s", g.Index, g.Name) }

// smiWithin is how long the driver may take to list the GPUs; the first time it takes seconds on
// some machines.
const smiWithin = 30 * time.Second

// GPUs returns the GPUs of this machine that were wanted: "auto" means all, else it is a list of
// indexes or UUIDs with commas between them. It asks nvidia-smi.
func GPUs(ctx context.Context, wanted string) ([]GPU, error) {
	limited, cancel := context.WithTimeout(ctx, smiWithin)
	defer cancel()
	command := exec.CommandContext(limited, "nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
	command.WaitDelay = time.Second
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("looking for GPUs: %w: without an NVIDIA driver there is no GPU to use; switch the notebook's accelerator on, or name running servers with --ollama", err)
	case limited.Err() != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("looking for GPUs: nvidia-smi did not answer within %s: the driver hangs, start the machine anew", smiWithin)
	case err != nil:
		return nil, fmt.Errorf("looking for GPUs: nvidia-smi: %w: %s", err, firstLine(said.String()+string(out)))
	}
	all, err := parse(string(out))
	if err != nil {
		return nil, fmt.Errorf("looking for GPUs: %w", err)
	}
	return choose(all, wanted)
}

// parse reads nvidia-smi's lines, such as "0, GPU-1c9d…, Tesla T4, 15360".
func parse(out string) ([]GPU, error) {
	var all []GPU
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
		all = append(all, GPU{Index: index, UUID: fields[1], Name: fields[2], MemoryMiB: memory})
	}
	if len(all) == 0 {
		return nil, errors.New("nvidia-smi lists no GPU: switch the notebook's accelerator on, or name running servers with --ollama")
	}
	return all, nil
}

// choose returns those of the GPUs that were wanted, in the order in which they were wanted.
func choose(all []GPU, wanted string) ([]GPU, error) {
	if wanted == "auto" {
		return all, nil
	}
	var chosen []GPU
	for _, want := range strings.Split(wanted, ",") {
		want = strings.TrimSpace(want)
		i := slices.IndexFunc(all, func(g GPU) bool { return strconv.Itoa(g.Index) == want || g.UUID == want })
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

func list(all []GPU) string {
	names := make([]string, len(all))
	for i, g := range all {
		names[i] = fmt.Sprintf("%d (%s)", g.Index, g.Name)
	}
	return strings.Join(names, ", ")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
