package ollama_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gleaner/internal/needtest"
	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// headed answers with a status, a body and headers, which are names and values in turn.
func headed(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			if headers[i+1] != "" {
				w.Header().Set(headers[i], headers[i+1])
			}
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// failures returns how each kind of call fails.
func failures(t *testing.T, client *ollama.Client) map[string]error {
	_, generate := client.Generate(t.Context(), ask)
	_, models := client.Models(t.Context())
	return map[string]error{
		"generate": generate, "models": models,
		"ping": client.Ping(t.Context()), "warm up": client.WarmUp(t.Context(), "m"), "pull": client.Pull(t.Context(), "m", nil),
	}
}

const nginx502 = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n" +
	"<hr><center>nginx/1.18.0 (Ubuntu)</center>\r\n</body>\r\n</html>\r\n<!-- a padding to disable a friendly error page -->\r\n"

func TestAPageIsOneLine(t *testing.T) {
	long := strings.Repeat("all work and no play ", 100)
	for _, test := range []struct {
		status       int
		server, body string
		class        pipeline.Class
		says         string
	}{
		{502, "nginx/1.18.0 (Ubuntu)", nginx502, pipeline.Retryable, ": 502 Bad Gateway from nginx/1.18.0 (Ubuntu)"},
		{504, "cloudflare", "<!DOCTYPE html><title>example.org | 504: Gateway time-out</title><style>body{}</style>", pipeline.Retryable, "504 Gateway Timeout from cloudflare: example.org | 504: Gateway time-out"},
		{500, "", "<h1>Oops &amp; sorry</h1><p>" + long, pipeline.Retryable, "500 Internal Server Error: Oops & sorry"},
		{520, "", "<script>var a = '<b>'</script><p>" + long, pipeline.Retryable, "520: all work and no play"},
		{500, "", "a\x1b[31m\nb", pipeline.Retryable, "500 Internal Server Error: a [31m b"},
		{500, "", "", pipeline.Retryable, "500 Internal Server Error"},
		{400, "nginx", "<title>400 The plain HTTP request was sent to HTTPS port</title>", pipeline.Fatal, "use https://127.0.0.1:"},
		{400, "", "Client sent an HTTP request to an HTTPS server.\n", pipeline.Fatal, "use https://127.0.0.1:"},
		{413, "nginx", "<title>413 Request Entity Too Large</title>", pipeline.BadItem, "413"},
		{501, "", "<p>Unsupported method ('POST')", pipeline.Fatal, "is that the address of an Ollama server?"},
		{200, "nginx", "<!DOCTYPE html><html><body>Please sign in</body></html>", pipeline.Retryable, "200 OK from nginx: Please sign in: is that the address of an Ollama server, or of a login in front of it?"},
	} {
		_, err := serve(t, ollama.Config{}, headed(test.status, test.body, "Server", test.server)).Generate(t.Context(), ask)
		switch {
		case err == nil || pipeline.ClassOf(err) != test.class:
			t.Errorf("status %d: class %s, want %s: %v", test.status, pipeline.ClassOf(err), test.class, err)
		case !strings.Contains(err.Error(), test.says):
			t.Errorf("status %d: it does not say %q: %v", test.status, test.says, err)
		case strings.ContainsAny(err.Error(), "<>\n\r\x1b") || len(err.Error()) > 400:
			t.Errorf("status %d: it is no line: %q", test.status, err)
		}
		if page := pageOf(err); len(page) > 160 {
			t.Errorf("status %d: the page takes %d bytes: %q", test.status, len(page), page)
		}
	}
}

// pageOf returns what the innermost error says.
func pageOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

func TestAPageIsNeverAnAnswer(t *testing.T) {
	for _, kind := range []string{"text/html; charset=utf-8", "application/json"} {
		client := serve(t, ollama.Config{}, headed(200, "\n<html><body>Please sign in</body></html>", "Content-Type", kind))
		for what, err := range failures(t, client) {
			if pipeline.ClassOf(err) != pipeline.Retryable || err == nil || !strings.Contains(err.Error(), "Please sign in") || strings.Contains(err.Error(), "<") {
				t.Errorf("%s, %s: class %s: %v", kind, what, pipeline.ClassOf(err), err)
			}
		}
	}
}

func TestARedirectIsNamedAndNotFollowed(t *testing.T) {
	reached := make(chan string, 100)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Method + " " + r.URL.Path }))
	t.Cleanup(other.Close)
	for _, test := range []struct {
		status   int
		location func(host, path string) string
		says     string
	}{
		{301, func(_, path string) string { return other.URL + "/ollama" + path }, "to another host, "},
		{308, func(_, path string) string { return "https://u:secret@models.example" + path }, "another host, https://models.example, to which"},
		{301, func(host, path string) string { return "https://" + host + path }, "use https://127.0.0.1"},
		{307, func(host, path string) string { return "/v2" + path }, "use http://127.0.0.1"},
		{302, func(host, path string) string { return "/login?next=" + path + "&key=secret" }, "/login: does a login stand in front of the server?"},
		{302, func(host, path string) string { return "" }, "does not say where"},
	} {
		client := serve(t, ollama.Config{}, func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := strings.Cut(r.Host, ":")
			if to := test.location(host, r.URL.Path); to != "" {
				w.Header().Set("Location", strings.Replace(to, "http://127.0.0.1:", "http://localhost:", 1))
			}
			w.WriteHeader(test.status)
		})
		for what, err := range failures(t, client) {
			switch {
			case pipeline.ClassOf(err) != pipeline.Fatal || err == nil:
				t.Errorf("%s, %s: class %s: %v", what, test.says, pipeline.ClassOf(err), err)
			case !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "/api/chat"):
				t.Errorf("%s: it does not say %q, or too much: %v", what, test.says, err)
			}
		}
	}
	select {
	case what := <-reached:
		t.Errorf("another server was asked %s", what)
	default:
	}
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	for _, test := range []struct {
		user, key    string
		status       int
		wants, body  string
		says, silent string
	}{
		{"", "", 401, `Basic realm="x"`, "<h1>401 Authorization Required</h1>", "http://USER:PASSWORD@127.0.0.1", "OLLAMA_API_KEY"},
		{"", "", 401, "Bearer", says("unauthorized"), "a key goes into OLLAMA_API_KEY", "PASSWORD@"},
		{"", "", 401, "", "", "a key goes into OLLAMA_API_KEY", "sign-in"},
		{"bob:hidden-word@", "", 401, `Basic realm="x"`, "", "it refuses the user and password of its address", "hidden-word"},
		{"bob:hidden-word@", "", 401, "Bearer", "", "a key goes into OLLAMA_API_KEY", "hidden-word"},
		{"", "hidden-word", 401, "Bearer", says("hidden-word is no valid key"), "it refuses the key in OLLAMA_API_KEY", "hidden-word"},
		{"", "", 403, "", "<title>403 Forbidden</title>", "credentials may be missing", "sign-in"},
		{"", "hidden-word", 403, "", "", "it refuses the key in OLLAMA_API_KEY", "hidden-word"},
		{"", "", 403, "", says("remote inference is unavailable"), "remote inference is unavailable", "OLLAMA_API_KEY"},
		{"", "", 401, "", `{"error":"unauthorized","signin_url":"https://x"}`, "Ollama's cloud", "OLLAMA_API_KEY"},
	} {
		server := httptest.NewServer(headed(test.status, test.body, "WWW-Authenticate", test.wants))
		client := dial(t, strings.Replace(server.URL, "://", "://"+test.user, 1), ollama.Config{Key: test.key})
		for what, err := range failures(t, client) {
			if pipeline.ClassOf(err) != pipeline.Fatal || err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), test.silent) {
				t.Errorf("%s: class %s, want %q and not %q: %v", what, pipeline.ClassOf(err), test.says, test.silent, err)
			}
		}
		server.Close()
	}
}

