package pipeline

import "time"

// A Consumer is the process in a notebook, as it reports itself: its presence.
type Consumer struct {
	ID       string    `json:"id"` // a ULID for each start
	Run      string    `json:"run"`
	Host     string    `json:"host"`
	Version  string    `json:"version"` // of the program
	Ollama   string    `json:"ollama"`  // version of the servers
	Model    string    `json:"model"`
	Digest   string    `json:"digest"` // of the model
	GPUs     []GPU     `json:"gpus"`
	Started  time.Time `json:"started"`
	Seen     time.Time `json:"seen"`
	Deadline time.Time `json:"deadline,omitzero"` // when it means to end
}

// A GPU is one Ollama server of a consumer.
type GPU struct {
	Name            string  `json:"name"`
	State           string  `json:"state"` // "serving", or why not
	Slots           int     `json:"slots"`
	Busy            int     `json:"busy"` // slots that are generating
	Generations     int     `json:"generations"`
	OutputTokens    int     `json:"output_tokens"`
	TokensPerSecond float64 `json:"tokens_per_second"` // over the last minute
}

// Loaded is what a server says of the model that it has loaded.
type Loaded struct {
	Digest  string // of the model
	Version string // of the server
	Context int    // tokens of prompt and answer together; 0 = not known
	Size    int64  // bytes of the model with its context
	OnGPU   int64  // how many of them are in the GPU's memory
}
