package project_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elt/internal/project"
	"elt/internal/secret"
)

var update = flag.Bool("update", false, "rewrite the expected messages")

type pgConnection struct {
	URL     secret.String `yaml:"url" jsonschema:"required,description=postgres://USER:PASSWORD@HOST/DATABASE"`
	Timeout time.Duration `yaml:"connect_timeout" jsonschema:"description=How long to wait for a connection"`
}

type pgStream struct {
	Table string `yaml:"table" jsonschema:"description=schema.table; the name of the stream by default"`
}

type filesSource struct {
	Path string `yaml:"path" jsonschema:"required,description=A glob"`
	CSV  struct {
		Delimiter string `yaml:"delimiter"`
		Header    *bool  `yaml:"header"`
	} `yaml:"csv"`
}

type chat struct {
	URL secret.String `yaml:"url" jsonschema:"required,description=Address of the incoming webhook"`
}

type fileConnection struct {
	Path string `yaml:"path"`
}

type fileSync struct {
	Pretty bool `yaml:"pretty"`
}

func kinds() []project.Kind {
	return []project.Kind{
		{Name: "postgres", Connection: func() any { return &pgConnection{} }, Stream: func() any { return &pgStream{} }},
		{Name: "files", Source: func() any { return &filesSource{} }},
		{Name: "file", Connection: func() any { return &fileConnection{} }, Sync: func() any { return &fileSync{} }},
		{Name: "slack", Connection: func() any { return &chat{} }, Tells: true},
	}
}

func env(name string) (string, bool) {
	v, ok := map[string]string{
		"SHOP_URL": "postgres://app:s3cretpw@db/shop", "HUBSPOT": "pat-na1-abcdef", "SLACK_WEBHOOK": "https://hooks.example.test/T0/B0", "EMPTY": "",
	}[name]
	return v, ok
}

// folder writes files into a new project.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, files map[string]string) (*project.Project, error) {
	t.Helper()
	return project.Load(folder(t, files), project.Options{Kinds: kinds(), Env: env})
}

// mistakes fails when an error has no place or no excerpt.
func mistakes(t testing.TB, err error) project.Errors {
	t.Helper()
	var errs project.Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("the error is %T: %v, want project.Errors", err, err)
	}
	for _, e := range errs {
		if e.Pos.File == "" || e.Pos.Line < 1 || e.Pos.Col < 1 || e.Msg == "" {
			t.Errorf("a mistake without its place: %+v", e)
		}
	}
	return errs
}

func TestEachMistakeIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := folder(t, map[string]string{"elt.yaml": string(src)})
			_, err = project.Load(dir, project.Options{Kinds: kinds(), Env: env})
			mistakes(t, err)
			got := strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "s3cretpw") {
				t.Errorf("a secret in an error:\n%s", got)
			}
			if !regexp.MustCompile(`^elt\.yaml:[0-9]+:[0-9]+: `).MatchString(got) {
				t.Errorf("no file:line:col:\n%s", got)
			}
		})
	}
}

