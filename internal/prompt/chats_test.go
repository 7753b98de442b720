package prompt

import (
	"errors"
	"strings"
	"testing"

	"gleaner/internal/pipeline"
)

const (
	asChat   = `[{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]`
	asJSON   = `"[{\"from\": \"human\", \"value\": \"a?\"}]"`
	articles = `"[{\"author\": \"Ann\", \"text\": \"a?\"}]"`
)

func TestTheFirstRowsDecideWhetherAColumnHoldsChats(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		chats  bool
		note   string
	}{
		"texts":                              {[]string{`"a?"`, `"b?"`}, false, ""},
		"chats":                              {[]string{asChat, `"b?"`}, true, ""},
		"the first ones are empty":           {[]string{"null", "[]", asChat}, true, ""},
		"texts, and chats after them":        {[]string{`"a?"`, asChat}, true, ""},
		"lists of texts":                     {[]string{`["a?", "b", "c?"]`}, true, ""},
		"texts, and a list that is mistaken": {[]string{`"a?"`, `["a?", "b"]`}, false, ""},
		"chats as texts":                     {[]string{asJSON, asJSON}, true, `column "q" holds chats as texts of JSON, which are sent as chats: --prompt '{{ q }}' sends the texts`},
		"texts of JSON that are no chats":    {[]string{articles}, false, ""},
		"a text, and JSON after it":          {[]string{`"a?"`, asJSON}, false, ""},
	} {
		var rows [][]byte
		for _, value := range c.values {
			rows = append(rows, []byte(`{"q": `+value+`}`))
		}
		if got, note, err := Settle(pipeline.Spec{Field: "q"}, rows, false); err != nil || got.Chats != c.chats || note != c.note {
			t.Errorf("%s: %t, %q, %v", name, got.Chats, note, err)
		}
	}
	if _, note, _ := Settle(pipeline.Spec{Field: "a.q"}, [][]byte{[]byte(`{"a": {"q": ` + asJSON + `}}`)}, false); !strings.Contains(note, "'{{ a.q }}'") {
		t.Errorf("the note says %q", note)
	}
}

func TestAColumnOfChatsMayHaveTextsToo(t *testing.T) {
	for value, want := range map[string]string{`"plain?"`: "plain?", asChat: "a?", asJSON: "a?", `"` + strings.Trim(articles, `"`) + `"`: `[{"author": "Ann", "text": "a?"}]`} {
		got, err := requestOf(t, pipeline.Spec{Field: "q", Chats: true}, `{"q": `+value+`}`)
		if err != nil || len(got.Messages) != 1 || got.Messages[0].Content != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
}

func TestAChatThatCannotBeSentSaysWhy(t *testing.T) {
	const llava = `{"q": [{"from": "human", "value": "<image>\nWhat is this?"}], `
	for row, want := range map[string]string{
		`{"q": []}`:                      "the chat has no turns",
		`{"q": {"a": 1}}`:                "it is an object with a, not a chat",
		llava + `"image": "coco/1.jpg"}`: `column "image" has what <image> in its chat stands for, and only text can be sent`,
		llava + `"images": ["1.jpg"]}`:   `column "images" has what <image>`,
	} {
		_, err := requestOf(t, pipeline.Spec{Field: "q", Chats: true}, row)
		var problem *RowProblem
		if !errors.As(err, &problem) || !strings.Contains(problem.Problem, want) {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
	for _, row := range []string{llava + `"image": null}`, llava + `"images": []}`, `{"q": "a?", "image": "1.jpg"}`, strings.Replace(llava, "<image>", "", 1) + `"image": "1.jpg"}`} {
		if _, err := requestOf(t, pipeline.Spec{Field: "q", Chats: true}, row); err != nil {
			t.Errorf("%s: %v", row, err)
		}
	}
}
