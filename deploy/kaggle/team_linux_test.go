package kaggle_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gleaner/internal/invite"
	"gleaner/internal/invite/sign"
	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/ollama/ollamatest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// The wheel is built once for all of them.
func TestTheTeamNotebook(t *testing.T) {
	python, built := python(t), wheel(t, "gleaner_consumer")
	t.Run("works for one run after the other", func(t *testing.T) { worksForOneRunAfterTheOther(t, python, built) })
	t.Run("gives the consumer every GPU and hides secrets", func(t *testing.T) { givesEveryGPUAndHidesSecrets(t, python, built) })
	t.Run("names all that is missing", func(t *testing.T) { namesAllThatIsMissing(t, python, built) })
}

// A helper puts a wheel and one secret into a session, and nothing else. There is no Go, no address
// and no name of a run.
func worksForOneRunAfterTheOther(t *testing.T, python, built string) {
	ollama := ollamatest.Host(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	server, account := natsdtest.StartTeam(t, natsdtest.FreeTier())
	conn, err := stream.Connect(ctx, stream.Config{URL: server.URL(), Creds: account.Creds(natsdtest.Limits{UserName: "producer"}), Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.Ensure(ctx); err != nil {
		t.Fatal(err)
	}
	model := pipeline.Spec{Model: ollamatest.TinyModels().Stop}
	first := pipeline.Run{Name: "words", UID: "uid", Spec: model}
	answered := publish(ctx, t, conn, first)
	_, key, public := account.Keys()
	made, err := sign.Make(sign.Terms{NATS: server.URL(), Run: "words", For: time.Hour, Key: key, Account: public}, time.Now())
	if err != nil {
		t.Fatal(err)
	}

	s := newSession(t, noT4, "GLEANER_INVITE="+made.Invite)
	s.attach(t, built, "gleaner-consumer/"+filepath.Base(built))
	executing, wait := s.jupyter(ctx, t, python, s.with(t, `work(`, `work(ollama="`+ollama+`", `))
	if answered(executing) {
		next := publish(ctx, t, conn, pipeline.Run{Name: "more", UID: "uid2", Spec: model})
		if err := conn.CompleteRun(ctx, first); err != nil {
			t.Fatal(err)
		}
		if next(executing) {
			interrupt(t, filepath.Join(s.dir, "packages", "bin", "gleaner-consumer"))
		}
	}
	executed := wait()
	shown := executed.shown()
	t.Log(shown)
	for _, want := range []string{"the invitation is for run words", "going on to the next run of this model", "run=more", "made 12 answers with", "for 2 runs: words, more", "12 answers for the team"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the notebook does not show %q", want)
		}
	}
	isComplete(t, executed)
	isReadable(t, shown)
	given, err := invite.Read(made.Invite)
	if err != nil {
		t.Fatal(err)
	}
	hides(t, shown, append(strings.Fields(given.Creds), made.Invite, key)...)
}

// with writes the notebook with other words in its code, and returns where.
func (s session) with(t *testing.T, words, others string) (path string) {
	t.Helper()
	content, err := os.ReadFile("team.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	quote := func(text string) string {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(string(quoted), `"`)
	}
	if strings.Count(string(content), words) != 1 {
		t.Fatalf("the notebook has not once %q", words)
	}
	path = filepath.Join(s.dir, "team.ipynb")
	write(t, path, strings.Replace(string(content), words, strings.ReplaceAll(quote(others), `\\"`, `\"`), 1))
	return path
}

// run runs the notebook's code without Jupyter, which is quicker, and returns what it shows and
// whether it worked.
func (s session) run(t *testing.T, python string) (shown string, ok bool) {
	t.Helper()
	code := ""
	for _, cell := range read(t, "team.ipynb").Cells {
		if cell.Type == "code" {
			code += string(cell.Source) + "\n"
		}
	}
	if lines := strings.Count(strings.ReplaceAll(code, "\n\n", "\n"), "\n"); lines > 16 {
		t.Errorf("the cell has %d lines: what it does belongs into the package", lines)
	}
	command := exec.CommandContext(t.Context(), python, "-c", code)
	command.Env = s.env
	said, err := command.CombinedOutput()
	return string(said), err == nil
}

// standIn is a consumer that finds nothing wrong, and shows what it was started with, also what it
// should not.
const standIn = `#!/bin/sh
case "$*" in *--check=only*) echo '[]'; exit 0 ;; esac
echo "arguments: $*" >&2
echo "secret: $GLEANER_INVITE$NATS_CREDS" >&2
echo "12:00:00 INFO  made 3 answers with 9 tokens in 2 s for run r" >&2
exit ${STAND_IN_CODE:-0}
`

func givesEveryGPUAndHidesSecrets(t *testing.T, python, built string) {
	invitation := invite.Invitation{NATS: "tls://nats.example:4222", Run: "words"}.Text()
	secrets := "class UserSecretsClient:\n    def get_secret(self, name):\n        return {'GLEANER_INVITE': '" + invitation + "'}[name]\n"
	s := newSession(t, twoT4s)
	s.env = append(s.env, "GLEANER_CONSUMER_BIN="+filepath.Join(s.dir, "bin", "stand-in"))
	write(t, filepath.Join(s.dir, "packages", "kaggle_secrets.py"), secrets)
	write(t, filepath.Join(s.dir, "bin", "stand-in"), standIn)
	write(t, filepath.Join(s.dir, "input", "ollama", "bin", "ollama"), "#!/bin/sh\n")
	write(t, filepath.Join(s.dir, "input", "ollama", "lib", "ollama", "libggml.so"), "")
	s.attach(t, built, "gleaner-consumer/"+filepath.Base(built))
	shown, ok := s.run(t, python)
	work := filepath.Join(s.dir, "work")
	want := "arguments: --for=11h40m --next-run --gpus=auto --idle-exit=10m --models=" + work + "/models --check=first --ollama-bin=" + work + "/ollama/bin/ollama"
	for _, part := range []string{want, "secret: ***", "3 answers for the team"} {
		if !strings.Contains(shown, part) {
			t.Errorf("the notebook does not show %q but\n%s", part, shown)
		}
	}
	if !ok {
		t.Error("it failed")
	}
	if _, err := os.Stat(filepath.Join(work, "ollama", "lib", "ollama", "libggml.so")); err != nil {
		t.Errorf("Ollama's libraries are not beside it: %v", err)
	}
	hides(t, shown, invitation)
	s.env = append(s.env, "STAND_IN_CODE=3")
	if shown, ok := s.run(t, python); ok || strings.Contains(shown, invitation) || strings.Contains(shown, "for the team") {
		t.Errorf("a consumer that fails: %t\n%s", ok, shown)
	}
}

// What a person has to mend is said, all of it at once, each with what to do, and no work is taken.
func namesAllThatIsMissing(t *testing.T, python, built string) {
	invitation := invite.Invitation{NATS: "nats://consumer:hush-hush-hush@127.0.0.1:1", Run: "words"}.Text()
	expired := invite.Invitation{NATS: "nats://127.0.0.1:1", Run: "words", Expires: 1_700_000_000}.Text()
	for name, c := range map[string]struct {
		nvidia string
		wheel  bool
		invite string
		want   []string
	}{
		"no wheel":               {twoT4s, false, invitation, []string{"there is no wheel: attach the dataset that has gleaner_consumer-"}},
		"no secret and no GPU":   {noT4, true, "", []string{"2 things are missing", "secret: there is no invitation", "attach the secret GLEANER_INVITE", "GPUs: ", "Settings > Accelerator"}},
		"no GPU and no network":  {noT4, true, invitation, []string{"2 things are missing", "GPUs: ", "network: connect to NATS at nats://127.0.0.1:1", "Internet on"}},
		"a truncated invitation": {twoT4s, true, invitation[:60], []string{"one thing is missing", "the invitation is cut off", "it has 60 of its"}},
		"an expired invitation":  {twoT4s, true, expired, []string{"one thing is missing", "expired on 2023-11-14", "gleaner invite --run words"}},
		"a foreign string":       {noT4, true, "hf_abcdefghijklmnopqrstuvwxyz", []string{"2 things are missing", "secret: ", "GPUs: "}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, c.nvidia, "GLEANER_INVITE="+c.invite)
			if c.wheel {
				s.attach(t, built, "gleaner-consumer/"+filepath.Base(built))
			}
			shown, ok := s.run(t, python)
			for _, want := range c.want {
				if !strings.Contains(shown, want) {
					t.Errorf("the notebook does not show %q but\n%s", want, shown)
				}
			}
			if ok || strings.Contains(shown, "taking work") || strings.Contains(shown, "downloading") {
				t.Errorf("it went on: %t\n%s", ok, shown)
			}
			hides(t, shown, c.invite, "hush-hush-hush")
		})
	}
}
