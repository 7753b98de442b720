package jobfile

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"gleaner/internal/text"
)

// Numbers as YAML 1.2 writes them in its core schema: 007 is seven, and 1_000 is a text.
var (
	decimal = regexp.MustCompile(`^[-+]?[0-9]+$`)
	based   = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
	float   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// convert returns a word as a value of a type, for kong.
func (r *reading) convert(at *yaml.Node, as reflect.Type, word string) (any, error) {
	if as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	word = r.file.pathOf(r.flag, word)
	if unmarshals(as) || r.flag.Tag.Type != "" {
		return word, nil
	}
	var value any = word
	ok := true
	var err error
	switch kind := as.Kind(); {
	case as == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(word)
		value = int64(d)
	case kind == reflect.Bool:
		value, ok = boolOf(word)
	case kind >= reflect.Int && kind <= reflect.Int64:
		base := 10
		if ok = decimal.MatchString(word); based.MatchString(word) {
			ok, base = true, 0
		}
		value, err = strconv.ParseInt(word, base, as.Bits())
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		ok = decimal.MatchString(word)
		value, err = strconv.ParseUint(strings.TrimPrefix(word, "+"), 10, as.Bits())
	case kind == reflect.Float32 || kind == reflect.Float64:
		ok = float.MatchString(word)
		value, err = strconv.ParseFloat(word, as.Bits())
	}
	if !ok || err != nil {
		return nil, r.file.wrong(at, "%s is expected, and this is %q", expected(as), text.Clip(word, 60))
	}
	return value, nil
}

// boolOf reads what kong takes for a bool on the command line.
func boolOf(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "yes", "1":
		return true, true
	case "false", "no", "0":
		return false, true
	}
	return false, false
}

// unmarshals reports whether values of a type read their own text.
func unmarshals(as reflect.Type) bool {
	return reflect.PointerTo(as).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// expected says what the value of a flag of this type is.
func expected(as reflect.Type) string {
	if as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	switch kind := as.Kind(); {
	case unmarshals(as):
		return "a single value"
	case as == reflect.TypeFor[time.Duration]():
		return "a time, such as 90s or 2h"
	case kind == reflect.Bool:
		return "true or false"
	case kind >= reflect.Int && kind <= reflect.Int64:
		return "a whole number"
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return "a whole number that is not negative"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "a number"
	}
	return "a text"
}

// try decodes a value as kong will, to say where one stands that the flag does not take.
func (r *reading) try(at *yaml.Node, value any) error {
	target := reflect.New(r.flag.Target.Type()).Elem()
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
	case reflect.Map:
		target.Set(reflect.MakeMap(target.Type()))
	}
	err := r.flag.Mapper.Decode(&kong.DecodeContext{Value: r.flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, target)
	if err != nil {
		return r.file.wrong(at, "%v", err)
	}
	if r.flag.Enum == "" {
		return nil
	}
	words := []reflect.Value{reflect.Indirect(target)}
	if r.flag.IsSlice() {
		words = nil
		for i := range target.Len() {
			words = append(words, target.Index(i))
		}
	}
	for _, word := range words {
		if said := fmt.Sprint(word); !slices.Contains(r.flag.EnumSlice(), said) {
			return r.file.wrong(at, "one of %s is expected, and this is %q", strings.Join(r.flag.EnumSlice(), ", "), text.Clip(said, 60))
		}
	}
	return nil
}
