package serve

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gleaner/internal/gpu"
	"gleaner/internal/ollama"
)

// Defaults of Config.
const (
	DefaultContext = 4096
	DefaultGrace   = 10 * time.Second
)

// ErrUnsupported says that this package cannot run servers on this system.
var ErrUnsupported = errors.New("servers of its own, one for each GPU, work on Linux only: start Ollama yourself and name it with --ollama")

// Config says how servers are run. The zero value of a field is its default.
type Config struct {
	Bin       string        // the ollama program; default: the one on the PATH
	Models    string        // the folder of the models; default: Ollama's own
	ModelFile string        // a GGUF file that a missing model is created from; default: the model is pulled
	Context   int           // tokens of prompt and answer together, for each slot
	State     string        // folder for locks and logs; default: gleaner/gpus in the user's cache
	Grace     time.Duration // how long a server may take to end before it is killed
	Client    ollama.Config // Slots is filled in
}

// complete fills in the defaults, and checks what can be checked before anything is started.
func (c Config) complete() (Config, error) {
	if c.Context == 0 {
		c.Context = DefaultContext
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Bin == "" {
		c.Bin = "ollama"
	}
	if c.Context < 1 || c.Grace < 0 {
		return c, fmt.Errorf("a context of %d tokens and a grace of %s for servers: they must be positive", c.Context, c.Grace)
	}
	for _, path := range []*string{&c.Models, &c.ModelFile} {
		if *path == "" {
			continue
		}
		full, err := filepath.Abs(*path)
		if err != nil {
			return c, err
		}
		*path = full
	}
	if c.ModelFile != "" {
		file, err := os.Open(c.ModelFile)
		if err != nil {
			return c, fmt.Errorf("the model's file: %w", err)
		}
		if err := file.Close(); err != nil {
			return c, err
		}
	}
	if c.State == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = filepath.Join(os.TempDir(), fmt.Sprintf("gleaner-%d", os.Getuid()))
		}
		c.State = filepath.Join(cache, "gleaner", "gpus")
	}
	full, err := filepath.Abs(c.State)
	c.State = full
	return c, err
}

// supported reports whether servers can be run here.
func supported() error {
	if runtime.GOOS != "linux" {
		return ErrUnsupported
	}
	return nil
}

// markerVariable holds the marker of the processes of this package, see the package comment.
const markerVariable = "GLEANER_GPU"

// environment returns the environment of a server. The variables that decide where and how it works
// are set here; of the others, what the user has set stays. The server does not get the secrets of
// the consumer.
func (c Config) environment(device gpu.Device, marker, host string, slots int) []string {
	var env []string
	set := map[string]bool{}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "NATS_") || name == "GLEANER_INVITE" || name == "MONGODB_URI" || name == ollama.EnvKey {
			continue
		}
		set[name] = true
		env = append(env, entry)
	}
	for _, entry := range []string{"OLLAMA_FLASH_ATTENTION=1", "OLLAMA_LOAD_TIMEOUT=10m", "HOME=" + c.State} {
		if name, _, _ := strings.Cut(entry, "="); !set[name] {
			env = append(env, entry)
		}
	}
	env = append(env, // of two with the same name the later one counts
		markerVariable+"="+marker,
		"CUDA_VISIBLE_DEVICES="+device.UUID,
		"OLLAMA_HOST="+host,
		fmt.Sprintf("OLLAMA_NUM_PARALLEL=%d", slots),
		fmt.Sprintf("OLLAMA_CONTEXT_LENGTH=%d", c.Context), // never its own choice, which grows with the memory of all GPUs
		"OLLAMA_KEEP_ALIVE=-1",
		"OLLAMA_MAX_LOADED_MODELS=1",
		"OLLAMA_MAX_QUEUE=64",
		"OLLAMA_NOPRUNE=1", // otherwise a server that starts deletes what another one is pulling
		"OLLAMA_NO_CLOUD=1",
		"OLLAMA_SCHED_SPREAD=0",
	)
	if c.Models != "" {
		env = append(env, "OLLAMA_MODELS="+c.Models)
	}
	return env
}

// fileName returns the name of a GPU's files, without their extension.
func fileName(device gpu.Device) string { return url.PathEscape(device.UUID) }
