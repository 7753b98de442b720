// Package cli is the frame that all programs share: it parses the command line, holds the flags
// that several commands have, and turns signals into a context and errors into exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"gleaner/internal/advice"
	"gleaner/internal/cli/jobfile"
	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// The exit codes of all programs.
const (
	Done        = 0
	Failed      = 1
	WrongUse    = 2
	DeadLetters = 3 // done, but some generations have no answer
	Interrupted = 130
)

// An Exit is an error with an exit code of its own.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string { return e.Err.Error() }
func (e *Exit) Unwrap() error { return e.Err }

// Usage returns an error for a command line that makes no sense.
func Usage(format string, args ...any) error {
	return &Exit{WrongUse, fmt.Errorf(format, args...)}
}

// grammar is what every command line has besides the flags and commands of its program.
type grammar struct {
	Version kong.VersionFlag `help:"Show the version and exit."`
	Config  string           `placeholder:"FILE" help:"Take flags from this file, where neither the command line nor the environment has them. Default: gleaner.yaml of the working folder, if it is there; none for no file."`
}

// Main runs a program and ends the process with its exit code. Commands is a pointer to a struct
// for kong, whose commands have a method Run(context.Context, *Terminal) error.
func Main(name, description string, commands any) {
	ctx, stop := signal.NotifyContext(withParent(context.Background(), os.Stdin), os.Interrupt, syscall.SIGTERM)
	terminal := (&Terminal{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}).escaping()
	quiet := context.AfterFunc(ctx, func() {
		stop() // so that a second signal ends the process at once
		if terminal.Interactive() {
			fmt.Fprintln(terminal.Err, "\nstopping; Ctrl-C again ends at once")
		}
	})
	code := Run(ctx, name, description, commands, os.Args[1:], terminal)
	quiet() // from here on ctx ends without a signal
	stop()
	os.Exit(code)
}

// Run runs a program with these arguments and returns its exit code.
func Run(ctx context.Context, name, description string, commands any, args []string, t *Terminal) int {
	t = t.escaping()
	advice.Set(advice.Caller{Program: name})
	exit := -1
	var job *jobfile.Job
	parser, err := kong.New(commands,
		kong.Name(name), kong.Description(description), kong.Writers(t.Out, t.Err),
		kong.Exit(func(code int) { exit = code; panic(helpShown{}) }),
		kong.Embed(&grammar{}), kong.Vars{"version": name + " " + origin()}, defaults(),
		kong.WithBeforeResolve(func(command *kong.Context, at *kong.Path) (err error) {
			if at.App != nil { // kong calls this for each word of the command line, and the program is the first
				job, err = readJob(command)
			}
			return err
		}),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	addManual(parser)
	command, err := parse(parser, args)
	if errors.Is(err, errHelpShown) {
		return exit
	}
	if err != nil {
		wrong := ofParsing(command, err)
		said := withLines(wrongUse(err, wrong), wrong, job)
		fmt.Fprintf(t.Err, "%s: %s\nSee `%s --help`.\n", name, job.Secrets().Hide(withoutSecrets(said, args)), verb(name, wrong))
		return WrongUse
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(InForce(func() []Setting { return chosen(command, job) }))
	stray := text.SecretsOf(strayWords(args)...)
	return report(ctx, verb(name, command), located(command.Run(t), command, job), stray, t)
}

// helpShown is the value of the panic that takes the place of ending the process when kong has
// shown the help or the version.
type helpShown struct{}

var errHelpShown = errors.New("help shown")

func parse(parser *kong.Kong, args []string) (command *kong.Context, err error) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case helpShown:
			err = errHelpShown
		default:
			panic(r)
		}
	}()
	return parser.Parse(args)
}

// report says how a command ended and returns its exit code.
func report(ctx context.Context, verb string, err error, stray text.Secrets, t *Terminal) int {
	name, _, _ := strings.Cut(verb, " ")
	var exit *Exit
	var spec *pipeline.SpecError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &exit):
		fmt.Fprintf(t.Err, "%s: %s\n", name, stray.Hide(exit.Err.Error()))
		return exit.Code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(t.Err, "%s: interrupted; the same command goes on where it stopped\n", name)
		return Interrupted
	case errors.As(err, &spec):
		said := strings.Replace(err.Error(), spec.Error(), "--"+spec.Error(), 1) // a field of a spec is called as its flag
		fmt.Fprintf(t.Err, "%s: %s\nSee `%s --help`.\n", name, stray.Hide(said), verb)
		return WrongUse
	case pipeline.IsOutage(err):
		fmt.Fprintf(t.Err, "%s: %s\nNothing is lost: give the same command again once that is mended.\n", name, stray.Hide(err.Error()))
		return Failed
	}
	fmt.Fprintf(t.Err, "%s: %s\n", name, stray.Hide(err.Error()))
	return Failed
}

// Version returns the version that was stamped into the binary: a tag, or one made from the
// commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// origin returns what --version says besides the name: the version, the commit if it is known,
// and what it was built with and for.
func origin() string {
	built := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				built = "commit " + setting.Value + ", " + built
			}
		}
	}
	return Version() + " (" + built + ")"
}
