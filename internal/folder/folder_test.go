package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gleaner/internal/outage"
	"gleaner/internal/stream"
)

func connect(t *testing.T, config stream.Config) *stream.Conn {
	t.Helper()
	config.MaxBytes = stream.LeastBytes
	conn, err := stream.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// While run works in a folder, another command reaches the same queue, and another run is refused.
func TestAFolderInUseLetsCommandsIn(t *testing.T) {
	dir := t.TempDir()
	config, giveBack, err := Take(t.Context(), Config{Dir: dir, Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer giveBack()
	config.OnClose = nil
	if err := connect(t, config).Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(holderPath(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the key: %v, %v; want mode 0600", info, err)
	}

	reached, err := Reach(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if owners, err := connect(t, reached).Owners(t.Context(), true); err != nil || len(owners) == 0 {
		t.Errorf("what another command sees of the streams: %v, %v", owners, err)
	}
	reached.Key = ""
	if _, err := stream.Connect(t.Context(), reached); err == nil {
		t.Error("a client without the key is let in")
	}

	if is := WorksIn(t.Context(), dir); is.PID != os.Getpid() || time.Since(is.Since) > time.Minute {
		t.Errorf("who works in the folder: %+v", is)
	}
	_, _, err = Take(t.Context(), Config{Dir: dir, Serve: true})
	if err == nil || !strings.Contains(err.Error(), "is in use by `gleaner run`, process ") {
		t.Errorf("a second run in the folder: %v", err)
	}
}

// A command that takes the folder for a moment is waited for, and leaves nothing behind.
func TestAFolderThatIsTakenForAMomentIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	reached, err := Reach(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	short := connect(t, reached)
	impatient := outage.WithPatience(t.Context(), 10*time.Millisecond)
	if _, err := Reach(impatient, dir, nil); err == nil || !strings.Contains(err.Error(), "in use by another command of Gleaner, process ") {
		t.Errorf("while another command has the folder: %v", err)
	}
	taken := make(chan error, 1)
	go func() {
		_, giveBack, err := Take(t.Context(), Config{Dir: dir, Serve: true})
		if err == nil {
			giveBack()
		}
		taken <- err
	}()
	short.Close()
	if err := <-taken; err != nil {
		t.Errorf("after the other command: %v", err)
	}
	if _, err := os.Stat(holderPath(dir)); err == nil {
		t.Error("the folder still says who had it")
	}
}

// What a killed process left in the folder says nothing about who has it now.
func TestAKilledProcessHoldsNoFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(holderPath(dir), []byte(`{"pid":1,"url":"nats://127.0.0.1:1","key":"k"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if is := WorksIn(t.Context(), dir); is.PID != 0 {
		t.Errorf("who works in the folder: %+v", is)
	}
	reached, err := Reach(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	connect(t, reached)
	if _, err := Reach(t.Context(), filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a folder that is not there is reached")
	}
}
