package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gleaner/"

// root is the folder of the module, from where a test of this package runs.
const root = ".."

// A rule says what a package may import besides the standard library, in words of the lists below.
type rule struct {
	ours   string // packages below internal/, or everything
	theirs string // libraries

	// What its _test.go files may import in addition to that and to what every test may.
	testOurs, testTheirs string
}

// Words for what several rules allow.
const (
	everything  = "*" // of ours, but for the packages that are for tests
	forPrograms = "pipeline disk invite invite/sign folder text prompt dataset export hub stream store ollama ollama/serve holdings telemetry telemetry/metrics cli view command command/consume outage gpu lanes autotune supervise producer consumer sink reconcile ownership status plan doctor"
	forTests    = "natsd ollamasim" // besides the packages whose names end in "test"

	engineLibraries  = "zap backoff errgroup"
	programLibraries = "kong zap backoff errgroup humanize ulid prometheus"
	testLibraries    = "go-cmp rapid goleak go-internal zap errgroup"
)

// rules is who may import whom. The sections are those of doc.go. A folder that is not here may
// hold no package.
func rules() map[string]rule {
	return map[string]rule{
		"internal":             {},
		"internal/pipeline":    {},
		"internal/prompt":      {ours: "pipeline prompt/jinja prompt/chat"},
		"internal/prompt/chat": {ours: "pipeline"},
		"internal/schema":      {theirs: "jsonschema"},
		"internal/text":        {theirs: "x-text"}, // how wide characters are
		"internal/advice":      {},
		"internal/thinking":    {},
		"internal/failures":    {ours: "pipeline"},
		"internal/disk":        {},
		"internal/invite":      {},                                                                 // the consumer links it, so it reads with the standard library alone
		"internal/invite/sign": {ours: "pipeline invite", theirs: "jwt nkeys", testOurs: "stream"}, // what it makes is shown to a real server
		"internal/outage":      {ours: "pipeline", theirs: "backoff zap"},

		// Templates of Jinja: gonja cuts them into tags, and nothing else knows it.
		"internal/prompt/jinja": {ours: "pipeline", theirs: "gonja x-text", testOurs: "needtest"}, // the case of letters of all languages

		// An adapter speaks to one outside thing, so a driver stands in one line only: but for
		// zstd, which the stream needs for its messages, and for the simulated Ollama, which has
		// the real one's types.
		"internal/dataset":           {ours: "pipeline dataset/parquet", theirs: "compress x-text expr"},                        // packed, in other encodings, chosen by a condition
		"internal/dataset/parquet":   {theirs: "parquet-go compress brotli lz4"},                                                // pages are unpacked here, so that a file's claims are checked first
		"internal/export":            {ours: "pipeline dataset/parquet", theirs: "compress", testOurs: "dataset prompt"},        // what it writes is read again
		"internal/hub":               {ours: "outage", theirs: "flock yaml errgroup"},                                           // the cache is a folder of this machine
		"internal/store":             {ours: "pipeline outage", theirs: "mongo-driver sqlite compress", testOurs: "faultproxy"}, // connections that are neither alive nor dead
		"internal/stream":            {ours: "pipeline outage", theirs: "nats.go zap compress humanize", testOurs: "faultproxy", testTheirs: "nats-server"},
		"internal/folder":            {ours: "outage natsd stream"}, // a queue that is in this process, or in another
		"internal/faultproxy":        {},
		"internal/natsd":             {theirs: "nats-server flock", testTheirs: "nats.go jwt nkeys"},
		"internal/ollama":            {ours: "pipeline text thinking", theirs: "ollama"}, // what a server writes is shortened
		"internal/ollama/serve":      {ours: "pipeline ollama gpu", theirs: "flock"},     // the processes, beside the client to what they serve
		"internal/ollamasim":         {ours: "pipeline outage", theirs: "ollama", testOurs: "ollama schema"},
		"internal/holdings":          {theirs: "flock"}, // a folder of this machine
		"internal/telemetry":         {ours: "pipeline text failures", theirs: "zap"},
		"internal/telemetry/metrics": {ours: "pipeline", theirs: "prometheus"},

		"internal/producer":  {ours: "pipeline outage prompt schema", theirs: engineLibraries + " prometheus"},  // rows may bring a schema
		"internal/consumer":  {ours: "pipeline outage text schema autotune supervise", theirs: engineLibraries}, // no metrics: the consumer stays slim
		"internal/sink":      {ours: "pipeline outage", theirs: engineLibraries + " prometheus", testOurs: "ownership"},
		"internal/reconcile": {ours: "pipeline outage failures", theirs: engineLibraries + " rate prometheus"},
		"internal/ownership": {ours: "pipeline outage", theirs: engineLibraries},
		"internal/status":    {ours: "pipeline outage failures", theirs: engineLibraries + " prometheus"},
		"internal/plan":      {ours: "pipeline"},
		"internal/doctor":    {ours: "pipeline"},

		// Parts of engines that stand alone.
		"internal/autotune":  {ours: "pipeline outage", theirs: engineLibraries, testOurs: "ollamasim"},
		"internal/supervise": {ours: "pipeline outage", theirs: engineLibraries},
		"internal/gpu":       {},
		"internal/lanes":     {ours: "pipeline consumer supervise ollama ollama/serve gpu", theirs: "zap"}, // for the two commands whose servers generate

		"internal/view":            {ours: "pipeline invite/sign failures cli status plan doctor reconcile ownership producer dataset", theirs: "humanize"},
		"internal/command":         {ours: forPrograms + " local natsd ollamasim", theirs: programLibraries}, // gleaner run and the servers for trying things out, too
		"internal/command/consume": {ours: "pipeline outage cli invite doctor disk gpu consumer supervise lanes ollama ollama/serve holdings stream telemetry", theirs: programLibraries},

		"internal/cli":         {ours: "pipeline schema telemetry text cli/jobfile", theirs: "kong zap term", testTheirs: "jsonschema"}, // scripts validate what programs print
		"internal/cli/jobfile": {theirs: "kong yaml"},
		"internal/local":       {ours: everything, theirs: programLibraries, testTheirs: "nats-server nats.go compress"},                  // its tests lie to a server, and delete streams behind the programs' backs
		"internal/tools/bench": {ours: everything + " ollamasim/disguisetest", theirs: programLibraries + " nats.go mongo-driver sqlite"}, // measures the parts alone, too, and gleaner run with servers that it takes for real ones

		"internal/tools/chaos": {ours: everything, theirs: programLibraries + " flock nats.go"}, // injects faults into the streams from outside

		"internal/tools/release":    {ours: "cli"},
		"internal/tools/tinymodels": {ours: "ollama/ollamatest"}, // gives a test's server its models

		// A program is the list of its commands.
		"producer":       {ours: "cli command"},
		"consumer":       {ours: "cli command/consume", testOurs: "pipeline stream"},
		"sink":           {ours: "cli command"},
		"deploy/gleaner": {ours: "cli command command/consume", testOurs: "pipeline store stream cli/jobfile", testTheirs: "kong nats-server"}, // a user of NATS with few rights
		"deploy/nats":    {testOurs: "pipeline stream natsd", testTheirs: "nats-server nats.go"},                                               // the permissions, in a real server

		// What configures something else than Go is read, run and executed by tests.
		"deploy":        {testOurs: "pipeline stream natsd ollamasim invite/sign", testTheirs: "nats-server nats.go compose kubernetes kube-yaml kustomize"}, // the schemas of those that read these files
		"deploy/python": {testOurs: "natsd"},                                                                                                                 // its tests are in Python; the queue of a team is real
		"deploy/kaggle": {testOurs: "pipeline stream invite invite/sign"},

		"docs": {testTheirs: "kube-yaml"}, // its tests run the commands of the pages and read those of the hosting platform
	}
}

