package local

import (
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
)

// A NoServerError is the error that no real model server answers where one should be.
type NoServerError struct {
	URL       string
	Simulated bool  // one answers that is simulated
	Err       error // why none answers
}

// Error names the two ways to go on, with commands in lines of their own.
func (e *NoServerError) Error() string {
	problem := fmt.Sprintf("no model server answers at %s (%v)", e.URL, e.Err)
	if e.Simulated {
		problem = fmt.Sprintf("the model server at %s is simulated, and its answers mean nothing", e.URL)
	}
	_, missing := exec.LookPath("ollama")
	return fmt.Sprintf("%s.\nEither start Ollama, and give the same command again:\n  %s\nor add --simulate to try everything out: the answers are made up then, and mean nothing",
		problem, strings.ReplaceAll(startOllama(runtime.GOOS, missing == nil, e.URL), "\n", "\n  "))
}

// startOllama returns the commands that start an Ollama server at an address on a system, and get
// it first where it is not installed.
func startOllama(system string, installed bool, address string) string {
	u, err := url.Parse(address)
	if err != nil || !isHere(u.Hostname()) {
		return "OLLAMA_HOST=0.0.0.0 ollama serve    # on that machine"
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
	return get + "    # unless it is installed; other ways to get it: https://ollama.com/download\n" + serve + "    # unless the line above has started it"
}

// isHere reports whether a host is this machine.
func isHere(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
