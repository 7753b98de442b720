package cli

// ProgressFlags say how a command shows how far it is.
type ProgressFlags struct {
	Progress string `enum:",live,plain,none,json" default:"" placeholder:"live|plain|none|json" help:"How to show how far it is: live redraws lines, plain prints one now and then, json prints objects for programs, all on standard error. Default: live on a terminal, else plain, as in notebooks and CI."`
}

// The ways to show how far a command is.
const (
	ProgressLive  = "live"
	ProgressPlain = "plain"
	ProgressNone  = "none"
	ProgressJSON  = "json"
)

// Mode returns the way that the flag names, or the one that suits the terminal.
func (f ProgressFlags) Mode(t *Terminal) string {
	switch {
	case f.Progress != "":
		return f.Progress
	case t.Redraws():
		return ProgressLive
	}
	return ProgressPlain
}
