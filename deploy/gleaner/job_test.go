package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli/jobfile"
)

// parsed parses a command line of gleaner with a job file in another folder.
func parsed(t *testing.T, file, line string) commands {
	t.Helper()
	var all commands
	job, err := jobfile.Parse("jobs/gleaner.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&all, kong.Vars{"first_token": "1s", "stall": "1s"}, kong.Resolvers(job))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Validate(parser.Model); err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(strings.Fields(line)); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return all
}

// One file holds the job for all commands: each takes what it has a flag for.
func TestOneFileServesAllCommands(t *testing.T) {
	for _, name := range []string{"MONGODB_URI", "NATS_URL", "NATS_CREDS", "OLLAMA_HOST", "GLEANER_MAX_BYTES", "GLEANER_REPLICAS"} {
		t.Setenv(name, "") // so that it is set again
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	const file = `
run: gsm8k
input: rows.jsonl
prompt: |
  Solve: {{ question }}
system: no
model: 8b
samples: 4
limit: 100
batch: 16
seed: 0
num_predict: 2048
stop: ["\n\n", "a, b"]
temperature: 0
store: sqlite:runs.db
nats-url: nats://there:4222
nats-creds: my.creds
ollama: ["http://a:1", "http://b:1"]
slots: auto
first-token: 20m
max-bytes: 2GiB
follow: true
out: exports/gsm8k.jsonl
layout: chat
data: somewhere
`
	load := parsed(t, file, "load").Load
	zero, batch := 0.0, 16
	if load.Name != "gsm8k" || strings.Join(load.Input, " ") != "jobs/rows.jsonl" || load.Prompt != "Solve: {{ question }}" || load.System != "no" || !reflect.DeepEqual(load.Model, []string{"8b"}) ||
		load.Samples == nil || *load.Samples != 4 || load.Limit != 100 || *load.Batch != batch || *load.Temperature != zero || load.NumPredict != 2048 || load.Store != "sqlite:jobs/runs.db" {
		t.Errorf("load: %+v", load)
	}
	if diff := cmp.Diff([]string{"\n\n", "a, b"}, load.Stop); diff != "" {
		t.Errorf("load --stop (-want +got):\n%s", diff)
	}
	if work := parsed(t, file, "work").Work; work.Name != "gsm8k" || !work.Slots.Auto || work.FirstToken != 20*time.Minute || work.NATSCreds != "jobs/my.creds" || work.OllamaBin != "ollama" ||
		!reflect.DeepEqual(work.Ollama, []string{"http://a:1", "http://b:1"}) {
		t.Errorf("work: %+v", work)
	}
	if publish := parsed(t, file, "publish").Publish; publish.Name != "gsm8k" || publish.MaxBytes != 2<<30 || !publish.Follow || publish.NATSURL != "nats://there:4222" {
		t.Errorf("publish: %+v", publish)
	}
	if export := parsed(t, file, "export --layout rows").Export; export.Out != "jobs/exports/gsm8k.jsonl" || export.Layout != "rows" {
		t.Errorf("export: %+v", export)
	}

	// What a command has under the same name for something else is its own.
	if show := parsed(t, file, "show").Show; show.Limit != 5 || show.Name != "gsm8k" {
		t.Errorf("show: %+v", show)
	}
	if list := parsed(t, file, "dead list").Dead.List; list.Limit != 0 || list.Batch != nil || list.Name != "gsm8k" {
		t.Errorf("dead list: %+v", list)
	}
	if nats := parsed(t, file, "nats").NATS; nats.Data != "gleaner-data/nats-server" {
		t.Errorf("nats: %+v", nats)
	}
	if drop := parsed(t, file, "dead drop --yes").Dead.Drop; drop.Name != "" || drop.Store != "sqlite:jobs/runs.db" {
		t.Errorf("dead drop: %+v", drop)
	}

	// The command line chooses among flags that take each other's place.
	if load := parsed(t, file, "load --field question").Load; load.Prompt != "" || load.Field != "question" {
		t.Errorf("load --field: %+v", load)
	}
	if work := parsed(t, "gpus: auto", "work --ollama http://x:1").Work; work.GPUs != "none" {
		t.Errorf("work --ollama: %+v", work)
	}
}

func TestFlagsThatArePathsSayIt(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Vars{"first_token": "1s", "stall": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	err = kong.Visit(parser.Model.Node, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			isPath := false
			for _, word := range strings.FieldsFunc(flag.PlaceHolder, func(r rune) bool { return r < 'A' || r > 'Z' }) {
				isPath = isPath || strings.Contains(" FILE DIR PATH GGUF ", " "+word+" ")
			}
			if isPath && !flag.Tag.Has(jobfile.TagPath) && !flag.Tag.Has(jobfile.TagByHand) {
				t.Errorf("--%s looks like a path: a relative one in a job file is from its folder only with the tag %s:%q", flag.Name, jobfile.TagPath, "file")
			}
			if (flag.Name == "yes" || flag.Name == "force" || flag.Name == "take-over") && jobfile.Takes(flag, nil) {
				t.Errorf("--%s is taken from a file", flag.Name)
			}
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}
