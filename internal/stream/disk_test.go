package stream

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gleaner/internal/pipeline"
)

// What a server says of a full disk names the way out: it stores nothing more, also when there is
// room again, until it starts again.
func TestAFullDiskOfTheServerIsSaidWithTheWayOut(t *testing.T) {
	full := &jetstream.APIError{Code: 503, ErrorCode: codeStoreFailed, Description: "write /js/msgs/6.blk: no space left on device"}
	err := noRoom(full)
	if !errors.Is(err, pipeline.ErrFull) || errors.Is(err, errStreamFull) || !strings.Contains(err.Error(), "restart the NATS server") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("it says %v", err)
	}
	c := &client{}
	if got := c.jetStreamAdvice(); !strings.Contains(got, "-js") {
		t.Errorf("of a server that never had JetStream it says %q", got)
	}
	c.answered.Store(true)
	if got := c.jetStreamAdvice(); !strings.Contains(got, "restart the NATS server") {
		t.Errorf("of a server that has turned it off it says %q", got)
	}
}
