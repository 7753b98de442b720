package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
)

// BatchURL is the call that a line of a batch asks for. No other is answered.
const BatchURL = "/v1/chat/completions"

// A BatchLine is a line of a file for OpenAI's batch API.
type BatchLine struct {
	CustomID string // by which the answer is found
	Model    string // that the line asks for; empty if it names none
	Chat     Chat
	Options  pipeline.Options // those that it asks for
	N        *int             // answers wanted; nil: one
	Seed     *int
	// Unknown are the parameters that change answers and for which a run has nothing. Those that
	// change none (user, metadata, store …) are not among them.
	Unknown []string
}

// BatchRequest reads a line of a file for OpenAI's batch API. It reports whether the row is one: an
// object with custom_id and body, and with a method, a url, or messages in its body. The error says
// what is wrong with it, in which key.
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
	if method == nil && url == nil {
		if messages, _, _ := Lookup(body, "messages"); messages == nil {
			return BatchLine{}, false, nil
		}
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
			known, err := r.take(key, value)
			if err != nil {
				return fmt.Errorf("body.%s %w", key, err)
			}
			if !known && !harmless(key, value) && !slices.Contains(r.Unknown, key) {
				r.Unknown = append(r.Unknown, key)
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	slices.Sort(r.Unknown)
	if err := r.check(); err != nil {
		return r, err
	}
	if messages == nil {
		return r, fmt.Errorf("body has no messages")
	}
	beside, err := ParseTools(tools)
	if err != nil {
		return r, fmt.Errorf("body.tools: %w", err)
	}
	if r.Chat, err = Parse(messages); err != nil {
		err = fmt.Errorf("body.messages: %w", err) // that there is nothing to answer comes with the chat
	}
	if beside != "" {
		r.Chat.Tools = beside
	}
	return r, err
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
