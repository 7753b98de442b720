package prompt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt/chat"
)

// RequestMessages is the path of the chat in a request of OpenAI's batch API. As the field of a run
// it takes that chat alone, whatever else stands in the request.
const RequestMessages = "body.messages"

// requestID is the column of the id by which the answer to such a request is found.
const requestID = "custom_id"

// Requests settles a spec for rows that are requests of OpenAI's batch API, and reports whether
// they are: the first one is, and the spec does not say of what its prompts are made. What that row
// asks for of the options that are unset is the run's. A note says what was found.
func Requests(spec pipeline.Spec, rows [][]byte, unset []string) (settled pipeline.Spec, note string, are bool) {
	if spec.Field != "" || spec.Prompt != "" || len(rows) == 0 {
		return spec, "", false
	}
	first, are, _ := chat.BatchRequest(rows[0]) // what is wrong with a row is said of each
	if !are {
		return spec, "", false
	}
	if spec.ID == "" {
		spec.ID = requestID
	}
	spec.Field, spec.Chats, spec.Requests = RequestMessages, true, &pipeline.Requests{}
	spec.Options = spec.Options.With(first.Options.Only(unset))
	isUnset := func(name string) bool { return slices.Contains(unset, name) }
	if first.N != nil && isUnset("samples") {
		spec.Samples = *first.N
	}
	if first.Seed != nil && isUnset("seed") {
		spec.Seed = *first.Seed
	}
	var flags []string
	for _, a := range first.Asked() {
		if isUnset(a.Option) {
			spec.Requests.Asks, flags = append(spec.Requests.Asks, a.Option), append(flags, a.Flags)
		}
	}
	if isUnset("num-predict") && !slices.Contains(spec.Requests.Asks, "num-predict") {
		spec.Options.NumPredict = spec.Options.Think.NumPredict()
	}
	note = "the rows are requests of OpenAI's batch API, whose messages are sent"
	if len(flags) > 0 {
		note += ", with what they ask for: " + strings.Join(flags, " ")
	}
	if first.Model != "" && first.Model != spec.Model {
		note += fmt.Sprintf("; they name the model %s, and the run's is %s", first.Model, spec.Model)
	}
	return spec, note, true
}

// byRequest makes the request from a row that is one of OpenAI's batch API.
func (r *Renderer) byRequest(row []byte) (pipeline.Rendered, error) {
	line, is, err := chat.BatchRequest(row)
	if !is {
		return pipeline.Rendered{}, problem(pipeline.NotRendered, "it is no request of OpenAI's batch API with %s and %s, as the first row is one", requestID, RequestMessages)
	}
	if err := r.chatProblem(err, "%v", err); err != nil {
		return pipeline.Rendered{}, err
	}
	if r.checks {
		if err := r.otherOptions(&line); err != nil {
			return pipeline.Rendered{}, err
		}
	}
	return pipeline.Rendered{Messages: r.opened(line.Chat.Messages), Tools: line.Chat.Tools, Reference: line.Chat.Reference}, nil
}

// alone ends what is said of a row that asks for something else.
const alone = "take the messages alone with --field " + RequestMessages

// otherOptions returns what a request asks for and the run does not have, or nil.
func (r *Renderer) otherOptions(line *chat.BatchLine) error {
	if len(line.Unknown) > 0 {
		return problem(pipeline.OtherRun, "its body has %s, for which a run has nothing: leave it out, or %s", strings.Join(line.Unknown, ", "), alone)
	}
	if lacks := line.Lacks(r.spec); len(lacks) > 0 {
		a := lacks[0]
		return problem(pipeline.OtherRun, "its body.%s asks for %s, and the run has %s: give %[2]s if all rows ask for it, or %[4]s",
			a.Parameter, a.Flags, cmp.Or(a.Has, "nothing"), alone)
	}
	for _, name := range r.spec.Requests.Asks {
		if !line.Asks(name) {
			return problem(pipeline.OtherRun, "its body asks for no --%s, as the first row's does: give it as a flag to have it for all rows, or %s", name, alone)
		}
	}
	return nil
}
