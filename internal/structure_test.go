package internal

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// The bounds of the house style. What they count is printed by `go test ./internal -run Figures
// -v`.
const (
	maxCommentColumns = 100 // of a line that holds a comment alone, in bytes
	maxFileLines      = 500
	maxFunctionLines  = 70
	maxMethods        = 8 // that an interface declares by itself
	maxMainLines      = 60
	maxDepth          = 3 // of folders
	maxGroup          = 5 // files of one package that need each other
	maxConsumerGroup  = 6 // the same in internal/consumer
)

// unclear are phrases that are no plain English here: each was found where a plainer one says more.
var unclear = regexp.MustCompile(`(?i)\b(so ` + `many|no` + `body|who` + `ever|an` + `ew|ha(s|ve) (its|their) ` + `end|(it )?is ` + `looked|in ` + `vain|is ` + `told of|hears ` + `of)\b`)

// retired are words that meant several things, or nothing outside this project. No name holds one
// of them; doc.go lists the words of our own that stay.
func retired() []string {
	return []string{
		"keeper", "care", "depot", "stint", "bout", "permit", "permits", "plant", "strike", "survey", "examine",
		"books", "trouble", "standing", "who" + "ever", "no" + "body", "an" + "ew", "gate", "pace", "beat", "life", "place", "trial", "convict", "blame", "mended", "outlet", "seat", "tempo", "parked", "hoard",
	}
}

// sharedTypes are the names of exported types that several packages may use, and why.
func sharedTypes() map[string]string {
	return map[string]string{
		"Config":   "the settings of whatever the package is about",
		"Error":    "what is wrong with a text that the package reads, and where",
		"Schema":   "what a format itself calls so: JSON Schema, and Parquet",
		"Reader":   "reads rows of one format",
		"RowError": "a row of one format that cannot be read, where the others can",
		"Server":   "a server that the package runs",
		"Store":    "the store, and what an engine needs of it",
		"Streams":  "what an engine needs of the streams",
		"Source":   "where a package reads from",
		"Progress": "how far something is",
		"Metrics":  "what an engine counts",
	}
}

// A goFile is a parsed file that belongs to a program, not to its tests.
type goFile struct {
	source
	lines []string
}

// program parses all files of the module but tests, with their comments.
func program(t *testing.T, fset *token.FileSet) map[string][]goFile {
	t.Helper()
	folders := map[string][]goFile{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(s.path()))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, path, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		folders[s.folder] = append(folders[s.folder], goFile{source{s.folder, s.name, file}, strings.Split(string(data), "\n")})
	}
	return folders
}

// texts yields the path and the lines of every Go file, with tests, and of every page.
func texts(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".github":
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".go", ".md"}, filepath.Ext(path)):
			return nil
		}
		data, err := os.ReadFile(path)
		relative, _ := filepath.Rel(root, path)
		all[filepath.ToSlash(relative)] = strings.Split(string(data), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCommentsAreNarrowAndPlain(t *testing.T) {
	for path, lines := range texts(t) {
		for i, line := range lines {
			isComment := strings.HasSuffix(path, ".go") && strings.HasPrefix(strings.TrimSpace(line), "//")
			if isComment && len(line) > maxCommentColumns {
				t.Errorf("%s:%d: a comment of %d columns, %d are the limit", path, i+1, len(line), maxCommentColumns)
			}
			if found := unclear.FindString(line); found != "" && path != "internal/structure_test.go" {
				t.Errorf("%s:%d: %q is not plain English here", path, i+1, found)
			}
		}
	}
}

// A test is skipped by package needtest alone, which fails it where CI is set. A step of a state
// machine (rt.Skip) and a benchmark are no tests.
func TestATestIsSkippedInOnePlace(t *testing.T) {
	skip := regexp.MustCompile(`\bt\.Skip(f|Now)?\(`)
	for path, lines := range texts(t) {
		benchmark := false
		for i, line := range lines {
			if strings.HasPrefix(line, "func ") {
				benchmark = strings.HasPrefix(line, "func Benchmark")
			}
			if strings.HasSuffix(path, ".go") && skip.MatchString(line) && !benchmark && !strings.HasPrefix(path, "internal/needtest/") {
				t.Errorf("%s:%d: use needtest.Skip", path, i+1)
			}
		}
	}
}

// A script is skipped, or stops, only on systems that CI is not.
func TestAScriptIsSkippedOnlyOnOtherSystems(t *testing.T) {
	skip := regexp.MustCompile(`(?m)^(?:\[[^\]]*\]\s*)*(?:skip|stop)(?: .*)?$`)
	scripts := 0
	for _, pattern := range []string{"*/testdata/*.txtar", "*/*/testdata/*.txtar", "*/*/*/testdata/*.txtar"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			scripts++
			for _, line := range skip.FindAllString(string(data), -1) {
				if !strings.HasPrefix(line, "[!unix] ") && !strings.HasPrefix(line, "[!linux] ") {
					t.Errorf("%s: %q: CI would not see it", path, line)
				}
			}
		}
	}
	if scripts == 0 {
		t.Error("there are no scripts")
	}
}

