package ollama_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gleaner/internal/ollama"
	"gleaner/internal/pipeline"
)

// llamaServer is an error as llama-server writes it, which versions since 0.30 pass on as a string.
func llamaServer(code int, kind, message, more string) string {
	return says(fmt.Sprintf(`{"error":{"code":%d,"message":%q,"type":%q%s}}`, code, message, kind, more))
}

// want is what a failure has to be.
type want struct {
	class   pipeline.Class
	is      []error // that are wrapped
	says    string  // a part of the message; what to do about it, mostly
	context *pipeline.ContextError
}

// The errors that decide how a consumer goes on.
func deciding() []error {
	return []error{ollama.ErrNoModel, pipeline.ErrRunnerCrashed, pipeline.ErrMemory, pipeline.ErrNotStarted, pipeline.ErrStalled}
}

// check compares everything that decides how a consumer goes on.
func (w want) check(t *testing.T, err error) {
	t.Helper()
	var f *pipeline.Failure
	if !errors.As(err, &f) || f.Class != w.class {
		t.Fatalf("class %s, want %s: %v", pipeline.ClassOf(err), w.class, err)
	}
	for _, known := range deciding() {
		wanted := false
		for _, is := range w.is {
			wanted = wanted || errors.Is(is, known)
		}
		if errors.Is(err, known) != wanted {
			t.Errorf("that it is %q is %t, want %t: %v", known, !wanted, wanted, err)
		}
	}
	var exceeds *pipeline.ContextError
	switch {
	case errors.As(err, &exceeds) != (w.context != nil):
		t.Errorf("that it exceeds the context is %t: %v", w.context == nil, err)
	case w.context != nil && (exceeds.PromptTokens != w.context.PromptTokens || exceeds.Context != w.context.Context):
		t.Errorf("a prompt of %d tokens in a context of %d, want %d in %d", exceeds.PromptTokens, exceeds.Context, w.context.PromptTokens, w.context.Context)
	}
	if !strings.Contains(err.Error(), w.says) {
		t.Errorf("it does not say %q: %v", w.says, err)
	}
}

