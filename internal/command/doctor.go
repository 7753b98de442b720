package command

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/disk"
	"gleaner/internal/doctor"
	"gleaner/internal/folder"
	"gleaner/internal/gpu"
	"gleaner/internal/lanes"
	"gleaner/internal/natsd"
	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/stream"
	"gleaner/internal/view"
)

// Doctor is the command doctor: it looks whether what is configured is in order.
type Doctor struct {
	cli.ProgressFlags `embed:""`
	Store             string   `env:"MONGODB_URI" path:"sqlite" placeholder:"URI" help:"Store to look at. Default: none, and that of the folder of gleaner run."`
	NATSURL           string   `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS server to look at. Default: one at nats://127.0.0.1:4222, if it answers there."`
	NATSCreds         string   `name:"nats-creds" env:"NATS_CREDS" path:"file,content" help:"Credentials: the path of a .creds file, or its content. Content belongs into the environment: a command line can be seen by others."`
	Ollama            []string `env:"OLLAMA_HOST" placeholder:"URL" help:"Ollama servers to look at, with commas between them. Default: one at http://127.0.0.1:11434, if it answers there or nothing else is configured."`
	Model             []string `sep:"none" placeholder:"NAME" help:"Model that has to be there, and to answer."`
	GPUs              string   `name:"gpus" default:"none" placeholder:"auto|0,1|none" help:"GPUs that have to be there. none: those that are there are shown."`
	Data              string   `default:"gleaner-data" path:"file" placeholder:"DIR" help:"Folder of gleaner run: its store, whether a run goes on in it, and what is free there."`
	JSON              bool     `name:"json" help:"Print a list of {check, state, says, advice} as JSON."`
}

const (
	ourNATS   = "127.0.0.1:4222"
	ourOllama = "127.0.0.1:11434"

	// canaryWithin is how long a model may take to be loaded and answer one token.
	canaryWithin = 60 * time.Second
	// briefly is how long a server of this machine may take to answer at all.
	briefly = 2 * time.Second
)

// clocks collects by how much the clocks of servers are ahead.
type clocks struct {
	mu    sync.Mutex
	ahead map[string]time.Duration
}

func (c *clocks) note(name string, ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead[name] = ahead
}

// Run looks at everything side by side, and prints what was found. It fails if something is wrong.
func (c *Doctor) Run(ctx context.Context, t *cli.Terminal) error {
	progress := view.NewProgress(t, c.ProgressFlags)
	times := &clocks{ahead: map[string]time.Duration{}}
	found := doctor.Run(ctx, c.checks(ctx, times), canaryWithin, func(open []string) {
		if t.Redraws() && len(open) > 0 {
			progress.Show("waiting for " + strings.Join(open, ", "))
		}
	})
	progress.Clear()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, f := range doctor.Clock(times.ahead) {
		f.Check = "clock"
		found = append(found, f)
	}
	if c.JSON {
		if err := cli.PrintJSON(t.Out, found); err != nil {
			return err
		}
	} else {
		_ = view.Print(t.Out, view.Doctor(found, min(t.Columns(), 100))) // a terminal that is gone shows nothing
	}
	if doctor.Failed(found) {
		return &cli.Exit{Code: cli.Failed, Err: errors.New("something is wrong: mend it, and look again")}
	}
	return nil
}

// checks returns those of what is configured, and of what answers where it is by default.
func (c *Doctor) checks(ctx context.Context, times *clocks) []doctor.Question {
	var checks []doctor.Question
	add := func(name string, look func(ctx context.Context) []doctor.Finding) {
		checks = append(checks, doctor.Question{Name: name, Look: look})
	}
	natsHere, natsTaken := speaksNATS(ctx)
	if c.NATSURL != "" || natsHere {
		add("NATS", func(ctx context.Context) []doctor.Finding { return c.nats(ctx) })
	}
	if c.Store != "" {
		add("store", func(ctx context.Context) []doctor.Finding { return lookAtStore(ctx, c.Store) })
	}
	urls, ollamaTaken := c.Ollama, listens(ctx, ourOllama)
	if len(urls) == 0 && (ollamaTaken || c.NATSURL == "" && c.Store == "") {
		urls = []string{"http://" + ourOllama}
	}
	ollamaHere := false
	clients, err := lanes.Clients(urls, ollama.Config{Key: os.Getenv(ollama.EnvKey)})
	if err != nil {
		add("model server", func(context.Context) []doctor.Finding {
			return doctor.Server(ctx, none{err}, "the address given", "", 0)
		})
	}
	for _, client := range clients {
		ollamaHere = ollamaHere || strings.HasSuffix(client.URL(), ":11434")
		add("model server", func(ctx context.Context) []doctor.Finding { return c.server(ctx, client, times) })
	}
	if _, err := gpu.Find(ctx, "auto"); err == nil || c.GPUs != "none" {
		add("GPUs", func(ctx context.Context) []doctor.Finding { return doctor.GPUs(devices(ctx, c.GPUs)) })
	}
	add("disk", func(context.Context) []doctor.Finding {
		free, err := disk.FreeFor(c.Data)
		return doctor.Disk(c.Data, free, err)
	})
	if _, err := os.Stat(filepath.Join(c.Data, "gleaner.db")); err == nil {
		add("run folder", func(ctx context.Context) []doctor.Finding {
			return doctor.Folder(c.Data, natsd.InUse(folder.Queue(c.Data)), folder.WorksIn(ctx, c.Data).PID, lookAtStore(ctx, "sqlite:"+filepath.Join(c.Data, "gleaner.db")))
		})
	}
	add("ports", func(context.Context) []doctor.Finding {
		return append(doctor.Port(4222, "gleaner nats", natsTaken, natsHere), doctor.Port(11434, "Ollama", ollamaTaken, ollamaHere)...)
	})
	add("proxies", func(context.Context) []doctor.Finding { return doctor.Proxies(environment()) })
	return checks
}

