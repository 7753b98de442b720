package export

import (
	"fmt"
	"slices"

	"gleaner/internal/pipeline"
)

// columns returns Gleaner's columns in front of the row's and after them, but for the provenance.
func (e *Encoder) columns(rowID string, answers []pipeline.Answer) (head, tail []column, err error) {
	a := answers[0]
	if e.config.Layout == LayoutOpenAIBatch {
		head, err = e.batch(answers, rowID)
		return head, nil, err
	}
	if e.config.Layout == LayoutRows && !e.config.FromChats {
		return nil, append(e.answer(columnResponse, a), e.expand(a)...), nil
	}
	asked, err := e.renderer.Request(a.Input)
	if err != nil {
		return nil, nil, err
	}
	request, tools := asked.Messages, asked.Tools
	if n := len(request); n > 0 && request[n-1].Role == pipeline.RoleAssistant { // the answer begins with it
		request = request[:n-1]
	}
	switch e.config.Layout {
	case LayoutRows:
		tail = e.answer(columnResponse, a)
	case LayoutChat:
		head = []column{{e.names.of(columnMessages), e.messages(request, a, tools)}}
	case LayoutShareGPT:
		head = []column{{e.names.of(columnConversations), e.conversations(request, a, tools)}}
	case LayoutAlpaca:
		head, err = e.alpaca(request, a)
	case LayoutPromptCompletion:
		head, err = e.promptCompletion(request, a, tools)
	}
	head = append(head, e.tools(tools)...)
	if asked.Reference != "" && e.config.FromChats {
		tail = append(tail, column{e.names.of(columnReference), appendText(nil, asked.Reference)})
	}
	return head, append(tail, e.expand(a)...), err
}

// tools returns the column of the tools of a request, if it has some and the row has no such column
// itself. LLaMA-Factory, for which conversations are, reads them as a text.
func (e *Encoder) tools(tools pipeline.JSON) []column {
	switch {
	case tools == "" || e.names.RowTools || !slices.Contains(e.config.layoutColumns(), columnTools):
		return nil
	case e.config.Layout == LayoutShareGPT:
		return []column{{e.names.of(columnTools), appendText(nil, string(tools))}}
	}
	return []column{{e.names.of(columnTools), []byte(tools)}}
}

// said returns an answer without the calls of tools that are in its text, and these calls.
func said(a pipeline.Answer, tools pipeline.JSON) (pipeline.Answer, pipeline.JSON) {
	if a.Result == nil || !pipeline.MayCall(a.Result.Text) {
		return a, ""
	}
	message := pipeline.AnswerMessage(a.Result.Text, tools)
	result := *a.Result
	result.Text, a.Result = message.Content, &result
	return a, message.ToolCalls
}

// text returns the answer as JSON, with the thinking in front of it if that is asked for.
func (e *Encoder) text(a pipeline.Answer) []byte {
	if a.Result == nil {
		return []byte("null")
	}
	if thought := e.thought(a); thought != "" && e.config.Reasoning == ReasoningInline {
		return appendText(nil, "<think>\n"+thought+"\n</think>\n\n"+a.Result.Text)
	}
	return appendText(make([]byte, 0, len(a.Result.Text)+len(a.Result.Text)/8+2), a.Result.Text)
}

// thought returns the thinking that belongs to an answer, if there is one.
func (e *Encoder) thought(a pipeline.Answer) string {
	if e.config.Thought == nil || a.Result == nil {
		return ""
	}
	return e.config.Thought(a)
}

// answer returns the answer's column and, in layout rows, that of the thinking.
func (e *Encoder) answer(usual string, a pipeline.Answer) []column {
	columns := []column{{e.names.of(usual), e.text(a)}}
	if e.config.Thought == nil || e.config.Reasoning != ReasoningColumn || e.config.Layout != LayoutRows {
		return columns
	}
	value := []byte("null")
	if thought := e.thought(a); thought != "" {
		value = appendText(nil, thought)
	} else if e.config.MayThink {
		return columns
	}
	return append(columns, column{e.names.of(columnReasoning), value})
}

