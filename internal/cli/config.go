package cli

import (
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli/jobfile"
)

// ShowConfig is the command config: what is in force for the flags of a command, and where it comes
// from.
type ShowConfig struct {
	All     bool     `byhand:"" help:"Show every flag of the command, also what is as by default or not set."`
	JSON    bool     `name:"json" byhand:"" help:"Print JSON, with every flag."`
	Command []string `arg:"" optional:"" passthrough:"" placeholder:"COMMAND" help:"The command, with flags behind it as it would get them. Default: run."`
}

// Help is called by kong.
func (ShowConfig) Help() string {
	return "What is on the command line comes first, then the environment, then the job file, then the default. Passwords are not shown, nor what is in a variable that the file names."
}

// Run prints what the command line that is given would have in force.
func (c *ShowConfig) Run(command *kong.Context, t *Terminal) error {
	asked := *c // the flags of all commands are read again, and so are these
	var args []string
	for _, arg := range asked.Command {
		switch arg {
		case "--all": // behind the command, too, where they would say nothing
			asked.All = true
		case "--json":
			asked.JSON = true
		case "--help", "-h":
			return command.PrintUsage(false)
		default:
			args = append(args, arg)
		}
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"run"}, args...)
	}
	if path, ok := namedJob(command); ok {
		args = append([]string{"--" + configFlag + "=" + path}, args...)
	}
	parsed, job, err := inForce(command.Kong, args)
	if err != nil {
		said := withLines(wrongUse(err, parsed), parsed, job)
		return Usage("%s", job.Secrets().Hide(withoutSecrets(said, args)))
	}
	node := parsed.Selected()
	if node == nil || !node.Leaf() {
		return Usage("of which command? Say %s config COMMAND, as in %s --help", command.Model.Name, command.Model.Name)
	}
	settings, ignored := settingsOf(parsed, job)
	verb := verbOf(parsed)
	if asked.JSON {
		return PrintJSON(t.Out, Settings{verb, job.Path(), settings, ignored})
	}
	return printSettings(t, verb, job, settings, ignored, asked.All)
}

// Settings are what is in force for the flags of a command.
type Settings struct {
	Command string    `json:"command"`
	File    string    `json:"file,omitempty"` // the job file that was read
	Flags   []Setting `json:"flags"`
	Ignored []string  `json:"ignored,omitempty"` // keys of the file that the command has no use for
}

// verbOf returns the names of a command, as in dead list.
func verbOf(parsed *kong.Context) string {
	var words []string
	for _, p := range parsed.Path {
		if p.Command != nil {
			words = append(words, p.Command.Name)
		}
	}
	return strings.Join(words, " ")
}

// inForce reads a command line as Run does, but for what only counts when the command is run:
// flags that are missing, and what does not go together.
func inForce(parser *kong.Kong, args []string) (*kong.Context, *jobfile.Job, error) {
	parsed, err := kong.Trace(parser, args)
	if err == nil {
		err = parsed.Error
	}
	if err == nil {
		err = parsed.Reset()
	}
	if err != nil {
		return parsed, nil, err
	}
	job, err := readJob(parsed)
	if err == nil {
		err = parsed.Resolve()
	}
	if err == nil {
		_, err = parsed.Apply()
	}
	return parsed, job, err
}
