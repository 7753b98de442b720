package cli

import (
	"errors"
	"strings"

	"github.com/alecthomas/kong"
)

// ServerFlags name the Ollama servers that generate: those that run already, or those that the
// program is to run itself.
type ServerFlags struct {
	GPUs      string   `name:"gpus" default:"none" choice:"servers" placeholder:"auto|0,1|none" help:"GPUs of this machine to run an Ollama server on, one each, as nvidia-smi numbers them. none: the servers of --ollama run already. Linux only."`
	OllamaBin string   `name:"ollama-bin" default:"ollama" path:"file,program" placeholder:"PATH" help:"With --gpus: the ollama program."`
	Models    string   `path:"file" placeholder:"DIR" help:"With --gpus: where the models lie. Default: where Ollama has them, or OLLAMA_MODELS."`
	ModelFile string   `name:"model-file" path:"file" placeholder:"GGUF" help:"With --gpus: create the run's model from this file if it is not there, instead of pulling it."`
	AllowCPU  bool     `name:"allow-cpu" help:"With --gpus: serve also where the model is not wholly in the GPU's memory. For tests: that is many times slower."`
	Ollama    []string `env:"OLLAMA_HOST" default:"http://127.0.0.1:11434" choice:"servers" placeholder:"URL" help:"Ollama servers, with commas between them; each counts as one GPU. User and password belong into the environment: a command line can be seen by others. A key goes into OLLAMA_API_KEY."`
}

// StartsServers reports whether the program runs its servers itself.
func (f *ServerFlags) StartsServers() bool { return f.GPUs != "none" }

// AfterApply is called by kong. It refuses to start servers where others are named on the command
// line. A variable does not count: it may be set for other programs.
func (f *ServerFlags) AfterApply(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == "ollama" && !p.Resolved && f.StartsServers() {
			return errors.New("--gpus starts servers and --ollama names running ones: give one of them")
		}
	}
	return nil
}

// Check refuses what makes no sense, with an error of usage.
func (f *ServerFlags) Check() error {
	switch {
	case !f.StartsServers() && (f.ModelFile != "" || f.Models != "" || f.AllowCPU):
		return Usage("--models, --model-file and --allow-cpu are for servers that --gpus starts")
	case strings.TrimSpace(f.GPUs) == "":
		return Usage("--gpus is auto, a list such as 0,1, or none")
	}
	return nil
}
