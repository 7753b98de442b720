package text

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Address returns what may be shown of an address, or of a list of them with commas between: no
// user and password, no query, and nothing in the place of a port that is none, as where an address
// is mistyped. What cannot be told from a password is left out.
func Address(raw string) string {
	scheme, rest, found := strings.Cut(strings.TrimSpace(raw), "://")
	if each := strings.Split(raw, ","+scheme+"://"); found && len(each) > 1 {
		for i, one := range each {
			each[i] = Address(scheme + "://" + strings.TrimPrefix(one, scheme+"://"))
		}
		return strings.Join(each, ",")
	}
	if found {
		scheme += "://"
	} else {
		scheme, rest = "", scheme
	}
	query := ""
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest, query = rest[:end], rest[end:]
	}
	switch at := strings.LastIndexByte(rest, '@'); {
	case at >= 0:
		rest = rest[at+1:]
	case strings.Contains(query, "@"): // of a password that holds the ? or #
		return scheme + "…"
	}
	if query != "" {
		query = query[:1] + "…"
	}
	hosts, path, hasPath := strings.Cut(rest, "/")
	all, wrong := strings.Split(hosts, ","), false
	for i, host := range all {
		name, port, hasPort := strings.Cut(host, ":")
		if _, err := strconv.Atoi(port); hasPort && err != nil && !strings.HasPrefix(host, "[") {
			all[i], wrong = name+":…", true
		}
	}
	if wrong && path != "" {
		path = "…"
	}
	if hasPath {
		path = "/" + path
	}
	return scheme + strings.Join(all, ",") + path + query
}

// Secrets are what no text may show.
type Secrets []string

// leastSecret is the length of the shortest secret: without shorter words a text could not be read.
const leastSecret = 4

// SecretsOf returns these secrets, and their forms in an address and in a quoted text.
func SecretsOf(words ...string) Secrets {
	var s Secrets
	for _, word := range words {
		quoted := strconv.Quote(word)
		forms := []string{word, quoted[1 : len(quoted)-1], url.QueryEscape(word), url.PathEscape(word)}
		for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if decoded, err := decode(word); err == nil {
				forms = append(forms, decoded)
			}
		}
		for _, form := range forms {
			if len(form) >= leastSecret && !slices.Contains(s, form) {
				s = append(s, form)
			}
		}
	}
	slices.SortFunc(s, func(a, b string) int { return len(b) - len(a) }) // so that no part of one is left
	return s
}

// Hide takes the secrets out of a text that a server or a library wrote.
func (s Secrets) Hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return text
}

// In reports whether a text shows one of the secrets.
func (s Secrets) In(text string) bool {
	return slices.ContainsFunc(s, func(secret string) bool { return strings.Contains(text, secret) })
}

var secretForms = regexp.MustCompile(`@|://|eyJ|---|\bS[UAONCX][A-Z2-7]{10}|gleaner\d+\.`)

// MayBeSecret reports whether a word looks like an address, which may have a user, or like a token,
// a key, an invitation, or a part of a file with credentials.
func MayBeSecret(word string) bool { return secretForms.MatchString(word) }
