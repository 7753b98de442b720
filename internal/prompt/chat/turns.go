package chat

import (
	"errors"
	"strings"

	"gleaner/internal/pipeline"
)

// A parser collects the messages of a chat.
type parser struct {
	messages []pipeline.Message
	turns    []int // the number of the turn that each message came from
	tools    pipeline.JSON
}

// parse reads a list of turns, or an object that holds one.
func (p *parser) parse(value []byte) error {
	switch value[0] {
	case '[':
		return p.list(value)
	case '{':
	default:
		return problem(0, "it %s, not a chat: a chat is a list of turns, each with role and content (or from and value)", describe(value))
	}
	list, tools, err := turnsOf(value)
	if err != nil {
		return problem(0, "%v", err)
	}
	if list == nil {
		return problem(0, "it %s, not a chat: a chat is a list of turns, each with role and content (or from and value), also below the key messages or conversations", describe(value))
	}
	if p.tools, err = ParseTools(tools); err != nil {
		return problem(0, "%v", err)
	}
	if list[0] == '{' { // a list for each key, as some loaders turn lists of objects
		return p.columns(list)
	}
	return p.list(list)
}

// turnsOf returns the list of turns that an object holds, and the tools beside it, each nil if
// there is none. An object of lists, one with the roles and one with the contents, is the list
// itself.
func turnsOf(object []byte) (list, tools []byte, err error) {
	list, tools, err = listIn(object)
	if err == nil && list != nil && list[0] == '{' && len(list) < len(object) { // may be {"from": […], "value": […]}
		if inner, _, _ := listIn(list); len(inner) != len(list) {
			list = nil
		}
	}
	return list, tools, err
}

func listIn(object []byte) (list, tools []byte, err error) {
	best, bestRole := 0, 0
	err = eachMember(object, func(key string, value []byte) error {
		isList := value[0] == '['
		switch r := listRank(key); {
		case r > best && (isList || value[0] == '{'):
			best, list = r, value
		case (key == "tools" || key == "functions") && !isNull(value):
			tools = value
		case isList && roleRank(key) > 0:
			bestRole = roleRank(key)
		}
		return nil
	})
	if err == nil && list == nil && bestRole > 0 {
		list = object
	}
	return list, tools, err
}

// list reads turns that are objects, or texts that alternate.
func (p *parser) list(list []byte) error {
	texts := false
	return eachElement(list, func(i int, value []byte) error {
		if i >= pipeline.MaxMessages {
			return problem(0, "the chat has more than %d turns", pipeline.MaxMessages)
		}
		texts = texts || i == 0 && value[0] == '"'
		switch {
		case value[0] == '{' && !texts:
			return p.turn(i+1, value)
		case value[0] == '"' && texts:
			text, err := Text(value)
			if err != nil {
				return problem(i+1, "%v", err)
			}
			role := pipeline.RoleUser
			if i%2 == 1 {
				role = pipeline.RoleAssistant
			}
			p.add(i+1, pipeline.Message{Role: role, Content: text})
			return nil
		}
		if texts {
			return problem(i+1, "it %s, and the turns before it are texts", describe(value))
		}
		return problem(i+1, "it %s, not an object with role and content", describe(value))
	})
}