// expand returns the fields of an answer that is a JSON object. What it has not is null.
func (e *Encoder) expand(a pipeline.Answer) []column {
	if len(e.config.fields) == 0 {
		return nil
	}
	var fields []field
	if a.Result != nil {
		fields, _ = scan([]byte(trimmed(a.Result.Text)), nil) // an answer that is no object has no fields
	}
	columns := make([]column, 0, len(e.config.fields))
	for _, name := range e.config.fields {
		c := column{e.names.of(expandPrefix + name), []byte("null")}
		for _, f := range fields {
			if f.is(name) {
				c.value = oneSafeLine(f.value)
			}
		}
		columns = append(columns, c)
	}
	return columns
}

// messages returns a request and its answer as a chat.
func (e *Encoder) messages(request []pipeline.Message, a pipeline.Answer, tools pipeline.JSON) []byte {
	dst := []byte{'['}
	for _, m := range request {
		dst = append(append(appendMessage(dst, m), '}'), ',')
	}
	return append(e.appendAnswer(dst, a, tools), "}]"...)
}

// appendAnswer appends the message that is the answer, but for its last brace.
func (e *Encoder) appendAnswer(dst []byte, a pipeline.Answer, tools pipeline.JSON) []byte {
	a, calls := said(a, tools)
	dst = append(append(dst, `{"role":"`+string(pipeline.RoleAssistant)+`","content":`...), e.text(a)...)
	dst = append(dst, e.reasoning(a)...)
	if calls != "" {
		dst = append(append(dst, `,"tool_calls":`...), calls...)
	}
	return dst
}

// reasoning returns what of the answer's message is its thinking.
func (e *Encoder) reasoning(a pipeline.Answer) []byte {
	if e.config.Thought == nil || e.config.Reasoning != ReasoningColumn {
		return nil
	}
	thought := e.thought(a)
	if thought == "" && e.config.MayThink {
		return nil
	}
	dst := []byte(`,"reasoning_content":`)
	if thought != "" {
		return appendText(dst, thought)
	}
	return append(dst, "null"...)
}

func appendMessage(dst []byte, m pipeline.Message) []byte {
	dst = appendText(append(dst, `{"role":`...), string(m.Role))
	dst = appendText(append(dst, `,"content":`...), m.Content)
	if m.ToolCalls != "" {
		dst = append(append(dst, `,"tool_calls":`...), m.ToolCalls...)
	}
	if m.ToolName != "" {
		dst = appendText(append(dst, `,"name":`...), m.ToolName)
	}
	if m.ToolCallID != "" {
		dst = appendText(append(dst, `,"tool_call_id":`...), m.ToolCallID)
	}
	return dst
}

// conversations returns a request and its answer in the words of ShareGPT.
func (e *Encoder) conversations(request []pipeline.Message, a pipeline.Answer, tools pipeline.JSON) []byte {
	dst := []byte{'['}
	for _, m := range request {
		calls := functionCalls(m.ToolCalls)
		if m.Content != "" || calls == "" {
			dst = append(appendText(append(appendText(append(dst, `{"from":`...), speaker(m.Role)), `,"value":`...), m.Content), "},"...)
		}
		dst = appendCalls(dst, calls)
	}
	a, asked := said(a, tools)
	if calls := functionCalls(asked); calls == "" {
		dst = append(append(append(dst, `{"from":"gpt","value":`...), e.text(a)...), "},"...)
	} else {
		if a.Result.Text != "" {
			dst = append(append(append(dst, `{"from":"gpt","value":`...), e.text(a)...), "},"...)
		}
		dst = appendCalls(dst, calls)
	}
	return append(dst[:len(dst)-1], ']')
}

// appendCalls appends the turn that calls tools, if there are calls, and a comma.
func appendCalls(dst []byte, calls string) []byte {
	if calls == "" {
		return dst
	}
	return append(appendText(append(dst, `{"from":"function_call","value":`...), calls), "},"...)
}