func TestDesignExample(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := load(t, map[string]string{"elt.yaml": string(src), "sources/extra.yaml": "sources:\n  more:\n    type: files\n    path: x.csv\n    streams: {a: {}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	orders := p.Sources["shop"].Streams["orders"]
	if orders.Lookback != 2*time.Hour || orders.DecisionWindow != 24*time.Hour || orders.Owner != "data-team" || orders.Pos.Line != 22 || orders.Pos.Col != 7 {
		t.Errorf("orders: %+v", orders)
	}
	if c, ok := p.Sources["shop"].Connection.Config.(*pgConnection); !ok || c.URL.Reveal() != "postgres://app:s3cretpw@db/shop" {
		t.Errorf("the connection is %T", p.Sources["shop"].Connection.Config)
	}
	if c := p.Sources["more"].Config.(*filesSource); c.Path != "x.csv" {
		t.Errorf("the included source: %+v", c)
	}
	s := p.Syncs["crm_contacts"]
	if s.Object != "contacts" || s.Connection.Name != "hubspot" || len(s.Key) != 1 || s.Key[0] != "customer_id" || len(s.Fields) != 3 || s.Fields[1].Theirs != "email" || !s.Fields[1].AllowPII {
		t.Errorf("the sync: %+v", s)
	}
	if _, err := p.Target("prod"); err == nil || !strings.Contains(err.Error(), "WAREHOUSE_URL is not set") || !strings.Contains(err.Error(), "elt.yaml:14:21") {
		t.Errorf("an unresolved target gives %v", err)
	}
	if _, err := p.Target("prdo"); err == nil || !strings.Contains(err.Error(), `did you mean "prod"?`) {
		t.Errorf("an unknown target gives %v", err)
	}
	hidden := map[string]bool{}
	for _, s := range p.Secrets {
		hidden[s.Reveal()] = true
	}
	for _, want := range []string{"postgres://app:s3cretpw@db/shop", "s3cretpw", "pat-na1-abcdef", "https://hooks.example.test/T0/B0"} {
		if !hidden[want] {
			t.Errorf("the redactor does not know %q", want)
		}
	}
}

func TestEveryKeyArrives(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := load(t, map[string]string{"elt.yaml": string(src)})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.AsOf.Format(time.RFC3339); got != "2026-03-31T00:00:00-04:00" {
		t.Errorf("as_of is %s: a date is local to the project", got)
	}
	lines := *p.Sources["shop"].Streams["lines"]
	lines.Pos, lines.Checks[0].Pos, lines.Checks[1].Pos = project.Pos{}, project.Pos{}, project.Pos{}
	want := project.Stream{
		Name: "lines", Load: "merge", Key: []string{"order_id", "line"}, Cursor: "updated_at", NullCursor: "include", OnEmpty: "keep",
		Columns: map[string]string{"amount": "decimal(18,2)"}, Contract: project.Contract{Tables: "evolve", Columns: "freeze", Types: "quarantine"},
		QuarantineMax: project.Limit{Rows: 100, Set: true}, DecisionWindow: 6 * time.Hour, Tags: []string{"fast", "core"}, Owner: "me", Description: "One line of an order.",
		Checks:  []project.Check{{Kind: "not_null", Columns: []string{"order_id", "line"}, Severity: "error"}, {Kind: "accepted_values", Columns: []string{"status"}, Values: []string{"paid", "open"}, Severity: "warn"}},
		Options: &pgStream{Table: "public.order_lines"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if c := p.Connections["replica"].Config.(*pgConnection); c.Timeout != time.Minute || c.URL.IsZero() {
		t.Errorf("a merged mapping: %+v", c)
	}
	if c := p.Sources["inline"].Config.(*filesSource); c.Path != "data/events/*.csv" || c.CSV.Delimiter != ";" || !*c.CSV.Header {
		t.Errorf("nested keys and a default: %+v", c)
	}
	if tgt, err := p.Target(""); err != nil || tgt.Push != "off" || tgt.Threads != 2 || tgt.WaitForLock != 30*time.Second {
		t.Errorf("the target: %+v %v", tgt, err)
	}
	if s := p.Syncs["keyed"]; s.Mode != "upsert" || !s.Config.(*fileSync).Pretty || s.Guards["max_delete"] != "0" {
		t.Errorf("the sync: %+v", s)
	}
	if p.Alerts[0].RepeatAfter != 24*time.Hour || p.Jobs["hourly"].Run[0] != "tag:core+" || p.Jobs["sunday"].Run[0] != "all" {
		t.Errorf("defaults: %+v %+v", p.Alerts, p.Jobs)
	}
}

func TestNoTargetsMeansDev(t *testing.T) {
	t.Parallel()
	p, err := load(t, map[string]string{"elt.yaml": "version: 1\nname: shop\n"})
	if err != nil {
		t.Fatal(err)
	}
	if tgt, err := p.Target(""); err != nil || tgt.Warehouse.Reveal() != "duckdb:.elt/dev.duckdb" || tgt.Push != "fake" {
		t.Errorf("%+v %v", tgt, err)
	}
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	main := "version: 1\nname: shop\ninclude: ['*/*.yaml']\nsources:\n  web: {type: files, path: a, streams: {a: {}}}\n"
	_, err := load(t, map[string]string{
		"elt.yaml": main,
		"s/a.yaml": "sources:\n  web: {type: files, path: b, streams: {a: {}}}\n",
		"s/b.yaml": "name: other\ninclude: [x]\nsources:\n  new: {type: files, pth: b, streams: {a: {}}}\n",
		"s/c.yaml": "# nothing yet\n",
	})
	text := err.Error()
	for _, want := range []string{
		`s/a.yaml:2:3: source "web" is written twice, first at elt.yaml:5:3`,
		"s/b.yaml:1:1: name is written twice, first at elt.yaml:2:1",
		"s/b.yaml:2:1: include in an included file",
		`s/b.yaml:4:22: unknown key "pth"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if got := mistakes(t, err); len(got) != 4 {
		t.Errorf("%d mistakes, want 4:\n%s", len(got), text)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	yaml := "version: 1\nname: shop\nconnections:\n  db: {type: postgres, url: \"postgres://u:${file:secrets/pw}@${env:HOST:-localhost}/d\"}\n  out: {type: file, path: \"$${literal}/${env:SMALL}\"}\n"
	dir := folder(t, map[string]string{"elt.yaml": yaml, "secrets/pw": "a&b c\n", ".env": "# for tests\nexport SMALL='dev'\nSHOP_URL=x\n"})
	p, err := project.Load(dir, project.Options{Kinds: kinds(), Env: env, EnvFile: filepath.Join(dir, ".env")})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Connections["db"].Config.(*pgConnection).URL.Reveal(); got != "postgres://u:a&b c@localhost/d" {
		t.Errorf("url is %q", got)
	}
	if got := p.Connections["out"].Config.(*fileConnection).Path; got != "${literal}/dev" {
		t.Errorf("path is %q", got)
	}
	var hidden []string
	for _, s := range p.Secrets {
		hidden = append(hidden, s.Reveal())
	}
	if !strings.Contains(strings.Join(hidden, "\n"), "a&b c") || strings.Contains("\n"+strings.Join(hidden, "\n")+"\n", "\ndev\n") {
		t.Errorf("hidden are %q", hidden)
	}
	bad := folder(t, map[string]string{"elt.yaml": "version: 1\nname: shop\n", ".env": "hunter2\n"})
	_, err = project.Load(bad, project.Options{Env: env, EnvFile: filepath.Join(bad, ".env")})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), ".env:1:1: ") {
		t.Errorf("a bad line of an env file gives %v", err)
	}
}

func TestLiteralPasswordIsAWarning(t *testing.T) {
	t.Parallel()
	p, err := load(t, map[string]string{"elt.yaml": "version: 1\nname: shop\nconnections:\n  db: {type: postgres, url: 'postgres://u:hunter2@h/d'}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 1 || strings.Contains(p.Warnings[0].Error(), "hunter2") || p.Warnings[0].Pos.Col != 29 {
		t.Errorf("warnings: %v", p.Warnings)
	}
}

func TestSelectedTargetNeedsItsReferences(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"elt.yaml": "version: 1\nname: shop\nowner: ''\ntargets:\n  dev: {warehouse: 'duckdb:x.db'}\n  prod: {warehouse: '${env:WAREHOUSE_URL}', push: live}\n"})
	if _, err := project.Load(dir, project.Options{Kinds: kinds(), Env: env}); err != nil {
		t.Errorf("dev does not need what prod needs: %v", err)
	}
	_, err := project.Load(dir, project.Options{Kinds: kinds(), Env: env, Target: "prod"})
	if err == nil || !strings.HasPrefix(err.Error(), "elt.yaml:6:21: environment variable WAREHOUSE_URL is not set") {
		t.Errorf("prod without its variable gives %v", err)
	}
}

func TestNoProject(t *testing.T) {
	t.Parallel()
	_, err := project.Load(t.TempDir(), project.Options{})
	if e := mistakes(t, err); !strings.Contains(e[0].Error(), "elt init") {
		t.Error(err)
	}
}

// FuzzLoad holds that no bytes make Load crash, and that every mistake has its
// place.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<14 {
			return
		}
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(sub) }()
		if err := os.WriteFile(filepath.Join(sub, project.FileName), src, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := project.Load(sub, project.Options{Kinds: kinds(), Env: env}); err != nil {
			mistakes(t, err)
		}
	})
}
