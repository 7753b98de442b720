package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/advice"
	"gleaner/internal/cli"
	"gleaner/internal/consumer"
	"gleaner/internal/local"
	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/prompt"
	"gleaner/internal/text"
	"gleaner/internal/view"
)

// mostPreviewed is how many rows a preview shows, at most: for more there are runs.
const mostPreviewed = 1000

// Preview is the command preview: some rows with what is asked for them, and what a model answers.
type Preview struct {
	N                 string `arg:"" optional:"" name:"n" help:"How many rows, spread over the dataset: the first, the last, and others at even distances. Default: 5."`
	cli.SpecFlags     `embed:""`
	cli.PatienceFlags `embed:""`
	cli.ProgressFlags `embed:""`
	Name              string   `name:"run" placeholder:"NAME" help:"Name that the run will have: the seeds of its answers are made from it. Default: that of gleaner run."`
	Ollama            []string `env:"OLLAMA_HOST" default:"http://127.0.0.1:11434" placeholder:"URL" help:"Ollama servers that answer, with commas between them. If none does, the messages are shown alone."`
	Slots             int      `placeholder:"N" help:"Generations at a time. Default: OLLAMA_NUM_PARALLEL, else 1; 8 if simulated."`
	Full              bool     `byhand:"" help:"Show long texts to their end."`
	JSON              bool     `name:"json" help:"Print a list in JSON, with all texts to their end."`
}

// Run shows the rows of each run that the flags ask for. Nothing is written.
func (c *Preview) Run(ctx context.Context, t *cli.Terminal) error {
	n, err := c.count()
	if err != nil {
		return err
	}
	variants, err := c.SpecFlags.Variants(c.Name)
	if err != nil {
		return err
	}
	if !c.HasInput() {
		return cli.Usage("no dataset: give --input FILE, or --input - for standard input")
	}
	progress := view.NewProgress(t, c.ProgressFlags)
	data, err := openInput(ctx, t, c.SpecFlags, progress)
	if err != nil {
		return err
	}
	defer data.Close()
	view.Variants(t, variants)
	p := previewing{t: t, data: data, progress: progress, rows: n, style: view.PreviewStyle{Columns: t.Columns(), Full: c.Full}, asJSON: c.JSON}
	for _, v := range variants {
		one := *c
		one.SpecFlags, one.Name = v.SpecFlags, v.Name
		err := one.preview(ctx, &p)
		if err != nil && ctx.Err() != nil {
			return &cli.Exit{Code: cli.Interrupted, Err: errors.New("interrupted; nothing was written")}
		}
		if err != nil {
			return err
		}
	}
	if c.JSON {
		if err := cli.PrintJSON(t.Out, p.shown); err != nil {
			return err
		}
	}
	failed := 0
	if p.away != nil {
		return p.away
	}
	for _, row := range p.shown {
		if row.Answer != nil && row.Answer.Failure != nil {
			failed++
		}
	}
	if failed > 0 {
		return &cli.Exit{Code: cli.DeadLetters, Err: fmt.Errorf("%s no answer", view.Plural(failed, "row has", "rows have"))}
	}
	return nil
}

// count returns how many rows are shown. The word in its place may be the first file as well.
func (c *Preview) count() (int, error) {
	if c.N == "" {
		return 5, nil
	}
	n, err := strconv.Atoi(c.N)
	switch {
	case err != nil:
		c.Files = append([]string{c.N}, c.Files...)
		return 5, nil
	case n < 1 || n > mostPreviewed:
		return 0, cli.Usage("n %d is not in 1..%d: for more rows there is `%s`", n, mostPreviewed, advice.Anywhere("run", "--limit", "N"))
	}
	return n, nil
}

// A previewing is a call of the command.
type previewing struct {
	t        *cli.Terminal
	data     *input
	progress *view.Progress
	rows     int // of each run
	style    view.PreviewStyle
	asJSON   bool
	shown    []view.Previewed // of all runs so far
	away     error            // why there are no answers, if a run would end with it, too
}

