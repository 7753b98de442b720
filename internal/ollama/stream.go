package ollama

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Bounds of what is read from a server.
const (
	maxLineBytes   = 1 << 20  // one line of a stream: some tokens, or a whole answer in JSON's escapes
	maxErrorBytes  = 16 << 10 // the body of an error status
	maxAnswerBytes = 16 << 20 // an answer in one piece: the description of a model with all its tensors
)

// errStalled is the cause with which a watchdog cuts a request.
var errStalled = errors.New("no token came in time")

// A chunk is one line of a chat's stream: a part of api.ChatResponse, and the error that may
// stand in its place.
type chunk struct {
	Message    said   `json:"message"`
	Done       bool   `json:"done"`
	DoneReason string `json:"done_reason"`
	Error      string `json:"error"`

	PromptEvalCount count `json:"prompt_eval_count"`
	EvalCount       count `json:"eval_count"`
}

// A said is what a chunk adds to the answer.
type said struct {
	Content   string     `json:"content"`
	Thinking  string     `json:"thinking"`
	ToolCalls []saidCall `json:"tool_calls"`
}

// A count is a number of tokens. What cannot be one is 0, which means that it is not known: a wrong
// number is no reason to lose an answer.
type count int

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(string(data), 64)
	if err != nil || n < 0 || n > math.MaxInt32 || n != math.Trunc(n) {
		n = 0
	}
	*c = count(n)
	return nil
}

// A watchdog cancels a context if it was not fed for too long.
type watchdog struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func watch(parent context.Context, patience time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, &watchdog{timer: time.AfterFunc(patience, func() { cancel(errStalled) }), cancel: cancel}
}

func (w *watchdog) feed(patience time.Duration) { w.timer.Reset(patience) }

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// errEnough is what a callback of readLines returns to end the reading without an error.
var errEnough = errors.New("enough")

// readLines calls fn with each line of a stream of JSON until the stream ends, the line is too
// long or fn returns an error. That a stream was cut off is an error, too: io.ErrUnexpectedEOF or
// that of the connection.
func readLines(body io.Reader, fn func(line []byte) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4<<10), maxLineBytes)
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			continue
		}
		if err := fn(line); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return lines.Err()
}

func decodeLine(line []byte, v any) error {
	if err := webPage(line); err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("a line of the stream cannot be read: %w", err)
	}
	return nil
}
