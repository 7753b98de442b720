package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gleaner/internal/pipeline"
)

const (
	maxToolDepth = 64  // of the JSON of tools and calls
	maxToolName  = 256 // bytes of the name of a tool and of the id of a call, as in pipeline
)

// ParseTools makes the tools of a request from the JSON of a column: a list of definitions, in
// OpenAI's form or only with name, description and parameters, or a text that holds one. Keys that
// are null are left out, as in what Parquet holds. Null, an empty text and an empty list are no
// tools. The error says what is wrong.
func ParseTools(value json.RawMessage) (pipeline.JSON, error) {
	value, err := innerJSON("the tools", bytes.ToValidUTF8(value, []byte("\uFFFD")))
	if err != nil || value == nil {
		return "", err
	}
	if value[0] == '{' {
		value = append(append([]byte{'['}, value...), ']')
	}
	if value[0] != '[' {
		return "", fmt.Errorf("the tools are no list: they are what %s", strings.TrimPrefix(describe(value), "is "))
	}
	if value, err = compact("the tools", value); err != nil {
		return "", err
	}
	var tools bytes.Buffer
	tools.WriteByte('[')
	err = eachElement(value, func(i int, tool []byte) error {
		if i > 0 {
			tools.WriteByte(',')
		}
		return writeTool(&tools, i, tool)
	})
	tools.WriteByte(']')
	switch {
	case err != nil:
		return "", err
	case tools.Len() > pipeline.MaxToolsBytes:
		return "", fmt.Errorf("the tools have %d bytes, the limit is %d", tools.Len(), pipeline.MaxToolsBytes)
	case tools.Len() == len("[]"):
		return "", nil
	}
	return pipeline.JSON(tools.String()), nil
}

// writeTool writes one definition in OpenAI's form.
func writeTool(to *bytes.Buffer, i int, tool []byte) error {
	tool, err := innerJSON("a tool", tool) // some lists hold texts
	if err != nil {
		return err
	}
	if tool == nil || tool[0] != '{' {
		return fmt.Errorf("tool %d is not an object with its name, its description and its parameters", i+1)
	}
	if tool, err = compact("a tool", tool); err != nil {
		return err
	}
	var kind, name string
	var function []byte
	err = eachMember(tool, func(key string, value []byte) (err error) {
		switch key {
		case "type":
			kind, err = Text(value)
		case "name":
			name, err = Text(value)
		case "function":
			function = value
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("tool %d: %w", i+1, err)
	case function != nil && function[0] == '{':
		if kind != "" {
			to.Write(tool)
			return nil
		}
		tool = function
	case kind != "" && kind != "function":
		return fmt.Errorf("tool %d is of type %.40q: only functions can be sent", i+1, kind)
	case name == "":
		return fmt.Errorf("tool %d has no name", i+1)
	}
	fmt.Fprintf(to, `{"type":"function","function":%s}`, tool)
	return nil
}

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

// innerJSON returns a value, or the JSON that it holds if it is a text; nil if it is null or empty.
func innerJSON(what string, value []byte) ([]byte, error) {
	if len(value) == 0 || isNull(value) {
		return nil, nil
	}
	if value[0] != '"' {
		return value, nil
	}
	text, err := Text(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	inner := bytes.Trim([]byte(text), whitespace)
	switch {
	case len(inner) == 0 || isNull(inner):
		return nil, nil
	case !json.Valid(inner):
		return nil, fmt.Errorf("%s: the text is not JSON", what)
	}
	return inner, nil
}

// compact returns JSON without white space and without the keys that are null. It refuses what no
// tool has: too many bytes, and lists in lists without end.
func compact(what string, value []byte) ([]byte, error) {
	var tight bytes.Buffer
	if err := json.Compact(&tight, value); err != nil {
		return nil, fmt.Errorf("%s: not JSON: %w", what, err)
	}
	if tight.Len() > pipeline.MaxToolsBytes {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", what, tight.Len(), pipeline.MaxToolsBytes)
	}
	var out bytes.Buffer
	if err := writeWithoutNulls(&out, tight.Bytes(), maxToolDepth); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out.Bytes(), nil
}

func writeWithoutNulls(to *bytes.Buffer, value []byte, depth int) error {
	if value[0] != '{' && value[0] != '[' {
		to.Write(value)
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("nested more than %d deep", maxToolDepth)
	}
	first := true
	comma := func() {
		if !first {
			to.WriteByte(',')
		}
		first = false
	}
	if value[0] == '[' {
		to.WriteByte('[')
		err := eachElement(value, func(_ int, element []byte) error {
			comma()
			return writeWithoutNulls(to, element, depth-1)
		})
		to.WriteByte(']')
		return err
	}
	to.WriteByte('{')
	err := eachMember(value, func(key string, member []byte) error {
		if isNull(member) {
			return nil
		}
		comma()
		name, err := pipeline.Encode(key)
		if err != nil {
			return err
		}
		to.Write(name)
		to.WriteByte(':')
		return writeWithoutNulls(to, member, depth-1)
	})
	to.WriteByte('}')
	return err
}
