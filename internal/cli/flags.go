package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"gleaner/internal/pipeline"
	"gleaner/internal/telemetry"
)

// ConnectWithin is how long a program waits for its first connection to NATS.
const ConnectWithin = 5 * time.Second

// LogFlags stand in every program.
type LogFlags struct {
	LogFormat string `enum:"console,json" default:"console" env:"GLEANER_LOG_FORMAT" help:"Form of log lines: console for people, json for machines."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" env:"GLEANER_LOG_LEVEL" help:"Log lines below this level are left out."`
}

// Logger returns the logger that the flags ask for.
func (l LogFlags) Logger(t *Terminal) (*zap.Logger, error) {
	if l.LogFormat == "json" {
		return telemetry.NewLogger(l.LogFormat, l.LogLevel, raw(t.Err), false)
	}
	return telemetry.NewLogger(l.LogFormat, l.LogLevel, t.Control(), Colours(t.Err))
}

// NATSFlags say how to reach the stream.
type NATSFlags struct {
	NATSURL   string `name:"nats-url" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS server; wss://HOST:443 where port 4222 is closed."`
	NATSCreds string `name:"nats-creds" env:"NATS_CREDS" path:"file,content" help:"Credentials: the path of a .creds file, or its content. Content belongs into the environment: a command line can be seen by others."`
}

// A Size is a number of bytes, written as 1048576, 512MiB or 2GiB.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size: it looks like 1048576, 512MiB or 2GiB", text)
	}
	*s = Size(n * unit)
	return nil
}

// StreamFlags say how the streams are kept that a program creates if they do not exist.
type StreamFlags struct {
	Replicas int `env:"GLEANER_REPLICAS" default:"1" help:"Copies of each stream, on as many servers of a NATS cluster. Streams that are there keep theirs."`
}

// Validate is called by kong.
func (s StreamFlags) Validate() error {
	if s.Replicas < 1 || s.Replicas > 5 {
		return fmt.Errorf("--replicas %d: use 1, 3 or 5", s.Replicas)
	}
	return nil
}

// StoreFlags say where the store is.
type StoreFlags struct {
	Store string `env:"MONGODB_URI" path:"sqlite" required:"" placeholder:"URI" help:"mongodb://…, mongodb+srv://… or sqlite:PATH. Better in the environment than on the command line: it may hold a password."`
}

// Validate is called by kong, for which a variable with an empty value is set.
func (s StoreFlags) Validate() error {
	if s.Store == "" {
		return errors.New("missing flags: --store=URI, or MONGODB_URI in the environment")
	}
	return nil
}

// HTTPFlags say where a program serves its metrics and its health.
type HTTPFlags struct {
	HTTP string `name:"http" placeholder:"ADDR" help:"Serve /metrics and /healthz here, such as :9090, which is on loopback. Off by default."`
}

// defaults are the values of flags that other packages know, too.
func defaults() kong.Vars {
	return kong.Vars{"first_token": pipeline.DefaultFirstToken.String(), "stall": pipeline.DefaultStall.String()}
}

// PatienceFlags say how long an answer is waited for.
type PatienceFlags struct {
	FirstToken  time.Duration `default:"${first_token}" placeholder:"TIME" help:"How long a request waits for its first token, the load of the model and the server's own queue included."`
	Stall       time.Duration `default:"${stall}" placeholder:"TIME" help:"How long answers may bring no token before their server counts as stalled, and a request before it counts as hanging whose successor is answered. They are tried again."`
	AnswerLimit time.Duration `default:"30m" placeholder:"TIME" help:"How long an answer may take from its first token on. Then it is cut off, and counts as one that does not end."`
}

// Validate is called by kong.
func (f PatienceFlags) Validate() error {
	if min(f.FirstToken, f.Stall, f.AnswerLimit) < time.Second {
		return fmt.Errorf("--first-token %s, --stall %s and --answer-limit %s have to be a second or more", f.FirstToken, f.Stall, f.AnswerLimit)
	}
	return nil
}