func TestFilesFunctionsAndInterfacesStaySmall(t *testing.T) {
	fset := token.NewFileSet()
	for folder, files := range program(t, fset) {
		for _, f := range files {
			if n := len(f.lines); n > maxFileLines {
				t.Errorf("%s has %d lines, %d are the limit", f.path(), n, maxFileLines)
			}
			if isProgram := f.file.Name.Name == "main" && !strings.HasPrefix(folder, "internal/tools"); isProgram {
				if f.name != "main.go" {
					t.Errorf("%s: a program is main.go alone, its commands are in internal/command", f.path())
				} else if len(f.lines) > maxMainLines {
					t.Errorf("%s has %d lines, %d are the limit", f.path(), len(f.lines), maxMainLines)
				}
			}
			if depth := strings.Count(folder, "/") + 1; depth > maxDepth {
				t.Errorf("%s lies %d folders deep, %d are the limit", f.path(), depth, maxDepth)
			}
			ast.Inspect(f.file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if lines := fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1; lines > maxFunctionLines {
						t.Errorf("%s: %s has %d lines, %d are the limit", f.path(), n.Name.Name, lines, maxFunctionLines)
					}
				case *ast.InterfaceType:
					if methods := ownMethods(n); methods > maxMethods {
						t.Errorf("%s: an interface of %d methods, %d are the limit", fset.Position(n.Pos()), methods, maxMethods)
					}
				}
				return true
			})
		}
	}
}

// ownMethods counts the methods that an interface declares by itself.
func ownMethods(i *ast.InterfaceType) (n int) {
	for _, m := range i.Methods.List {
		n += len(m.Names)
	}
	return n
}

func TestAnExportedTypeNameStandsInOnePackage(t *testing.T) {
	where := map[string][]string{}
	for folder, files := range program(t, token.NewFileSet()) {
		for _, f := range files {
			for _, name := range declaredTypes(f.file) {
				if ast.IsExported(name) && !slices.Contains(where[name], folder) {
					where[name] = append(where[name], folder)
				}
			}
		}
	}
	for name, folders := range where {
		if _, ok := sharedTypes()[name]; !ok && len(folders) > 1 {
			slices.Sort(folders)
			t.Errorf("type %s stands in %s: give it one name for one thing", name, strings.Join(folders, ", "))
		}
	}
	for name := range sharedTypes() {
		if len(where[name]) < 2 {
			t.Errorf("type %s may stand in several packages and does not: take it off the list", name)
		}
	}
}

func declaredTypes(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
			for _, spec := range d.Specs {
				names = append(names, spec.(*ast.TypeSpec).Name.Name)
			}
		}
	}
	return names
}

// A reader of `go doc` of a package sees what its functions take and return.
func TestExportedNamesShowNoUnexportedTypes(t *testing.T) {
	for folder, files := range program(t, token.NewFileSet()) {
		hidden := map[string]bool{}
		for _, f := range files {
			for _, name := range declaredTypes(f.file) {
				hidden[name] = !ast.IsExported(name)
			}
		}
		for _, f := range files {
			if f.file.Name.Name == "main" {
				continue
			}
			for where, shown := range shownTypes(f.file) {
				for _, name := range shown {
					if hidden[name] {
						t.Errorf("%s: %s shows the type %s, which %s does not export", f.path(), where, name, folder)
					}
				}
			}
		}
	}
}

// shownTypes returns the names of the types that the exported functions, methods and fields of a
// file show, by where that is.
func shownTypes(file *ast.File) map[string][]string {
	shown := map[string][]string{}
	add := func(where string, expr ast.Expr) {
		ast.Inspect(expr, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				return false // of another package
			case *ast.Ident:
				shown[where] = append(shown[where], n.Name)
			}
			return true
		})
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			receiver := receiverOf(d)
			if !d.Name.IsExported() || receiver != "" && !ast.IsExported(receiver) {
				continue
			}
			for _, list := range []*ast.FieldList{d.Type.Params, d.Type.Results} {
				if list == nil {
					continue
				}
				for _, field := range list.List {
					add(d.Name.Name, field.Type)
				}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				typed, ok := spec.(*ast.TypeSpec)
				if !ok || !typed.Name.IsExported() {
					continue
				}
				structure, ok := typed.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range structure.Fields.List {
					if slices.ContainsFunc(field.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
						add(typed.Name.Name, field.Type)
					}
				}
			}
		}
	}
	return shown
}

