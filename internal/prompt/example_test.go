package prompt_test

import (
	"fmt"
	"log"

	"gleaner/internal/pipeline"
	"gleaner/internal/prompt"
)

// The prompt is a column of the row.
func ExampleNew_column() {
	renderer, err := prompt.New(pipeline.Spec{System: "Answer with a number.", Field: "question"})
	if err != nil {
		log.Fatal(err)
	}
	messages, err := renderer.Render([]byte(`{"question": "What is 2+2?", "level": 1}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Printf("%s: %s\n", m.Role, m.Content)
	}
	// Output:
	// system: Answer with a number.
	// user: What is 2+2?
}

// The prompt is a template over the columns of the row. A number is shown as it came.
func ExampleNew_template() {
	renderer, err := prompt.New(pipeline.Spec{Prompt: "Level {{.level}}: {{.question}}{{range .choices}}\n- {{.}}{{end}}"})
	if err != nil {
		log.Fatal(err)
	}
	messages, err := renderer.Render([]byte(`{"question": "What is 2+2?", "level": 1.50, "choices": ["3", "4"]}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(messages[0].Content)
	// Output:
	// Level 1.50: What is 2+2?
	// - 3
	// - 4
}

// A row that lacks a column is an error that names the columns that it has.
func ExampleRenderer_Render() {
	renderer, err := prompt.New(pipeline.Spec{Field: "prompt"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = renderer.Render([]byte(`{"question": "What is 2+2?", "answer": 4}`))
	fmt.Println(err)
	// Output: there is no column "prompt"; the row's columns are answer, question
}
