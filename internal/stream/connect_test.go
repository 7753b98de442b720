package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/outage"
	"gleaner/internal/pipeline"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

func TestConnectSaysWhatIsWrong(t *testing.T) {
	withUsers := natsdtest.Start(t, natsd.Config{Adjust: natsdtest.Users(natsdtest.User("alice", "secret", []string{">"}, []string{">"}))})
	address := strings.TrimPrefix(withUsers.URL(), "nats://")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	must(t, err)
	t.Cleanup(func() { silent.Close() })

	web := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Sign in</html>")) }))
	t.Cleanup(page.Close)
	secure := func(adjust func(*server.Options)) string {
		nats := natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) {
			o.TLSConfig, o.TLS, o.TLSTimeout = web.TLS.Clone(), true, 2
			if adjust != nil {
				adjust(o)
			}
		}})
		return strings.SplitN(nats.URL(), "://", 2)[1]
	}
	withTLS, first := secure(nil), secure(func(o *server.Options) { o.TLSHandshakeFirst = true })
	proxy := says(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>")
	closed := says(t, "")

	for name, c := range map[string]struct {
		cfg   Config
		class pipeline.Class
		parts []string
	}{
		"TLS against plain":      {Config{URL: "tls://" + address}, pipeline.Retryable, []string{"speaks without TLS: use nats://"}},
		"plain against TLS":      {Config{URL: "nats://" + withTLS}, pipeline.Retryable, []string{"certificate is not trusted", "SSL_CERT_FILE=PATH"}}, // it goes over to TLS by itself
		"an unknown certificate": {Config{URL: "wss://" + web.Listener.Addr().String()}, pipeline.Retryable, []string{"certificate is not trusted", "no proxy on the way"}},
		"TLS first":              {Config{URL: "nats://" + first}, pipeline.Retryable, []string{"handshake_first"}},
		"a web server":           {Config{URL: "nats://" + page.Listener.Addr().String()}, pipeline.Retryable, []string{"does not answer as NATS", "a network's sign-in page"}},
		"a sign-in page, ws":     {Config{URL: "ws://" + page.Listener.Addr().String()}, pipeline.Retryable, []string{"check that it is a NATS server", "a network's sign-in page"}},
		"a sign-in page, wss":    {Config{URL: "wss://" + page.Listener.Addr().String()}, pipeline.Retryable, []string{"speaks without TLS", "a network's sign-in page"}},
		"WebSocket against NATS": {Config{URL: "ws://" + address}, pipeline.Retryable, []string{"the scheme is right"}},
		"an HTTP proxy":          {Config{URL: "nats://" + proxy}, pipeline.Retryable, []string{"INFO not received", "an HTTP proxy"}},
		"an HTTP proxy, TLS":     {Config{URL: "tls://" + proxy}, pipeline.Retryable, []string{"INFO not received", "an HTTP proxy"}},
		"closed at once":         {Config{URL: "nats://" + closed}, pipeline.Retryable, []string{"takes the connection and ends it"}},
		"no address":             {Config{}, pipeline.Fatal, []string{"NATS_URL", "nats://host:4222"}},
		"not an address":         {Config{URL: "nats://u:secret@ho st:4222"}, pipeline.Fatal, []string{"nats://host:4222"}},
		"wrong scheme":           {Config{URL: "https://u:secret@host"}, pipeline.Fatal, []string{"begins with https://"}},
		"no server":              {Config{URL: "nats://u:secret@127.0.0.1:1"}, pipeline.Retryable, []string{"nats://127.0.0.1:1", "connection refused", "NATS_URL"}},
		"no answer":              {Config{URL: silent.Addr().String()}, pipeline.Retryable, []string{silent.Addr().String(), "does not answer as NATS", "the scheme"}},
		"no such host":           {Config{URL: "nats://no-such-host.invalid:4222"}, pipeline.Retryable, []string{"no-such-host.invalid"}},
		"wrong password":         {Config{URL: "nats://alice:not-secret@" + address}, pipeline.Fatal, []string{"NATS_CREDS", address}},
		"no credentials":         {Config{URL: withUsers.URL()}, pipeline.Fatal, []string{"NATS_CREDS"}},
		"no such file":           {Config{URL: "x", Creds: "missing.creds"}, pipeline.Fatal, []string{"missing.creds", ".creds file, or its content"}},
		"only the seed":          {Config{URL: "x", Creds: "SUsecretAAAAAAAAA"}, pipeline.Fatal, []string{"no user JWT"}},
		"user with a dot":        {Config{URL: "x", User: "a.b"}, pipeline.Fatal, []string{`"a.b"`}},
		"no server twice":        {Config{URL: "127.0.0.1:1,127.0.0.1:2"}, pipeline.Retryable, []string{"127.0.0.1:1", "127.0.0.1:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Timeout = 8 * time.Second // a greeting may take long on a busy machine
			_, err := Connect(context.Background(), c.cfg)
			wantError(t, err, c.class, c.parts...)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

// says returns the address of a server that says this to each client, and ends the connection.
func says(t *testing.T, what string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(what))
			_ = conn.Close()
		}
	})
	return listener.Addr().String()
}

func TestConnectEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, Config{URL: "nats://127.0.0.1:1", Timeout: time.Hour}); err == nil {
		t.Error("no error")
	}
}

func TestConnectWaitsForAServerThatIsStarting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	url := "nats://" + l.Addr().String()
	must(t, l.Close())

	connected := make(chan error, 1)
	go func() {
		c, err := Connect(context.Background(), Config{URL: url})
		if err == nil {
			c.Close()
		}
		connected <- err
	}()
	natsdtest.Start(t, natsd.Config{Port: port})
	must(t, <-connected)
}

func TestCredentialsAreAPathOrTheirContentEvenWithoutLineBreaks(t *testing.T) {
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{UserName: "gpu-1"})
	path := filepath.Join(t.TempDir(), "user.creds")
	must(t, os.WriteFile(path, []byte(creds), 0o600))
	for name, value := range map[string]string{
		"path": path, "content": creds, "flat": strings.ReplaceAll(creds, "\n", " "),
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, Config{URL: server.URL(), Creds: value})
			must(t, c.Ensure(t.Context()))
			if diff := cmp.Diff("_INBOX_gpu-1", c.nc.Opts.InboxPrefix); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConnectedServerMayComeAndGo(t *testing.T) {
	t.Parallel()
	server := serve(t)
	log, logs := observed()
	c := connect(t, Config{URL: server.URL(), Log: log})
	must(t, c.Healthy(t.Context()))
	server.Shutdown()
	eventually(t, func() bool { return c.Healthy(t.Context()) != nil }, func() string { return "healthy without a server" })
	server.Restart()
	eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return "not healthy again" })
	eventually(t, func() bool { return logs.Len() >= 2 }, func() string { return "nothing logged" })
	var lines []string
	for _, e := range logs.All() {
		lines = append(lines, e.Message)
	}
	if diff := cmp.Diff([]string{"lost the connection to NATS, trying to connect again", "connected to NATS again"}, lines); diff != "" {
		t.Error(diff)
	}
}

// An outage that is longer than a call waits for passes in the end: it is no reason to give up.
func TestAnOutageIsRetryableAlsoWithoutJetStream(t *testing.T) {
	t.Parallel()
	var without atomic.Bool
	server := natsdtest.Start(t, natsd.Config{Adjust: func(o *server.Options) { o.JetStream = !without.Load() }})
	c := ready(t, Config{URL: server.URL()})
	isOutage := func(what string) {
		t.Helper()
		ctx := outage.WithPatience(t.Context(), 2*time.Second) // without a patience they wait
		_, err := c.Depth(ctx, "r")
		var failure *pipeline.Failure
		if !errors.As(err, &failure) || failure.Class != pipeline.Retryable {
			t.Errorf("%s: %v", what, err)
		}
		if err := c.Ensure(ctx); !errors.As(err, &failure) || failure.Class != pipeline.Retryable {
			t.Errorf("%s: Ensure: %v", what, err)
		}
	}
	server.Shutdown()
	isOutage("no server")
	without.Store(true)
	server.Restart()
	eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return "not healthy again" })
	isOutage("no JetStream any more")
	without.Store(false)
	server.Restart()
	eventually(t, func() bool { _, err := c.Depth(t.Context(), "r"); return err == nil }, func() string { return "it does not come back" })
}

func TestOneConnectionTooManyIsSaid(t *testing.T) {
	t.Parallel()
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{MaxConnections: 1})
	connect(t, Config{URL: server.URL(), Creds: creds})
	_, err := Connect(t.Context(), Config{URL: server.URL(), Creds: creds, Timeout: 3 * time.Second})
	wantError(t, err, pipeline.Retryable, "maximum account active connections", "end another program")
}

func TestAPatientProgramWaitsForAConnectionOfTheAccountAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{MaxConnections: 1})
	first := connect(t, Config{URL: server.URL(), Creds: creds})
	log, logs := observed()
	got := make(chan error, 1)
	const timeout = 3 * time.Second // which is over when the connection is free
	began := time.Now()
	go func() {
		c, err := Connect(context.Background(), Config{URL: server.URL(), Creds: creds, Patient: true, Timeout: timeout, Log: log})
		if err == nil {
			c.Close()
		}
		got <- err
	}()
	eventually(t, func() bool { return logs.Len() > 0 && time.Since(began) > timeout }, func() string { return "nothing is said" })
	first.Close()
	must(t, <-got)
	if n := logs.FilterMessageSnippet("all connections of the NATS account are in use").Len(); n != 1 || logs.Len() != 1 {
		t.Errorf("it said %v", logs.All())
	}
}

