package consume

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gleaner/internal/cli"
	"gleaner/internal/invite"
)

// inviteFlags are what a helper is given, and how it begins and goes on.
type inviteFlags struct {
	Invite  string `env:"GLEANER_INVITE" byhand:"" path:"file,content" placeholder:"FILE" help:"Invitation, as gleaner invite prints it, with address, credentials and run: a file with it, or - for standard input. It is a secret, so its text belongs into the environment."`
	NextRun bool   `name:"next-run" help:"When the run is complete, go on to the next open run of the same model, and wait for one."`
	Check   string `enum:"auto,first,only,none" default:"auto" help:"Look first for invitation, GPUs, network, Ollama and disk, and end with a list of all that is missing. only: take no work. auto: first, with an invitation."`
	JSON    bool   `name:"json" help:"With --check=only: print a list of {check, state, says, advice} as JSON."`
}

// most is more than any invitation has, in bytes.
const most = 64 << 10

// read returns the text of the invitation.
func (f inviteFlags) read(in io.Reader) (string, error) {
	from := f.Invite
	switch {
	case from == "-":
	case strings.ContainsAny(from, " \n\t") || len(from) > 255 || strings.Contains(from, "gleaner1."):
		return from, nil
	default:
		file, err := os.Open(from)
		if err != nil { // its name is not repeated, for it may be a part of an invitation
			return "", errors.New("there is no file of the name that is given as the invitation, and an invitation begins with gleaner1.: name a file that holds one, or set GLEANER_INVITE to it")
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return "", fmt.Errorf("read the invitation: %w", err)
	}
	return string(data), nil
}

// accept puts what the invitation holds in the place of what is not given otherwise, and returns
// the invitation, or why it is of no use.
func (c *Command) accept(in io.Reader, given []cli.Setting, now time.Time) (invite.Invitation, error) {
	text, err := c.read(in)
	if err != nil {
		return invite.Invitation{}, err
	}
	invited, err := invite.Read(text)
	if err == nil {
		err = invited.Check(now)
	}
	if err != nil {
		return invited, err
	}
	if !isGiven(given, "nats-url") || c.NATSURL == "" { // a variable may be there and empty
		c.NATSURL = invited.NATS
	}
	if !isGiven(given, "nats-creds") || c.NATSCreds == "" {
		c.NATSCreds = invited.Creds
	}
	if !isGiven(given, "run") || c.Name == "" {
		c.Name = invited.Run
	}
	return invited, nil
}

// described returns what may be shown of an invitation.
func described(i invite.Invitation) string {
	words := "the invitation is for run " + i.Run
	if i.Model != "" {
		words += ", model " + i.Model
	}
	if until := i.Until(); !until.IsZero() {
		words += ", until " + until.Format("2006-01-02 15:04 MST")
	}
	return words
}
