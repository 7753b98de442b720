package consume

import (
	"errors"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
)

// serverFlags name the servers that generate: those that run already, or those that the consumer is
// to run itself.
type serverFlags struct {
	cli.PatienceFlags `embed:""`
	GPUs              string   `name:"gpus" default:"none" choice:"servers" placeholder:"auto|0,1|none" help:"GPUs of this machine to run an Ollama server on, one each, as nvidia-smi numbers them. none: the servers of --ollama run already. Linux only."`
	OllamaBin         string   `name:"ollama-bin" default:"ollama" path:"file,program" placeholder:"PATH" help:"With --gpus: the ollama program."`
	Models            string   `path:"file" placeholder:"DIR" help:"With --gpus: where the models lie. Default: where Ollama has them, or OLLAMA_MODELS."`
	ModelFile         string   `name:"model-file" path:"file" placeholder:"GGUF" help:"With --gpus: create the run's model from this file if it is not there, instead of pulling it."`
	Context           *int     `placeholder:"N" help:"With --gpus: tokens of prompt and answer together. Each slot takes memory for this many. Default: what the run asks for (--num-ctx), at least 4096."`
	AllowCPU          bool     `name:"allow-cpu" help:"With --gpus: serve also where the model is not wholly in the GPU's memory. For tests: that is many times slower."`
	Ollama            []string `env:"OLLAMA_HOST" default:"http://127.0.0.1:11434" choice:"servers" placeholder:"URL" help:"Ollama servers, with commas between them; each counts as one GPU. User and password belong into the environment: a command line can be seen by others. A key goes into OLLAMA_API_KEY."`
	Slots             slots    `default:"8" placeholder:"N" help:"Generations at a time on each GPU; the server's OLLAMA_NUM_PARALLEL. auto: the number with the most tokens a second, up to 16, found at work."`
}

// startsServers reports whether the consumer runs its servers itself.
func (f *serverFlags) startsServers() bool { return f.GPUs != "none" }

// AfterApply is called by kong. It refuses to start servers where others are named on the command
// line. A variable does not count: it may be set for other programs.
func (f *serverFlags) AfterApply(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		if p.Flag != nil && p.Flag.Name == "ollama" && !p.Resolved && f.startsServers() {
			return errors.New("--gpus starts servers and --ollama names running ones: give one of them")
		}
	}
	return nil
}

// client returns the settings of a client to one of the servers.
func (f *serverFlags) client() ollama.Config {
	return ollama.Config{
		Slots: f.Slots.Most, AnswerLimit: f.AnswerLimit, Key: os.Getenv(ollama.EnvKey),
		FirstToken: consumer.ClientPatience, Stall: consumer.ClientPatience,
	}
}

// check refuses what makes no sense.
func (f *serverFlags) check() error {
	switch {
	case f.startsServers() && f.Context != nil && *f.Context < 1:
		return cli.Usage("--context %d is not positive", *f.Context)
	case !f.startsServers() && (f.ModelFile != "" || f.Models != "" || f.AllowCPU):
		return cli.Usage("--models, --model-file and --allow-cpu are for servers that --gpus starts")
	case strings.TrimSpace(f.GPUs) == "":
		return cli.Usage("--gpus is auto, a list such as 0,1, or none")
	}
	for _, address := range f.Ollama { // the second half of a password with a comma looks like one
		if len(f.Ollama) > 1 && strings.Contains(address, "@") && !strings.Contains(address, "://") {
			return cli.Usage("one of the addresses of --ollama has a user, but no http:// before it: a comma in a password is written %%2C")
		}
	}
	return nil
}
