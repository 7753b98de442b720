package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
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
