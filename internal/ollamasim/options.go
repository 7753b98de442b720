package ollamasim

import "fmt"

// options are those of a request's options that change the simulated answer.
type options struct {
	seed       int // negative: by chance
	numPredict int // not positive: no limit of the request's own
	stop       []string
}

// readOptions checks the types of the options as Ollama does, which ignores those that it does
// not know.
func readOptions(in map[string]any) (options, error) {
	o := options{seed: -1}
	for name, value := range in {
		if value == nil {
			continue
		}
		switch name {
		case "seed", "num_predict", "top_k", "num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "repeat_last_n":
			n, ok := value.(float64)
			if !ok {
				return o, fmt.Errorf("option %q must be of type integer", name)
			}
			switch name {
			case "seed":
				o.seed = int(n)
			case "num_predict":
				o.numPredict = int(n)
			}
		case "temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty":
			if _, ok := value.(float64); !ok {
				return o, fmt.Errorf("option %q must be of type float32", name)
			}
		case "stop":
			list, ok := value.([]any)
			if !ok {
				return o, fmt.Errorf("option %q must be of type array", name)
			}
			for _, v := range list {
				text, ok := v.(string)
				if !ok {
					return o, fmt.Errorf("option %q must be of an array of strings", name)
				}
				o.stop = append(o.stop, text)
			}
		}
	}
	return o, nil
}