// receiverOf returns the name of the type to which a method belongs, or nothing.
func receiverOf(d *ast.FuncDecl) (name string) {
	if d.Recv == nil {
		return ""
	}
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return true
	})
	return name
}

func TestRetiredWordsAreNoNames(t *testing.T) {
	words := retired()
	for _, files := range program(t, token.NewFileSet()) {
		for _, f := range files {
			ast.Inspect(f.file, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if !ok {
					return true
				}
				for _, word := range wordsOf(id.Name) {
					if slices.Contains(words, word) {
						t.Errorf("%s: the name %s holds the retired word %q", f.path(), id.Name, word)
					}
				}
				return true
			})
		}
	}
}

// wordsOf splits a name in camel case into its words, in lower case.
func wordsOf(name string) (words []string) {
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) {
			words = append(words, strings.ToLower(string(runes[start:i])))
			start = i
		}
	}
	return words
}

func TestFilesOfAPackageDoNotAllNeedEachOther(t *testing.T) {
	fset := token.NewFileSet()
	for folder, files := range program(t, fset) {
		limit := maxGroup
		if folder == "internal/consumer" {
			limit = maxConsumerGroup
		}
		if group := largestGroup(fset, files); len(group) > limit {
			t.Errorf("%s: %d files need each other, %d are the limit: %s", folder, len(group), limit, strings.Join(group, " "))
		}
	}
}

// largestGroup returns the names of the largest group of files that need each other, directly or
// through others: a file needs another if it uses what that one declares.
func largestGroup(fset *token.FileSet, files []goFile) []string {
	var parsed []*ast.File
	for _, f := range files {
		if !regexp.MustCompile(`_(windows|other)\.go$`).MatchString(f.name) { // of files that replace each other, those of Linux
			parsed = append(parsed, f.file)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}} // what is imported need not be known
	pkg, _ := config.Check("p", fset, parsed, info)
	needs := map[string]map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		from, to := base(fset, id.Pos()), base(fset, object.Pos())
		if needs[from] == nil {
			needs[from] = map[string]bool{}
		}
		needs[from][to] = true
	}
	reach := map[string]map[string]bool{}
	for from := range needs {
		reach[from] = map[string]bool{}
		for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
			for to := range needs[queue[0]] {
				if !reach[from][to] {
					reach[from][to] = true
					queue = append(queue, to)
				}
			}
		}
	}
	var largest []string
	for from := range reach {
		var group []string
		for to := range reach[from] {
			if reach[to][from] {
				group = append(group, to)
			}
		}
		if len(group) > len(largest) {
			largest = group
		}
	}
	slices.Sort(largest)
	return largest
}

func base(fset *token.FileSet, pos token.Pos) string {
	return filepath.Base(fset.Position(pos).Filename)
}

// noImports is an importer that knows no package.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

// Figures of the house, for those who change it; `go test ./internal -run Figures -v` prints them.
func TestFigures(t *testing.T) {
	fset := token.NewFileSet()
	folders := program(t, fset)
	var fileLines, functionLines []int
	methods := 0
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		for _, f := range folders[folder] {
			fileLines = append(fileLines, len(f.lines))
			ast.Inspect(f.file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					functionLines = append(functionLines, fset.Position(n.End()).Line-fset.Position(n.Pos()).Line+1)
				case *ast.InterfaceType:
					methods = max(methods, ownMethods(n))
				}
				return true
			})
		}
		if group := largestGroup(fset, folders[folder]); len(group) > 2 {
			t.Logf("%-28s %2d files, of which %d need each other: %s", folder, len(folders[folder]), len(group), strings.Join(group, " "))
		}
	}
	t.Logf("files: %s", distribution(fileLines))
	t.Logf("functions: %s", distribution(functionLines))
	t.Logf("largest interface: %d methods", methods)
}

// distribution shows the median, the 99th percentile and the largest of some numbers.
func distribution[T cmp.Ordered](numbers []T) string {
	slices.Sort(numbers)
	at := func(part float64) T { return numbers[min(int(part*float64(len(numbers))), len(numbers)-1)] }
	return fmt.Sprintf("%d, lines in the median %v, p99 %v, most %v", len(numbers), at(0.5), at(0.99), numbers[len(numbers)-1])
}
