package jobfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli/jobfile"
)

// grammar has a flag of each kind.
type grammar struct {
	Work  workCmd  `cmd:""`
	Purge purgeCmd `cmd:""`
}

type workCmd struct {
	Text     string            `env:"JOB_TEXT" default:"plain"`
	Number   int               `env:"JOB_NUMBER"`
	Maybe    *int              ``
	Share    *float64          ``
	Count    uint8             ``
	Flag     bool              ``
	Wait     time.Duration     ``
	Size     size              ``
	Layout   string            `enum:"rows,chat" default:"rows"`
	Stop     []string          `sep:"none"`
	Hosts    []string          `env:"JOB_HOSTS,JOB_HOSTS_2"`
	Numbers  []int             ``
	Waits    []time.Duration   ``
	Kinds    []string          `enum:"a,b"`
	Labels   map[string]string ``
	Weights  map[string]int    ``
	Input    []string          `sep:"none" path:"file,=all"`
	Out      string            `path:"file"`
	Creds    string            `path:"file,content"`
	Bin      string            `path:"file,program"`
	Store    string            `path:"sqlite"`
	Var      []string          `sep:"none" path:"at"`
	Prompt   string            `choice:"prompt"`
	FromFile string            `choice:"prompt"`
	Old      string            `aliases:"older"`
	Name     string            ``
}

type purgeCmd struct {
	Name  string ``
	Other string `byhand:""`
	Yes   bool   `byhand:"name"`
}

type size int64

func (s *size) UnmarshalText(b []byte) error {
	if _, err := fmt.Sscanf(string(b), "%dMiB", s); err != nil {
		return fmt.Errorf("%q is not a size", b)
	}
	return nil
}

