//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
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

// keyed reports whether the NATS server of a seed gives each program a user of its own, with the
// permissions that Gleaner ships. With the other seeds it is Gleaner's own server, without users.
func keyed(seed int64) bool { return seed%2 != 0 }

// natsCommand returns the command line of the seed's NATS server.
func (b *testbed) natsCommand() ([]string, error) {
	if !b.keyed {
		return []string{filepath.Join(b.bin, "gleaner"), "nats", "--addr", b.natsAddr, "--data", b.natsDir(), "--no-sync-always"}, nil
	}
	file, err := b.writeKeys()
	return []string{filepath.Join(b.bin, "nats-server"), "--config", file}, err
}

// writeKeys writes the server's configuration: the users of deploy/nats and one for this program.
func (b *testbed) writeKeys() (file string, err error) {
	shipped, err := os.ReadFile(filepath.Join(b.root, "deploy", "nats", "permissions.conf"))
	if err != nil {
		return "", fmt.Errorf("the users of the NATS server: %w", err)
	}
	const users = "users: ["
	text := string(shipped)
	if !strings.Contains(text, users) {
		return "", fmt.Errorf("the users of the NATS server: permissions.conf has no %q", users)
	}
	text = strings.Replace(text, users, fmt.Sprintf("%s { user: %s, password: %s }", users, chaosRole, password), 1)
	for _, r := range []role{producerRole, consumerRole, sinkRole} {
		text = strings.ReplaceAll(text, "$GLEANER_"+strings.ToUpper(string(r))+"_PASSWORD", password)
	}
	text = fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n%s", b.natsAddr, b.natsDir(), text)
	file = filepath.Join(b.dir, "nats.conf")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// natsURL returns the address of the NATS server, or of a proxy before it, for a role.
func (b *testbed) natsURL(r role, addr string) string {
	if !b.keyed {
		return "nats://" + addr
	}
	return fmt.Sprintf("nats://%s:%s@%s", r, password, addr)
}

// roleOf returns the role of a program, by its name in this testbed.
func roleOf(name string) role {
	switch {
	case strings.HasPrefix(name, "consumer"):
		return consumerRole
	case strings.HasPrefix(name, "sink"), name == otherSink:
		return sinkRole
	}
	return producerRole
}