func (c *Doctor) nats(ctx context.Context) []doctor.Finding {
	ctx, cancel := context.WithTimeout(ctx, 2*cli.ConnectWithin)
	defer cancel()
	conn, err := stream.Connect(ctx, stream.Config{URL: cmp.Or(c.NATSURL, "nats://"+ourNATS), Creds: c.NATSCreds, Name: "doctor", Timeout: cli.ConnectWithin, Log: zap.NewNop()})
	if err != nil {
		return doctor.NATS(doctor.Broker{}, err)
	}
	defer conn.Close()
	said, err := conn.Probe(ctx)
	return doctor.NATS(doctor.Broker{
		Where: said.Server, Version: said.Version, RoundTrip: said.RoundTrip, JetStream: said.JetStream, MaxStore: said.MaxStore, Reserved: said.Reserved, Refused: said.Refused,
	}, err)
}

func lookAtStore(ctx context.Context, uri string) []doctor.Finding {
	opened, err := store.OpenExisting(ctx, uri)
	if err != nil {
		return doctor.Store(ctx, nil, err)
	}
	defer opened.Close()
	return doctor.Store(ctx, onDisk{opened}, nil)
}

// An onDisk store says what is free on the disk of its file, too.
type onDisk struct{ store.Store }

func (s onDisk) About(ctx context.Context) (pipeline.StoreAbout, error) {
	about, err := s.Store.About(ctx)
	if err == nil && about.Folder != "" {
		about.Free, err = disk.Free(about.Folder)
		about.HasFree = err == nil
	}
	return about, err
}

func (c *Doctor) server(ctx context.Context, client *ollama.Client, times *clocks) []doctor.Finding {
	if ahead, ok := clockOf(ctx, client.URL()); ok {
		times.note(client.URL(), ahead)
	}
	slots, _ := strconv.Atoi(os.Getenv("OLLAMA_NUM_PARALLEL")) // what is no number counts as not set
	if len(c.Model) == 0 {
		return doctor.Server(ctx, client, client.URL(), "", slots)
	}
	var lines []doctor.Finding
	for i, model := range c.Model {
		found := doctor.Server(ctx, client, client.URL(), model, slots)
		if i > 0 && len(found) > 1 {
			found = found[1:] // the server itself is said
		}
		lines = append(lines, found...)
	}
	return lines
}

// none is a server whose address makes no sense.
type none struct{ err error }

func (n none) Identify(context.Context) (pipeline.ModelInfo, error) {
	return pipeline.ModelInfo{}, n.err
}
func (n none) Describe(context.Context, string) (pipeline.ModelInfo, error) {
	return pipeline.ModelInfo{}, n.err
}
func (n none) Generate(context.Context, pipeline.Request) (pipeline.Completion, error) {
	return pipeline.Completion{}, n.err
}

// clockOf returns by how much the clock of an HTTP server is ahead, if it says its time.
func clockOf(ctx context.Context, url string) (ahead time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return 0, false
	}
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, false
	}
	_ = response.Body.Close()
	said, err := http.ParseTime(response.Header.Get("Date"))
	return said.Sub(began), err == nil
}

// devices returns the GPUs that are wanted, or all, with what uses them.
func devices(ctx context.Context, wanted string) ([]doctor.Accelerator, error) {
	if wanted == "none" {
		wanted = "auto"
	}
	found, err := gpu.Find(ctx, wanted)
	if err != nil {
		return nil, err
	}
	uses, err := gpu.Uses(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]doctor.Accelerator, len(found))
	for i, d := range found {
		all[i] = doctor.Accelerator{Name: d.String(), TotalMiB: d.MemoryMiB, UsedMiB: uses[d.UUID].UsedMiB, Processes: uses[d.UUID].Processes}
	}
	return all, nil
}

// listens reports whether a process of this machine listens at an address.
func listens(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: briefly}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// speaksNATS reports whether a NATS server listens where it is by default, and whether anything
// does.
func speaksNATS(ctx context.Context) (is, taken bool) {
	conn, err := (&net.Dialer{Timeout: briefly}).DialContext(ctx, "tcp", ourNATS)
	if err != nil {
		return false, false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(briefly)) // a connection takes it
	greeting := make([]byte, 5)
	n, _ := conn.Read(greeting)
	return string(greeting[:n]) == "INFO ", true
}

func environment() map[string]string {
	env := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
