package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// tool is a program with two commands.
type tool struct {
	Do   doCmd   `cmd:"" help:"Do something."`
	Keep keepCmd `cmd:"" help:"Keep something."`
}

type doCmd struct {
	Count int   `default:"3" help:"How often."`
	end   error // what it returns
}

func (c *doCmd) Run(_ context.Context, t *Terminal) error {
	fmt.Fprintf(t.Out, "done %d times\n", c.Count)
	return c.end
}

type keepCmd struct {
	StoreFlags `embed:""`
	NATSFlags  `embed:""`
	LogFlags   `embed:""`
}

func (c *keepCmd) Run(_ context.Context, t *Terminal) error {
	fmt.Fprintln(t.Out, c.Store, c.NATSURL, c.LogLevel)
	return nil
}

// run runs the tool and returns its exit code and what it wrote.
func run(ctx context.Context, program *tool, args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	code = Run(ctx, "tool", "A tool for tests.", program, args, &Terminal{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestTheExitCodeSaysHowACommandEnded(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	canceled := fmt.Errorf("reading: %w", context.Canceled)
	spec := &pipeline.SpecError{Field: "samples", Problem: "0 is not in 1..1000"}
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		talk string
	}{
		{"done", t.Context(), nil, 0, ""},
		{"done although it was to stop", ended, nil, 0, ""},
		{"failed", t.Context(), errors.New("no server: start one"), 1, "tool: no server: start one\n"},
		{"failed in an outage", t.Context(), fmt.Errorf("list: %w", pipeline.Fail(pipeline.Retryable, "NATS is away")), 1,
			"tool: list: NATS is away\nNothing is lost: give the same command again once that is mended.\n"},
		{"failed by a timeout of its own", t.Context(), canceled, 1, "tool: reading: context canceled\n"},
		{"wrong use", t.Context(), Usage("limit %d is not positive", 0), 2, "tool: limit 0 is not positive\n"},
		{"a spec that is not valid", t.Context(), fmt.Errorf("run r: %w", spec), 2, "tool: run r: --samples: 0 is not in 1..1000\nSee `tool do --help`.\n"},
		{"no answer for some", t.Context(), &Exit{DeadLetters, errors.New("3 generations have no answer")}, 3, "tool: 3 generations have no answer\n"},
		{"interrupted", ended, canceled, 130, "tool: interrupted; the same command goes on where it stopped\n"},
		{"interrupted, in its own words", ended, &Exit{Interrupted, errors.New("handed back")}, 130, "tool: handed back\n"},
		{"failed while it was stopping", ended, errors.New("disk full"), 1, "tool: disk full\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, talk := run(c.ctx, &tool{Do: doCmd{end: c.err}}, "do", "--count=2")
			if code != c.code || out != "done 2 times\n" {
				t.Errorf("exit code %d, want %d; it printed %q", code, c.code, out)
			}
			if diff := cmp.Diff(c.talk, talk); diff != "" {
				t.Errorf("on standard error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHelpAndVersionAreNoFailures(t *testing.T) {
	for args, want := range map[string][]string{
		"--help":      {"Usage: tool <command>", "A tool for tests.", "do ", "Do something.", "--version"},
		"do --help":   {"Usage: tool do", "--count=3", "How often."},
		"keep --help": {"$MONGODB_URI", "$NATS_URL", "$NATS_CREDS", "--log-format"},
		"--version":   {"tool "},
	} {
		code, out, talk := run(t.Context(), &tool{}, strings.Fields(args)...)
		if code != 0 || talk != "" {
			t.Errorf("%s: exit code %d, on standard error %q", args, code, talk)
		}
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("%s does not say %q:\n%s", args, part, out)
			}
		}
	}
}

func TestACommandLineThatMakesNoSenseIsExplained(t *testing.T) {
	t.Setenv("MONGODB_URI", "")
	for args, want := range map[string]string{
		"":                                "expected one of",
		"fly":                             "unexpected argument fly",
		"do --speed=1":                    "there is no flag --speed\n",
		"do --cuont=1":                    "there is no flag --cuont: did you mean --count?",
		"do -x":                           "there is no flag -x\n",
		"do --count=x":                    `--count takes a whole number, not "x"`,
		"do --count=3.5":                  `--count takes a whole number, not "3.5"`,
		"do --count":                      "--count needs a value: a whole number",
		"do --count --help":               "--count needs a value: a whole number; if --help is meant as one, write --count=--help",
		"keep --store":                    "--store needs a value: URI",
		"keep --mongodb-uri x":            "there is no flag --mongodb-uri: did you mean --store?",
		"keep --store x --log-level wran": `not "wran": did you mean warn?`,
		"do more":                         "unexpected argument more",
		"keep":                            "missing flags: --store=URI",
		"keep --store x --log-level loud": `--log-level takes debug, info, warn or error, not "loud"`,
	} {
		code, out, talk := run(t.Context(), &tool{}, strings.Fields(args)...)
		if code != WrongUse || out != "" || !strings.HasPrefix(talk, "tool: ") || !strings.Contains(talk, want) || !strings.HasSuffix(talk, " --help`.\n") {
			t.Errorf("%q: exit code %d, standard output %q, standard error %q; want %q", args, code, out, talk, want)
		}
	}
}

func TestAnErrorAboutACommandLineShowsNoSecret(t *testing.T) {
	for _, args := range [][]string{
		{"keep", "--nats-creds", "-----BEGIN hush"},
		{"keep", "--nats-creds", "--hush"},
		{"keep", "--store", "--hush"},
		{"keep", "--store=x", "--nats-creds", "-----BEGIN", "NATS", "USER", "JWT-----", "hush"},
		{"keep", "--store=x", "mongodb://user:hush@host"},
		{"keep", "--store=x", "--nats-creds=x", "eyJhush.hush"},
		{"keep", "--store=x", "--nats-creds=x", "SUABCDEFGHIJKLhush"},
		{"keep", "--store=x", "user:hush@host"},
		{"do", "--count", "http://user:hush@host"},
		{"do", "--count=http://user:hush@host"},
		{"do", "--count", "user:hush\n@host"},
	} {
		code, out, talk := run(t.Context(), &tool{}, args...)
		if code != WrongUse || out != "" || strings.Contains(talk, "hush") || !strings.HasPrefix(talk, "tool: ") {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out, talk)
		}
	}
}

func TestTheEnvironmentStandsInForFlags(t *testing.T) {
	t.Setenv("MONGODB_URI", "sqlite:x.db")
	t.Setenv("NATS_URL", "nats://there:4222")
	t.Setenv("GLEANER_LOG_LEVEL", "warn")
	if code, out, talk := run(t.Context(), &tool{}, "keep"); code != 0 || out != "sqlite:x.db nats://there:4222 warn\n" {
		t.Errorf("exit code %d, %q, %q", code, out, talk)
	}
	if code, out, talk := run(t.Context(), &tool{}, "keep", "--nats-url=nats://here"); code != 0 || out != "sqlite:x.db nats://here warn\n" {
		t.Errorf("exit code %d, %q, %q", code, out, talk)
	}
}

func TestABufferIsNoTerminal(t *testing.T) {
	if (&Terminal{In: strings.NewReader(""), Err: &bytes.Buffer{}}).Interactive() {
		t.Error("a person would be asked")
	}
}
