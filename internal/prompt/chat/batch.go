package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// BatchURL is the call that a line of a batch asks for. No other is answered.
const BatchURL = "/v1/chat/completions"

// A BatchLine is a line of a file for OpenAI's batch API.
type BatchLine struct {
	CustomID string // by which the answer is found
	Model    string // that the line asks for; empty if it names none
	Chat     Chat
	Options  BatchOptions
	// Unknown are the options that change answers and that cannot be taken over, by their names.
	// Those that change none (user, metadata, store …) are not among them.
	Unknown []string
}

// BatchOptions are the options that a line asks for; nil or empty: it does not say.
type BatchOptions struct {
	Temperature       *float64 // 0 to 2 there
	TopP              *float64
	TopK              *int
	MinP              *float64
	RepetitionPenalty *float64
	PresencePenalty   *float64
	FrequencyPenalty  *float64
	MaxTokens         *int // max_completion_tokens, or max_tokens
	N                 *int // answers wanted
	Seed              *int
	Stop              []string
	ResponseFormat    json.RawMessage // an object with its type
	ReasoningEffort   string
}

// BatchRequest reads a line of a file for OpenAI's batch API. It reports whether the row is one: an
// object with custom_id and body. The error says what is wrong with it, in which key.
func BatchRequest(row []byte) (BatchLine, bool, error) {
	if !bytes.Contains(row, []byte(`"custom_id"`)) || !bytes.Contains(row, []byte(`"body"`)) || !json.Valid(row) {
		return BatchLine{}, false, nil
	}
	row = bytes.Trim(row, whitespace)
	if row[0] != '{' {
		return BatchLine{}, false, nil
	}
	var id, method, url, body []byte
	if err := eachMember(row, func(key string, value []byte) error {
		switch key {
		case "custom_id":
			id = value
		case "method":
			method = value
		case "url":
			url = value
		case "body":
			body = value
		}
		return nil
	}); err != nil || id == nil || body == nil || body[0] != '{' {
		return BatchLine{}, false, nil
	}
	r, err := readBatch(id, method, url, body)
	return r, true, err
}

func readBatch(id, method, url, body []byte) (r BatchLine, err error) {
	if r.CustomID, err = Text(id); err != nil {
		return r, fmt.Errorf("custom_id %w", err)
	}
	if r.CustomID == "" {
		return r, fmt.Errorf("custom_id is empty")
	}
	for _, want := range []struct {
		key, is string
		value   []byte
	}{{"method", "POST", method}, {"url", BatchURL, url}} {
		if want.value == nil || isNull(want.value) {
			continue
		}
		got, err := Text(want.value)
		if err != nil {
			return r, fmt.Errorf("%s %w", want.key, err)
		}
		if !strings.EqualFold(strings.TrimSuffix(got, "/"), want.is) && !strings.EqualFold("/v1"+got, want.is) {
			return r, fmt.Errorf("%s is %.60q: only %s is answered", want.key, got, want.is)
		}
	}
	var messages, tools []byte
	seen := map[string]bool{}
	err = eachMember(body, func(key string, value []byte) error {
		if isNull(value) {
			return nil
		}
		switch key {
		case "model":
			var err error
			if r.Model, err = Text(value); err != nil {
				return fmt.Errorf("body.model %w", err)
			}
		case "messages":
			messages = value
		case "tools", "functions":
			tools = value
		default:
			known, err := r.Options.take(key, value)
			if err != nil {
				return fmt.Errorf("body.%s %w", key, err)
			}
			if !known && !harmless(key, value) && !seen[key] {
				seen[key] = true
				r.Unknown = append(r.Unknown, key)
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	slices.Sort(r.Unknown)
	if messages == nil {
		return r, fmt.Errorf("body has no messages")
	}
	if r.Chat, err = Parse(messages); err != nil {
		return r, fmt.Errorf("body.messages: %w", err)
	}
	more, err := ParseTools(tools)
	if err != nil {
		return r, fmt.Errorf("body.tools: %w", err)
	}
	if more != "" {
		r.Chat.Tools = more
	}
	return r, nil
}

// take takes in an option. It reports whether it knows it; the error ends a sentence about it.
func (o *BatchOptions) take(key string, value []byte) (known bool, err error) {
	floats := map[string]**float64{
		"temperature": &o.Temperature, "top_p": &o.TopP, "min_p": &o.MinP, "repetition_penalty": &o.RepetitionPenalty,
		"presence_penalty": &o.PresencePenalty, "frequency_penalty": &o.FrequencyPenalty,
	}
	ints := map[string]**int{"top_k": &o.TopK, "n": &o.N, "seed": &o.Seed}
	if to, ok := floats[key]; ok {
		return true, number(value, to)
	}
	if to, ok := ints[key]; ok {
		return true, number(value, to)
	}
	switch key {
	case "max_completion_tokens":
		return true, number(value, &o.MaxTokens)
	case "max_tokens": // the older name
		if o.MaxTokens != nil {
			return true, nil
		}
		return true, number(value, &o.MaxTokens)
	case "stop":
		return true, o.takeStop(value)
	case "reasoning_effort":
		o.ReasoningEffort, err = Text(value)
		return true, err
	case "response_format":
		if value[0] != '{' {
			return true, fmt.Errorf("%s, not an object with its type", describe(value))
		}
		o.ResponseFormat = value
		return true, nil
	}
	return false, nil
}

func (o *BatchOptions) takeStop(value []byte) error {
	if value[0] != '[' {
		text, err := Text(value)
		o.Stop = []string{text}
		return err
	}
	o.Stop = nil
	return eachElement(value, func(i int, value []byte) error {
		text, err := Text(value)
		if err != nil {
			return err
		}
		if o.Stop = append(o.Stop, text); i >= 64 {
			return fmt.Errorf("has more than 64 texts")
		}
		return nil
	})
}

// number reads a number that fits into its type. A whole number may be written as 256.0, as tables
// write it.
func number[T int | float64](value []byte, to **T) error {
	var n float64
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return fmt.Errorf("%s, not a number", describe(value))
	}
	if err := json.Unmarshal(value, &n); err != nil {
		return fmt.Errorf("is %.40s, which is too large", value)
	}
	out := T(n)
	if float64(out) != n || math.Abs(n) > 1<<53 {
		return fmt.Errorf("is %.40s, not a whole number", value)
	}
	*to = &out
	return nil
}

// harmless reports whether an option does not change what is answered.
func harmless(key string, value []byte) bool {
	switch key {
	case "user", "metadata", "store", "service_tier", "stream_options", "safety_identifier", "prompt_cache_key", "prompt_cache_retention":
		return true
	case "stream", "logprobs":
		return string(value) == "false"
	case "top_logprobs":
		return string(value) == "0"
	case "tool_choice", "function_call":
		return string(value) == `"auto"`
	case "parallel_tool_calls":
		return string(value) == "true"
	case "logit_bias":
		return string(value) == "{}"
	case "modalities":
		return string(value) == `["text"]`
	}
	return false
}
