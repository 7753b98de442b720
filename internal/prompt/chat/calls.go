package chat

import (
	"errors"
	"fmt"
	"strconv"

	"gleaner/internal/pipeline"
)

// call takes in a turn that only calls tools. It belongs to the turn of the assistant before it.
func (p *parser) call(number int, f *fields) error {
	value, err := innerJSON("the call", f.content)
	var calls pipeline.JSON
	if err == nil {
		calls, err = callsOf(value, nil)
	}
	if err == nil && calls == "" {
		err = errors.New("the call is empty")
	}
	if err != nil {
		return problem(number, "%v", err)
	}
	last := len(p.messages) - 1
	if last < 0 || p.messages[last].Role != pipeline.RoleAssistant {
		p.add(number, pipeline.Message{Role: pipeline.RoleAssistant, ToolCalls: calls})
		return nil
	}
	m := &p.messages[last]
	if m.ToolCalls != "" {
		calls = m.ToolCalls[:len(m.ToolCalls)-1] + "," + calls[1:]
	}
	m.ToolCalls = calls
	return tooLong(number, calls)
}

func tooLong(number int, calls pipeline.JSON) error {
	if len(calls) > pipeline.MaxToolsBytes {
		return problem(number, "the calls of tools have %d bytes, the limit is %d", len(calls), pipeline.MaxToolsBytes)
	}
	return nil
}

// callsOf returns the calls of a turn: a list or one call, and that of OpenAI's first form.
func callsOf(value, functionCall []byte) (pipeline.JSON, error) {
	if value == nil {
		value = functionCall
	}
	value, err := innerJSON("the calls of tools", value)
	if err != nil || value == nil {
		return "", err
	}
	if value, err = compact("the calls of tools", value); err != nil {
		return "", err
	}
	var calls []pipeline.ToolCall
	switch value[0] {
	case '{':
		call, err := callOf(value)
		if err != nil {
			return "", err
		}
		calls = append(calls, call)
	case '[':
		err = eachElement(value, func(_ int, value []byte) error {
			call, err := callOf(value)
			calls = append(calls, call)
			return err
		})
		if err != nil {
			return "", err
		}
	default:
		return "", errors.New(`a call of a tool is no object such as {"name": "…", "arguments": {…}}`)
	}
	list, err := pipeline.EncodeCalls(calls)
	if err == nil && len(list) > pipeline.MaxToolsBytes {
		err = fmt.Errorf("the calls of tools have %d bytes, the limit is %d", len(list), pipeline.MaxToolsBytes)
	}
	return list, err
}

// callOf reads one call, in OpenAI's form or only with name and arguments.
func callOf(value []byte) (pipeline.ToolCall, error) {
	var id, name string
	var arguments []byte
	var read func(key string, value []byte) error
	read = func(key string, value []byte) (err error) {
		switch key {
		case "id":
			id, err = Text(value)
		case "name":
			name, err = Text(value)
		case "function":
			if value[0] == '{' {
				return eachMember(value, read)
			}
			name, err = Text(value)
		case "arguments", "parameters", "args":
			arguments = value
		}
		return err
	}
	if value[0] != '{' {
		return pipeline.ToolCall{}, errors.New(`a call of a tool is no object such as {"name": "…", "arguments": {…}}`)
	}
	if err := eachMember(value, read); err != nil {
		return pipeline.ToolCall{}, fmt.Errorf("a call of a tool: %w", err)
	}
	if name == "" || len(name) > maxToolName || len(id) > maxToolName {
		return pipeline.ToolCall{}, fmt.Errorf("a call of a tool has no name, or one of more than %d bytes", maxToolName)
	}
	what := "the arguments of the call of " + strconv.Quote(name)
	arguments, err := innerJSON(what, arguments)
	if err == nil && arguments != nil {
		arguments, err = compact(what, arguments)
	}
	if err == nil && arguments != nil && arguments[0] != '{' {
		err = fmt.Errorf("%s are no object", what)
	}
	return pipeline.NewToolCall(id, name, arguments), err
}

// callee returns which tool a result is of, and which call it answers.
func (f *fields) callee() (name, id string, err error) {
	if f.name != nil {
		if name, err = Text(f.name); err != nil {
			return "", "", fmt.Errorf("its name %w", err)
		}
	}
	if f.callID != nil {
		if id, err = Text(f.callID); err != nil {
			return "", "", fmt.Errorf("its tool_call_id %w", err)
		}
	}
	if len(name) > maxToolName || len(id) > maxToolName {
		return "", "", fmt.Errorf("its name or its tool_call_id has more than %d bytes", maxToolName)
	}
	return name, id, nil
}

// nameResults gives each result of a tool that has no name that of its call: the one with its id,
// else the first one before it that has no result yet.
func (p *parser) nameResults() {
	var open []pipeline.ToolCall
	for i := range p.messages {
		m := &p.messages[i]
		if m.ToolCalls != "" {
			open, _ = m.Calls() // they were encoded here
		}
		if m.Role != pipeline.RoleTool || len(open) == 0 {
			continue
		}
		at := 0
		for n, call := range open {
			if m.ToolCallID != "" && call.ID == m.ToolCallID {
				at = n
				break
			}
		}
		if m.ToolName == "" {
			m.ToolName = open[at].Function.Name
		}
		open = append(open[:at:at], open[at+1:]...)
	}
}
