package command

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gleaner/internal/cli"
	"gleaner/internal/doctor"
	"gleaner/internal/invite/sign"
	"gleaner/internal/local"
	"gleaner/internal/pipeline"
	"gleaner/internal/producer"
	"gleaner/internal/reconcile"
	"gleaner/internal/status"
	"gleaner/internal/view"
)

var update = flag.Bool("update", false, "write docs/schemas from the types")

const schemasDir = "../../docs/schemas"

// An output is what a command prints with --json: one of these types.
type output struct {
	title string
	types []any
}

// outputs has all of them, by the name of their schema.
func outputs() map[string]output {
	return map[string]output{
		"run":      {"gleaner run --json: what came of a run, or a list for several; if too much failed, how far the run is", []any{local.Summary{}, []local.Summary{}, status.Snapshot{}}},
		"dryrun":   {"gleaner run or load with --dry-run --json: what was found, or a list for several runs", []any{view.DryRun{}, []view.DryRun{}}},
		"preview":  {"gleaner preview --json: the rows, each with its request and its answer", []any{[]view.Previewed{}}},
		"plan":     {"gleaner plan --json: what a run will cost", []any{planned{}}},
		"load":     {"gleaner load --json: the run, or a list for several", []any{pipeline.Run{}, []pipeline.Run{}}},
		"publish":  {"gleaner publish --json: what was published, and how far the run is", []any{publishSummary{}, status.Snapshot{}}},
		"serve":    {"gleaner serve --json: for each run that is complete a line with what came of it", []any{status.Snapshot{}}},
		"status":   {"gleaner status --json: with --run how far that run is, without it a list of all runs", []any{status.Snapshot{}, []status.Snapshot{}}},
		"export":   {"gleaner export --json: what was written", []any{exportSummary{}}},
		"audit":    {"gleaner audit --json: where every generation of a run is", []any{audited{}}},
		"pin":      {"gleaner pin --json: of which digest a run takes answers", []any{producer.PinReport{}}},
		"control":  {"gleaner pause, resume or cancel with --json: what was done", []any{controlled{}}},
		"delete":   {"gleaner delete --json: what was removed", []any{deleted{}}},
		"deadlist": {"gleaner dead list --json: what failed, in groups", []any{reconcile.Grouped{}}},
		"letter":   {"a line of gleaner dead list --each --json or dead show --json: a dead letter", []any{letter{}}},
		"redrive":  {"gleaner dead redrive --json: what became of the chosen letters", []any{reconcile.RedriveReport{}}},
		"drop":     {"gleaner dead drop --json: what became of the chosen letters", []any{reconcile.DropReport{}}},
		"giveup":   {"gleaner dead give-up --json: what became of the queued batches", []any{reconcile.GiveUpReport{}}},
		"invite":   {"gleaner invite --json: an invitation, which is a secret, and what it allows", []any{sign.Made{}}},
		"doctor":   {"gleaner doctor --json, or work with --check=only --json: what was found", []any{[]doctor.Finding{}}},
		"config":   {"gleaner config COMMAND --json: what is in force for the flags of a command", []any{cli.Settings{}}},
		"progress": {"a line of standard error with --progress json: how far a command is, or a line of talk", []any{view.ProgressEvent{}, cli.TalkEvent{}}},
	}
}

// A letter is a reconcile.Letter as it writes itself.
type letter struct {
	reconcile.Letter
	Former reconcile.Disposition `json:"standing"` // the disposition, by an earlier name
}

// What a program reads of gleaner's commands stands in docs/schemas, so that it is not changed by
// accident: a field that is added is added there, too.
func TestTheSchemasAreThoseOfTheTypes(t *testing.T) {
	for name, out := range outputs() {
		got := schemaOf(t, out)
		file := filepath.Join(schemasDir, name+".json")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not what the types are; write it with go test ./internal/command -run Schemas -update (-want +got):\n%s", file, diff)
		}
	}
	files, err := filepath.Glob(filepath.Join(schemasDir, "*.json"))
	if err != nil || len(files) != len(outputs())+1 { // show's lines have the columns of a dataset
		t.Errorf("there are %d schemas, want %d: %v", len(files), len(outputs())+1, err)
	}
}