// columns reads a chat that has a list for each key.
func (p *parser) columns(object []byte) error {
	var names []string
	var lists [][]byte
	if err := eachMember(object, func(key string, value []byte) error {
		if value[0] == '[' && (roleRank(key) > 0 || contentRank(key) > 0) {
			names, lists = append(names, key), append(lists, value)
		}
		return nil
	}); err != nil {
		return problem(0, "%v", err)
	}
	var rows []fields
	for n, list := range lists {
		count := 0
		if err := eachElement(list, func(i int, value []byte) error {
			if i >= pipeline.MaxMessages {
				return problem(0, "the chat has more than %d turns", pipeline.MaxMessages)
			}
			if count++; count > len(rows) {
				rows = append(rows, fields{})
			}
			return rows[i].take(names[n], value)
		}); err != nil {
			return err
		}
		if count != len(rows) {
			return problem(0, "its lists %s differ in length", strings.Join(names, " and "))
		}
	}
	for i := range rows {
		if err := p.said(i+1, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// fields are the keys of a turn that mean something, as they stand there.
type fields struct {
	role, content         []byte
	roleRank, contentRank int

	name, toolCalls, functionCall, callID, tools []byte

	named  []pipeline.Role // of keys that are roles, as in {"human": "…", "assistant": "…"}
	values [][]byte
}

// take takes in one key of a turn.
func (f *fields) take(key string, value []byte) error {
	if isNull(value) {
		return nil
	}
	switch r, c := roleRank(key), contentRank(key); {
	case r > f.roleRank:
		f.role, f.roleRank = value, r
		return nil
	case c > f.contentRank:
		f.content, f.contentRank = value, c
		return nil
	case r > 0 || c > 0:
		return nil
	}
	switch key {
	case "name", "tool_name":
		f.name = value
		return nil
	case "tool_calls":
		f.toolCalls = value
		return nil
	case "function_call":
		f.functionCall = value
		return nil
	case "tool_call_id":
		f.callID = value
		return nil
	case "tools":
		f.tools = value
		return nil
	}
	if isMedia(key) && string(value) != "[]" && string(value) != `""` {
		return errors.New("it has " + key + ", and only text can be sent")
	}
	if kind, ok := kindOf(key); ok && kind != roleCall && value[0] == '"' {
		f.named, f.values = append(f.named, kind), append(f.values, value)
	}
	return nil
}

// turn reads a turn that is an object.
func (p *parser) turn(number int, object []byte) error {
	var f fields
	if err := eachMember(object, f.take); err != nil {
		return problem(number, "%v", err)
	}
	if f.role == nil && len(f.named) > 0 {
		for i, kind := range f.named {
			text, err := Text(f.values[i])
			if err != nil {
				return problem(number, "its %s %v", kind, err)
			}
			p.add(number, pipeline.Message{Role: kind, Content: text})
		}
		return nil
	}
	return p.said(number, &f)
}

// said makes the message of a turn.
func (p *parser) said(number int, f *fields) error {
	if f.role == nil {
		return problem(number, "it has no role: the key is role, from or speaker")
	}
	name, err := Text(f.role)
	if err != nil {
		return problem(number, "its role %v", err)
	}
	kind, ok := kindOf(name)
	if !ok {
		return problem(number, "the role %.40q is not known: known are %s", name, knownRoles())
	}
	if f.tools != nil && p.tools == "" {
		if p.tools, err = ParseTools(f.tools); err != nil {
			return problem(number, "%v", err)
		}
	}
	if kind == roleCall {
		return p.call(number, f)
	}
	m := pipeline.Message{Role: kind}
	if m.Content, err = contentOf(kind, f.content); err != nil {
		return problem(number, "%v", err)
	}
	switch kind {
	case pipeline.RoleAssistant:
		m.ToolCalls, err = callsOf(f.toolCalls, f.functionCall)
	case pipeline.RoleTool:
		m.ToolName, m.ToolCallID, err = f.callee()
	case pipeline.RoleSystem:
		m.Role = exampleRole(f.name)
	}
	if err != nil {
		return problem(number, "%v", err)
	}
	if f.content == nil && m.ToolCalls == "" && kind != pipeline.RoleAssistant && kind != pipeline.RoleSystem {
		return problem(number, "it has no content: the key is content, value or text")
	}
	p.add(number, m)
	return nil
}

// exampleRole returns whose turn a system prompt is. In OpenAI's chats those with these names are
// examples of what a user and an assistant say.
func exampleRole(name []byte) pipeline.Role {
	switch string(name) {
	case `"example_user"`:
		return pipeline.RoleUser
	case `"example_assistant"`:
		return pipeline.RoleAssistant
	}
	return pipeline.RoleSystem
}

// add appends a message. A system prompt without text is none.
func (p *parser) add(number int, m pipeline.Message) {
	if m.Role == pipeline.RoleSystem && strings.TrimSpace(m.Content) == "" {
		return
	}
	p.messages, p.turns = append(p.messages, m), append(p.turns, number)
}

// describe says what a value is, as the end of a sentence.
func describe(value []byte) string {
	switch value[0] {
	case '"':
		return "is a text"
	case 't', 'f':
		return "is true or false"
	case '[', '{':
		return strings.TrimSuffix(notText(value).Error(), ", not text")
	case 'n':
		return "is null"
	}
	return "is a number"
}
