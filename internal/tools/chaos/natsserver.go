//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A role is a NATS user of deploy/nats, or that of this program.
type role string

const (
	producerRole role = "producer"
	consumerRole role = "consumer"
	sinkRole     role = "sink"
	chaosRole    role = "chaos" // may do everything
)

// password is of all roles: the server is on the loopback, for one seed.
const password = "chaos"

// roleOf returns the role of a program, by its name in the testbed.
func roleOf(name string) role {
	switch {
	case strings.HasPrefix(name, "consumer"):
		return consumerRole
	case strings.HasPrefix(name, "sink"), name == otherSink:
		return sinkRole
	}
	return producerRole
}

// keyed reports whether the NATS server of a seed gives each program a user of its own, with the
// permissions that Gleaner ships. With the other seeds it is Gleaner's own server, without users.
func keyed(seed int64) bool { return seed%2 != 0 }

// A natsServer says how the NATS server of a seed is run and reached.
type natsServer struct {
	addr   string // host and port
	dir    string // of the streams
	config string // file with the users; empty: it has none
}

// newNATSServer prepares the server of a seed, and with users its configuration.
func newNATSServer(dir, root string, withUsers bool) (s natsServer, err error) {
	s = natsServer{dir: filepath.Join(dir, "nats")}
	if s.addr, err = freeAddr(); err != nil || !withUsers {
		return s, err
	}
	s.config = filepath.Join(dir, "nats.conf")
	return s, s.writeUsers(filepath.Join(root, "deploy", "nats", "permissions.conf"))
}

// writeUsers writes the server's configuration: the users that are shipped, and one for this
// program.
func (s natsServer) writeUsers(shipped string) error {
	data, err := os.ReadFile(shipped)
	if err != nil {
		return fmt.Errorf("the users of the NATS server: %w", err)
	}
	const users = "users: ["
	text := string(data)
	if !strings.Contains(text, users) {
		return fmt.Errorf("the users of the NATS server: %s has no %q", shipped, users)
	}
	text = strings.Replace(text, users, fmt.Sprintf("%s { user: %s, password: %s }", users, chaosRole, password), 1)
	text = regexp.MustCompile(`\$GLEANER_[A-Z]+_PASSWORD`).ReplaceAllString(text, password)
	text = fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n%s", s.addr, s.dir, text)
	return os.WriteFile(s.config, []byte(text), 0o600)
}

// command returns the server's command line.
func (s natsServer) command(bin string) []string {
	if s.config == "" {
		return []string{filepath.Join(bin, "gleaner"), "nats", "--addr", s.addr, "--data", s.dir, "--no-sync-always"}
	}
	return []string{filepath.Join(bin, "nats-server"), "--config", s.config}
}

// url returns the address of the server, or of a proxy before it, for a role.
func (s natsServer) url(r role, addr string) string {
	if s.config == "" {
		return "nats://" + addr
	}
	return fmt.Sprintf("nats://%s:%s@%s", r, password, addr)
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
