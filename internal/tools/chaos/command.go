//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gleaner/internal/cli"
)

// command is the command line of task chaos.
type command struct {
	Seed        int64         `xor:"which" placeholder:"N" help:"What breaks, and when. Default: a random one."`
	Seeds       string        `xor:"which" placeholder:"FROM-TO" help:"Many seeds, one after the other. Those that stand in --out already are not run again."`
	Out         string        `default:"chaos.jsonl" placeholder:"FILE" help:"With --seeds: where the outcome of each goes."`
	Generations int           `default:"2000" help:"Generations of each run."`
	Every       time.Duration `default:"2s" help:"Time between two faults, on average."`
	Until       float64       `default:"0.9" help:"Share of the generations that is stored when there are no further faults."`
	Within      time.Duration `default:"5m" help:"Time for each run to come to its end."`
	Store       string        `placeholder:"URI" help:"Use this store, which is then not killed. Default: a MongoDB-compatible server of its own."`
	Dir         string        `placeholder:"DIR" help:"Folder for what is written meanwhile. Default: the system's temporary folder."`
	Keep        bool          `help:"Keep the logs of all processes, also when all is well."`
	Quiet       bool          `help:"Do not report each fault."`
	JSON        bool          `name:"json" help:"Print the outcome of each seed as a line of JSON."`
}

func (c *command) Run(ctx context.Context, t *cli.Terminal) (err error) {
	seeds, err := c.seeds()
	if err != nil {
		return err
	}
	done := map[int64]outcome{}
	if c.Seeds != "" {
		if done, err = readOutcomes(c.Out); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(c.Dir, "gleaner-chaos-*")
	if err != nil {
		return fmt.Errorf("the folder for the processes: %w", err)
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, bin, err := build(ctx, dir)
	if err != nil {
		return err
	}
	uri, db := c.Store, (*database)(nil)
	if uri == "" {
		if db, err = startDatabase(ctx, root); err != nil {
			return fmt.Errorf("starting a database of its own: %w\nname another one with --store, such as sqlite:%s", err, filepath.Join(os.TempDir(), "chaos.db"))
		}
		defer func() { err = errors.Join(err, db.stop()) }()
		uri = "mongodb://" + db.addr() + "/gleaner_chaos"
	}
	var all []outcome
	for _, seed := range seeds {
		o, known := done[seed]
		if !known {
			on := setup{filepath.Join(dir, "seed-"+strconv.FormatInt(seed, 10)), root, bin, uri, db}
			if o, err = c.runOne(ctx, t, seed, on); err != nil {
				kept = kept || ctx.Err() == nil
				return err
			}
		}
		kept = kept || o.Folder != ""
		all = append(all, o)
		if err := c.printOutcome(t, o, known); err != nil {
			return err
		}
	}
	return c.printSummary(t, all)
}

// runOne runs one seed and records its outcome.
func (c *command) runOne(ctx context.Context, t *cli.Terminal, seed int64, on setup) (outcome, error) {
	if err := os.Mkdir(on.dir, 0o755); err != nil {
		return outcome{}, err
	}
	faults, err := os.Create(filepath.Join(on.dir, "faults.log"))
	if err != nil {
		return outcome{}, err
	}
	defer faults.Close()
	logf := func(format string, args ...any) {
		fmt.Fprintf(faults, time.Now().Format("15:04:05.000")+" "+format+"\n", args...)
		if !c.Quiet {
			fmt.Fprintf(t.Err, "  "+format+"\n", args...)
		}
	}
	fmt.Fprintf(t.Err, "seed %d\n", seed)
	s := plan{
		seed: seed, generations: c.Generations, special: specials(), faults: schedule(seed, c.Every, maxFaults, on.database != nil), moments: moments(seed),
		until: c.Until, within: c.Within,
	}
	o, err := runSeed(ctx, s, on, logf)
	if err != nil {
		return outcome{Seed: seed, Folder: on.dir}, fmt.Errorf("seed %d, its logs are in %s: %w", seed, on.dir, err)
	}
	if o.OK && !c.Keep {
		err = os.RemoveAll(on.dir)
	} else {
		o.Folder = on.dir
	}
	if c.Seeds != "" && err == nil {
		err = writeOutcome(c.Out, o)
	}
	return o, err
}

// seeds returns what is to be run.
func (c *command) seeds() ([]int64, error) {
	if c.Generations < 1 || c.Every <= 0 || c.Until < 0 || c.Until > 1 || c.Within <= 0 {
		return nil, cli.Usage("generations, every and within have to be positive, and until is between 0 and 1")
	}
	if c.Seeds == "" {
		if c.Seed == 0 {
			c.Seed = rand.Int64N(1_000_000) + 1
		}
		return []int64{c.Seed}, nil
	}
	first, last, _ := strings.Cut(c.Seeds, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	to, errTo := strconv.ParseInt(last, 10, 64)
	if err != nil || errTo != nil || from < 1 || to < from {
		return nil, cli.Usage("seeds %q: use FROM-TO, such as 1-100", c.Seeds)
	}
	var seeds []int64
	for seed := from; seed <= to; seed++ {
		seeds = append(seeds, seed)
	}
	return seeds, nil
}

// build builds the programs as they are shipped, and returns the module's root and the folder
// with the programs.
func build(ctx context.Context, dir string) (root, bin string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "gleaner").Output()
	if err != nil {
		return "", "", fmt.Errorf("finding Gleaner's source; chaos is run in a checkout of it: %w", err)
	}
	root, bin = strings.TrimSpace(string(out)), filepath.Join(dir, "bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "./producer", "./consumer", "./sink", "./deploy/gleaner",
		"github.com/nats-io/nats-server/v2") // with the users of deploy/nats
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("building the programs: %w\n%s", err, said)
	}
	return root, bin, nil
}

// readOutcomes reads the outcomes of an earlier call, by seed.
func readOutcomes(path string) (map[int64]outcome, error) {
	all := map[int64]outcome{}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading earlier outcomes: %w", err)
	}
	defer f.Close()
	for lines := json.NewDecoder(f); lines.More(); {
		o := outcome{tally: &tally{}}
		if err := lines.Decode(&o); err != nil {
			return nil, fmt.Errorf("reading earlier outcomes from %s: %w: remove the file to begin again", path, err)
		}
		all[o.Seed] = o
	}
	return all, nil
}

func writeOutcome(path string, o outcome) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("writing the outcome: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
