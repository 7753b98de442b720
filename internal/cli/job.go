package cli

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gleaner/internal/cli/jobfile"
	"gleaner/internal/pipeline"
)

// configFlag is the name of the flag that names the job file.
const configFlag = "config"

// readJob reads the job file that the command line names, or else that of the working folder, and
// has kong ask it for the flags that neither command line nor environment have. Without a file it
// returns nil.
func readJob(command *kong.Context) (*jobfile.Job, error) {
	file, err := openJob(command)
	if file == nil || err != nil {
		return nil, err
	}
	if err := file.Validate(command.Model); err != nil {
		return nil, err
	}
	command.AddResolver(file)
	return file, nil
}

func openJob(command *kong.Context) (*jobfile.Job, error) {
	if path, ok := namedJob(command); ok {
		return jobfile.Open(path)
	}
	return jobfile.Find()
}

// namedJob returns the path of the job file that the command line names, and whether it names one.
func namedJob(command *kong.Context) (path string, ok bool) {
	for _, p := range command.Path {
		if p.Flag != nil && p.Flag.Name == configFlag {
			path, ok = command.Value(p).String(), true
		}
	}
	return path, ok
}

// A locatedError is an error about flags that says where in the job file they are.
type locatedError struct {
	error
	said string
}

func (e locatedError) Error() string { return e.said }
func (e locatedError) Unwrap() error { return e.error }

// located returns the error of a command that makes no sense with the lines of the job file that
// it is about. Other errors stay.
func located(err error, command *kong.Context, job *jobfile.Job) error {
	var exit *Exit
	var spec *pipeline.SpecError
	switch {
	case job == nil:
	case errors.As(err, &exit):
		if exit.Code == WrongUse {
			return &Exit{WrongUse, locatedError{exit.Err, withLines(exit.Err.Error(), command, job)}}
		}
	case errors.As(err, &spec):
		if where := job.Where(spec.Field); where != "" && slices.Contains(fromFile(command), spec.Field) {
			return locatedError{err, err.Error() + " (" + where + ")"}
		}
	}
	return err
}

// withLines adds to the text of an error about flags where in the job file they are.
func withLines(said string, command *kong.Context, job *jobfile.Job) string {
	if job == nil || strings.Contains(said, job.Path()+",") {
		return said
	}
	var lines []string
	for _, name := range fromFile(command) {
		quoted := regexp.QuoteMeta(name)
		isNamed := regexp.MustCompile(`(^|[^a-z0-9-])(--` + quoted + `($|[^a-z0-9-])|` + quoted + ` ["0-9-])`).MatchString(said)
		if where := job.Where(name); isNamed && where != "" {
			lines = append(lines, name+": "+where)
		}
	}
	if len(lines) == 0 {
		return said
	}
	return said + " (" + strings.Join(lines, "; ") + ")"
}

// fromFile returns the names of the flags that a parsed command has from its job file.
func fromFile(command *kong.Context) (names []string) {
	if command == nil {
		return nil
	}
	for _, p := range command.Path {
		if p.Flag != nil && p.Resolved {
			names = append(names, p.Flag.Name)
		}
	}
	return names
}

// ofParsing returns the context of a command line that was not understood, if there is one.
func ofParsing(command *kong.Context, err error) *kong.Context {
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		return wrong.Context
	}
	return command
}
