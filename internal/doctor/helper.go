package doctor

import (
	"fmt"
	"strings"
	"time"
)

const (
	leastModelRoom  = 1 << 30 // bytes: no model of use is smaller
	littleModelRoom = 8 << 30 // bytes: the models that people use most fit in
)

// Secret judges what a helper was given: says is what is in it, which is no secret, or err why it
// is of no use.
func Secret(says string, err error) []Finding {
	if err != nil {
		what, advice := err.Error(), "ask the operator for an invitation (`gleaner invite`)"
		if end := strings.LastIndex(what, ": "); end >= 0 { // errors of people's making end with what to do
			what, advice = what[:end], what[end+len(": "):]
		}
		return bad(what, advice)
	}
	return fine("%s", says)
}

// Network judges how a consumer reaches its NATS server, and whether it may do its work there.
func Network(q Broker, err error) []Finding {
	if err != nil {
		return bad(err.Error(), "see that this machine reaches the Internet, and that its firewall lets this address through; if others reach it, ask for a new invitation")
	}
	if refused := q.Refused["consumer"]; len(refused) > 0 {
		return bad("this user may not "+strings.Join(refused, ", "), "ask for a new invitation (`gleaner invite`), or for credentials with the consumer's permissions")
	}
	return fine("NATS %s answers in %s at %s", q.Version, q.RoundTrip.Round(100*time.Microsecond), q.Where)
}

// Program judges the program that serves models, which was found at a path.
func Program(path string, err error) []Finding {
	if err != nil {
		return bad(fmt.Sprintf("there is no Ollama: %v", err), "install it from https://ollama.com/download, or say where it is with --ollama-bin")
	}
	return fine("the program is %s", path)
}

// ModelRoom judges the room in a folder into which models are pulled.
func ModelRoom(dir string, free int64, err error) []Finding {
	says := fmt.Sprintf("%s is free for models in %s", bytes(free), dir)
	switch {
	case err != nil:
		return bad(err.Error(), "choose another folder with --models")
	case free < leastModelRoom:
		return bad(says, "make room, or choose another folder with --models: a model of 7 billion parameters takes 4 GiB")
	case free < littleModelRoom:
		return warn(says, "see that the model fits: one of 7 billion parameters takes 4 GiB")
	}
	return fine("%s", says)
}

// places are hosted notebooks, by a variable that each sets, and what to do there about a check
// that found something wrong.
func places() map[string]map[string]string {
	return map[string]map[string]string{
		"KAGGLE_KERNEL_RUN_TYPE": {
			"secret":  "attach the secret GLEANER_INVITE to this notebook (Add-ons > Secrets, and tick it), with what `gleaner invite` printed",
			"GPUs":    "choose Settings > Accelerator > GPU T4 x2; where it is greyed out, this week's quota is used up or the account has no phone number",
			"network": "switch Settings > Internet on (the account needs a phone number); if it is on, ask for a new invitation",
			"Ollama":  "attach the dataset that has ollama-linux-amd64.tar.zst of a release of Ollama (Add Input)",
			"disk":    "end this session and start a new one, whose disk is empty",
		},
		"COLAB_RELEASE_TAG": {
			"secret":  "make the secret GLEANER_INVITE of what `gleaner invite` printed (the key symbol on the left), and let this notebook have it",
			"GPUs":    "choose Runtime > Change runtime type > T4 GPU; where there is none, the time for GPUs is used up for now",
			"network": "run the cell again in a minute; if others reach the server, ask for a new invitation",
			"Ollama":  "put ollama-linux-amd64.tar.zst of a release of Ollama into a folder that GLEANER_INPUT names",
			"disk":    "choose Runtime > Disconnect and delete runtime, and run the cell again",
		},
	}
}

// Here gives findings the advice for the hosted notebook in which this is, which its environment
// tells. Elsewhere they stay as they are.
func Here(findings []Finding, env map[string]string) []Finding {
	here := make([]Finding, len(findings))
	copy(here, findings)
	for variable, advice := range places() {
		if env[variable] == "" {
			continue
		}
		for i, f := range here {
			if words, ok := advice[f.Check]; ok && f.State == Wrong && (f.Check != "secret" || f.Says == NoInvitation) {
				here[i].Advice = words
			}
		}
	}
	return here
}

// NoInvitation is what a check of the secret says where there is none.
const NoInvitation = "there is no invitation"

// Missing returns what is wrong as the words of one error, a line each and what to do below it.
func Missing(findings []Finding) string {
	var lines []string
	for _, f := range findings {
		if f.State == Wrong {
			lines = append(lines, fmt.Sprintf("  %s: %s", f.Check, f.Says), "    → "+f.Advice)
		}
	}
	if n := len(lines) / 2; n > 1 {
		return fmt.Sprintf("%d things are missing, and no work was taken:\n%s", n, strings.Join(lines, "\n"))
	}
	return "one thing is missing, and no work was taken:\n" + strings.Join(lines, "\n")
}
