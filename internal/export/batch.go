package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

// batch returns the columns of the answer file of OpenAI's batch API for the answers of one item:
// each sample is a choice. If none has an answer the line is an error. The row's id may be empty.
func (e *Encoder) batch(answers []pipeline.Answer, rowID string) ([]column, error) {
	item := pipeline.ItemID(e.run.Name, answers[0].Item)
	var tools pipeline.JSON
	if slices.ContainsFunc(answers, func(a pipeline.Answer) bool { return a.Result != nil && pipeline.MayCall(a.Result.Text) }) {
		request, err := e.renderer.Request(answers[0].Input)
		if err != nil {
			return nil, err
		}
		tools = request.Tools
	}
	response, failure := e.batchResponse(item, answers, tools), []byte("null")
	if response == nil {
		response, failure = failure, batchError(answers)
	}
	return []column{
		{columnID, appendText(nil, "batch_req_"+strings.ReplaceAll(item, "/", "_"))},
		{columnCustomID, e.customID(item, rowID)},
		{columnResponse, response},
		{columnError, failure},
	}, nil
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

func (e *Encoder) batchResponse(item string, answers []pipeline.Answer, tools pipeline.JSON) []byte {
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
		choices = e.appendChoice(choices, a, tools)
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

// appendChoice appends the rest of a choice: a message in the form of OpenAI's API, in which the
// arguments of calls are texts and each call has an id, and why it ended.
func (e *Encoder) appendChoice(dst []byte, a pipeline.Answer, tools pipeline.JSON) []byte {
	a, list := said(a, tools)
	calls, err := pipeline.Message{ToolCalls: list}.Calls()
	finish, content := string(a.Result.Finish), e.text(a)
	if err == nil && len(calls) > 0 {
		if finish = "tool_calls"; a.Result.Text == "" {
			content = []byte("null")
		}
	}
	dst = append(append(dst, `{"role":"assistant","content":`...), content...)
	dst = append(append(dst, e.reasoning(a)...), `,"refusal":null`...)
	for i, call := range calls {
		if i == 0 {
			dst = append(dst, `,"tool_calls":[`...)
		} else {
			dst = append(dst, ',')
		}
		id := call.ID
		if id == "" {
			id = fmt.Sprintf("call_%d_%d_%d", a.Item, a.Sample, i)
		}
		dst = appendText(append(appendText(append(dst, `{"id":`...), id), `,"type":"function","function":{"name":`...), call.Function.Name)
		dst = append(appendText(append(dst, `,"arguments":`...), string(call.Function.Arguments)), "}}"...)
	}
	if len(calls) > 0 {
		dst = append(dst, ']')
	}
	return append(appendText(append(dst, `},"logprobs":null,"finish_reason":`...), finish), '}')
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