// preview shows the rows of one run.
func (c *Preview) preview(ctx context.Context, p *previewing) error {
	spec, err := specOf(ctx, c.SpecFlags)
	if err != nil {
		return err
	}
	if err := prompt.RefuseGoTemplate(spec); err != nil {
		return err
	}
	if spec.Model == "" && !spec.Simulated {
		spec.Model = unknown
	} else if spec.Model == "" {
		spec.Model = pipeline.SimulatedModel(unknown)
	}
	checked, err := producer.RunPreflight(ctx, cmp.Or(c.Name, "unnamed"), spec, p.data.Dataset, p.data.watch(p.progress, "checking"))
	p.progress.Clear()
	if err != nil {
		return err
	}
	noted(p.t, p.data, checked)
	servers, away := c.servers(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	defer servers.Close()
	run := &checked.Run
	run.Spec.Model, run.Name = cmp.Or(servers.Model, spec.Model), c.Name
	isNamed := c.Name != "" || run.Spec.Model != unknown // else the name is made from the model
	if c.Name == "" {
		run.Name = local.RunName(run.Spec)
	}
	if away == nil {
		away = local.RefuseUnfit(ctx, *run, servers.GPUs)
	}
	var rows []view.Previewed
	var requests []pipeline.Request
	checked.Dataset = watched(checked.Dataset, p.data.watch(p.progress, "reading"))
	err = producer.Spread(ctx, checked, p.rows, func(pick producer.Pick) error {
		row := view.Previewed{
			Run: run.Name, Model: run.Spec.Model, Simulated: run.Spec.Simulated, Row: pick.Seq + 1, ID: pick.ID, File: pick.File, Line: pick.Line,
			Request: view.ShowRequest(pick.Request), Reference: pick.Reference,
		}
		if !isNamed {
			row.Run, row.Model, row.Request.Seed = "", strings.TrimSuffix(row.Model, unknown), 0
		}
		rows, requests = append(rows, row), append(requests, pick.Request)
		return nil
	})
	if err != nil {
		return err
	}
	if p.style.Rows = run.Items; !isNamed {
		run.Name = ""
	}
	p.begin(*run, servers, len(rows))
	if away != nil {
		for _, row := range rows {
			p.show(row)
		}
		p.without(away)
		return nil
	}
	return p.ask(ctx, consumer.Config{FirstToken: c.FirstToken, Stall: c.Stall}, servers, rows, requests)
}

// servers returns the servers that answer, or the error that says why none does.
func (c *Preview) servers(ctx context.Context, p *previewing) (*local.Servers, error) {
	run := RunLocal{SpecFlags: c.SpecFlags, PatienceFlags: c.PatienceFlags, ServerFlags: cli.ServerFlags{GPUs: "none", Ollama: c.Ollama}, SimGPUs: 1, SimSpeed: 100}
	config := run.serversConfig(p.progress)
	if config.Slots = c.Slots; !c.Simulate { // there are too few rows to find the number
		config.Slots = cmp.Or(c.Slots, config.RealSlots, 1)
	}
	config.NoPull, config.Fallback = true, false
	p.progress.Show("loading the model")
	servers, err := local.ChooseServers(ctx, config)
	p.progress.Clear()
	if err != nil {
		return &local.Servers{}, err
	}
	return servers, nil
}

// begin says of a run what holds for all of its rows.
func (p *previewing) begin(run pipeline.Run, servers *local.Servers, shown int) {
	if !p.asJSON {
		fmt.Fprint(p.t.Out, view.PreviewHead(run, strings.Join(servers.URLs, ", "), servers.Thinks, shown))
	}
}

// show shows a row, or keeps it for the list.
func (p *previewing) show(row view.Previewed) {
	p.shown = append(p.shown, row)
	if !p.asJSON {
		p.progress.Clear()
		fmt.Fprint(p.t.Out, p.style.Show(row))
	}
}

// without says why there are no answers, and how to get some.
func (p *previewing) without(away error) {
	var none *local.NoServerError
	switch {
	case errors.As(away, &none) && none.Simulated:
		fmt.Fprintf(p.t.Err, "No answers: the server at %s is simulated. Name a real one with --ollama, or add --simulate for answers that are made up.\n", none.URL)
	case errors.As(away, &none):
		fmt.Fprintf(p.t.Err, "No answers: no Ollama answers at %s. Start one with `ollama serve`, name another with --ollama, or add --simulate for answers that are made up.\n", none.URL)
	case errors.Is(away, ollama.ErrNoModel):
		fmt.Fprintf(p.t.Err, "No answers: %s\n", text.OneLine(away.Error()))
	default:
		p.away = away
	}
}

// ask has the servers answer, and shows the rows with their answers.
func (p *previewing) ask(ctx context.Context, cfg consumer.Config, servers *local.Servers, rows []view.Previewed, requests []pipeline.Request) error {
	waiting := func(i int) {
		if i < len(rows) {
			p.progress.Show(view.Steps("answering", i, len(rows), "rows"))
		}
	}
	waiting(0)
	err := consumer.Ask(ctx, cfg, servers.GPUs, requests, func(i int, reply consumer.Reply) error {
		rows[i].Answer = view.RepliedOf(reply.Completion, requests[i].Tools, reply.Err)
		p.show(rows[i])
		waiting(i + 1)
		return nil
	})
	p.progress.Clear()
	if err == nil && !p.asJSON {
		fmt.Fprint(p.t.Out, view.PreviewEnd(rows))
	}
	if err == nil && servers.Simulated {
		fmt.Fprintln(p.t.Err, madeUpAtEnd)
	}
	return err
}
