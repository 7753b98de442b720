package export

import (
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

// batch returns the columns of the answer file of OpenAI's batch API for the answers of one item:
// each sample is a choice. If none has an answer the line is an error. The row's id may be empty.
func (e *Encoder) batch(answers []pipeline.Answer, rowID string) []column {
	item := pipeline.ItemID(e.run.Name, answers[0].Item)
	response, failure := e.batchResponse(item, answers), []byte("null")
	if response == nil {
		response, failure = failure, batchError(answers)
	}
	return []column{
		{columnID, appendText(nil, "batch_req_"+strings.ReplaceAll(item, "/", "_"))},
		{columnCustomID, e.customID(item, rowID)},
		{columnResponse, response},
		{columnError, failure},
	}
}

// customID returns the row's id, or else its custom_id, or the item's id.
func (e *Encoder) customID(item, rowID string) []byte {
	if rowID != "" {
		return appendText(nil, rowID)
	}
	for _, f := range e.fields {
		if f.is(columnCustomID) && f.value[0] == '"' {
			return f.value
		}
	}
	return appendText(nil, item)
}

func (e *Encoder) batchResponse(item string, answers []pipeline.Answer) []byte {
	var choices []byte
	var first *pipeline.StoredResult
	prompt, output := 0, 0
	for _, a := range answers {
		if a.Result == nil {
			continue
		}
		if first == nil {
			first = a.Result
		} else {
			choices = append(choices, ',')
		}
		prompt, output = max(prompt, a.Result.PromptTokens), output+a.Result.OutputTokens
		choices = append(choices, `{"index":`+strconv.Itoa(a.Sample)+`,"message":`...)
		choices = append(append(e.appendAnswer(choices), e.assistant(a)...), `,"refusal":null},"logprobs":null,"finish_reason":`...)
		choices = append(appendText(choices, string(a.Result.Finish)), '}')
	}
	if first == nil {
		return nil
	}
	id := strings.ReplaceAll(item, "/", "-")
	created := max(0, first.CreatedAt.Unix())
	dst := appendText([]byte(`{"status_code":200,"request_id":`), id)
	dst = appendText(append(dst, `,"body":{"id":`...), "chatcmpl-"+id)
	dst = fmt.Appendf(dst, `,"object":"chat.completion","created":%d,"model":`, created)
	dst = append(append(appendText(dst, e.run.Spec.Model), `,"choices":[`...), choices...)
	return fmt.Appendf(dst, `],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}}`, prompt, output, prompt+output)
}

// batchError says why an item has no answer.
func batchError(answers []pipeline.Answer) []byte {
	code, message := "no_answer", "there is no answer yet, or why is not known here: dead letters say it"
	for _, a := range answers {
		if f := a.Failure; f != nil {
			code, message = string(f.Class), f.Message
			break
		}
	}
	dst := appendText([]byte(`{"code":`), code)
	return append(appendText(append(dst, `,"message":`...), message), '}')
}

// trimmed returns a text without the white space of JSON around it.
func trimmed(text string) string { return strings.Trim(text, whitespace) }
