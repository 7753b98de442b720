package local_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gleaner/internal/natsd"
)

const mebibyte = 1 << 20

// Every program that makes streams lets a person choose their size, by flag or by environment; the
// sink takes the same variable, and makes none.
func TestTheSizeOfTheStreamsCanBeChosen(t *testing.T) {
	t.Parallel()
	p := withNATS(t)
	url := strings.TrimPrefix(p.env[len(p.env)-1], "NATS_URL=")
	p.run("producer", "load", "--run", "r", "--input", rows(t), "--field", "question", "--simulate", "--model", "sim")
	checkSize := func(after string, want int64) {
		t.Helper()
		if got := streamBytes(t, url); got > want || got < want/2 {
			t.Errorf("after %s the streams may hold %d MiB, want %d", after, got/mebibyte, want/mebibyte)
		}
	}
	p.run("producer", "publish", "--run", "r", "--max-bytes", "64MiB")
	checkSize("publish --max-bytes", 64*mebibyte)
	env := p.env
	p.env = append(slices.Clone(env), "GLEANER_MAX_BYTES=128MiB")
	sink := p.start("sink", "serve")
	sink.WaitFor("writing results to the store")
	sink.Stops()
	checkSize("a sink with the variable", 64*mebibyte)
	p.run("producer", "publish", "--run", "r")
	checkSize("publish with the variable", 128*mebibyte)
	p.env = append(slices.Clone(env), "GLEANER_MAX_BYTES=32MiB")
	p.run("gleaner", "publish", "--run", "r")
	checkSize("publish with a smaller size", 128*mebibyte)

	sink = p.start("gleaner", "sink", "--max-bytes", "1GiB")
	sink.WaitFor("writing results to the store")
	sink.Stops()
	checkSize("a sink with the flag", 128*mebibyte)
	for _, line := range []string{"producer publish --run r", "sink serve", "gleaner sink", "gleaner run --simulate"} {
		args := strings.Fields(line + " --max-bytes plenty")
		refused := p.start(args[0], args[1:]...)
		if code := refused.Wait(); code != 2 || !strings.Contains(refused.Said(), `"plenty" is not a size: it looks like 1048576, 512MiB or 2GiB`) {
			t.Errorf("%s ended with %d: %s", line, code, refused.Said())
		}
	}

	data := t.TempDir()
	p.run("gleaner", "run", "--simulate", "--limit", "4", "--sim-speed", "100", "--data", data, "--max-bytes", "48MiB")
	server, err := natsd.Start(natsd.Config{Dir: filepath.Join(data, "nats"), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	url = server.URL()
	checkSize("gleaner run --max-bytes", 48*mebibyte)
}

// streamBytes returns how much all streams of a server may hold together.
func streamBytes(t testing.TB, url string) (bytes int64) {
	t.Helper()
	for _, info := range listStreams(t, url) {
		bytes += info.Config.MaxBytes
	}
	return bytes
}
