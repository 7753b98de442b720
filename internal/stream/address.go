package stream

import (
	"net/url"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/text"
)

// checkURL returns the addresses as nats.go takes them, and the user in them if none is known.
// Its errors do not repeat the address, which may hold a password.
func checkURL(list, user string) (string, string, error) {
	var urls []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || strings.Contains(u.Path, "@") {
			return "", "", pipeline.Fail(pipeline.Fatal, "the NATS address (NATS_URL) is not one: it looks like nats://host:4222, tls://host:4222 or wss://host:443")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return "", "", pipeline.Fail(pipeline.Fatal, "the NATS address (NATS_URL) begins with %s://: use nats://, tls://, ws:// or wss://", u.Scheme)
		}
		// A name without a password is a secret token, and the user's name is part of subjects.
		if _, hasPassword := u.User.Password(); user == "" && hasPassword && isToken(u.User.Username()) {
			user = u.User.Username()
		}
		urls = append(urls, s)
	}
	if len(urls) == 0 {
		return "", "", pipeline.Fail(pipeline.Fatal, "no NATS address is given (NATS_URL): it looks like nats://host:4222")
	}
	return strings.Join(urls, ","), user, nil
}

// redact returns what may be shown of addresses.
func redact(list string) string {
	if list == "" {
		return "this process"
	}
	return text.Address(list)
}