// schemaOf writes the schema of an output.
func schemaOf(t *testing.T, out output) []byte {
	t.Helper()
	s := schemas{t: t, defs: map[string]any{}, types: map[string]reflect.Type{}}
	root := map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": out.title}
	var choices []any
	for _, v := range out.types {
		choices = append(choices, s.of(reflect.TypeOf(v)))
	}
	if len(choices) == 1 {
		maps.Copy(root, choices[0].(map[string]any))
	} else {
		root["anyOf"] = choices
	}
	if len(s.defs) > 0 {
		root["$defs"] = s.defs
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// schemas are made from types.
type schemas struct {
	t     *testing.T
	defs  map[string]any
	types map[string]reflect.Type // by the name of their definition
}

// of returns the schema of a type. A struct becomes a definition of its own.
func (s schemas) of(typ reflect.Type) map[string]any {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case reflect.TypeFor[pipeline.Key](): // shown, but not what it is
		return map[string]any{"type": "string"}
	}
	if m := reflect.TypeFor[json.Marshaler](); typ.Implements(m) && typ != reflect.TypeFor[letter]() {
		s.t.Fatalf("%s writes itself as JSON: say here what that is", typ)
	}
	switch typ.Kind() {
	case reflect.String:
		if words := enums()[typ]; len(words) > 0 {
			return map[string]any{"type": "string", "enum": words}
		}
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	case reflect.Pointer:
		return s.of(typ.Elem())
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": s.of(typ.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(typ.Elem())}
	case reflect.Struct:
		return s.definition(typ)
	}
	s.t.Fatalf("there is no schema for %s of %v", typ, slices.Sorted(maps.Keys(s.types)))
	return nil
}

// enums are the words that a type may have, where no other can come.
func enums() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[status.Word](): {string(status.Loading), string(status.Planned), string(status.Running), string(status.Paused), string(status.WaitingConsumer),
			string(status.WaitingSink), string(status.WaitingRoom), string(status.WaitingStore), string(status.Complete), string(status.Cancelled), string(status.Deleting)},
	}
}

func (s schemas) definition(typ reflect.Type) map[string]any {
	name := strings.ToUpper(typ.Name()[:1]) + typ.Name()[1:]
	if known, ok := s.types[name]; ok && known != typ {
		s.t.Fatalf("%s and %s have one name", known, typ)
	}
	ref := map[string]any{"$ref": "#/$defs/" + name}
	if s.types[name] == typ {
		return ref
	}
	s.types[name] = typ
	properties, required := map[string]any{}, []string{}
	s.fields(typ, properties, &required)
	slices.Sort(required)
	s.defs[name] = map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	return ref
}

// fields adds the fields of a struct, and then those of the structs that it embeds, which its own
// ones hide.
func (s schemas) fields(typ reflect.Type, properties map[string]any, required *[]string) {
	told := comments(s.t, typ)
	var embedded []reflect.Type
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported() && !field.Anonymous:
			continue
		case field.Anonymous && name == "":
			embedded = append(embedded, field.Type)
			continue
		case name == "":
			name = field.Name
		}
		if _, hidden := properties[name]; hidden {
			continue
		}
		schema := maps.Clone(s.of(field.Type))
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
			schema = nullable(field.Type, schema)
		}
		if said := told[field.Name]; said != "" {
			schema["description"] = said
		}
		properties[name] = schema
	}
	for _, e := range embedded {
		s.fields(e, properties, required)
	}
}

// nullable lets null take the place of what may be nil.
func nullable(typ reflect.Type, schema map[string]any) map[string]any {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if len(schema) > 0 {
			return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
		}
	}
	return schema
}

// comments returns what stands behind the fields of a struct of this module in its source.
func comments(t *testing.T, typ reflect.Type) map[string]string {
	t.Helper()
	told := map[string]string{}
	dir, ours := strings.CutPrefix(typ.PkgPath(), "gleaner/internal/")
	if !ours {
		return told
	}
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != typ.Name() {
				return true
			}
			if made, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range made.Fields.List {
					for _, name := range field.Names {
						told[name.Name] = strings.Join(strings.Fields(fmt.Sprint(field.Comment.Text())), " ")
					}
				}
			}
			return false
		})
	}
	return told
}
