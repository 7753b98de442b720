package store_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
	"gleaner/internal/store/storetest"
)

// standIn listens and does this with each connection. It returns its address.
func standIn(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4<<10)) // the greeting
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// What stands between this machine and the store is said in one line, with what to do.
func TestWhatKeepsFromTheStoreIsSaidInOneLine(t *testing.T) {
	host := strings.Split(strings.SplitN(storetest.MongoURI(t), "://", 2)[1], "/")[0]
	web := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	web.Config.ErrorLog = nil
	page := standIn(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Sign in</html>"))
	})
	denies := standIn(t, func(conn net.Conn) { _, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 80}) }) // the alert of Atlas
	closed := standIn(t, func(net.Conn) {})
	waits := make(chan struct{})
	t.Cleanup(func() { close(waits) })
	silent := standIn(t, func(net.Conn) { <-waits })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()

	const soon = "serverSelectionTimeoutMS=1000&connectTimeoutMS=500"
	for name, c := range map[string]struct {
		uri  string
		says []string
	}{
		"SRV not found":                 {"mongodb+srv://u:hunter22@no-such-cluster.invalid/gleaner", []string{"no-such-cluster.invalid", "no cluster has this name", "Atlas: Connect, Drivers"}},
		"host not found":                {"mongodb://u:hunter22@no-such-host.invalid/gleaner?" + soon, []string{"no-such-host.invalid", "check the host's name"}},
		"TLS against plain":             {"mongodb://" + host + "/gleaner?tls=true&" + soon, []string{host + ": EOF", "if it speaks without TLS, remove tls=true"}},
		"plain against TLS":             {"mongodb://" + web.Listener.Addr().String() + "/gleaner?" + soon, []string{"if the server wants TLS (Atlas does), add tls=true"}},
		"an unknown certificate":        {"mongodb://" + web.Listener.Addr().String() + "/gleaner?tls=true&" + soon, []string{"x509", "tlsCAFile=PATH"}},
		"a proxy, plain":                {"mongodb://" + page + "/gleaner?" + soon, []string{"no web server, proxy or sign-in page"}},
		"a proxy, TLS":                  {"mongodb://" + page + "/gleaner?tls=true&" + soon, []string{"does not speak TLS", "a network's sign-in page"}},
		"not on the access list":        {"mongodb://" + denies + "/gleaner?tls=true&" + soon, []string{"tls: internal error", "put its IP address on the access list"}},
		"closed at once":                {"mongodb://" + closed + "/gleaner?tls=true&" + soon, []string{"with Atlas, check this machine's IP on the access list"}},
		"paused, no server":             {"mongodb://" + gone.Addr().String() + "/gleaner?tls=true&" + soon, []string{"connection refused", "may be paused"}},
		"paused, silent":                {"mongodb://" + silent + "/gleaner?tls=true&" + soon, []string{"nothing answers there", "may be paused", "blocks the port"}},
		"of several, one says most":     {"mongodb://" + silent + "," + denies + "/gleaner?tls=true&" + soon, []string{silent, denies, "put its IP address on the access list"}},
		"of several, in whatever order": {"mongodb://" + denies + "," + silent + "/gleaner?tls=true&" + soon, []string{silent, denies, "put its IP address on the access list"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := store.Open(t.Context(), c.uri)
			if err == nil {
				t.Fatal("it opened")
			}
			t.Log(err)
			if pipeline.ClassOf(err) != pipeline.Retryable || strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "topology") || strings.Contains(err.Error(), "\n") {
				t.Errorf("got a %s error %q", pipeline.ClassOf(err), err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("it does not say %q", part)
				}
			}
		})
	}
}

func TestAUserThatMayOnlyReadIsToldSoBeforeTheFirstWrite(t *testing.T) {
	proxy := storetest.NewMongoProxy(t, storetest.MongoURI(t))
	s := open(t, proxy.URI)
	if err := s.MayWrite(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.SetReadOnly()
	err := s.MayWrite(t.Context())
	t.Log(err)
	if err == nil || pipeline.ClassOf(err) != pipeline.Fatal || !strings.Contains(err.Error(), "give it the role readWrite on this database") {
		t.Errorf("got %v", err)
	}
}
