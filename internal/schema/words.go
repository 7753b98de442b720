package schema

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"gleaner/internal/text"
)

// Limits of what an error says.
const (
	maxComplaints = 3   // about one answer
	maxLeaves     = 200 // that are read for them
	maxQuoted     = 60  // bytes of one text
	maxSaid       = 200 // bytes of one complaint, without its place
	maxLocation   = 120 // bytes of a place
)

// leaves returns the errors that have no other reason, at most maxLeaves, in the order of their
// places.
func leaves(err *jsonschema.ValidationError) []*jsonschema.ValidationError {
	var found []*jsonschema.ValidationError
	waiting := []*jsonschema.ValidationError{err}
	for len(waiting) > 0 && len(found) < maxLeaves {
		next := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if len(next.Causes) == 0 {
			if next.ErrorKind != nil {
				found = append(found, next)
			}
			continue
		}
		for _, cause := range slices.Backward(next.Causes) {
			waiting = append(waiting, cause)
		}
	}
	slices.SortStableFunc(found, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(slices.Compare(a.InstanceLocation, b.InstanceLocation), strings.Compare(said(a), said(b)))
	})
	return found
}

// complaint says what does not fit, and where.
func complaint(err *jsonschema.ValidationError) error {
	var all []string
	for _, leaf := range leaves(err) {
		if one := "at " + locate(leaf.InstanceLocation) + ": " + said(leaf); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return errors.New("it is not what the schema says")
	}
	if more := len(all) - maxComplaints; more > 0 {
		all = append(all[:maxComplaints], fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(all, "; "))
}

// said says what is wrong at one place.
func said(err *jsonschema.ValidationError) string {
	switch k := err.ErrorKind.(type) {
	case *kind.Type:
		return shortened("want " + strings.Join(k.Want, " or ") + ", but got " + k.Got)
	case *kind.Required:
		return shortened("there is no " + list(k.Missing))
	case *kind.AdditionalProperties:
		return shortened(list(k.Properties) + " may not be there")
	case *kind.Enum:
		var wanted []string
		for _, value := range k.Want {
			if len(wanted) >= 10 {
				break
			}
			if one := shown(value); !slices.Contains(wanted, one) {
				wanted = append(wanted, one)
			}
		}
		return shortened("want one of " + strings.Join(wanted, ", ") + ", but got " + shown(k.Got))
	case *kind.Const:
		return shortened("want " + shown(k.Want) + ", but got " + shown(k.Got))
	case *kind.Pattern:
		return shortened(quoted(k.Got) + " does not match the pattern " + quoted(k.Want))
	case *kind.FalseSchema:
		return "nothing may be there"
	case *kind.Not:
		return "it fits what it may not fit (not)"
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return fmt.Sprintf("it fits more than one of oneOf: %d and %d, counted from 0", k.Subschemas[0], k.Subschemas[1])
		}
	}
	alone := &jsonschema.ValidationError{ErrorKind: err.ErrorKind} // shows only its kind
	_, words, _ := strings.Cut(alone.Error(), ": ")
	return shortened(words)
}

// notRegex returns the text and the reason if an error says that a text is no regular expression.
func notRegex(err *jsonschema.ValidationError) (expression string, why error) {
	if format, ok := err.ErrorKind.(*kind.Format); ok && format.Want == "regex" {
		expression, _ = format.Got.(string)
		return expression, format.Err
	}
	return "", nil
}

// list names some keys.
func list(keys []string) string {
	slices.Sort(keys)
	var names []string
	for _, key := range keys[:min(len(keys), 5)] {
		names = append(names, quoted(key))
	}
	if more := len(keys) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// shown shows a value in a few words.
func shown(value any) string {
	switch value := value.(type) {
	case string:
		return quoted(value)
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case nil:
		return "null"
	}
	return text.Shorten(fmt.Sprint(value), maxQuoted)
}

func quoted(s string) string { return fmt.Sprintf("%q", text.Shorten(s, maxQuoted)) }

func shortened(s string) string { return text.Shorten(text.OneLine(s), maxSaid) }

// locate returns a JSON pointer, or / for the whole value.
func locate(location []string) string {
	var pointer strings.Builder
	for _, name := range location {
		pointer.WriteString("/" + escaped(name))
		if pointer.Len() > maxLocation {
			break
		}
	}
	return cmp.Or(text.Shorten(text.OneLine(pointer.String()), maxLocation), "/")
}

// escaped returns a name as it stands in a JSON pointer.
func escaped(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func sortedKeys(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
