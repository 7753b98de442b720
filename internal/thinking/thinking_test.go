package thinking

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestThinkingIsTakenOffTheBeginningOfAnAnswer(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Parts
	}{
		{"no thinking", " The answer\nis 42. ", Parts{Answer: " The answer\nis 42. "}},
		{"nothing", "", Parts{}},

		{"a pair", "<think>\nLet me see.\n</think>\n\nThe answer is 42.\n", Parts{Answer: "The answer is 42.\n", Thought: "Let me see.", Found: true}},
		{"a pair after white space", "\n\n <think>a</think>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"a pair with nothing in it", "<think>\n\n</think>\n\n42", Parts{Answer: "42", Found: true}},
		{"a pair with nothing behind it", "<think>\nhm\n</think>\n\n", Parts{Answer: "", Thought: "hm", Found: true}},
		{"two pairs", "<think>a</think>\n<think>bc</think>\n42", Parts{Answer: "42", Thought: "a\n\nbc", Found: true}},
		{"an answer about tags behind a pair", "<think>a</think>Write </think> there.", Parts{Answer: "Write </think> there.", Thought: "a", Found: true}},

		{"no end", "<think>\nLet me see, but", Parts{Answer: "<think>\nLet me see, but", Thought: "Let me see, but", Found: true, Open: true}},
		{"no end of the second", "<think>a</think><think>b", Parts{Answer: "<think>a</think><think>b", Thought: "a\n\nb", Found: true, Open: true}},
		{"a tag that was cut", "<thi", Parts{Answer: "<thi"}},

		{"only the end", "Okay, 6*7.\nThat is 42\n</think>\n\n42", Parts{Answer: "42", Thought: "Okay, 6*7.\nThat is 42", Found: true}},
		{"only the end, behind the last word", "That is 42.</think>It is 42.", Parts{Answer: "It is 42.", Thought: "That is 42.", Found: true}},
		{"only the end, at once", "</think>\n\n42", Parts{Answer: "42", Found: true}},
		{"only the end, and nothing behind it", "That is 42\n</think>\n", Parts{Answer: "", Thought: "That is 42", Found: true}},
		{"only the end, in thinking that quotes it", "They ask about `</think>`.\n</think>\nIt ends it.", Parts{Answer: "It ends it.", Thought: "They ask about `</think>`.", Found: true}},
		{"only the end, in thinking that quotes both", "They ask about \"<think>\".\n</think>\nIt begins it.", Parts{Answer: "It begins it.", Thought: "They ask about \"<think>\".", Found: true}},

		{"an answer that names the end", "The tag </think> ends it.", Parts{Answer: "The tag </think> ends it."}},
		{"an answer that names the end last", "It ends with </think>", Parts{Answer: "It ends with </think>"}},
		{"an answer that quotes the end", "It ends with\n`</think>`\nalways.", Parts{Answer: "It ends with\n`</think>`\nalways."}},
		{"an answer that shows both", "Write:\n<think>\nhm\n</think>\nand then", Parts{Answer: "Write:\n<think>\nhm\n</think>\nand then"}},
		{"an answer that shows code", "Write:\n```\n</think>\n```\n", Parts{Answer: "Write:\n```\n</think>\n```\n"}},
		{"an answer that begins with a quoted tag", "`<think>` begins it.", Parts{Answer: "`<think>` begins it."}},
		{"tags that only a prompt can ask for", "<reasoning>a</reasoning><answer>b</answer>", Parts{Answer: "<reasoning>a</reasoning><answer>b</answer>"}},
		{"an end that no template leaves alone", "a\n</thinking>\nb", Parts{Answer: "a\n</thinking>\nb"}},

		{"thinking", "<thinking>a</thinking>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"thought", "<thought>\na\n</thought>\n\nb", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Magistral", "[THINK]a[/THINK]b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Gemma", "<|channel>thought\na\n<channel|>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Seed", "a</seed:think>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"LongCat", "<longcat_think>a</longcat_think>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Kimi", "◁think▷a◁/think▷b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Command", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Command, without thinking", "<|START_RESPONSE|>b<|END_RESPONSE|>\n", Parts{Answer: "b"}},
		{"Apertus", "a<|inner_suffix|>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"OpenThinker", "<|begin_of_thought|>\n\na\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nb\n\n<|end_of_solution|>", Parts{Answer: "b\n\n", Thought: "a", Found: true}},

		{"Harmony", "<|channel|>analysis<|message|>We need 42.<|end|><|start|>assistant<|channel|>final<|message|>It is 42.<|return|>", Parts{Answer: "It is 42.", Thought: "We need 42.", Found: true}},
		{"Harmony from its start", "<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Harmony without an end", "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b<|end|>", Parts{Answer: "b", Thought: "a", Found: true}},
		{"Harmony with a commentary", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c", Parts{Answer: "c", Thought: "a\n\nb", Found: true}},
		{"Harmony, only the answer", "<|channel|>final<|message|>b<|return|>", Parts{Answer: "b"}},
		{"Harmony that still thinks", "<|channel|>analysis<|message|>We need", Parts{Answer: "<|channel|>analysis<|message|>We need", Thought: "We need", Found: true, Open: true}},
		{"Harmony that ends after thinking", "<|channel|>analysis<|message|>a<|end|>", Parts{Answer: "", Thought: "a", Found: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, Split(test.text)); d != "" {
				t.Errorf("%q (-want +got):\n%s", test.text, d)
			}
		})
	}
}

// What a model writes cannot make it slow.
func TestAnAnswerFullOfTagsIsReadOnce(t *testing.T) {
	for _, tags := range []string{"`</think>` ", "`<think>` `</think>` ", "<think></think>", "<think>a</think>", "</think>", "<|channel|>"} {
		text := strings.Repeat(tags, 512<<10/len(tags))
		if p := Split(text); len(p.Answer) > len(text) {
			t.Errorf("%d bytes of %q became %d", len(text), tags, len(p.Answer))
		}
	}
}

func FuzzAnAnswerIsAPartOfItsText(f *testing.F) {
	for _, seed := range []string{"", "42", "<think>a</think>b", "a\n</think>\nb", "<think>a", "[THINK]a[/THINK]b", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
		"`</think>`", "<|START_RESPONSE|>b<|END_RESPONSE|>", "◁think▷a◁/think▷b", "\xff</think>\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := Split(text)
		switch {
		case !strings.Contains(text, p.Answer):
			t.Errorf("%q is no part of %q", p.Answer, text)
		case len(p.Thought)+len(p.Answer) > len(text) && !p.Open:
			t.Errorf("%q: %+v has more bytes than there are", text, p)
		case p.Open && p.Answer != text, p.Open && !p.Found, p.Thought != "" && !p.Found:
			t.Errorf("%q: %+v contradicts itself", text, p)
		case !strings.ContainsAny(text, "<[◁") && p.Answer != text:
			t.Errorf("%q has no tag and became %q", text, p.Answer)
		case utf8.ValidString(text) && !utf8.ValidString(p.Answer):
			t.Errorf("%q was cut within a character", text)
		}
	})
}