// functionCalls returns calls of tools as ShareGPT has them: name and arguments, of several a list.
func functionCalls(list pipeline.JSON) string {
	calls, err := pipeline.Message{ToolCalls: list}.Calls()
	if err != nil || len(calls) == 0 {
		return ""
	}
	functions := make([]pipeline.FunctionCall, len(calls))
	for i, call := range calls {
		functions[i] = call.Function
	}
	var text []byte
	if len(functions) == 1 {
		text, err = pipeline.Encode(functions[0])
	} else {
		text, err = pipeline.Encode(functions)
	}
	if err != nil { // arguments that are no JSON, which no chat has
		return ""
	}
	return string(text)
}

// speaker returns ShareGPT's word for a role.
func speaker(r pipeline.Role) string {
	switch r {
	case pipeline.RoleUser:
		return "human"
	case pipeline.RoleAssistant:
		return "gpt"
	case pipeline.RoleTool:
		return "observation"
	}
	return string(r)
}

// split returns a request's system message, the turns before the last one, and the last one.
func split(request []pipeline.Message) (system string, history []pipeline.Message, last string) {
	if len(request) > 0 && request[0].Role == pipeline.RoleSystem {
		system, request = request[0].Content, request[1:]
	}
	if len(request) == 0 {
		return system, nil, ""
	}
	return system, request[:len(request)-1], request[len(request)-1].Content
}

// alpaca returns instruction, input and output. A row that has an instruction keeps it, and its
// input; else the instruction is what was sent.
func (e *Encoder) alpaca(request []pipeline.Message, a pipeline.Answer) ([]column, error) {
	if err := e.oneMessage(request); err != nil {
		return nil, err
	}
	system, history, last := split(request)
	instruction, input := appendText(nil, last), []byte(`""`)
	if e.names.OwnInstruction {
		for _, f := range e.fields {
			switch {
			case f.is(columnInstruction):
				instruction = asText(f.value, instruction)
			case f.is(columnInput):
				input = asText(f.value, input)
			}
		}
	}
	columns := []column{
		{e.names.of(columnInstruction), instruction}, {e.names.of(columnInput), input}, {e.names.of(columnOutput), e.text(a)},
	}
	if e.config.Chats {
		columns = append(columns, column{e.names.of(columnSystem), appendText(nil, system)})
	}
	if len(history) == 0 {
		return columns, nil
	}
	pairs := []byte{'['}
	for i := 0; i+1 < len(history); i += 2 {
		if i > 0 {
			pairs = append(pairs, ',')
		}
		pairs = append(appendText(append(pairs, '['), history[i].Content), ',')
		pairs = append(appendText(pairs, history[i+1].Content), ']')
	}
	return append(columns, column{e.names.of(columnHistory), append(pairs, ']')}), nil
}

// asText returns a value of a row as a text: what is none as its JSON, and null as another text.
func asText(value, null []byte) []byte {
	switch {
	case value[0] == '"':
		return value
	case string(value) == "null":
		return null
	}
	return appendText(nil, string(value))
}

// oneMessage returns an error for a request that is more than the user's one message, in a run of
// which that was not known.
func (e *Encoder) oneMessage(request []pipeline.Message) error {
	if e.config.Chats || len(request) == 1 && request[0].Role == pipeline.RoleUser {
		return nil
	}
	return fmt.Errorf("its request has %d messages, and those of the run have one: use --layout chat", len(request))
}

// promptCompletion returns prompt and completion: texts if requests are the user's one message,
// else lists of messages. It is the same for all rows, since a column has one type.
func (e *Encoder) promptCompletion(request []pipeline.Message, a pipeline.Answer, tools pipeline.JSON) ([]column, error) {
	prompt, completion := e.names.of(columnPrompt), e.names.of(columnCompletion)
	if !e.config.Chats {
		if err := e.oneMessage(request); err != nil {
			return nil, err
		}
		return []column{{prompt, appendText(nil, request[0].Content)}, {completion, e.text(a)}}, nil
	}
	list := []byte{'['}
	for i, m := range request {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(appendMessage(list, m), '}')
	}
	answer := append(e.appendAnswer([]byte{'['}, a, tools), "}]"...)
	return []column{{prompt, append(list, ']')}, {completion, answer}}, nil
}
