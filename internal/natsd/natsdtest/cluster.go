package natsdtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"gleaner/internal/natsd"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster runs n servers that know each other and returns when they have chosen a leader.
func Cluster(t testing.TB, n int) []*Server {
	t.Helper()
	routes := FreePorts(t, n)
	nodes := make([]*Server, n)
	for i := range nodes {
		nodes[i] = Start(t, natsd.Config{
			Name:   fmt.Sprintf("node-%d", i),
			Adjust: func(o *server.Options) { join(o, routes, i) },
		})
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		for _, node := range nodes {
			if node.Leads() {
				return nodes
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the cluster chose no leader within two minutes")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// URLs returns the addresses of all servers as one list for a client.
func URLs(nodes []*Server) string {
	urls := make([]string, len(nodes))
	for i, node := range nodes {
		urls[i] = node.URL()
	}
	return strings.Join(urls, ",")
}

func join(o *server.Options, routes []int, self int) {
	o.Cluster = server.ClusterOpts{Name: "gleaner", Host: "127.0.0.1", Port: routes[self]}
	for i, port := range routes {
		if i != self {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
		}
	}
}

// FreePorts returns ports that no process listens on, for servers that have to know each other's
// before they start. They are below the ephemeral ports of the system: otherwise a connection that
// is opened meanwhile could take one.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000))))
		if err != nil {
			continue // it is taken
		}
		defer l.Close() // only when all are known, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	t.Fatalf("%d free ports were not found", n)
	return nil
}

func hostPort(address string) (host string, port int, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(u.Port())
	return u.Hostname(), port, err
}