func TestCredentialsAreSentWithEveryRequestAndShownNowhere(t *testing.T) {
	for _, test := range []struct{ user, key, want string }{
		{"bob:s3cret!@", "", "Basic Ym9iOnMzY3JldCE="},
		{"bob:s%2C%403cret@", "", "Basic Ym9iOnMsQDNjcmV0"},
		{"bob:s3cret!@", "the-key", "Basic Ym9iOnMzY3JldCE="},
		{"", " the-key\n", "Bearer the-key"},
		{"", "", ""},
	} {
		asked := map[string]string{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[r.URL.Path] = r.Header.Get("Authorization")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "<title>%s %s</title>", r.Header.Get("Authorization"), test.user)
		}))
		client := dial(t, strings.Replace(server.URL, "://", "://"+test.user, 1), ollama.Config{Key: test.key})
		all := failures(t, client)
		all["create"] = client.Create(t.Context(), "m", "middlemen_test.go", nil)
		for what, err := range all {
			if err == nil || test.want != "" && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "the-key") || strings.Contains(err.Error(), strings.Fields(test.want)[1])) {
				t.Errorf("%s: there was no error, or it shows the secret: %v", what, err)
			}
		}
		if client.URL() != server.URL {
			t.Errorf("its address is shown as %s, want %s", client.URL(), server.URL)
		}
		server.Close()
		if len(asked) < 6 {
			t.Errorf("only these were asked: %v", asked)
		}
		for path, got := range asked {
			if got != test.want {
				t.Errorf("%s was asked with %q, want %q", path, got, test.want)
			}
		}
	}
}

