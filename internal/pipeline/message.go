package pipeline

// A Role is the speaker of a message.
type Role string

// The roles.
const (
	RoleSystem    Role = "system"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// A Message is one turn of a conversation with a model.
type Message struct {
	Role    Role   `json:"role"`
	Content string `json:"content"`
}

// User returns a conversation of one message by the user.
func User(content string) []Message { return []Message{{RoleUser, content}} }

// ContentBytes returns the sum of the lengths of the messages' contents.
func ContentBytes(messages []Message) int {
	sum := 0
	for _, m := range messages {
		sum += len(m.Content)
	}
	return sum
}

// lastContent returns the content of the last message, or nothing if there is none.
func lastContent(messages []Message) string {
	if len(messages) == 0 {
		return ""
	}
	return messages[len(messages)-1].Content
}