// libraries is what the words for libraries stand for: the beginning of an import path.
func libraries() map[string]string {
	return map[string]string{
		"brotli":       "github.com/andybalholm/brotli",
		"expr":         "github.com/expr-lang/expr",
		"gonja":        "github.com/nikolalohinski/gonja/v2",
		"jsonschema":   "github.com/santhosh-tekuri/jsonschema/v6",
		"lz4":          "github.com/pierrec/lz4/v4",
		"parquet-go":   "github.com/parquet-go/parquet-go",
		"x-text":       "golang.org/x/text",
		"yaml":         "go.yaml.in/yaml/v4",
		"backoff":      "github.com/cenkalti/backoff/v5",
		"compress":     "github.com/klauspost/compress",
		"compose":      "github.com/compose-spec/compose-go/v2",
		"flock":        "github.com/gofrs/flock",
		"rate":         "golang.org/x/time/rate",
		"errgroup":     "golang.org/x/sync/errgroup",
		"go-cmp":       "github.com/google/go-cmp",
		"go-internal":  "github.com/rogpeppe/go-internal",
		"goleak":       "go.uber.org/goleak",
		"humanize":     "github.com/dustin/go-humanize",
		"jwt":          "github.com/nats-io/jwt/v2",
		"kong":         "github.com/alecthomas/kong",
		"kubernetes":   "k8s.io",
		"kube-yaml":    "sigs.k8s.io/yaml",
		"kustomize":    "sigs.k8s.io/kustomize",
		"mongo-driver": "go.mongodb.org/mongo-driver/v2",
		"nats-server":  "github.com/nats-io/nats-server/v2",
		"nats.go":      "github.com/nats-io/nats.go",
		"nkeys":        "github.com/nats-io/nkeys",
		"ollama":       "github.com/ollama/ollama",
		"prometheus":   "github.com/prometheus/client_golang",
		"rapid":        "pgregory.net/rapid",
		"sqlite":       "modernc.org/sqlite",
		"term":         "golang.org/x/term",
		"ulid":         "github.com/oklog/ulid/v2",
		"zap":          "go.uber.org/zap",
	}
}

