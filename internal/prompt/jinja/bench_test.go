package jinja

import "testing"

// Rows as those of GSM8K.
const benchRow = `{"question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72"}`

func BenchmarkRender(b *testing.B) {
	for name, template := range map[string]string{
		"gsm8k":   "Solve: {{ question }}\nThink step by step.",
		"choices": "{% for c in [question, answer] %}{{ 'ABCD'[loop.index0] }}. {{ c|trim }}\n{% endfor %}",
	} {
		b.Run(name, func(b *testing.B) {
			c := mustCompile(b, template)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Render([]byte(benchRow)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renders/s")
		})
	}
}
