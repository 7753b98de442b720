package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of an answer.
const (
	maxAnswerDepth  = 100
	maxAnswerValues = 1 << 20

	// Of one number. Exact arithmetic with larger ones takes long, and most readers have no room
	// for them.
	maxNumberBytes = 400
	maxExponent    = 1000
)

// A decoder reads one JSON value.
type decoder struct {
	json     *json.Decoder
	depth    int // that is left
	values   int // that are left
	location []string
}

// decode reads JSON strictly: one value and nothing after it, no key twice in an object, and no
// more depth or values than given. Numbers stay json.Number.
func decode(text string, depth, values int) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not valid UTF-8")
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it is empty")
	}
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil { // whose messages are better, and which finds what follows
		return nil, syntaxError(text, err)
	}
	d := &decoder{json: json.NewDecoder(strings.NewReader(text)), depth: depth, values: values}
	d.json.UseNumber()
	return d.value()
}

// syntaxError says where JSON is broken.
func syntaxError(text string, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := text[:min(max(int(syntax.Offset)-1, 0), len(text))]
	if syntax.Error() == "unexpected end of JSON input" {
		return fmt.Errorf("it ends too early, after %d bytes", len(text))
	}
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1
	return fmt.Errorf("%w (line %d, column %d)", syntax, line, column)
}

// value reads the next value.
func (d *decoder) value() (any, error) {
	token, err := d.json.Token()
	if err != nil {
		return nil, err
	}
	if d.values--; d.values < 0 {
		return nil, errors.New("it holds too many values")
	}
	switch token := token.(type) {
	case json.Delim:
		if d.depth--; d.depth < 0 {
			return nil, fmt.Errorf("at %s: it is nested too deeply", d.here())
		}
		defer func() { d.depth++ }()
		if token == '{' {
			return d.object()
		}
		return d.array()
	case json.Number:
		if problem := unusable(string(token)); problem != "" {
			return nil, fmt.Errorf("at %s: the number %s %s", d.here(), quoted(string(token)), problem)
		}
	}
	return token, nil
}

func (d *decoder) object() (any, error) {
	object := map[string]any{}
	for d.json.More() {
		token, err := d.json.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("at %s: a key is no text", d.here())
		}
		if _, ok := object[key]; ok {
			return nil, fmt.Errorf("at %s: the key %s stands there twice", d.here(), quoted(key))
		}
		if object[key], err = d.at(key); err != nil {
			return nil, err
		}
	}
	_, err := d.json.Token()
	return object, err
}

func (d *decoder) array() (any, error) {
	array := []any{}
	for d.json.More() {
		element, err := d.at(strconv.Itoa(len(array)))
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	_, err := d.json.Token()
	return array, err
}

// at reads the value that has this name in the one that is read.
func (d *decoder) at(name string) (any, error) {
	d.location = append(d.location, name)
	value, err := d.value()
	d.location = d.location[:len(d.location)-1]
	return value, err
}

func (d *decoder) here() string { return locate(d.location) }

// unusable says why nothing can be calculated with a number, or returns nothing.
func unusable(number string) string {
	if len(number) > maxNumberBytes {
		return fmt.Sprintf("has more than %d bytes", maxNumberBytes)
	}
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		if exponent, err := strconv.Atoi(number[at+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return fmt.Sprintf("has an exponent beyond %d", maxExponent)
		}
	}
	return ""
}