// A source is a Go file of the module.
type source struct {
	folder, name string // with slashes, from the root
	file         *ast.File
}

func (s source) path() string { return path.Join(s.folder, s.name) }
func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// sources reads the imports of all files. It reads them itself, and does not ask the go command,
// so that a cached result of this test is not used any more once one of them changed.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if isIgnored(parsed) {
			return nil
		}
		all = append(all, source{path.Dir(filepath.ToSlash(relative)), name, parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no Go file")
	}
	return all
}

// isIgnored reports whether a file only holds libraries in go.mod, and belongs to no program.
func isIgnored(file *ast.File) bool {
	return slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
		return slices.ContainsFunc(c.List, func(line *ast.Comment) bool { return line.Text == "//go:build deps" })
	})
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if problem := forbidden(s, imported); problem != "" {
				t.Errorf("%s imports %s: %s", s.path(), imported, problem)
			}
		}
	}
}

// forbidden says why a file may not import a path, or nothing.
func forbidden(s source, imported string) string {
	rule, ok := ruleOf(s.folder)
	if !ok {
		return "its folder is not in the table of imports_test.go"
	}
	rule.ours += " text advice" // they know nothing of us, and everything that shows foreign text, or says what to do, needs them
	if s.isTest() {
		rule.ours += " " + forTests + " " + rule.testOurs + " " + strings.TrimPrefix(s.folder, "internal/")
		rule.theirs += " " + testLibraries + " " + rule.testTheirs
	}
	ours, isOurs := strings.CutPrefix(imported, module)
	switch {
	case imported == "C":
		return "Gleaner is built without cgo"
	case isOurs && forTestsOnly(ours):
		if !s.isTest() && !forTestsOnly(s.folder) && !slices.Contains(strings.Fields(rule.ours), strings.TrimPrefix(ours, "internal/")) {
			return "only _test.go files may import a package whose name ends in test"
		}
		return ""
	case isOurs:
		short := strings.TrimPrefix(ours, "internal/")
		if strings.Contains(rule.ours, everything) || slices.Contains(strings.Fields(rule.ours), short) {
			return ""
		}
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		return "" // the standard library
	default:
		for _, word := range strings.Fields(rule.theirs) {
			if isBelow(imported, libraries()[word]) {
				return onlyInMetrics(s, word)
			}
		}
	}
	return fmt.Sprintf("the table in internal/imports_test.go does not allow it for %s", s.folder)
}

// onlyInMetrics keeps Prometheus out of the decisions: an engine has one file for its metrics.
func onlyInMetrics(s source, word string) string {
	r, _ := ruleOf(s.folder)
	if word == "prometheus" && !s.isTest() && strings.HasPrefix(r.theirs, engineLibraries) && !strings.HasPrefix(s.name, "metrics") {
		return "an engine speaks to Prometheus in its metrics.go only"
	}
	return ""
}

// ruleOf returns the rule of a folder. A package for tests, and what is below it, may import what
// its parent may and what the parent's tests may.
func ruleOf(folder string) (rule, bool) {
	if r, ok := rules()[folder]; ok {
		return r, true
	}
	if !forTestsOnly(folder) {
		return rule{}, false
	}
	for forTestsOnly(folder) {
		folder = path.Dir(folder)
	}
	r, ok := rules()[folder]
	r.ours += " " + forTests + " pipeline " + r.testOurs + " " + strings.TrimPrefix(folder, "internal/")
	r.theirs += " " + testLibraries + " " + r.testTheirs
	return r, ok
}