// What two versions answered to the same requests: 0.17, whose runner is Ollama's own, and 0.33,
// which starts a llama-server for each model. A kind that has one entry is answered alike by both.
func TestBothKindsOfServersAreUnderstood(t *testing.T) {
	const older, newer = "0.17", "0.33"
	var (
		noModel    = want{class: pipeline.Fatal, is: []error{ollama.ErrNoModel}, says: "run `ollama pull m` there"}
		wrong      = want{class: pipeline.Fatal, says: "mend the options of the run"}
		crash      = want{class: pipeline.Retryable, is: []error{pipeline.ErrRunnerCrashed}}
		waited     = want{class: pipeline.Retryable, is: []error{pipeline.ErrNotStarted}}
		again      = want{class: pipeline.Retryable}
		memory     = want{class: pipeline.Retryable, is: []error{pipeline.ErrMemory}}
		tooLong    = want{class: pipeline.BadItem, context: &pipeline.ContextError{}, says: "OLLAMA_CONTEXT_LENGTH"}
		badItem    = want{class: pipeline.BadItem}
		reinstall  = want{class: pipeline.Fatal, says: "install it again"}
		update     = want{class: pipeline.Fatal, says: "update Ollama"}
		pullAnew   = want{class: pipeline.Fatal, says: "`ollama rm m` and then `ollama pull m`"}
		truncated  = want{class: pipeline.Truncated}
		degenerate = want{class: pipeline.Degenerate}
	)
	exceeds := func(prompt, context int) want {
		return want{class: pipeline.BadItem, context: &pipeline.ContextError{PromptTokens: prompt, Context: context}, says: fmt.Sprintf("request (%d tokens) exceeds the available context size (%d tokens)", prompt, context)}
	}
	longPrompt := llamaServer(400, "exceed_context_size_error", "request (2106 tokens) exceeds the available context size (2048 tokens), try increasing it", `,"n_prompt_tokens":2106,"n_ctx":2048`)
	kvCache := "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory (attempted to allocate 4096.00 MB)\n" +
		"alloc_tensor_range: failed to allocate CPU buffer of size 4294967296\nllama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache"
	for _, test := range []struct {
		kind, version string
		status        int
		body          string
		want          want
	}{
		{"the model is not there", "", 404, says("model 'm' not found"), noModel},
		{"the model's file is gone", newer, 404, says(`model "m" not found, try pulling it first`), noModel},
		{"the model's file is cut off", newer, 500, says(`tensor "output.weight" offset+size (2456640) exceeds file size (1000000)`), pullAnew},
		{"the model has no name", "", 400, says("model is required"), wrong},
		{"the model's name is wrong", newer, 400, says("invalid model name"), wrong},
		{"the model cannot be loaded", older, 500, says("unable to load model: /models/blobs/sha256-1"), update},
		{"the model cannot be loaded", newer, 500, says("llama-server process has terminated: exit status 1: error loading model: unknown model architecture: 'x'\nfailed to load model"), update},
		{"the model is of another version", "", 500, says("failed to load model: this model may be incompatible with your version of Ollama"), update},

		{"the prompt is too long", older, 400, says("the input length exceeds the context length"), tooLong},
		{"the prompt is too long", newer, 400, longPrompt, exceeds(2106, 2048)},
		{"the prompt is too long in a stream", newer, 200, longPrompt + "\n", exceeds(2106, 2048)},
		{"the prompt is too long in a chat of its own", newer, 200, says("llama-server chat error: map[code:400 message:request (2106 tokens) exceeds the available context size (2048 tokens), try increasing it type:x]") + "\n", exceeds(2106, 2048)},
		{"the prompt is too long and should have been cut", newer, 400, says("the prompt is longer than the context length currently available to the model; shorten the prompt"), tooLong},
		{"the body is cut off", "", 400, says("unexpected EOF"), badItem},
		{"there is no body", "", 400, says("missing request body"), badItem},
		{"the template fails", "", 500, says("template: :1:12: executing"), badItem},

		{"an option has the wrong type", "", 500, says(`option "num_predict" must be of type integer`), wrong},
		{"the format is unknown", "", 500, says(`invalid format: "\"xml\""; expected "json" or a valid JSON Schema object`), wrong},
		{"the schema is wrong", older, 500, says("invalid JSON schema in format"), wrong},
		{"the schema is wrong", newer, 400, llamaServer(400, "invalid_request_error", "Field 'json_schema': \"json_schema\": JSON schema conversion failed:\nJSON schema error at #: unrecognized type banana", ""), wrong},
		{"the template has no parser for a schema", newer, 400, llamaServer(400, "invalid_request_error", "Unable to generate parser for this template. Automatic parser generation failed", ""), wrong},
		{"the think value is wrong", older, 400, says(`invalid think value: "banana" (must be "high", "medium", "low", true, or false)`), wrong},
		{"the think value is wrong", newer, 400, says(`invalid think value: "banana" (must be "high", "medium", "low", "max", true, or false)`), wrong},
		{"the model cannot think", "", 400, says(`"m" does not support thinking`), wrong},
		{"the model has no tools", "", 400, says("registry.ollama.ai/library/m:latest does not support tools"), want{class: pipeline.BadItem, says: "take a model with tools"}},
		{"the model sees no images", newer, 400, llamaServer(400, "invalid_request_error", "Multimodal data provided, but model does not support multimodal requests.", ""), wrong},
		{"the model sees no images", newer, 500, llamaServer(500, "server_error", "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", ""), wrong},

		{"the runner dies in the stream", "", 200, token("a") + says("an error was encountered while running the model: unexpected EOF") + "\n", crash},
		{"the runner dies before the first token", older, 500, says("model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details"), crash},
		{"the runner dies before the first token", newer, 500, says("an error was encountered while running the model: unexpected EOF"), crash},
		{"the connection to the runner is cut", older, 200, token("a") + says("error reading llm response: read tcp: connection reset by peer") + "\n", crash},
		{"the connection to the runner is cut", newer, 200, token("a") + says("error reading llama-server response: read tcp: connection reset by peer") + "\n", crash},
		{"the connection to the runner is cut in a chat of its own", newer, 200, token("a") + says("error reading llama-server chat response: unexpected EOF") + "\n", crash},
		{"the GPU fails in the stream", newer, 200, token("a") + says("llama-server chat error: map[code:500 message:Compute error. type:server_error]") + "\n", crash},
		{"it waited when the runner died", older, 500, says("llama runner process no longer running: 2 "), waited},
		{"it waited when the runner died", newer, 500, says("llama-server process no longer running: unknown "), waited},
		{"it waited for a load that was given up", "", 499, says("request canceled"), waited},
		{"the runner does not start", older, 500, says("llama runner process has terminated: exit status 2"), again},
		{"the runner does not start", newer, 500, says("llama-server process has terminated: signal: killed"), again},
		{"the runner's program is missing", newer, 500, says("error starting llama-server: llama-server binary not found (checked: /a, /b). Run 'cmake -S llama/server --preset cpu' first "), reinstall},
		{"the stream ends without a word", newer, 200, token("a") + token("b"), again},

		{"the memory does not suffice", older, 500, says("model requires more system memory (9.0 GiB) than is available (2.0 GiB)"), memory},
		{"the memory does not suffice on the GPU", older, 500, says("unable to load full model on GPU"), memory},
		{"the memory does not suffice on CUDA", older, 500, says("llama runner process has terminated: cudaMalloc failed: out of memory"), memory},
		{"the memory does not suffice", newer, 500, says(kvCache), memory},
		{"the memory does not suffice on CUDA", newer, 500, says("llama-server reported out-of-memory during startup: ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed"), memory},
		{"the memory does not suffice on ROCm", newer, 500, says("llama-server process has terminated: hipMalloc failed"), memory},
		{"the memory does not suffice on Vulkan", newer, 500, says("llama-server process has terminated: vk::Device::allocateMemory: ErrorOutOfDeviceMemory\nfailed to load model"), memory},
		{"the memory does not suffice any more", "", 200, token("a") + says("an error was encountered while running the model: CUDA error: out of memory") + "\n", want{class: pipeline.Retryable, is: []error{pipeline.ErrRunnerCrashed, pipeline.ErrMemory}}},

		{"it is no path of Ollama's", "", 404, "404 page not found", want{class: pipeline.Fatal, says: "is that the address of an Ollama server?"}},
		{"it is no method of Ollama's", "", 405, "405 method not allowed", want{class: pipeline.Fatal, says: "is that the address of an Ollama server?"}},

		{"the answer is cut off at num_predict", "", 200, token("a") + final("length"), truncated},
		{"a stop sequence is empty", "", 200, final("stop"), degenerate},
		{"the answer repeats itself", "", 200, strings.Repeat(token(" the"), 31), degenerate},
		{"a later version names the repeats", newer, 500, says("prediction aborted, token repeat limit reached"), degenerate},
		{"there are no messages", "", 200, final("load"), again},
	} {
		t.Run(strings.TrimSpace(test.kind+" "+test.version), func(t *testing.T) {
			_, err := serve(t, ollama.Config{}, status(test.status, test.body)).Generate(t.Context(), ask)
			test.want.check(t, err)
		})
	}
}

