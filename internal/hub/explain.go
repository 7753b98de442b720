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

// explain says what a refusal of the hub about a dataset means, and what to do about it. It asks
// the hub for the names that there are.
func (c *client) explain(ctx context.Context, t target, err error) error {
	r, ok := errors.AsType[refusal](err)
	if !ok || r.elsewhere {
		return err
	}
	page := strings.TrimSuffix(c.endpoint.String(), "/") + "/datasets/" + t.repo
	tokens := c.tokens()
	switch {
	case r.code == "RevisionNotFound":
		return fmt.Errorf("%s: the dataset has no revision %q%s", t.name(), t.ref(), nearest(t.ref(), c.revisions(ctx, t), "it has "))
	case r.code == "EntryNotFound":
		return fmt.Errorf("%s: the dataset has no such file", t.shown())
	case r.code == "GatedRepo" && c.cfg.Token == "":
		return fmt.Errorf("%s is gated: log in to the hub, accept its terms at %s, and set HF_TOKEN to a token from %s", t.name(), page, tokens)
	case r.code == "GatedRepo":
		return fmt.Errorf("%s is gated, and the account of HF_TOKEN has no access: accept its terms at %s with that account (and, for a fine-grained token, allow gated repositories at %s)", t.name(), page, tokens)
	case strings.Contains(r.said, "disabled"):
		return fmt.Errorf("%s: the hub has disabled this dataset: %s", t.name(), r.said)
	case r.status == http.StatusUnauthorized && c.cfg.Token != "" && r.code != "RepoNotFound":
		return fmt.Errorf("%s: the hub does not accept HF_TOKEN (401): it may be expired or from another hub; make one at %s, or unset it for public datasets", t.name(), tokens)
	case r.status == http.StatusForbidden:
		return fmt.Errorf("%s: the hub denies access (403)%s: give the token of HF_TOKEN the right to read %s, or to write where you push, at %s", t.name(), spoken(r.said), t.repo, tokens)
	case r.status == http.StatusUnauthorized || r.status == http.StatusNotFound:
		owner, _, _ := strings.Cut(t.repo, "/")
		others := c.datasetsOf(ctx, owner)
		if slices.Contains(others, t.repo) { // it is there: something else is not
			return err
		}
		access := "set HF_TOKEN to a token from " + tokens + " if it is private or gated"
		if c.cfg.Token != "" {
			access = "the account of HF_TOKEN may see no private dataset of that name"
		}
		return fmt.Errorf("the hub knows no dataset %s (%d)%s; %s", t.name(), r.status, nearest(t.repo, others, owner+" has "), access)
	case r.status == http.StatusTooManyRequests && c.cfg.Token == "":
		return fmt.Errorf("%w; with HF_TOKEN set to a token from %s the hub allows more", err, tokens)
	}
	return err
}

func spoken(said string) string {
	if said == "" {
		return ""
	}
	return ": " + said
}

// mostCompared bounds the names that are compared for the nearest one.
const mostCompared = 20_000

// nearest ends a sentence about a wrong name with the right ones: the one that was meant, if it is
// near, and some, unless that one is among many.
func nearest(name string, all []string, begin string) string {
	if len(all) == 0 {
		return ""
	}
	best, least := "", max(1, len(name)/4)
	for _, a := range all[:min(len(all), mostCompared)] {
		if d := text.Distance(strings.ToLower(name), strings.ToLower(a), least); d <= least && (best == "" || d < least) {
			best, least = a, d
		}
	}
	switch meant := fmt.Sprintf(": did you mean %s?", text.Printable(best)); {
	case best == "":
		return ": " + begin + names(all)
	case len(all) > mostNamed:
		return meant
	default:
		return meant + " " + begin + names(all)
	}
}

// mostNamed is how many names are shown.
const mostNamed = 20

// names shows some names, in their order.
func names(all []string) string {
	shown := make([]string, 0, mostNamed)
	for _, name := range all[:min(len(all), mostNamed)] {
		shown = append(shown, text.Printable(text.Shorten(name, 100)))
	}
	if len(all) > mostNamed {
		shown = append(shown, fmt.Sprintf("and %d more", len(all)-mostNamed))
	}
	return strings.Join(shown, ", ")
}

// sorted returns the texts in order.
func sorted(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}

// explainFile says what a refusal of a server that is no hub means.
func (c *client) explainFile(t target, err error) error {
	r, ok := errors.AsType[refusal](err)
	if !ok {
		return err
	}
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w; it wants a login, or its address has expired: download the file in a browser and give its path", err)
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w; open %s in a browser to see where the file is now", err, t.shown())
	}
	return err
}