// forTestsOnly reports whether a folder is, or is below, one whose name ends in "test".
func forTestsOnly(folder string) bool {
	return slices.ContainsFunc(strings.Split(folder, "/"), func(name string) bool { return strings.HasSuffix(name, "test") })
}

func isBelow(imported, prefix string) bool {
	return prefix != "" && (imported == prefix || strings.HasPrefix(imported, prefix+"/"))
}

// The table is worth nothing if the check lets everything pass, so here are imports that it has
// to judge right.
func TestTheTableBites(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		allowed        bool
	}{
		{"internal/pipeline/run.go", "encoding/json", true},
		{"internal/pipeline/run.go", "go.uber.org/zap", false},
		{"internal/pipeline/run.go", "gleaner/internal/store", false},
		{"internal/store/mongo.go", "go.mongodb.org/mongo-driver/v2/bson", true},
		{"internal/store/mongo.go", "go.mongodb.org/mongo-driver/v3/bson", false},
		{"internal/store/mongo.go", "gleaner/internal/stream", false},
		{"internal/sink/sink.go", "go.mongodb.org/mongo-driver/v2/mongo", false},
		{"internal/sink/sink.go", "gleaner/internal/store", false},
		{"internal/sink/sink.go", "github.com/prometheus/client_golang/prometheus", false},
		{"internal/sink/metrics.go", "github.com/prometheus/client_golang/prometheus", true},
		{"internal/consumer/metrics.go", "github.com/prometheus/client_golang/prometheus", false},
		{"internal/stream/stream.go", "github.com/nats-io/nats.go/jetstream", true},
		{"internal/stream/stream.go", "github.com/nats-io/nats-server/v2/server", false},
		{"internal/stream/stream_test.go", "github.com/nats-io/nats-server/v2/server", true},
		{"internal/stream/stream_test.go", "gleaner/internal/natsd/natsdtest", true},
		{"internal/natsd/natsdtest/cluster.go", "github.com/nats-io/jwt/v2", true},
		{"internal/tools/tinymodels/main.go", "gleaner/internal/ollama/ollamatest", true},
		{"internal/local/local.go", "gleaner/internal/natsd", true},
		{"internal/local/local.go", "gleaner/internal/ollama/ollamatest", false},
		{"producer/main.go", "gleaner/internal/command", true},
		{"producer/main.go", "gleaner/internal/store", false},
		{"internal/command/load.go", "gleaner/internal/dataset", true},
		{"internal/command/consume/consume.go", "gleaner/internal/store", false},
		{"internal/command/consume/consume.go", "gleaner/internal/command", false},
		{"internal/command/run.go", "gleaner/internal/local", true},
		{"internal/view/plan.go", "gleaner/internal/store", false},
		{"internal/util/util.go", "gleaner/internal/pipeline", false},
		{"internal/store/sqlite.go", "C", false},
	} {
		problem := forbidden(source{folder: path.Dir(c.file), name: path.Base(c.file)}, c.imported)
		if (problem == "") != c.allowed {
			t.Errorf("%s imports %s: allowed is %v, want %v (%s)", c.file, c.imported, problem == "", c.allowed, problem)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest() {
			said[s.folder] = said[s.folder] || s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != ""
		}
	}
	for folder, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", folder)
		}
	}
}

// goCommand runs the go command at the root, for the machines that the consumer runs on.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-mod=readonly")
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return string(out)
}

func TestTheConsumerLinksNothingHeavy(t *testing.T) {
	for _, linked := range strings.Fields(goCommand(t, "list", "-deps", "./consumer")) {
		for _, heavy := range []string{
			"go.mongodb.org", "modernc.org", "github.com/parquet-go", "github.com/prometheus", "github.com/nats-io/nats-server",
			"charm.land", "github.com/charmbracelet", "html/template", "gleaner/internal/store", "gleaner/internal/natsd", "github.com/nats-io/jwt",
		} {
			if isBelow(linked, heavy) {
				t.Errorf("the consumer links %s", linked)
			}
		}
	}
}

func TestTheConsumerIsSmall(t *testing.T) {
	const most = 17 << 20 // a MiB of it checks schemas and reads gleaner.yaml
	binary := filepath.Join(t.TempDir(), "consumer")
	goCommand(t, "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./consumer")
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the consumer has %.1f MiB", float64(info.Size())/(1<<20))
	if info.Size() >= most {
		t.Errorf("the consumer has %d bytes, the limit is %d", info.Size(), most)
	}
}
