package cli

import (
	"errors"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"gleaner/internal/advice"
	"gleaner/internal/text"
)

// RunsFlags say where the runs are that a command is about: in a store, or in a folder of gleaner
// run.
type RunsFlags struct {
	Store string `env:"MONGODB_URI" path:"sqlite" placeholder:"URI" help:"Where the runs are: mongodb://…, mongodb+srv://… or sqlite:PATH. Better in the environment than on the command line: it may hold a password."`
	Data  string `path:"file" placeholder:"DIR" help:"Folder of gleaner run in which the runs are, while it works and after. Default, where no store is named: gleaner-data, if that is there."`
}

// AfterApply is called by kong. Where a folder and a store are both named, the nearer one counts:
// the command line counts before the environment, and that before a file.
func (f *RunsFlags) AfterApply(parsed *kong.Context) error {
	byHand := func(name string) bool {
		return slices.ContainsFunc(parsed.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == name && !p.Resolved })
	}
	switch {
	case f.Store == "" || f.Data == "":
	case byHand("store") && byHand("data"):
		return errors.New("--store and --data name two places: say one of them")
	case byHand("data"):
		f.Store = ""
	default: // by hand or in the environment, or of a file that serves gleaner run, too
		f.Data = ""
	}
	return nil
}

// Advise has the commands in messages name the same store or folder, where the environment does
// not. What may hold a secret is left to the reader.
func (f RunsFlags) Advise() {
	switch {
	case f.Data != "":
		advice.Locate("--data", f.Data)
		advice.InFolder()
	case f.Store != os.Getenv("MONGODB_URI"):
		store := f.Store
		if text.Address(store) != store {
			store = "URI" // which the reader knows
		}
		advice.Locate("--store", store)
	}
}
