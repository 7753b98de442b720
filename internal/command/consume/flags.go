package consume

import (
	"os"

	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/ollama"
)

// serverFlags name the servers that generate, and say how they are used.
type serverFlags struct {
	cli.PatienceFlags `embed:""`
	cli.ServerFlags   `embed:""`
	Context           *int      `placeholder:"N" help:"With --gpus: tokens of prompt and answer together. Each slot takes memory for this many. Default: what the run asks for (--num-ctx), at least 4096."`
	Slots             cli.Slots `default:"8" placeholder:"N" help:"Generations at a time on each GPU; the server's OLLAMA_NUM_PARALLEL. auto: the number with the most tokens a second, up to 16, found at work."`
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
	if f.StartsServers() && f.Context != nil && *f.Context < 1 {
		return cli.Usage("--context %d is not positive", *f.Context)
	}
	return f.Check()
}
