//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A process is a program that is kept running: whenever it ends, for any reason, it is started
// again, until it has ended with a code that means its work is done, or end is called.
type process struct {
	processConfig

	mu           sync.Mutex
	cmd          *exec.Cmd
	started      time.Time
	held         int  // faults that keep it down for now
	provoked     bool // an exit with code 1 is what a fault wants
	ending       bool
	starts       int
	violations   []string // what it did that no program may do
	failedStarts int      // exits with code 1 soon after the start, as when a server is away at that moment
	final        int
	changed      *sync.Cond
	over         chan struct{} // closed when it will not be started again
}

// soonAfterStart is how long a program may take to find out that it cannot start: it waits for its
// servers during that time.
const soonAfterStart = 12 * time.Second

// startAgain is the time before a program that has ended by itself is started again, as service
// managers leave one.
const startAgain = 200 * time.Millisecond

// A processConfig says what is run.
type processConfig struct {
	name string
	args []string // the program first
	env  []string
	log  *os.File            // standard output and error of all starts
	done func(code int) bool // which exit codes mean that its work is done; nil: none
}

func newProcess(cfg processConfig) *process {
	p := &process{processConfig: cfg, over: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	go p.supervise()
	return p
}

// supervise starts the program again and again.
func (p *process) supervise() {
	defer close(p.over)
	for {
		cmd, err := p.start()
		if cmd == nil {
			if err != nil {
				p.violate("does not start: %v", err)
			}
			return
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.violate("waiting for it: %v", err)
		}
		if p.ended(cmd) {
			return
		}
	}
}

// start starts the program once it may run. It returns nil if the process is to end.
func (p *process) start() (*exec.Cmd, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starts > 0 && p.held == 0 && !p.ending { // as a service manager does, not at once
		p.mu.Unlock()
		time.Sleep(startAgain)
		p.mu.Lock()
	}
	for p.held > 0 && !p.ending {
		p.changed.Wait()
	}
	if p.ending {
		return nil, nil
	}
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the terminal is not theirs
	p.starts++
	fmt.Fprintf(p.log, "--- %s start %d of %s\n", time.Now().Format("15:04:05.000"), p.starts, p.name)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.cmd, p.started = cmd, time.Now()
	p.changed.Broadcast()
	return cmd, nil
}

// ended records how the program ended, and reports whether it is not to be started again.
func (p *process) ended(cmd *exec.Cmd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	p.changed.Broadcast()
	code, status := cmd.ProcessState.ExitCode(), cmd.ProcessState.Sys().(syscall.WaitStatus)
	lived := time.Since(p.started)
	fmt.Fprintf(p.log, "--- %s ended: %s after %s\n", time.Now().Format("15:04:05.000"), cmd.ProcessState, lived.Round(time.Millisecond))
	p.final = code
	switch {
	case p.done != nil && p.done(code):
		return true
	case p.held > 0 || p.ending || p.provoked && code == 1 || status.Signaled() && status.Signal() == syscall.SIGKILL:
	case code == 1 && lived < soonAfterStart:
		p.failedStarts++
	default:
		p.violations = append(p.violations, fmt.Sprintf("%s ended by itself after %s: %s", p.name, lived.Round(time.Second), cmd.ProcessState))
	}
	return p.ending
}

func (p *process) violate(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.violations = append(p.violations, p.name+" "+fmt.Sprintf(format, args...))
}

// signal sends a signal to the program if it runs.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may end this moment
	}
}

// down ends the program with a signal, waits for that, and keeps it down until up was called as
// often as down: faults may overlap.
func (p *process) down(s syscall.Signal, grace time.Duration) {
	p.mu.Lock()
	p.held++
	p.mu.Unlock()
	p.signal(s)
	killer := time.AfterFunc(grace, func() { p.violate("did not end within %s of %s", grace, s); p.signal(syscall.SIGKILL) })
	defer killer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cmd != nil {
		p.changed.Wait()
	}
}

func (p *process) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
	p.changed.Broadcast()
}

// provoke says whether the program may end by itself with code 1 from now on.
func (p *process) provoke(may bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.provoked = may
}

// startedAs returns the number of the start that runs now; 0 if none does.
func (p *process) startedAs() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.starts
}

// end ends the program for good and returns its exit code.
func (p *process) end(s syscall.Signal, grace time.Duration) int {
	p.mu.Lock()
	p.ending = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.signal(syscall.SIGCONT) // a stopped program would not get the other signal
	p.signal(s)
	killer := time.AfterFunc(grace, func() { p.violate("did not end within %s of %s", grace, s); p.signal(syscall.SIGKILL) })
	defer killer.Stop()
	<-p.over
	return p.final
}