// SpecFlags say what a run generates.
type SpecFlags struct {
	InputFlags       `embed:""`
	pipeline.Options `embed:""`
	Field            string            `choice:"prompt" placeholder:"COLUMN" help:"The column that is the prompt: a text, or a chat (messages, conversations); data.question is inside of another. A file of OpenAI's batch API needs none."`
	Prompt           string            `choice:"prompt" placeholder:"TEMPLATE" help:"Prompt as a Jinja template over the row's columns, such as 'Solve: {{ question }}'."`
	PromptFile       []string          `choice:"prompt" path:"file" sep:"none" placeholder:"FILE" help:"The same, from a file. Several make a run each."`
	System           string            `choice:"system" placeholder:"TEMPLATE" help:"System prompt, a text or a Jinja template over the row's columns."`
	SystemFile       string            `choice:"system" path:"file" placeholder:"FILE" help:"The same, from a file."`
	Var              map[string]string `path:"at" mapsep:"none" placeholder:"NAME=VALUE|@FILE.json" help:"A further name for the templates: a text, or the JSON of a file, such as examples. May be repeated."`
	Prefill          string            `placeholder:"TEXT" help:"How each answer begins, where the model server can go on with it."`
	Schema           string            `path:"file,content,=json" placeholder:"FILE|JSON|json" help:"The JSON Schema (draft 7, 2019-09 or 2020-12) that answers have to fit: a file, or the schema itself; the word json for any JSON. The model server is told, and each answer is checked when it arrives."`
	Model            []string          `sep:"none" placeholder:"NAME" help:"Model, as Ollama names it. Several make a run each."`
	Samples          *int              `placeholder:"N" help:"Answers wanted for each row. Default: 1."`
	Batch            *int              `placeholder:"N" help:"Generations in a batch, at most. Default: 8; for gleaner run one, so that each answer is stored at once, and more only for very many."`
	Seed             *int              `placeholder:"N" help:"Seed of the run; each generation has its own, made from it. Default: 0."`
	Simulate         bool              `help:"The answers are made up by simulated servers, for trying things out. The run is marked, and no real server takes it."`
}

// maxFileBytes is more than any template has that makes a prompt, and than any schema.
const maxFileBytes = 1 << 20

// readFile reads a file, which may be a pipe to which nothing is ever written, until ctx ends. What
// says what it should be.
func readFile(ctx context.Context, path, what string) (string, error) {
	type outcome struct {
		data []byte
		err  error
	}
	read := make(chan outcome, 1)
	go func() {
		var o outcome
		file, err := os.Open(path)
		if o.err = err; err == nil {
			o.data, o.err = io.ReadAll(io.LimitReader(file, maxFileBytes+1))
			_ = file.Close()
		}
		read <- o
	}()
	select {
	case o := <-read:
		if o.err == nil && len(o.data) > maxFileBytes {
			return "", fmt.Errorf("%s has more than %d bytes: is it a %s?", path, maxFileBytes, what)
		}
		return string(o.data), o.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Spec returns the spec that the flags ask for. It reads the files of prompt and schema until ctx
// ends, but not the dataset.
func (f SpecFlags) Spec(ctx context.Context) (pipeline.Spec, error) {
	for _, several := range []struct {
		field  string
		values []string
	}{{"model", f.Model}, {"prompt-file", f.PromptFile}} {
		if n := len(several.values); n > 1 {
			return pipeline.Spec{}, &pipeline.SpecError{Field: several.field, Problem: fmt.Sprintf("%d are given, and this command takes one: load and run make a run of each", n)}
		}
	}
	if err := f.InputFlags.Check(); err != nil {
		return pipeline.Spec{}, err
	}
	system, err := f.readSystem(ctx)
	if err != nil {
		return pipeline.Spec{}, err
	}
	vars, err := readVars(ctx, f.Var)
	if err != nil {
		return pipeline.Spec{}, err
	}
	prompt := f.Prompt
	if file := strings.Join(f.PromptFile, ""); file != "" {
		if prompt != "" {
			return pipeline.Spec{}, &pipeline.SpecError{Field: "prompt-file", Problem: "cannot be combined with prompt"}
		}
		if prompt, err = readFile(ctx, file, "template"); err != nil {
			return pipeline.Spec{}, fmt.Errorf("reading the prompt template: %w", err)
		}
	}
	model := strings.Join(f.Model, "")
	if f.Simulate {
		model = pipeline.SimulatedModel(model)
	}
	options := f.Options
	if options.Schema, err = readSchema(ctx, f.Schema); err != nil {
		return pipeline.Spec{}, err
	}
	options.Think = cmp.Or(options.Think, pipeline.ThinkAuto)
	options.NumPredict = cmp.Or(options.NumPredict, options.Think.NumPredict())
	return pipeline.Spec{
		Model: model, Simulated: f.Simulate, System: system, Field: f.Field, Prompt: prompt, Vars: vars, Prefill: f.Prefill, ID: f.ID, SendEmpty: f.Empty == "send",
		Samples: orDefault(f.Samples, 1), Batch: orDefault(f.Batch, pipeline.DefaultBatch), Seed: orDefault(f.Seed, 0),
		Options: options,
	}, nil
}

func orDefault(flag *int, otherwise int) int {
	if flag == nil {
		return otherwise
	}
	return *flag
}

// Unset returns the names of the options that no flag sets: rows that are requests may do so.
func (f SpecFlags) Unset() []string {
	unset := f.Options.Unset()
	if f.Schema != "" {
		unset = slices.DeleteFunc(unset, func(name string) bool { return name == "schema" })
	}
	if f.Samples == nil {
		unset = append(unset, "samples")
	}
	if f.Seed == nil {
		unset = append(unset, "seed")
	}
	return unset
}
