package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gleaner/internal/advice"
	"gleaner/internal/pipeline"
)

const (
	littleRoom = 1 << 30   // bytes: warned below it
	leastRoom  = 100 << 20 // bytes: what a small run needs for its answers and its queue
	mostSkew   = 30 * time.Second
)

// A Broker is what was seen of a NATS server.
type Broker struct {
	Where     string // without any secret
	Version   string
	RoundTrip time.Duration
	JetStream error               // why it cannot be used; nil: it can
	MaxStore  int64               // bytes that the account's streams may hold; not positive: no limit is known
	Reserved  int64               // of them, what streams have reserved
	Refused   map[string][]string // what this user may not do, by role
}

// roles are those of the programs.
func roles() []string { return []string{"producer", "consumer", "sink"} }

// NATS judges a NATS server, or says why it does not answer.
func NATS(q Broker, err error) []Finding {
	if err != nil {
		return bad(err.Error(), "start it (on this machine `"+advice.Anywhere("nats")+"` does it), or give the right address and credentials with --nats-url and --nats-creds (NATS_URL, NATS_CREDS)")
	}
	lines := fine("NATS %s answers in %s at %s", q.Version, q.RoundTrip.Round(100*time.Microsecond), q.Where)
	if q.JetStream != nil {
		return append(lines, bad(q.JetStream.Error(), "start the server with -js, or enable JetStream for this account")...)
	}
	if q.MaxStore > 0 {
		says := fmt.Sprintf("the account may hold %s, of which %s is reserved", bytes(q.MaxStore), bytes(q.Reserved))
		if q.MaxStore-q.Reserved < 16<<20 {
			lines = append(lines, bad(says, "remove streams that are of no use, or ask for more room: the streams need at least 16 MiB")...)
		} else {
			lines = append(lines, fine("%s", says)...)
		}
	}
	return append(lines, permissions(q.Refused)...)
}

// permissions says which roles a user can have.
func permissions(refused map[string][]string) []Finding {
	var may []string
	nearest := ""
	for _, role := range roles() {
		if len(refused[role]) == 0 {
			may = append(may, role)
		} else if nearest == "" || len(refused[role]) < len(refused[nearest]) {
			nearest = role
		}
	}
	switch {
	case len(may) == len(roles()):
		return fine("this user may do all that producer, consumer and sink do")
	case len(may) > 0:
		return fine("this user may do what the %s does, and no more", strings.Join(may, " and the "))
	}
	return bad(fmt.Sprintf("this user may do the whole work of no role; of the %s it may not %s", nearest, strings.Join(refused[nearest], ", ")),
		"give it the permissions of its role, as in permissions.conf, or use another user's credentials")
}

// A StoreReport is the store, which reports on itself.
type StoreReport interface {
	Ping(ctx context.Context) error
	// MayWrite returns why this user may not write, and writes nothing.
	MayWrite(ctx context.Context) error
	Identity(ctx context.Context) (pipeline.StoreIdentity, error)
	About(ctx context.Context) (pipeline.StoreAbout, error)
}

// Store judges a store, or says why it cannot be opened.
func Store(ctx context.Context, store StoreReport, err error) []Finding {
	switch {
	case errors.Is(err, pipeline.ErrNoStore):
		return warn(err.Error(), "nothing, if it is still to be made (`"+advice.Command("load")+"` does it); else check the address given with --store (MONGODB_URI)")
	case err != nil:
		return bad(err.Error(), "start it, or give the right address with --store (MONGODB_URI)")
	}
	began := time.Now()
	if err := store.Ping(ctx); err != nil {
		return bad(err.Error(), "look whether it runs, and whether this machine may reach it")
	}
	took := time.Since(began)
	who, err := store.Identity(ctx)
	if err != nil {
		return bad("it cannot be read: "+err.Error(), "give this user the right to read")
	}
	if err := store.MayWrite(ctx); err != nil {
		return bad("it cannot be written: "+err.Error(), "give this user the right to write")
	}
	lines := fine("%s answers in %s, and this user may write", who.Name, took.Round(100*time.Microsecond))
	about, err := store.About(ctx)
	if err != nil {
		return append(lines, warn("what it is, it does not say: "+err.Error(), "nothing, if a run works")...)
	}
	return append(lines, room(about)...)
}

