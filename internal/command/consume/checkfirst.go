package consume

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/disk"
	"gleaner/internal/doctor"
	"gleaner/internal/gpu"
	"gleaner/internal/lanes"
	"gleaner/internal/stream"
)

const (
	checkWithin   = 45 * time.Second // for each check: a driver takes up to half a minute at its first call
	networkWithin = 8 * time.Second
)

// checksFirst reports whether the checks come before anything else.
func (c *Command) checksFirst() bool {
	return c.Check == "first" || c.Check == "only" || c.Check == "auto" && c.Invite != ""
}

// look looks at all that this consumer needs, side by side. Secret is what was found of the
// invitation.
func (c *Command) look(ctx context.Context, secret []doctor.Finding) []doctor.Finding {
	checks := []doctor.Question{{Name: "secret", Look: func(context.Context) []doctor.Finding { return secret }}}
	add := func(name string, look func(context.Context) []doctor.Finding) {
		checks = append(checks, doctor.Question{Name: name, Look: look})
	}
	if c.StartsServers() {
		add("GPUs", c.lookAtGPUs)
	}
	if !doctor.Failed(secret) { // otherwise there is no address
		add("network", c.lookAtNetwork)
	}
	if c.StartsServers() {
		add("Ollama", func(context.Context) []doctor.Finding { return doctor.Program(exec.LookPath(c.OllamaBin)) })
		add("disk", func(context.Context) []doctor.Finding {
			dir := c.modelFolder()
			free, err := disk.FreeFor(dir)
			return doctor.ModelRoom(dir, free, err)
		})
	} else {
		add("Ollama", c.lookAtServers)
	}
	return doctor.Here(doctor.Run(ctx, checks, checkWithin, nil), environment())
}

func (c *Command) lookAtGPUs(ctx context.Context) []doctor.Finding {
	found, err := gpu.Find(ctx, c.GPUs)
	if err != nil {
		return doctor.GPUs(nil, err)
	}
	var devices []doctor.Accelerator
	for _, d := range found {
		devices = append(devices, doctor.Accelerator{Name: d.String()})
	}
	return doctor.GPUs(devices, nil)
}

func (c *Command) lookAtNetwork(ctx context.Context) []doctor.Finding {
	conn, err := stream.Connect(ctx, stream.Config{URL: c.NATSURL, Creds: c.NATSCreds, Name: "consumer", Timeout: networkWithin, Log: zap.NewNop()})
	if err != nil {
		return doctor.Network(doctor.Broker{}, err)
	}
	defer conn.Close()
	said, err := conn.Probe(ctx)
	return doctor.Network(doctor.Broker{Where: said.Server, Version: said.Version, RoundTrip: said.RoundTrip, Refused: said.Refused}, err)
}

func (c *Command) lookAtServers(ctx context.Context) []doctor.Finding {
	clients, err := lanes.Clients(c.Ollama, c.client())
	if err != nil {
		return doctor.Program("", err)
	}
	var found []doctor.Finding
	for _, client := range clients {
		found = append(found, doctor.Server(ctx, client, client.URL(), "", 0)[0])
	}
	return found
}

// modelFolder returns where models are pulled to.
func (c *Command) modelFolder() string {
	if c.Models != "" {
		return c.Models
	}
	if dir := os.Getenv("OLLAMA_MODELS"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return os.TempDir()
	}
	return filepath.Join(home, ".ollama", "models")
}

func environment() map[string]string {
	env := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// begin reads the invitation, if there is one, and looks at all that is needed, if that is asked
// for. It returns an error that names everything that is missing.
func (c *Command) begin(ctx context.Context, t *cli.Terminal, given []cli.Setting, log *zap.Logger) error {
	says, err := "no invitation is needed: the server is given", error(nil)
	if c.Invite != "" {
		invited, wrong := c.accept(t.In, given, time.Now())
		says, err = described(invited), wrong
	} else if !isGiven(given, "nats-url") || c.NATSURL == "" {
		err = errors.New(doctor.NoInvitation + ": set GLEANER_INVITE to what `gleaner invite` printed, or name the server with NATS_URL")
	}
	if !c.checksFirst() {
		if c.Invite != "" && err != nil {
			return &cli.Exit{Code: cli.Failed, Err: err}
		}
		return nil
	}
	found := c.look(ctx, doctor.Secret(says, err))
	if ctx.Err() != nil {
		return nil
	}
	if c.Check == "only" && c.JSON {
		if err := cli.PrintJSON(t.Out, found); err != nil {
			return err
		}
	}
	for _, f := range found {
		switch f.State {
		case doctor.OK:
			log.Info(f.Says, zap.String("check", f.Check))
		case doctor.Warning:
			log.Warn(f.Says+": "+f.Advice, zap.String("check", f.Check))
		}
	}
	if doctor.Failed(found) {
		return &cli.Exit{Code: cli.Failed, Err: errors.New(doctor.Missing(found))}
	}
	return nil
}

func isGiven(given []cli.Setting, flag string) bool {
	for _, setting := range given {
		if setting.Flag == flag {
			return true
		}
	}
	return false
}
