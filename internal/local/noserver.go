package local

import (
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"runtime"
)

// A NoServerError is the error that no real model server answers where one should be.
type NoServerError struct {
	URL       string
	Simulated bool  // one answers that is simulated
	Err       error // why none answers
}

// Error names the two ways to go on.
func (e *NoServerError) Error() string {
	problem := fmt.Sprintf("no model server answers at %s (%v)", e.URL, e.Err)
	if e.Simulated {
		problem = fmt.Sprintf("the model server at %s is simulated, and its answers mean nothing", e.URL)
	}
	_, missing := exec.LookPath("ollama")
	return fmt.Sprintf("%s. Start Ollama: %s; then give the same command again. Or add --simulate, to try everything out with answers that are made up and mean nothing",
		problem, startOllama(runtime.GOOS, missing == nil, e.URL))
}

func (e *NoServerError) Unwrap() error { return e.Err }

// startOllama returns how to start an Ollama server at an address on a system, and how to get it
// where it is not installed.
func startOllama(system string, installed bool, address string) string {
	u, err := url.Parse(address)
	if err != nil || !isHere(u.Hostname()) {
		return "OLLAMA_HOST=0.0.0.0 ollama serve, on that machine"
	}
	serve := "ollama serve"
	if u.Port() != "11434" {
		serve = "OLLAMA_HOST=" + u.Host + " " + serve
		if system == "windows" {
			serve = "$env:OLLAMA_HOST=\"" + u.Host + "\"; ollama serve"
		}
	}
	if installed {
		return serve
	}
	get := "curl -fsSL https://ollama.com/install.sh | sh"
	switch system {
	case "darwin":
		get = "brew install ollama"
	case "windows":
		get = "winget install Ollama.Ollama"
	}
	return fmt.Sprintf("%s, unless it is installed, and then %s (other ways to get it: https://ollama.com/download)", get, serve)
}

// isHere reports whether a host is this machine.
func isHere(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
