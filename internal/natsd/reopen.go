package natsd

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// watchEvery is the time between two looks at JetStream, and at the disk while it is full.
	watchEvery = time.Second
	// roomBytes is the room on the disk with which the server is opened again. With less it would
	// be full again at once.
	roomBytes = 8 << 20
)

// watch opens the server again whenever a full disk has stopped it and there is room.
func (s *Server) watch() {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	said := false
	for {
		select {
		case <-s.ending:
			return
		case <-look.C:
		}
		switch {
		case !s.isFull():
			said = false
		case hasRoom(s.cfg.Dir):
			if err := s.reopen(); err != nil {
				s.warn("the NATS server does not open again: %v", err)
				continue
			}
			s.warn("there is room on the disk again, and the NATS server is open again")
		case !said:
			said = true
			s.warn("the disk is full, so the NATS server (folder %s) stores nothing: make room, at least %d MiB; it goes on by itself", s.cfg.Dir, roomBytes>>20)
		}
	}
}

func (s *Server) warn(format string, args ...any) {
	if s.cfg.Warn != nil {
		s.cfg.Warn(fmt.Sprintf(format, args...))
	}
}

// reopen ends the server and starts another one in its place, on the same folder and address.
func (s *Server) reopen() error {
	old := s.running()
	old.Shutdown()
	old.WaitForShutdown()
	nats, log, err := run(s.cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats, s.log = nats, log
	return nil
}

// hasRoom reports whether a disk has room, by using it for a moment: a file that was only made
// long would prove nothing.
func hasRoom(dir string) bool {
	file, err := os.Create(filepath.Join(dir, "room-on-the-disk"))
	if err != nil {
		return false
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 1<<20)
	for range roomBytes / len(block) {
		if _, err := file.Write(block); err != nil {
			return false
		}
	}
	return file.Sync() == nil
}
