// Package supervisetest has model servers that exist in memory only, and that fail as real ones do.
package supervisetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/pipeline"
	"gleaner/internal/supervise"
)

// A Launcher launches fake servers for one GPU and remembers them.
type Launcher struct {
	Prepare func(s *FakeServer)                                                        // called for each before it is handed out; may be nil
	Answer  func(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) // nil: after a second, a token each 100 ms
	Broken  error                                                                      // what Launch returns; see Break

	mu      sync.Mutex
	servers []*FakeServer
	starts  int
}

// Launch is a supervise.Config's Launch.
func (l *Launcher) Launch(_ context.Context, slots int) (supervise.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts++
	if l.Broken != nil {
		return nil, l.Broken
	}
	s := &FakeServer{
		Slots: slots, HasModel: true,
		Info:     pipeline.ModelInfo{Digest: "d1", ServerVersion: "0.17.4", Context: 2048, SizeBytes: 100, OnGPUBytes: 100},
		launcher: l, exited: make(chan struct{}), hung: make(chan struct{}),
	}
	if l.Prepare != nil {
		l.Prepare(s)
	}
	l.servers = append(l.servers, s)
	return s, nil
}

// Break has all further launches fail.
func (l *Launcher) Break(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Broken = err
}

// Starts returns how often Launch was called.
func (l *Launcher) Starts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.starts
}

// Servers returns all servers so far, the newest last.
func (l *Launcher) Servers() []*FakeServer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.servers)
}

// Last returns the newest server, and how many there were.
func (l *Launcher) Last() (*FakeServer, int) {
	servers := l.Servers()
	return servers[len(servers)-1], len(servers)
}

// CheckStopped fails the test unless every server was stopped.
func (l *Launcher) CheckStopped(t testing.TB) {
	t.Helper()
	for i, s := range l.Servers() {
		if !s.Stopped() {
			t.Errorf("server %d was not stopped", i)
		}
	}
}

// A FakeServer is a supervise.Server. A Launcher's Prepare may change its exported fields.
type FakeServer struct {
	Slots     int
	Info      pipeline.ModelInfo
	LoadError error
	HasModel  bool
	FetchTime time.Duration
	FirstWord time.Duration // how long the smoke test waits for its first token

	launcher *Launcher
	exited   chan struct{}
	hung     chan struct{}

	mu      sync.Mutex
	mute    bool
	chunks  int64
	busy    int
	most    int
	stopped bool
}

// Exit has the process exit by itself.
func (s *FakeServer) Exit() { close(s.exited) }

// Hang ends the flow of tokens. The server still answers pings.
func (s *FakeServer) Hang() { close(s.hung) }

// Mute ends the answers to pings.
func (s *FakeServer) Mute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = true
}

// Chunk counts n pieces of an answer.
func (s *FakeServer) Chunk(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks += int64(n)
}

// Busy returns how many requests there are now, and the most there ever were at a time.
func (s *FakeServer) Busy() (now, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, s.most
}

// Stopped reports whether Stop was called.
func (s *FakeServer) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Generate answers the smoke test by itself, and what else is asked with the launcher's Answer.
func (s *FakeServer) Generate(ctx context.Context, r pipeline.Request) (pipeline.Completion, error) {
	s.mu.Lock()
	s.busy++
	s.most = max(s.most, s.busy)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}()
	if s.launcher.Answer != nil && r.Prompt() != pipeline.CanaryPrompt {
		asked := r
		r.OnTokens = func(n int) {
			s.Chunk(n)
			asked.CountTokens(n)
		}
		return s.launcher.Answer(ctx, r)
	}
	if err := sleep(ctx, s.FirstWord); err != nil {
		return pipeline.Completion{}, err
	}
	for range 10 {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.exited:
			return pipeline.Completion{}, pipeline.Fail(pipeline.Retryable, "EOF")
		case <-ctx.Done():
			return pipeline.Completion{}, fmt.Errorf("cut: %w", context.Cause(ctx))
		}
		select {
		case <-s.hung:
			<-ctx.Done()
			return pipeline.Completion{}, fmt.Errorf("cut: %w", context.Cause(ctx))
		default:
		}
		s.Chunk(1)
		r.CountTokens(1)
	}
	return pipeline.Completion{Text: "42", Finish: "stop", OutputTokens: 10}, nil
}

// WaitReady takes a second.
func (s *FakeServer) WaitReady(ctx context.Context) error { return sleep(ctx, time.Second) }

func sleep(ctx context.Context, d time.Duration) error {
	if outage.Sleep(ctx, d) != nil {
		return &pipeline.Failure{Class: pipeline.Interrupted, Err: context.Cause(ctx)}
	}
	return nil
}

// FetchModel takes the FetchTime, in ten steps, if there is no model.
func (s *FakeServer) FetchModel(ctx context.Context, _ string, progress func(string, int64, int64)) (bool, error) {
	if s.HasModel {
		return false, nil
	}
	for i := range int64(10) {
		if err := sleep(ctx, s.FetchTime/10); err != nil {
			return false, err
		}
		progress("pulling layer", i+1, 10)
	}
	return true, nil
}

// WarmUp takes three seconds, or returns the LoadError.
func (s *FakeServer) WarmUp(ctx context.Context, _ string) error {
	select {
	case <-s.hung:
		<-ctx.Done()
		return ctx.Err()
	default:
	}
	if s.LoadError != nil {
		return s.LoadError
	}
	return sleep(ctx, 3*time.Second)
}

// Loaded returns the Info.
func (s *FakeServer) Loaded(context.Context, string) (pipeline.ModelInfo, error) {
	return s.Info, nil
}

// Ping returns nil unless the server is mute.
func (s *FakeServer) Ping(ctx context.Context) error {
	s.mu.Lock()
	mute := s.mute
	s.mu.Unlock()
	if mute {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// Chunks returns how many tokens have come.
func (s *FakeServer) Chunks() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks
}

// Exited is closed by Exit.
func (s *FakeServer) Exited() <-chan struct{} { return s.exited }

// ExitError returns that of a process that was killed.
func (s *FakeServer) ExitError() error { return errors.New("the server ended by itself: killed") }

// Log returns one line.
func (s *FakeServer) Log() []string { return []string{"last words"} }

// Stop is what CheckStopped checks.
func (s *FakeServer) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return nil
}
