package ollama

import (
	"fmt"
	"strconv"
	"strings"
)

// oldestMinor is that of the first version, 0.12, that refuses a prompt that is too long if it is
// asked to. Older ones do not know that wish and cut the prompt without a word.
const oldestMinor = 12

// versionNote says in words what is odd about a server's version, or nothing. Only the first two
// numbers count, so what stands behind them, as in "0.17.4-rc1", does not matter.
func versionNote(version string) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	first, err1 := strconv.Atoi(major)
	second, err2 := strconv.Atoi(minor)
	switch {
	case err1 != nil || err2 != nil || first < 0 || second < 0:
		return fmt.Sprintf("its version %q is none of Ollama's: a server of another make may cut prompts or answers without a word", version)
	case first == 0 && second == 0:
		return fmt.Sprintf("it says version %s, as a build of one's own does: it is not known what it does with prompts that are too long", version)
	case first == 0 && second < oldestMinor:
		return fmt.Sprintf("Ollama %s is older than 0.%d and cuts prompts that are too long without a word: update it", version, oldestMinor)
	}
	return ""
}
