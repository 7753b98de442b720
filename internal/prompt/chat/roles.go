package chat

import (
	"fmt"
	"slices"
	"strings"

	"gleaner/internal/pipeline"
)

// roleCall is the kind of a turn that only calls a tool, and is the assistant's.
const roleCall pipeline.Role = "call"

// roleNames returns the names that datasets have for a kind of turn, in lower case, with _ for a
// dash or a blank. The first is the usual one.
func roleNames(kind pipeline.Role) []string {
	switch kind {
	case pipeline.RoleSystem:
		return []string{"system", "developer", "system_prompt"}
	case pipeline.RoleUser:
		return []string{"user", "human", "prompter", "usr"}
	case pipeline.RoleAssistant:
		return []string{"assistant", "gpt", "chatgpt", "gpt4", "gpt_4", "gpt_3.5", "bing", "bard", "gemini", "claude", "model", "bot", "chatbot", "ai", "llm"}
	case pipeline.RoleTool:
		return []string{"tool", "function", "observation", "function_response", "function_result", "tool_response", "tool_result", "tool_results", "tool_output", "ipython"}
	case roleCall:
		return []string{"function_call", "function_calls", "tool_call", "tool_calls"}
	}
	return nil
}

func kinds() []pipeline.Role {
	return []pipeline.Role{pipeline.RoleSystem, pipeline.RoleUser, pipeline.RoleAssistant, pipeline.RoleTool, roleCall}
}

// kindOf returns the kind of turn that a name stands for.
func kindOf(name string) (pipeline.Role, bool) {
	switch name { // the usual ones at once
	case "user", "human":
		return pipeline.RoleUser, true
	case "assistant", "gpt":
		return pipeline.RoleAssistant, true
	}
	if len(name) > 40 {
		return "", false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r != '_' && r != '.' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		name = strings.ToLower(strings.Trim(name, whitespace+":"))
		name = strings.ReplaceAll(strings.ReplaceAll(name, "-", "_"), " ", "_")
	}
	for _, kind := range kinds() {
		if slices.Contains(roleNames(kind), name) {
			return kind, true
		}
	}
	return "", false
}

// knownRoles lists all names, for an error.
func knownRoles() string {
	var list []string
	for _, kind := range kinds() {
		names := roleNames(kind)
		list = append(list, fmt.Sprintf("%s (%s)", names[0], strings.Join(names[1:], ", ")))
	}
	return strings.Join(list, "; ")
}

// roleRank returns how much a key counts as that of a turn's role; 0: it is none.
func roleRank(key string) int { return rank(key, "role", "from", "speaker", "author", "sender") }

// contentRank returns the same for the key of a turn's content.
func contentRank(key string) int {
	return rank(key, "content", "value", "text", "message", "utterance")
}

// listRank returns the same for the key of the list of all turns.
func listRank(key string) int {
	return rank(key, "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat")
}

func rank(key string, names ...string) int {
	if i := slices.Index(names, key); i >= 0 {
		return len(names) - i
	}
	return 0
}

// isMedia reports whether a key of a turn holds something that is not text.
func isMedia(key string) bool {
	return slices.Contains([]string{"image", "images", "image_url", "audio", "audios", "input_audio", "video", "videos", "file", "files"}, key)
}
