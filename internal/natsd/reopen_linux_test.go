package natsd_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/natsd"
	"gleaner/internal/natsd/natsdtest"
)

func TestAServerWhoseDiskWasFullIsOpenedAgainWhenThereIsRoom(t *testing.T) {
	natsdtest.OnSmallDisk(t, 40<<20, func(dir string) {
		var mu sync.Mutex
		var warnings []string
		server, err := natsd.Start(natsd.Config{Dir: dir, Port: -1, SyncAlways: true, Warn: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			warnings = append(warnings, line)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Shutdown()
		url := server.URL()
		client, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		js, err := jetstream.New(client)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}, MaxBytes: 16 << 20}); err != nil {
			t.Fatal(err)
		}
		publish := func() error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := js.Publish(short, "s", make([]byte, 100<<10))
			return err
		}
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		free := natsdtest.FillDisk(t, dir)
		for publish() == nil { // what the server's files have room for
		}
		free()
		began := time.Now()
		for err := publish(); err != nil; err = publish() {
			if ctx.Err() != nil || time.Since(began) > 10*time.Second {
				t.Fatalf("%s after there was room: %v", time.Since(began), err)
			}
		}
		t.Logf("it stores again after %s", time.Since(began))
		if server.URL() != url {
			t.Errorf("its address was %s and is %s", url, server.URL())
		}
		stream, err := js.Stream(ctx, "s")
		if err != nil || stream.CachedInfo().State.Msgs < 2 {
			t.Errorf("what was stored before is gone: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if all := strings.Join(warnings, "\n"); strings.Count(all, "no space left") > 1 || !strings.Contains(all, "the disk is full") && !strings.Contains(all, "no space left") ||
			!strings.Contains(all, "open again") {
			t.Errorf("it says:\n%s", all)
		}
	})
}
