package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"gleaner/internal/pipeline"
)

// specOf parses flags.
func specOf(t *testing.T, args ...string) (pipeline.Spec, error) {
	t.Helper()
	var flags struct {
		SpecFlags `embed:""`
	}
	parser, err := kong.New(&flags, kong.Name("tool"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags.SpecFlags.Spec(t.Context())
}

func TestFlagsMakeASpec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prompt.txt")
	if err := os.WriteFile(file, []byte("Solve, step by step:\n{{.question}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	temperature, topP, topK, minP, penalty := 0.0, 0.5, 3, 0.1, -1.0
	for _, c := range []struct {
		args []string
		want pipeline.Spec
	}{
		{
			[]string{"--model=tiny", "--field=question"},
			pipeline.Spec{Model: "tiny", Field: "question", Samples: 1, Batch: 8, Options: pipeline.Options{NumPredict: 1024, Think: "auto"}},
		},
		{
			[]string{"--model=m", "--prompt-file=" + file, "--system=Be, brief", "--samples=4", "--batch=2", "--seed=-7", "--temperature=0", "--top-p=0.5",
				"--top-k=3", "--num-predict=9", "--stop=a,b", "--stop=\n\n", "--limit=5", "--input=x.jsonl", "--raw"},
			pipeline.Spec{Model: "m", System: "Be, brief", Prompt: "Solve, step by step:\n{{.question}}\n", Samples: 4, Batch: 2, Seed: -7,
				Options: pipeline.Options{Temperature: &temperature, TopP: &topP, TopK: &topK, NumPredict: 9, Stop: []string{"a,b", "\n\n"}, Think: "auto", Raw: true}},
		},
		{[]string{"--field=q", "--think=low", "--min-p=0.1", "--presence-penalty=-1"},
			pipeline.Spec{Field: "q", Samples: 1, Batch: 8, Options: pipeline.Options{MinP: &minP, PresencePenalty: &penalty, NumPredict: 8192, Think: "low"}}},
		{[]string{"--field=q", "--think=off"}, pipeline.Spec{Field: "q", Samples: 1, Batch: 8, Options: pipeline.Options{NumPredict: 1024, Think: "off"}}},
		{[]string{"--prompt={{.a}}, {{.b}}"}, pipeline.Spec{Prompt: "{{.a}}, {{.b}}", Samples: 1, Batch: 8, Options: pipeline.Options{NumPredict: 1024, Think: "auto"}}},
	} {
		got, err := specOf(t, c.args...)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", c.args, err, diff)
		}
	}
}

func TestFlagsThatMakeNoSpecAreNamed(t *testing.T) {
	for field, args := range map[string][]string{
		"limit":       {"--limit=-1"},
		"prompt-file": {"--prompt=x", "--prompt-file=y"},
	} {
		var bad *pipeline.SpecError
		if _, err := specOf(t, args...); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := specOf(t, "--prompt-file="+filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a template that is not there: %v", err)
	}
}

func TestWaitingForLessThanASecondIsRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string // "": it is taken
	}{{nil, ""}, {[]string{"--first-token=5s", "--stall=2s", "--answer-limit=10s"}, ""}, {[]string{"--first-token=0s"}, "first-token 0s"}, {[]string{"--stall=999ms"}, "stall 999ms"},
		{[]string{"--answer-limit=-1s"}, "answer-limit -1s"}} {
		var flags struct {
			PatienceFlags `embed:""`
		}
		parser, err := kong.New(&flags, kong.Name("tool"), defaults())
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(c.args)
		if c.args == nil && (flags.FirstToken != pipeline.DefaultFirstToken || flags.Stall != pipeline.DefaultStall) {
			t.Errorf("by default %+v", flags)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.args, err, c.says)
		}
	}
}

func TestASizeIsBytesWithOrWithoutAUnit(t *testing.T) {
	for text, want := range map[string]Size{"1": 1, "1048576": 1 << 20, "2GiB": 2 << 30, "512 MiB": 512 << 20, "3KiB": 3 << 10} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "GiB", "1.5GiB", "2GB", "9999999999GiB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "512MiB") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