// room judges the room that is left for a store.
func room(about pipeline.StoreAbout) []Finding {
	says := about.Server
	if about.Bytes > 0 {
		says += ", which holds " + bytes(about.Bytes)
	}
	if !about.HasFree {
		return fine("%s", says)
	}
	says += fmt.Sprintf("; %s is free on its disk", bytes(about.Free))
	if about.Free < littleRoom {
		return warn(says, "make room there before a large run")
	}
	return fine("%s", says)
}

// A ModelServer is a server that generates.
type ModelServer interface {
	Identify(ctx context.Context) (pipeline.ModelInfo, error)
	Describe(ctx context.Context, model string) (pipeline.ModelInfo, error)
	Generate(ctx context.Context, request pipeline.Request) (pipeline.Completion, error)
}

// Server judges a model server and, if a model is named, that: with a harmless prompt that it has
// to answer. Slots is OLLAMA_NUM_PARALLEL here, which is this machine's; 0: not set.
func Server(ctx context.Context, server ModelServer, where, model string, slots int) []Finding {
	is, err := server.Identify(ctx)
	if err != nil {
		return bad(fmt.Sprintf("no model server answers at %s: %v", where, err), "start Ollama there with `ollama serve`, or name another server with --ollama (OLLAMA_HOST)")
	}
	lines := fine("Ollama %s answers at %s", is.ServerVersion, where)
	switch {
	case is.Simulated:
		lines = warn(fmt.Sprintf("the server at %s is simulated: its answers mean nothing", where), "use a real server for answers that count")
	case is.Note != "":
		lines = warn(fmt.Sprintf("Ollama %s answers at %s: %s", is.ServerVersion, where, is.Note), "update Ollama there")
	}
	if model == "" {
		return append(lines, slotsOf(slots)...)
	}
	if is.Simulated {
		model = pipeline.SimulatedModel(model)
	}
	if _, err := server.Describe(ctx, model); err != nil {
		return append(lines, bad(err.Error(), "run `ollama pull "+model+"` there, or name a model that it has with --model")...)
	}
	began := time.Now()
	_, err = server.Generate(ctx, pipeline.Request{Model: model}.Asking(pipeline.CanaryPrompt, 1))
	took := time.Since(began)
	switch {
	case err != nil && timedOut(ctx, err):
		return append(lines, warn(fmt.Sprintf("model %s gave no token within %s", model, took.Round(time.Second)), "wait until it is loaded, or until others that use the server are done, and look again")...)
	case err != nil && pipeline.ClassOf(err) != pipeline.Truncated: // one token is all that was asked for
		return append(lines, bad(err.Error(), "look into the server's log")...)
	}
	has, err := server.Describe(ctx, model) // the context is certain once it is loaded
	if err != nil {
		return append(lines, bad(err.Error(), "look into the server's log")...)
	}
	says := fmt.Sprintf("model %s answers in %.1f s; digest %s", has.Name, took.Seconds(), pipeline.ShortDigest(has.Digest))
	if has.Context > 0 {
		says += fmt.Sprintf(", context %s tokens", pipeline.Grouped(has.Context))
	}
	if has.SizeBytes > 0 && has.OnGPUBytes < has.SizeBytes {
		lines = append(lines, warn(fmt.Sprintf("%s; %d %% of it is in a GPU's memory", says, 100*has.OnGPUBytes/has.SizeBytes),
			"for more speed take a smaller model or less context, or a machine with a larger GPU")...)
	} else {
		lines = append(lines, fine("%s", says)...)
	}
	return append(lines, slotsOf(slots)...)
}

func slotsOf(slots int) []Finding {
	if slots == 0 {
		return fine("OLLAMA_NUM_PARALLEL is not set here; Ollama's default is 1 slot, and a server with 8 is often faster")
	}
	return fine("OLLAMA_NUM_PARALLEL is %d here", slots)
}

