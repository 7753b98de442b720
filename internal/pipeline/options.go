package pipeline

import (
	"fmt"
	"reflect"
)

// Options are the generation options of a request. Nil means the model's own default.
//
// A new option is a field here and a line in each method of this file; cli has its flag, and each
// adapter of a model server sends it.
type Options struct {
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	NumPredict  int      `json:"num_predict"` // tokens of an answer, at most; always positive
	Stop        []string `json:"stop,omitempty"`
	Raw         bool     `json:"raw,omitempty"` // thinking in tags stays in the answer
}

// validate returns a *SpecError for the first option that is not valid.
func (o Options) validate() error {
	if o.NumPredict < 1 || o.NumPredict > MaxNumPredict {
		return &SpecError{"num-predict", fmt.Sprintf("%d is not in 1..%d", o.NumPredict, MaxNumPredict)}
	}
	if t := o.Temperature; t != nil && !(*t >= 0 && *t <= 5) {
		return &SpecError{"temperature", fmt.Sprintf("%g is not in 0..5", *t)}
	}
	if p := o.TopP; p != nil && !(*p > 0 && *p <= 1) {
		return &SpecError{"top-p", fmt.Sprintf("%g is not in 0..1, 0 excluded", *p)}
	}
	if k := o.TopK; k != nil && *k < 1 {
		return &SpecError{"top-k", fmt.Sprintf("%d is not positive", *k)}
	}
	for _, stop := range o.Stop {
		if stop == "" {
			return &SpecError{"stop", "an empty stop sequence would end every answer at once"}
		}
	}
	return nil
}

// differences names the options, as in flags, that are not the same in both.
func (o Options) differences(p Options) (names []string) {
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"temperature", o.Temperature, p.Temperature},
		{"top-p", o.TopP, p.TopP},
		{"top-k", o.TopK, p.TopK},
		{"num-predict", o.NumPredict, p.NumPredict},
		{"raw", o.Raw, p.Raw},
	} {
		if !reflect.DeepEqual(f.a, f.b) {
			names = append(names, f.name)
		}
	}
	if !(len(o.Stop) == 0 && len(p.Stop) == 0) && !reflect.DeepEqual(o.Stop, p.Stop) {
		names = append(names, "stop")
	}
	return names
}

// Flags shows the options that are set, each with the flag that asks for it.
func (o Options) Flags() []string {
	flags := []string{fmt.Sprintf("num-predict %d", o.NumPredict)}
	if o.Temperature != nil {
		flags = append(flags, fmt.Sprintf("temperature %g", *o.Temperature))
	}
	if o.TopP != nil {
		flags = append(flags, fmt.Sprintf("top-p %g", *o.TopP))
	}
	if o.TopK != nil {
		flags = append(flags, fmt.Sprintf("top-k %d", *o.TopK))
	}
	if o.Raw {
		flags = append(flags, "raw")
	}
	for _, stop := range o.Stop {
		flags = append(flags, fmt.Sprintf("stop %q", stop))
	}
	return flags
}