func TestAPatientProgramThatStartsBeforeTheServerSaysWhatToCheckAndGoesOn(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	url, port := "nats://"+l.Addr().String(), l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	log, logs := observed()
	got := make(chan error, 1)
	go func() {
		c, err := Connect(context.Background(), Config{URL: url, Patient: true, Timeout: 100 * time.Millisecond, Log: log, sayAfter: 200 * time.Millisecond})
		if err == nil {
			c.Close()
		}
		got <- err
	}()
	eventually(t, func() bool { return logs.Len() > 0 }, func() string { return "nothing is said" })
	natsdtest.Start(t, natsd.Config{Port: port})
	must(t, <-got)
	if n := logs.FilterMessageSnippet("there is no connection to NATS yet").Len(); n != 1 || logs.Len() != 2 || !strings.Contains(fmt.Sprint(logs.All()[0].ContextMap()), "check the address (NATS_URL) and that a NATS server runs there") {
		t.Errorf("it said %v", logs.All())
	}
}

// Credentials that expire end no program: new ones in the same file are taken at the next try.
func TestCredentialsThatExpireAreToldOnceAndNewOnesInTheFileAreTaken(t *testing.T) {
	t.Parallel()
	server, team := natsdtest.StartTeam(t, natsdtest.Limits{})
	path := filepath.Join(t.TempDir(), "user.creds")
	put := func(expires time.Time) {
		must(t, os.WriteFile(path, []byte(team.Creds(natsdtest.Limits{UserName: "u", UserExpires: expires})), 0o600))
	}
	put(time.Now().Add(5 * time.Second)) // time enough to connect on a busy machine
	log, logs := observed()
	c := connect(t, Config{URL: server.URL(), Creds: path, Log: log})
	told := func() bool { return logs.FilterMessageSnippet("the credentials expired on ").Len() > 0 }
	eventually(t, told, func() string { return fmt.Sprint(logs.All()) })
	put(time.Time{})
	eventually(t, func() bool { return c.Healthy(t.Context()) == nil }, func() string { return fmt.Sprint("not healthy again: ", logs.All()) })
	if n := logs.FilterMessageSnippet("the credentials expired on ").Len(); n != 1 || logs.Len() > 5 {
		t.Errorf("it said %v", logs.All())
	}
}

func TestRevokedCredentialsAreToldOnce(t *testing.T) {
	t.Parallel()
	server, team := natsdtest.StartTeam(t, natsdtest.Limits{})
	creds := team.Creds(natsdtest.Limits{UserName: "u"})
	log, logs := observed()
	connect(t, Config{URL: server.URL(), Creds: creds, Log: log})
	team.Revoke()
	server.Restart()
	told := func() bool { return logs.FilterMessageSnippet("were they revoked?").Len() > 0 }
	eventually(t, told, func() string { return fmt.Sprint(logs.All()) })
	_, err := Connect(t.Context(), Config{URL: server.URL(), Creds: creds})
	wantError(t, err, pipeline.Fatal, "were they revoked?", "NATS_CREDS")
	if n := logs.FilterMessageSnippet("were they revoked?").Len(); n != 1 || logs.Len() > 3 {
		t.Errorf("it said %v", logs.All())
	}
}

// Each pull takes a subscription. If the account allows fewer, the log says so, and the pulls that
// have one bring the work.
func TestTooFewSubscriptionsAreSaid(t *testing.T) {
	t.Parallel()
	server, creds := natsdtest.StartAccount(t, natsdtest.Limits{MaxSubscriptions: 2}) // one for all answers, one for a pull
	log, logs := observed()
	c := ready(t, Config{URL: server.URL(), Creds: creds, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	source := c.Work("r")
	got := make(chan int, 20)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				d, err := source.Next(ctx)
				if err != nil {
					return
				}
				got <- d.Body.Batch
				_ = d.Ack(context.Background())
			}
		})
	}
	for i := range 20 {
		must(t, c.Publish(t.Context(), testWork("r", i)))
	}
	eventually(t, func() bool { return logs.FilterMessageSnippet("a consumer for each GPU").Len() == 1 }, func() string { return fmt.Sprint(logs.All()) })
	for range 20 {
		<-got
	}
	cancel()
	workers.Wait()
	t.Log(logs.All())
}

func TestClosingTwiceDoesNothing(t *testing.T) {
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(server.Shutdown)
	c := connect(t, Config{InProcess: server, Log: zap.NewNop()})
	c.Close()
	c.Close()
	if err := c.Publish(t.Context(), testWork("r", 0)); pipeline.ClassOf(err) != pipeline.Interrupted {
		t.Error(err)
	}
}

// A dead connection is found after the pings that may be without an answer, and one more.
func TestADeadConnectionIsFoundAfterFifteenSeconds(t *testing.T) {
	c := connect(t, Config{URL: serve(t).URL()})
	if found := time.Duration(c.nc.Opts.MaxPingsOut+1) * c.nc.Opts.PingInterval; found != 15*time.Second {
		t.Errorf("it is found after %s", found)
	}
}
