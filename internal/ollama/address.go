package ollama

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gleaner/internal/text"
)

// EnvKey is the environment variable of the key that a server behind a gateway wants, as Ollama
// itself names it. There is no flag for it: a command line can be seen by others.
const EnvKey = "OLLAMA_API_KEY"

// credentials are what a client shows to its server.
type credentials struct {
	header  string       // the value of Authorization; empty: none
	kind    string       // what they are, in words
	secrets text.Secrets // what no message may hold
}

// readCredentials takes user and password out of an address. Without them the key counts.
func readCredentials(u *url.URL, key string) (credentials, error) {
	user := u.User
	u.User = nil
	if user != nil {
		password, _ := user.Password()
		encoded := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		return credentials{header: "Basic " + encoded, kind: "the user and password of its address", secrets: text.SecretsOf(password, encoded)}, nil
	}
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return credentials{}, nil
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return credentials{}, errors.New("the key in " + EnvKey + " has characters that no key has, such as a line break: set it again")
	}
	return credentials{header: "Bearer " + key, kind: "the key in " + EnvKey, secrets: text.SecretsOf(key)}, nil
}

// proxy is http.ProxyFromEnvironment, whose errors repeat an address that may hold a password.
func proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("the proxy in HTTP_PROXY or HTTPS_PROXY is no address: it looks like http://host:port, with user and password percent-encoded")
	}
	return u, nil
}

// parseURL reads an address. Its errors show neither user nor password nor what may be a part of
// them.
func parseURL(raw string) (*url.URL, error) {
	full, port := strings.TrimSpace(raw), ""
	switch {
	case full == "":
		return nil, errors.New("the address of the Ollama server is empty: write http://host:port, host:port or host")
	case !strings.Contains(full, "://"):
		full, port = "http://"+full, "11434"
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, wrongAddress(raw, problemOf(raw, err))
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, wrongAddress(raw, fmt.Sprintf("it begins with %q", u.Scheme+"://"))
	case strings.Contains(u.Path, "@"):
		return nil, wrongAddress(raw, "what stands before its @ is no user, as where a slash is missing")
	case u.Hostname() == "":
		return nil, wrongAddress(raw, "it has no host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrongAddress(raw, "it has a query or a fragment")
	case u.Port() != "" && !validPort(u.Port()):
		return nil, wrongAddress(raw, fmt.Sprintf("%s is not a port", u.Port()))
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		// OLLAMA_HOST=0.0.0.0 tells a server where to listen; not every system can connect to that
		// address.
		host = "127.0.0.1"
	}
	switch {
	case port != "":
		u.Host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		u.Host = "[" + host + "]"
	default:
		u.Host = host
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 1<<16
}

// wrongAddress says why an address is refused, and what to write.
func wrongAddress(raw, problem string) error {
	hint := "write http://host:port, host:port or host"
	if strings.Contains(raw, "@") {
		hint = "write http://USER:PASSWORD@host:port, with user and password percent-encoded"
	}
	return fmt.Errorf("%q is not the address of an Ollama server: %s: %s", text.Address(raw), problem, hint)
}

// problemOf says why an address cannot be read. The reason that package url gives repeats parts of
// it, which may be parts of a password.
func problemOf(raw string, err error) string {
	var parse *url.Error
	switch {
	case strings.Contains(err.Error(), "invalid port"):
		return "invalid port; a comma in a password is written %2C, a slash %2F"
	case strings.Contains(raw, "@") || !errors.As(err, &parse):
		return "it cannot be read"
	}
	return parse.Err.Error()
}
