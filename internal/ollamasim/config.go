package ollamasim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Defaults of Config.
const (
	DefaultSlots   = 8
	DefaultContext = 4096
	DefaultModel   = "simulated/sim:latest"
	Version        = "0.17.4" // the Ollama that the simulation follows
)

// Config says what is simulated. The zero value of a field means its default.
type Config struct {
	Slots int // generations at once; the rest waits. 1 is a server that has NUM_PARALLEL=1, which it does not tell
	// Models are there from the beginning, each under pipeline.SimulatedModel of its name;
	// DefaultModel by default. One whose name ends in "-loop" repeats itself, in "-endless" never
	// ends, and in "-plain" knows no tools.
	Models  []string
	Digest  string // of all models; each has its own by default
	Signed  bool   // answers begin with the digest of the model that made them, as proof for tests
	Context int    // tokens of a prompt and its answer

	// TokensPerSecond says how fast each stream is while busy slots are busy; T4 by default.
	TokensPerSecond func(busy int) float64
	// Speed multiplies TokensPerSecond: with 10 an hour passes in six minutes.
	Speed float64
	// Instant makes answers come at once and whole. Slots still bound how many are worked on.
	Instant bool
	// ChunkEvery is how often a stream gets what has been made since: tokens of one interval
	// share a chunk, so that many fast streams stay cheap. Zero means a chunk for each token, as
	// Ollama does it.
	ChunkEvery time.Duration
	// Load is how long a model takes to load, the first time and after a crash.
	Load time.Duration
	// ReloadOnShift makes a request whose shift differs from that of the load load the model again,
	// as servers do since Ollama 0.30: every model runs in a llama-server of its own there.
	ReloadOnShift bool
	// Lengths says how many tokens the answer to a prompt has; LogNormal(100, 0.6) by default.
	Lengths func(prompt string, seed int) int
	// Version is what the server says it is; Version by default.
	Version string
	// Watch is called at the end of each request for a generation, from several goroutines.
	Watch func(Exchange)
}

// An Exchange is what became of a request for a generation.
type Exchange struct {
	Prompt string
	Fault  FaultKind // that happened to it
	Done   bool      // the answer came to its end
	Reason string    // of that end
}

// T4 is the speed in tokens a second of each stream of a 7B model in four bits on a T4, by
// estimate: about 36 alone, 163 with eight and 219 with sixteen together.
func T4(busy int) float64 { return 40 / (1 + 0.12*float64(busy)) }

// LogNormal returns lengths with this median, spread as answers are: sigma is the standard
// deviation of their logarithm. The same prompt and seed have the same length.
func LogNormal(median, sigma float64) func(prompt string, seed int) int {
	return func(prompt string, seed int) int {
		r := rand.New(rand.NewPCG(hash("length", prompt), uint64(seed)))
		return max(1, int(median*math.Exp(sigma*r.NormFloat64())+0.5))
	}
}