// A load is refused in the same words, and with the same classes.
func TestALoadThatFailsGetsItsClass(t *testing.T) {
	for body, want := range map[string]want{
		says("llama runner process has terminated: exit status 2"):                          {class: pipeline.Retryable},
		says("llama-server process has terminated: signal: killed"):                         {class: pipeline.Retryable},
		says("llama-server process has terminated: ggml_aligned_malloc: NOT ENOUGH MEMORY"): {class: pipeline.Retryable, is: []error{pipeline.ErrMemory}},
		says("error starting llama-server: llama-server binary not found (checked: /a)"):    {class: pipeline.Fatal, says: "lib/ollama"},
	} {
		want.check(t, serve(t, ollama.Config{}, status(500, body)).WarmUp(t.Context(), "m"))
	}
}

func TestABusyServerIsNotAskedBeforeTheTimeThatItNames(t *testing.T) {
	inTwoMinutes := time.Now().Add(2 * time.Minute).UTC().Format(time.RFC1123)
	for _, test := range []struct {
		status      int
		retryAfter  string
		body        string
		least, most time.Duration
	}{
		{503, "", says("server busy, please try again.  maximum pending requests exceeded"), 0, 0},
		{429, "60", says("you (acct) have reached your session usage limit"), time.Minute, time.Minute},
		{503, "7", "<html><title>503 Service Temporarily Unavailable</title>", 7 * time.Second, 7 * time.Second},
		{429, strings.Replace(inTwoMinutes, "UTC", "GMT", 1), "", 100 * time.Second, 2 * time.Minute},
		{429, "Mon, 02 Jan 2006 15:04:05 GMT", "", 0, 0},
		{429, "-5", "", 0, 0},
		{429, "soon", "", 0, 0},
		{429, "-9223372037", "", 0, 0}, // as nanoseconds it is too small for an integer
		{429, "-99999999999999999999", "", 0, 0},
		{429, "1.5", "", 0, 0},
		{429, "99999999999999", "", 24 * time.Hour, 24 * time.Hour},
		{429, "99999999999999999999", "", 24 * time.Hour, 24 * time.Hour},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", "", 24 * time.Hour, 24 * time.Hour},
		{500, "5", llamaServer(503, "unavailable_error", "Loading model", ""), 5 * time.Second, 5 * time.Second},
	} {
		client := serve(t, ollama.Config{}, headed(test.status, test.body, "Retry-After", test.retryAfter))
		for what, err := range failures(t, client) {
			var busy *pipeline.BusyError
			switch {
			case pipeline.ClassOf(err) != pipeline.Retryable || !errors.As(err, &busy):
				t.Errorf("%s, status %d: class %s and not busy: %v", what, test.status, pipeline.ClassOf(err), err)
			case busy.After < test.least || busy.After > test.most:
				t.Errorf("%s, Retry-After %q: %v, want %v to %v", what, test.retryAfter, busy.After, test.least, test.most)
			}
		}
	}
}
