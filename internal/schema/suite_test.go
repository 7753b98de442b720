package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"gleaner/internal/needtest"
)

// A recorder remembers what it is asked to load.
type recorder struct{ asked []string }

func (r *recorder) Load(url string) (any, error) {
	r.asked = append(r.asked, url)
	return nil, errors.New("it is not here")
}

// refersOutside finds out, in another way than Parse does, whether a schema needs other documents:
// the library asks for them, or a reference names the address of a draft's own schema, which the
// library has.
func refersOutside(t *testing.T, text []byte, draft *jsonschema.Draft) bool {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	asked := &recorder{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(draft)
	c.UseLoader(asked)
	if err := c.AddResource("test:///it", doc); err != nil {
		t.Fatal(err)
	}
	_, err = c.Compile("test:///it")
	return err != nil && len(asked.asked) > 0 || strings.Contains(string(text), `"$ref": "http://json-schema.org/`) || strings.Contains(string(text), `"$ref": "https://json-schema.org/`)
}

func TestTheMandatoryTestsOfTheDraftsPass(t *testing.T) {
	dir := needtest.Env(t, "SCHEMA_TEST_SUITE", "bash .ci/schemas.sh prints it, after a download")
	ran, refused := 0, 0
	for folder, draft := range map[string]*jsonschema.Draft{"draft7": jsonschema.Draft7, "draft2019-09": jsonschema.Draft2019, "draft2020-12": jsonschema.Draft2020} {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
		if err != nil || len(files) < 30 {
			t.Fatalf("%s has %d files (%v)", folder, len(files), err)
		}
		for _, file := range files {
			t.Run(folder+"/"+filepath.Base(file), func(t *testing.T) {
				some, others := runFile(t, file, draft)
				ran, refused = ran+some, refused+others
			})
		}
	}
	t.Logf("%d tests ran, %d schemas were refused because they refer to other documents", ran, refused)
	if ran < 3000 || refused < 50 {
		t.Errorf("only %d tests ran, and %d schemas were refused: is the suite complete?", ran, refused)
	}
}

// runFile runs the tests of a file, and returns how many there were and how many schemas were
// refused.
func runFile(t *testing.T, file string, draft *jsonschema.Draft) (ran, refused int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Description string
		Schema      json.RawMessage
		Tests       []struct {
			Description string
			Data        json.RawMessage
			Valid       bool
		}
	}
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		s, err := Parse(withDraft(group.Schema, draft))
		if refersOutside(t, group.Schema, draft) {
			if refused++; err == nil || !strings.Contains(err.Error(), "outside") && !strings.Contains(err.Error(), "none of the drafts") {
				t.Errorf("%s: it refers to another document, and is not refused for that: %v", group.Description, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: it is refused: %v", group.Description, err)
			continue
		}
		for _, test := range group.Tests {
			ran++
			repaired, err := s.Check(string(test.Data))
			if (err == nil) != test.Valid || test.Valid && repaired != string(test.Data) {
				t.Errorf("%s: %s: %v, want valid to be %v\n%s", group.Description, test.Description, err, test.Valid, group.Schema)
			}
		}
	}
	return ran, refused
}

// withDraft says which draft an object is of that does not say it itself.
func withDraft(text json.RawMessage, draft *jsonschema.Draft) []byte {
	rest, isObject := bytes.CutPrefix(bytes.TrimSpace(text), []byte("{"))
	if !isObject || bytes.Contains(text, []byte(`"$schema"`)) {
		return text
	}
	named := `{"$schema": "` + draft.String() + `"`
	if len(bytes.TrimSpace(rest)) > 1 {
		named += ","
	}
	return append([]byte(named), rest...)
}