func TestAKeyThatIsNoneIsRefusedWithoutShowingIt(t *testing.T) {
	_, err := ollama.New("gpu1", ollama.Config{Key: "half a key\nand the rest"})
	if err == nil || !strings.Contains(err.Error(), ollama.EnvKey) || strings.Contains(err.Error(), "half") {
		t.Errorf("the error is %v", err)
	}
}

func TestAServerThatHangsUpMayWantTLS(t *testing.T) {
	client := serve(t, ollama.Config{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err := client.Ping(t.Context()); err == nil || pipeline.ClassOf(err) != pipeline.Retryable || !strings.Contains(err.Error(), "if it wants TLS, use https://127.0.0.1") {
		t.Errorf("class %s: %v", pipeline.ClassOf(err), err)
	}
}

func TestTheWrongSchemeIsNamed(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	secure := httptest.NewUnstartedServer(status(200, ""))
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	open := httptest.NewServer(status(200, ""))
	t.Cleanup(open.Close)
	for url, says := range map[string]string{
		strings.Replace(secure.URL, "https://", "http://", 1): "use " + secure.URL,
		strings.Replace(open.URL, "http://", "https://", 1):   "use " + open.URL,
		secure.URL: "SSL_CERT_FILE",
	} {
		err := dial(t, url, ollama.Config{}).Ping(t.Context())
		if pipeline.ClassOf(err) != pipeline.Fatal || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: class %s, want %q: %v", url, pipeline.ClassOf(err), says, err)
		}
	}
}

// A process reads the certificates that it trusts once, so a second one is asked.
func TestAPrivateAuthorityIsTrustedBySSLCertFile(t *testing.T) {
	const address = "GLEANER_TEST_TLS"
	if url := os.Getenv(address); url != "" {
		if err := dial(t, url, ollama.Config{}).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		needtest.Skip(t, "here the system's own store decides, SSL_CERT_FILE does not count")
	}
	server := httptest.NewUnstartedServer(status(200, `{"version":"0.17.4"}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "authority.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for trusted, env := range map[bool]string{true: "SSL_CERT_FILE=" + file, false: "SSL_CERT_FILE="} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), address+"="+server.URL, env)
		said, err := again.CombinedOutput()
		if (err == nil) != trusted || !trusted && !strings.Contains(string(said), "SSL_CERT_FILE") {
			t.Errorf("with %s: %v\n%s", env, err, said)
		}
	}
}