// parse parses a command line with a job file.
func parse(t testing.TB, path, content string, args ...string) (grammar, *jobfile.Job, error) {
	t.Helper()
	var g grammar
	job, err := jobfile.Parse(path, []byte(content))
	if err != nil {
		return g, nil, err
	}
	parser, err := kong.New(&g, kong.Name("tool"), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Validate(parser.Model); err != nil {
		return g, job, err
	}
	kong.Resolvers(job).Apply(parser)
	_, err = parser.Parse(args)
	return g, job, err
}

func ptr[T any](v T) *T { return &v }

func TestAFileGivesFlagsTheirValues(t *testing.T) {
	t.Setenv("JOB_VALUE", "from: [outside], {x}")
	t.Setenv("JOB_EMPTY", "")
	for _, c := range []struct {
		name, content string
		want          workCmd // with Text and Layout as by default where it is empty
	}{
		{"nothing", "", workCmd{}},
		{"comments alone", "# a job\n", workCmd{}},
		{"an empty document", "---\n...\n", workCmd{}},
		{"null", "~\n", workCmd{}},
		{"texts stay as they are written", "text: no\nold: on\nprompt: 1e3\nbin: 007\nname: 1_000", workCmd{Text: "no", Old: "on", Prompt: "1e3", Bin: "007", Name: "1_000"}},
		{"dates and times", "text: 2024-01-02\nold: 12:30:45\nname: 0x1F\nprompt: true", workCmd{Text: "2024-01-02", Old: "12:30:45", Name: "0x1F", Prompt: "true"}},
		{"quotes", `text: "a\tb\n"` + "\nold: 'it''s'\nname: \"null\"\nprompt: '~'", workCmd{Text: "a\tb\n", Old: "it's", Name: "null", Prompt: "~"}},
		{"null is not set", "text: ~\nold:\nname: null\nnumber: NULL\nstop: Null", workCmd{}},
		{"an empty text is set", "text: ''", workCmd{Text: "\x00"}},
		{"numbers", "number: -12\nmaybe: 007\nshare: .5\ncount: 255", workCmd{Number: -12, Maybe: ptr(7), Share: ptr(0.5), Count: 255}},
		{"more numbers", "number: 0x1F\nmaybe: 0o17\nshare: 1e-3", workCmd{Number: 31, Maybe: ptr(15), Share: ptr(0.001)}},
		{"zero is set", "maybe: 0\nshare: 0", workCmd{Maybe: ptr(0), Share: ptr(0.0)}},
		{"quoted numbers", "number: '12'\nflag: 'true'", workCmd{Number: 12, Flag: true}},
		{"bools", "flag: true", workCmd{Flag: true}},
		{"times and sizes", "wait: 1m30s\nsize: 64MiB", workCmd{Wait: 90 * time.Second, Size: 64}},
		{"lists", "stop: [\"\\n\\n\", \"a, b\", 'c']\nnumbers: [1, 02]\nwaits: [1s, 2m]\nkinds: [a, b]",
			workCmd{Stop: []string{"\n\n", "a, b", "c"}, Numbers: []int{1, 2}, Waits: []time.Duration{time.Second, 2 * time.Minute}, Kinds: []string{"a", "b"}}},
		{"lists of lines", "hosts:\n  - a,b\n  - c\\,d\n  - no\n", workCmd{Hosts: []string{"a,b", `c\,d`, "no"}}},
		{"an empty list", "stop: []", workCmd{}},
		{"a single value of a list is as on the command line", "stop: a, b\nhosts: c,d\nnumbers: 3", workCmd{Stop: []string{"a, b"}, Hosts: []string{"c", "d"}, Numbers: []int{3}}},
		{"mappings", "labels: {a: no, b: 'x=y;z'}\nweights:\n  c: 010\n", workCmd{Labels: map[string]string{"a": "no", "b": "x=y;z"}, Weights: map[string]int{"c": 10}}},
		{"block text", "prompt: |\n  Solve: {{ question }}\n    # no comment\n\n  Be brief.\nname: >\n  one\n  line\n", workCmd{Prompt: "Solve: {{ question }}\n  # no comment\n\nBe brief.", Name: "one line"}},
		{"block text whose ends stay", "prompt: |+\n  x\n\nname: |-\n  y\n", workCmd{Prompt: "x\n\n", Name: "y"}},
		{"line ends of Windows", "prompt: |\r\n  a\r\n  b\r\nname: c\r\n", workCmd{Prompt: "a\nb", Name: "c"}},
		{"a mark at the beginning", "\ufeffname: a", workCmd{Name: "a"}},
		{"names with _, and former names", "from_file: a\nolder: b", workCmd{FromFile: "a", Old: "b"}},
		{"anchors that are used", "name: &n y\nold: *n\nstop: &s [x, *n]\nhosts: *s\n", workCmd{Name: "y", Old: "y", Stop: []string{"x", "y"}, Hosts: []string{"x", "y"}}},
		{"tags", "text: !!str 5\nold: !!str\nnumber: !!int 6", workCmd{Text: "5", Number: 6}},
		{"variables", "text: <${JOB_VALUE}>\nstop: [\"${JOB_VALUE}${JOB_EMPTY}\"]\nname: '${JOB_EMPTY}x'", workCmd{Text: "<from: [outside], {x}>", Stop: []string{"from: [outside], {x}"}, Name: "x"}},
		{"what is no variable", "text: $${JOB_VALUE} $JOB_VALUE $5 $$ $$$${x}\nname: \"{x}$\"", workCmd{Text: "${JOB_VALUE} $JOB_VALUE $5 $$ $$${x}", Name: "{x}$"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := parse(t, "gleaner.yaml", c.content, "work")
			if c.want.Text == "" {
				c.want.Text = "plain"
			}
			c.want.Text = strings.TrimPrefix(c.want.Text, "\x00")
			c.want.Layout = "rows"
			if c.content == "stop: []" {
				c.want.Stop = []string{}
			}
			if diff := cmp.Diff(c.want, got.Work); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestTheCommandLineComesFirstThenTheEnvironmentThenTheFile(t *testing.T) {
	const content = "text: file\nnumber: 1\nhosts: [file]\nstop: [file]\nlabels: {a: file}\nprompt: file\nflag: true\n"
	work := func(args ...string) workCmd {
		t.Helper()
		got, _, err := parse(t, "gleaner.yaml", content, append([]string{"work"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return got.Work
	}
	all := workCmd{Text: "file", Number: 1, Hosts: []string{"file"}, Stop: []string{"file"}, Labels: map[string]string{"a": "file"}, Prompt: "file", Flag: true, Layout: "rows"}
	if diff := cmp.Diff(all, work()); diff != "" {
		t.Errorf("the file alone (-want +got):\n%s", diff)
	}
	t.Setenv("JOB_TEXT", "environment")
	t.Setenv("JOB_HOSTS_2", "second")
	t.Setenv("JOB_NUMBER", "") // an empty variable says nothing
	all.Text, all.Hosts = "environment", []string{"second"}
	if diff := cmp.Diff(all, work()); diff != "" {
		t.Errorf("with the environment (-want +got):\n%s", diff)
	}
	all.Text, all.Hosts, all.Stop, all.Labels, all.Prompt, all.Flag = "line", []string{"line"}, []string{"line"}, map[string]string{"b": "line"}, "line", false
	if diff := cmp.Diff(all, work("--text=line", "--hosts=line", "--stop=line", "--labels=b=line", "--prompt=line", "--flag=false")); diff != "" {
		t.Errorf("with the command line (-want +got):\n%s", diff)
	}
	if got := work("--from-file=line"); got.Prompt != "" || got.FromFile != "line" {
		t.Errorf("of two of a choice the file's is still there: %+v", got)
	}
}

func TestAVariableThatAnotherCommandWouldNeedIsNotAskedFor(t *testing.T) {
	if got, _, err := parse(t, "gleaner.yaml", "text: ${JOB_NONE}\nname: a", "purge", "--yes"); err != nil || got.Purge.Name != "" {
		t.Errorf("%+v, %v", got.Purge, err)
	}
	if got, _, err := parse(t, "gleaner.yaml", "text: ${JOB_NONE}", "work", "--text=x"); err != nil || got.Work.Text != "x" {
		t.Errorf("%+v, %v", got.Work, err)
	}
}

func TestPathsAreFromTheFolderOfTheFile(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("JOB_DIR", "/abs")
	const content = `input: [a.jsonl, "*.csv", "-", https://host/x.csv, run:first, "hf://datasets/a/b", /abs/x, ~/x, all, "${JOB_DIR}/y", ../z, sub/]
out: exports/
creds: nats.creds
bin: ollama
store: sqlite:runs.db
text: a.txt
var: [a=b, shots=@few.json, "@x.json", "mail=me@host"]
`
	for path, want := range map[string]workCmd{
		"jobs/gleaner.yaml": {Text: "a.txt", Input: []string{"jobs/a.jsonl", "jobs/*.csv", "-", "https://host/x.csv", "run:first", "hf://datasets/a/b", "/abs/x", "/home/me/x", "all", "/abs/y", "jobs/../z", "jobs/sub/"},
			Out: "jobs/exports/", Creds: "jobs/nats.creds", Bin: "ollama", Store: "sqlite:jobs/runs.db", Var: []string{"a=b", "shots=@jobs/few.json", "@jobs/x.json", "mail=me@host"}},
		"./gleaner.yaml": {Text: "a.txt", Input: []string{"a.jsonl", "*.csv", "-", "https://host/x.csv", "run:first", "hf://datasets/a/b", "/abs/x", "/home/me/x", "all", "/abs/y", "../z", "sub/"},
			Out: "exports/", Creds: "nats.creds", Bin: "ollama", Store: "sqlite:runs.db", Var: []string{"a=b", "shots=@few.json", "@x.json", "mail=me@host"}},
	} {
		want.Layout = "rows"
		got, _, err := parse(t, path, content, "work")
		if diff := cmp.Diff(want, got.Work); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", path, err, diff)
		}
	}
	for content, want := range map[string]workCmd{
		"bin: bin/ollama":                     {Bin: "jobs/bin/ollama"},
		"store: mongodb://host/db":            {Store: "mongodb://host/db"},
		"store: sqlite:/abs/x.db":             {Store: "sqlite:/abs/x.db"},
		"store: sqlite:~/x.db":                {Store: "sqlite:/home/me/x.db"},
		"creds: |\n  -----BEGIN NATS\n  x\n":  {Creds: "-----BEGIN NATS\nx"},
		"creds: '{\"a\": 1}'":                 {Creds: `{"a": 1}`},
		"out: ''":                             {},
		"input: a,b":                          {Input: []string{"jobs/a,b"}},
		"input: &i ['x']\nvar: *i\nname: '@'": {Input: []string{"jobs/x"}, Var: []string{"x"}, Name: "@"},
	} {
		want.Text, want.Layout = "plain", "rows"
		got, _, err := parse(t, "jobs/gleaner.yaml", content, "work")
		if diff := cmp.Diff(want, got.Work); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", content, err, diff)
		}
	}
	got, _, err := parse(t, "jobs[1]/gleaner.yaml", "input: ['*.csv', x.csv]", "work")
	if diff := cmp.Diff([]string{"jobs[[]1]/*.csv", "jobs[1]/x.csv"}, got.Work.Input); err != nil || diff != "" {
		t.Errorf("a folder whose name looks like a pattern: %v (-want +got):\n%s", err, diff)
	}
}

func TestWhatConfirmsIsNeverTakenFromAFile(t *testing.T) {
	got, _, err := parse(t, "gleaner.yaml", "name: gsm8k", "purge", "--yes")
	if err != nil || got.Purge.Name != "" {
		t.Errorf("the file says what is removed: %+v, %v", got.Purge, err)
	}
	for _, content := range []string{"yes: true", "yes: ~", "other: x", "take_over: true", "force: true", "config: x", "help: true"} {
		name, _, _ := strings.Cut(content, ":")
		_, _, err := parse(t, "gleaner.yaml", content, "work")
		want := "gleaner.yaml, line 1, column 1: " + name + " is never taken from a file: say --" + strings.ReplaceAll(name, "_", "-") + " on the command line"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestAFileThatIsWrongIsExplainedWithLineAndColumn(t *testing.T) {
	for content, want := range map[string]string{
		// keys
		"text: a\npromt: b":                "gleaner.yaml, line 2, column 1: no command has a flag --promt; did you mean prompt?",
		"Text: a":                          "line 1, column 1: no command has a flag --Text; did you mean text?",
		"--text: a":                        "did you mean text?",
		"lay: a":                           "did you mean layout?",
		"lables: a\nwieghts: b":            "did you mean labels?\ngleaner.yaml, line 2, column 1: no command has a flag --wieghts; did you mean weights?",
		"mongodb://me:hush@host: a":        "no command has a flag --…",
		"zzzzzzzz: a":                      "no command has a flag --zzzzzzzz",
		"steps: [a]":                       "line 1, column 1: steps cannot be run yet",
		"<<: {text: a}":                    "YAML 1.2 merges no mappings",
		"text: a\nnumber: 1\ntext: b":      "line 3, column 1: text stands in line 1 already",
		"from-file: a\nfrom_file: b":       "line 2, column 1: from_file stands in line 1 already",
		"? [a]\n: b":                       "line 1, column 3: the name of a flag is expected",
		"- text":                           "line 1, column 1: a job is written as lines of FLAG: VALUE",
		"text":                             "line 1, column 1: a job is written as lines of FLAG: VALUE, with a space after the colon",
		"text:a":                           "with a space after the colon",
		"text: a\n---\ntext: b":            "line 3, column 1: a second document begins here",
		strings.Repeat("x: a\ny: b\n", 20): "and more",
		// values
		"number: abc":                  "--number: gleaner.yaml, line 1, column 9: a whole number is expected, and this is \"abc\"",
		"number: 1_000":                "a whole number is expected, and this is \"1_000\"",
		"number: 1.0":                  "a whole number is expected",
		"number: 1e3":                  "a whole number is expected",
		"number: ''":                   "a whole number is expected",
		"number: 99999999999999999999": "a whole number is expected",
		"count: 256":                   "a whole number that is not negative is expected",
		"count: -1":                    "a whole number that is not negative is expected",
		"share: .nan":                  "a number is expected, and this is \".nan\"",
		"share: half":                  "a number is expected",
		"flag: on":                     "true or false is expected, and this is \"on\"",
		"flag: 2":                      "true or false is expected",
		"wait: 90":                     "a time, such as 90s or 2h is expected, and this is \"90\"",
		"size: 1TB":                    "line 1, column 7: \"1TB\" is not a size",
		"layout: csv":                  "line 1, column 9: one of rows, chat is expected, and this is \"csv\"",
		"kinds: [a, c]":                "one of a, b is expected, and this is \"c\"",
		"numbers: [1, x]":              "line 1, column 14: a whole number is expected, and this is \"x\"",
		"text: [a, b]":                 "line 1, column 7: a text is expected, and this is a list",
		"text: {{ question }}":         "line 1, column 7: a text is expected, and this is a mapping: a text that begins with { is put into quotes, or below text: |",
		"stop: {a: b}":                 "a list is expected, [A, B], and this is a mapping",
		"stop: [a, [b]]":               "line 1, column 11: a single value is expected here",
		"stop: [a, ~]":                 "value 2 of the list is empty",
		"stop:\n  - a\n  -\n":          "line 3, column 4: value 2 of the list is empty",
		"labels: [a]":                  "a mapping is expected, lines of KEY: VALUE",
		"labels: {a: b, a: c}":         "line 1, column 16: the key a stands there twice",
		"labels: {a: }":                "a has no value",
		"labels: {a: [b]}":             "a single value is expected here",
		"labels: {[a]: b}":             "a single word is expected as the key",
		"weights: {a: b}":              "a whole number is expected",
		"text: !!binary aGk=":          "the tag !!binary means nothing here",
		"text: !x y":                   "the tag !x means nothing here",
		"stop: &a [*a]":                "a single value is expected here",
		// variables
		"number: 1\ntext: a ${JOB_NONE} b": "--text: gleaner.yaml, line 2, column 7: the environment has no variable JOB_NONE: set it, or write $${JOB_NONE}",
		"text: |\n  a\n  b ${JOB_NONE}\n":  "--text: gleaner.yaml, line 3: the environment has no variable JOB_NONE",
		"text: ${JOB_NONE:-x}":             "a variable of the environment is written ${NAME}, and ${ itself $${",
		"text: ${":                         "a variable of the environment is written ${NAME}",
		"text: '${}'":                      "a variable of the environment is written ${NAME}",
		"stop: ['${JOB_NONE}']":            "line 1, column 8: the environment has no variable JOB_NONE",
		// what is no YAML
		"text: a\n\tnumber: 1":                "line 2, column 1: a tab stands before the text: lines are indented by spaces",
		"stop:\n \t- a":                       "line 2, column 2: a tab stands before the text",
		"prompt: |\n\tx":                      "line 2, column 1: a tab stands before the text",
		"stop: [a, b\nnumber: 1\n":            "line 2, column 7: the list that begins in line 1, column 7, is not closed: a comma or ] is expected",
		"stop: [a,\n":                         "line 2, column 1: a value is expected here, or the end of a list or mapping that is not closed: ] or }",
		"stop: [a, b":                         "the list that begins in line 1, column 7, is not closed",
		"labels: {a: b\nnumber: 1\n":          "the mapping that begins in line 1, column 9, is not closed: a comma or } is expected",
		"text: 'a\nnumber: 1\n":               "the text that begins in line 1, column 7, is not closed: its second quote is expected",
		"text: \"\\d\"":                       "line 1, column 8: this escape is unknown",
		"text: Answer: yes":                   "line 1, column 13: a colon is not expected here",
		"text: a\n number: 1":                 "line 2, column 8: a colon is not expected here: FLAG: VALUE stands alone in its line, not indented",
		"input: *.jsonl":                      "line 1, column 8: nothing has this name: a text that begins with * is put into quotes",
		"text: @x":                            "line 1, column 7: a text that begins with @ is put into quotes",
		"text: `x`":                           "a text that begins with ` is put into quotes",
		"input: [a, -, b]":                    "line 1, column 12: a text that begins with - is put into quotes",
		"text: %x":                            "a text that begins with % is put into quotes",
		"text: a\nnumber\nname: b":            "a colon is expected",
		"text: \x01":                          "line 1, column 7: the control character U+0001 stands here",
		"text: a\nname: \xff":                 "line 2, column 7: is not UTF-8",
		"\xff\xfet\x00:\x00":                  "line 1, column 1: is not UTF-8",
		strings.Repeat("[", 200):              "more than 100 lists and mappings are in each other here",
		"text: " + strings.Repeat("a", 1<<20): "gleaner.yaml: has more than 1048576 bytes: is it a job?",
	} {
		_, _, err := parse(t, "gleaner.yaml", content, "work")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q:\n%v\nwant %s", content, err, want)
		}
		var wrong *jobfile.FileError
		if err != nil && !errors.As(err, &wrong) {
			t.Errorf("%.60q: %T is no FileError", content, err)
		}
	}
}

func TestAliasesCannotMakeAFileLarge(t *testing.T) {
	content := "text: &t " + strings.Repeat("a", 500_000) + "\nstop: [" + strings.Repeat("*t, ", 100_000) + "]\n"
	if _, _, err := parse(t, "gleaner.yaml", content, "work"); err == nil || !strings.Contains(err.Error(), "has more than 4194304 bytes") {
		t.Errorf("%.200v", err)
	}
	laughs := "text: &l0 [x, x]\n"
	for i, key := range []string{"name", "old", "prompt", "bin", "out", "creds", "store"} {
		laughs += fmt.Sprintf("%s: &l%d [*l%d, *l%d, *l%d, *l%d]\n", key, i+1, i, i, i, i)
	}
	if _, _, err := parse(t, "gleaner.yaml", laughs, "work"); err == nil {
		t.Error("lists in lists are taken")
	}
}

// What takes a time that grows with the square of the size would take minutes here.
func TestALargeFileTakesNotLong(t *testing.T) {
	t.Setenv("JOB_VALUE", "value")
	variables := "text: '" + strings.Repeat("${JOB_VALUE}", 80_000) + "'"
	if got, _, err := parse(t, "gleaner.yaml", variables, "work"); err != nil || len(got.Work.Text) != 400_000 {
		t.Errorf("%d bytes, %v", len(got.Work.Text), err)
	}
	var unknown strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&unknown, "k%d: a\n", i)
	}
	if _, _, err := parse(t, "gleaner.yaml", unknown.String(), "work"); err == nil || strings.Count(err.Error(), "\n") != 10 {
		t.Errorf("%.2000v", err)
	}
}

func TestAFileIsFoundInTheWorkingFolderOrNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if job, err := jobfile.Find(); job != nil || err != nil {
		t.Errorf("without a file: %v, %v", job, err)
	}
	write := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("text: a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("gleaner.yml")
	if _, err := jobfile.Find(); err == nil || !strings.Contains(err.Error(), "call the file gleaner.yaml, or say --config gleaner.yml") {
		t.Errorf("with another suffix: %v", err)
	}
	write("gleaner.yaml")
	write("sub/job.yaml")
	if job, err := jobfile.Find(); err != nil || job.Where("text") != "gleaner.yaml, line 1" {
		t.Errorf("%v, %v", job, err)
	}
	if job, err := jobfile.Open("sub/job.yaml"); err != nil || job.Where("text") != "sub/job.yaml, line 1" {
		t.Errorf("%v, %v", job, err)
	}
	for _, none := range []string{"", "none"} {
		if job, err := jobfile.Open(none); job != nil || err != nil {
			t.Errorf("%q: %v, %v", none, job, err)
		}
	}
	if _, err := jobfile.Open("missing.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := jobfile.Open("sub"); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.Remove("gleaner.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("gleaner.yaml", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := jobfile.Find(); err == nil {
		t.Error("a folder of this name is passed over")
	}
}

func TestWhatIsInVariablesIsASecret(t *testing.T) {
	t.Setenv("JOB_PASSWORD", "hushhush")
	got, job, err := parse(t, "gleaner.yaml", "text: mongodb://me:${JOB_PASSWORD}@host", "work")
	if err != nil || got.Work.Text != "mongodb://me:hushhush@host" || !job.Secrets().In("x hushhush y") {
		t.Errorf("%+v, %v, %v", got.Work, job.Secrets(), err)
	}
	_, job, err = parse(t, "gleaner.yaml", "number: ${JOB_PASSWORD}", "work")
	if err == nil || job.Secrets().Hide(err.Error()) == err.Error() {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "text: a", "stop: [a, b]", "labels: {a: b}", "text: |\n  a\n", "text: &a b\nname: *a", "text: ${HOME} $${x}", "? a\n: b", "%YAML 1.2\n---\ntext: a\n...", "\ttext: a", "text: \"\\x41\\u0041\"", "a: !!set {b}", "- - -", "{a: b, c}", "text: 'a\n\n b'", "input: [*a]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		job, err := jobfile.Parse("jobs/gleaner.yaml", []byte(content))
		if err != nil {
			if !strings.Contains(err.Error(), "jobs/gleaner.yaml") {
				t.Errorf("an error without the file: %v", err)
			}
			return
		}
		_ = job.Flags()
		got, _, err := parse(t, "jobs/gleaner.yaml", content, "work")
		if err != nil && !strings.Contains(err.Error(), "jobs/gleaner.yaml") {
			t.Errorf("an error without the file: %v", err)
		}
		_ = got
	})
}
