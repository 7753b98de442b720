package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"gleaner/internal/cli"
	"gleaner/internal/invite"
	"gleaner/internal/invite/sign"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
	"gleaner/internal/text"
	"gleaner/internal/view"
)

// Invite is the command invite: it makes one string of all that a helper needs.
type Invite struct {
	Name       string `name:"run" required:"" placeholder:"NAME" help:"Name of the run that the helper works for."`
	NATSURL    string `name:"nats-url" env:"NATS_URL" required:"" placeholder:"URL" help:"NATS server, as the helper reaches it. With a server that has passwords: with the consumer's user and password in it."`
	SigningKey string `name:"signing-key" env:"GLEANER_SIGNING_KEY" byhand:"" path:"file,content" choice:"access" placeholder:"FILE" help:"Key of the account, or one of its signing keys: a file with the seed (SA…). Each invitation is a new user with a consumer's permissions, which the server ends in time."`
	Account    string `placeholder:"KEY" help:"With a signing key that is not the account's own: the account's public key (A…)."`
	Creds      string `byhand:"" path:"file" choice:"access" placeholder:"FILE" help:"Credentials of the consumer's user, which are there already: they are packed as they are."`
	For        string `default:"30d" placeholder:"30d" help:"How long the invitation is good for: 12h, 30d."`
	User       string `placeholder:"NAME" help:"With --signing-key: name of the new user, which the server shows. Default: one that no other has."`
	Try        bool   `default:"true" negatable:"" help:"Connect with the invitation first, and see that it allows a consumer's work and nothing more."`
	Trusted    bool   `help:"Make it also where who holds it may do more than a consumer, as with a server that has no users."`
	JSON       bool   `name:"json" help:"Print {invite, run, model, nats, user, public_key, expires, ends, tried} as JSON. The string in it is a secret."`
}

// tryWithin is how long the trial of an invitation may take.
const tryWithin = 20 * time.Second

// Run prints the invitation, and says to standard error what is in it and who ends it.
func (c *Invite) Run(ctx context.Context, t *cli.Terminal) error {
	terms := sign.Terms{NATS: c.NATSURL, Run: c.Name, Account: c.Account, User: c.User}
	var err error
	if terms.For, err = days(c.For); err != nil {
		return err
	}
	if terms.Key, err = secretText(c.SigningKey, "--signing-key"); err != nil {
		return err
	}
	if terms.Creds, err = secretText(c.Creds, "--creds"); err != nil {
		return err
	}
	made, err := sign.Make(terms, time.Now())
	if err != nil {
		return err
	}
	if c.Try {
		if err := c.try(ctx, made); err != nil {
			return err
		}
	}
	fmt.Fprint(t.Err, view.Invited(made, t.TextColumns()))
	if c.JSON {
		return cli.PrintJSON(t.Out, made)
	}
	_, err = fmt.Fprintln(t.Out, made.Invite)
	return err
}

// try connects as a helper would, and notes what the server says of the run.
func (c *Invite) try(ctx context.Context, made *sign.Made) error {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	invited, err := invite.Read(made.Invite)
	if err != nil {
		return err
	}
	conn, err := stream.Connect(ctx, stream.Config{URL: invited.NATS, Creds: invited.Creds, Name: "invite", Timeout: cli.ConnectWithin, Log: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("the server does not take the invitation, which is not printed: %w. Where this machine cannot reach it, --no-try makes one untried", err)
	}
	defer conn.Close()
	run, missing := conn.RunInfo(ctx, c.Name) // before the probe, whose refusals come late
	said, err := conn.Probe(ctx)
	if err != nil {
		return err
	}
	if err := made.Judge(said.Refused, c.Trusted); err != nil {
		return err
	}
	if missing != nil && !errors.Is(missing, pipeline.ErrNoRun) {
		return missing
	}
	made.Tell(run, missing == nil)
	return nil
}

// days returns a time such as 12h or 30d.
func days(given string) (time.Duration, error) {
	if n, isDays := strings.CutSuffix(given, "d"); isDays {
		if days, err := strconv.Atoi(n); err == nil && days > 0 && days < 36500 {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	}
	took, err := time.ParseDuration(given)
	if err != nil || took < time.Minute {
		return 0, cli.Usage("--for %q is no time of a minute or more, such as 12h or 30d", given)
	}
	return took, nil
}

// secretText returns what a file holds, or the value itself if that is a secret and no path. Its
// errors repeat no value that may be a secret.
func secretText(value, flag string) (string, error) {
	if value == "" {
		return "", nil
	}
	data, err := os.ReadFile(value)
	switch {
	case err == nil:
		return string(data), nil
	case text.MayBeSecret(value):
		return value, nil
	}
	return "", fmt.Errorf("read %s: %w", flag, err)
}
