package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gleaner/internal/pipeline"
)

// contentOf returns the text of a turn: a text, a number, or the parts of one that is a list. What
// a tool returned may be any JSON.
func contentOf(kind pipeline.Role, value []byte) (string, error) {
	if value == nil {
		return "", nil
	}
	if value[0] != '[' && value[0] != '{' {
		text, err := Text(value)
		if err != nil {
			return "", fmt.Errorf("its content %w", err)
		}
		return text, nil
	}
	if kind == pipeline.RoleTool && !isParts(value) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return "", fmt.Errorf("its content is not JSON: %w", err)
		}
		return compact.String(), nil
	}
	if value[0] == '{' {
		return partOf(value)
	}
	var text strings.Builder
	err := eachElement(value, func(i int, part []byte) error {
		next, err := partOf(part)
		if err != nil {
			return err
		}
		before := text.String()
		if i > 0 && before != "" && next != "" && !endsBlank(before) && !beginsBlank(next) {
			text.WriteByte('\n')
		}
		text.WriteString(next)
		return nil
	})
	return text.String(), err
}

func endsBlank(text string) bool   { return strings.ContainsRune(whitespace, rune(text[len(text)-1])) }
func beginsBlank(text string) bool { return strings.ContainsRune(whitespace, rune(text[0])) }

// isParts reports whether a value is a list of objects that have a type, as the parts of a content.
func isParts(value []byte) bool {
	if value[0] != '[' {
		return false
	}
	parts := false
	_ = eachElement(value, func(_ int, part []byte) error { // what is broken is no list of parts
		if part[0] == '{' {
			_ = eachMember(part, func(key string, _ []byte) error {
				parts = parts || key == "type"
				return nil
			})
		}
		return errDone // the first one tells
	})
	return parts
}

// partOf returns the text of one part of a content.
func partOf(part []byte) (string, error) {
	if part[0] == '"' {
		return Text(part)
	}
	if part[0] != '{' {
		return "", fmt.Errorf("a part of its content %s, not a text", describe(part))
	}
	var kind, text, other string
	found := false
	err := eachMember(part, func(key string, value []byte) (err error) {
		switch {
		case isNull(value):
		case key == "type":
			kind, err = Text(value)
		case key == "text" || key == "refusal":
			text, err = Text(value)
			found = err == nil
		case other == "":
			other = key
		}
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("a part of its content: %w", err)
	case kind == "" && !found && other == "":
		return "", errors.New("a part of its content has neither type nor text")
	case kind == "" && !found:
		return "", fmt.Errorf("a part of its content is of type %.40q, and only text can be sent", other)
	case kind == "thinking" || kind == "reasoning":
		return "", nil // no server takes it back
	case kind != "" && kind != "text" && kind != "input_text" && kind != "output_text" && kind != "refusal":
		return "", fmt.Errorf("a part of its content is of type %.40q, and only text can be sent", kind)
	case !found:
		return "", fmt.Errorf("a part of its content is of type %s and has no text", kind)
	}
	return text, nil
}
