package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gleaner/internal/text"
)

// CheckPush finds out, before there is anything to push, what Upload would refuse: an address that
// is none, a token that is missing or may not write there, and files in the way that no earlier
// push wrote. It changes nothing.
func CheckPush(ctx context.Context, cfg Config, push Push) error {
	c, t, err := begin(cfg, push)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.checkPush(ctx, t, push); err != nil {
		return c.hide(c.explain(ctx, t, err))
	}
	return nil
}

func (c *client) checkPush(ctx context.Context, t target, push Push) error {
	if err := c.checkAccount(ctx, t); err != nil {
		return err
	}
	head, err := c.commitOf(ctx, t)
	if isUnknown(err) && (t.revision == "" || t.revision == mainRevision) {
		return nil // it will be made
	}
	if err != nil {
		return err
	}
	there, last, err := c.state(ctx, t, head)
	if err != nil || push.Force {
		return err
	}
	var others []string
	for _, e := range there.Entries {
		if push.claims(e.Path) && !last.wrote(e) {
			others = append(others, e.Path)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.SortFunc(others, natural)
	return c.notOurs(t, others)
}

// checkAccount returns an error if the token is of an account that cannot write there. A mirror may
// not say whose it is, and then the push finds out.
func (c *client) checkAccount(ctx context.Context, t target) error {
	var who struct {
		Name string
		Orgs []struct{ Name string }
		Auth struct{ AccessToken struct{ Role string } }
	}
	_, err := c.get(ctx, c.apiURL("api", "whoami-v2"), "pushing to "+t.name(), &who)
	if r, ok := errors.AsType[refusal](err); ok && r.status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if who.Auth.AccessToken.Role == "read" {
		return fmt.Errorf("pushing to %s: the token of HF_TOKEN may only read: set it to one with the right to write, from %s", t.name(), c.tokens())
	}
	owners := []string{who.Name}
	for _, org := range who.Orgs {
		owners = append(owners, org.Name)
	}
	owner, name, _ := strings.Cut(t.repo, "/")
	if who.Name == "" || slices.ContainsFunc(owners, func(o string) bool { return strings.EqualFold(o, owner) }) {
		return nil
	}
	return fmt.Errorf("pushing to %s: the account of HF_TOKEN is %s, which is not in %s: push to %s%s/%s, or set HF_TOKEN to a token of %s from %s",
		t.name(), text.Printable(who.Name), owner, datasetScheme, text.Printable(who.Name), name, owner, c.tokens())
}