// Disk judges the room in a folder, where the store and the queue are to lie.
func Disk(dir string, free int64, err error) []Finding {
	says := fmt.Sprintf("%s is free for %s", bytes(free), dir)
	switch {
	case err != nil:
		return bad(err.Error(), "choose another folder with --data")
	case free < leastRoom:
		return bad(says, "make room, or choose another folder with --data")
	case free < littleRoom:
		return warn(says, "make room before a large run")
	}
	return fine("%s", says)
}

// Folder judges a folder of gleaner run by its store, and says whether a run goes on in it and in
// which process; 0: it is not known.
func Folder(dir string, inUse bool, pid int, store []Finding) []Finding {
	switch {
	case inUse && pid > 0:
		return append(store, fine("a run goes on in %s, in process %d: `%s` shows how far it is", dir, pid, advice.Anywhere("status", "--data", dir))...)
	case inUse:
		return append(store, fine("a command works in %s", dir)...)
	}
	return append(store, fine("no run goes on in %s now", dir)...)
}

// Clock compares the clocks of servers with this machine's. Ahead is by how much each is ahead.
func Clock(ahead map[string]time.Duration) []Finding {
	var lines []Finding
	worst := time.Duration(0)
	var names []string
	for name := range ahead {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		skew := ahead[name].Abs()
		worst = max(worst, skew)
		if skew > mostSkew {
			word := "ahead of"
			if ahead[name] < 0 {
				word = "behind"
			}
			lines = append(lines, warn(fmt.Sprintf("the clock of %s is %s %s this machine's", name, skew.Round(time.Second), word), "have both set by NTP: credentials and leases go by the time")...)
		}
	}
	if len(lines) == 0 && len(ahead) > 0 {
		return fine("the servers' clocks and this machine's differ by %s at most", max(worst.Round(time.Second), time.Second))
	}
	return lines
}

// Proxies judges the proxies of the environment: what a program reaches on this machine must not
// go through one, and NATS never does.
func Proxies(env map[string]string) []Finding {
	var set []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if env[name] != "" || env[strings.ToLower(name)] != "" {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return nil
	}
	says := strings.Join(set, " and ") + " is set"
	if len(set) > 1 {
		says = strings.Join(set, " and ") + " are set"
	}
	exempt := env["NO_PROXY"] + "," + env["no_proxy"]
	if strings.Contains(exempt, "127.0.0.1") && strings.Contains(exempt, "localhost") || strings.Contains(exempt, "*") {
		return fine("%s, and not for this machine; NATS goes through none", says)
	}
	return warn(says+", and other programs may send through it what is for this machine", "set NO_PROXY=127.0.0.1,localhost; NATS goes through no proxy, so its port has to be open")
}

// Port judges a port that a server of this machine would have: whether it is in use by something
// else than what was asked for.
func Port(number int, use string, inUse, byOurs bool) []Finding {
	if inUse && !byOurs {
		return warn(fmt.Sprintf("port %d, on which %s listens by default, is in use by another program", number, use), "end that program, or choose another port when you start it")
	}
	return nil
}

// bytes returns a size for people.
func bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.0f KiB", float64(max(n, 0))/(1<<10))
}

// An Accelerator is a GPU of this machine with what uses it.
type Accelerator struct {
	Name              string
	TotalMiB, UsedMiB int
	Processes         []string // such as "ollama (4711)"
}

// GPUs judges the GPUs of this machine, or says why there are none.
func GPUs(devices []Accelerator, err error) []Finding {
	if err != nil {
		return bad(err.Error(), "install the driver, or use a machine that has one; Ollama works without a GPU, many times slower")
	}
	var lines []Finding
	for _, d := range devices {
		says := d.Name
		if d.TotalMiB > 0 {
			says += fmt.Sprintf(": %.1f of %.1f GiB in use", float64(d.UsedMiB)/1024, float64(d.TotalMiB)/1024)
		}
		if len(d.Processes) > 0 {
			says += " by " + strings.Join(d.Processes, ", ")
		}
		if d.TotalMiB > 0 && d.UsedMiB > d.TotalMiB/2 && !slices.ContainsFunc(d.Processes, func(p string) bool { return strings.Contains(p, "ollama") }) {
			lines = append(lines, warn(says, "end what uses it, such as another notebook's kernel: a model that does not fit is many times slower")...)
			continue
		}
		lines = append(lines, fine("%s", says)...)
	}
	return lines
}
