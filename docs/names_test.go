package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declared returns the names that a Go file declares: functions, types, constants, variables, and
// as Type.Name methods, fields and an interface's methods.
func declared(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			names[name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				inSpec(spec, names)
			}
		}
	}
	return names
}

func receiver(of ast.Expr) string {
	switch x := of.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

func inSpec(spec ast.Spec, names map[string]bool) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		var members *ast.FieldList
		switch x := s.Type.(type) {
		case *ast.StructType:
			members = x.Fields
		case *ast.InterfaceType:
			members = x.Methods
		}
		if members == nil {
			return
		}
		for _, member := range members.List {
			for _, name := range member.Names {
				names[s.Name.Name+"."+name.Name] = true
			}
		}
	}
}

// A link whose text is a Go name and whose target is a Go file names what that file declares.
var nameLink = regexp.MustCompile("\\[`([A-Za-z_][A-Za-z0-9_.]*)`\\]\\(([^)#\\s]+\\.go)\\)")

func TestEveryLinkedNameIsDeclaredThere(t *testing.T) {
	count := map[string]int{}
	for _, page := range ownPages(t) {
		for _, match := range nameLink.FindAllStringSubmatch(withoutBlocks(text(t, page)), -1) {
			path := filepath.Join(root, filepath.Dir(page), match[2])
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s: %v", page, match[1], err)
				continue
			}
			count[page]++
			if !declared(t, path)[match[1]] {
				t.Errorf("%s: %s does not declare %s", page, match[2], match[1])
			}
		}
	}
	for _, page := range []string{"docs/walkthrough.md", "CONTRIBUTING.md"} {
		if count[page] == 0 {
			t.Errorf("%s names nothing", page)
		}
	}
	t.Logf("names by page: %v", count)
}

func TestTheCheckOfNamesBites(t *testing.T) {
	names := declared(t, "names_test.go")
	for name, want := range map[string]bool{"declared": true, "nameLink": true, "nothing": false, "declared.nothing": false} {
		if names[name] != want {
			t.Errorf("%s is declared: %v, want %v", name, names[name], want)
		}
	}
	if names := declared(t, "docs_test.go"); !names["block.where"] || !names["block.notRun"] || names["block.nothing"] {
		t.Errorf("of methods and fields it finds %v", names)
	}
}

var span = regexp.MustCompile("`([^`\n]+)`")

// Between backticks the walkthrough has Go names, which exist, and these words.
var notGo = []string{"planned", "queued", "done", "dead", "dropped", "gleaner"}

func TestEveryNameInTheWalkthroughExists(t *testing.T) {
	known := map[string]bool{}
	for _, file := range goFiles(t) {
		folder := filepath.Base(filepath.Dir(file))
		for name := range declared(t, file) {
			known[name], known[folder+"."+name] = true, true
		}
	}
	page := withoutBlocks(text(t, "docs/walkthrough.md"))
	for _, match := range span.FindAllStringSubmatch(page, -1) {
		isName := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*$`).MatchString(match[1])
		if isName && !strings.HasSuffix(match[1], ".go") && !known[match[1]] && !slices.Contains(notGo, match[1]) {
			t.Errorf("docs/walkthrough.md: there is no %s", match[1])
		}
	}
}

// goFiles returns the Go files of the module that are no tests.
func goFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What looks like a path of the project, between backticks, is there.
func TestEveryPathExists(t *testing.T) {
	path := regexp.MustCompile(`^(internal|deploy|docs|producer|consumer|sink|\.ci|\.github)/[A-Za-z0-9_./*-]*$`)
	count := 0
	for _, page := range ownPages(t) {
		for _, match := range span.FindAllStringSubmatch(withoutBlocks(text(t, page)), -1) {
			if !path.MatchString(match[1]) {
				continue
			}
			count++
			if found, err := filepath.Glob(filepath.Join(root, match[1])); err != nil || len(found) == 0 {
				t.Errorf("%s: there is no %s", page, match[1])
			}
		}
	}
	t.Logf("%d paths", count)
}
