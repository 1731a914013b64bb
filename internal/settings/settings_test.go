package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"elt/internal/settings"
)

// load runs Load with args and variables in a folder with files; $DIR in args
// and variables is the folder.
func load(t *testing.T, files, vars map[string]string, args ...string) (settings.Settings, string, error) {
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
	f := pflag.NewFlagSet("elt", pflag.ContinueOnError)
	settings.Flags(f)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$DIR", dir)
	}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Load(f, func(name string) (string, bool) {
		v, ok := vars[name]
		return strings.ReplaceAll(v, "$DIR", dir), ok
	})
	return s, dir, err
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s, _, err := load(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(settings.Settings{Dir: ".", LogLevel: "info", LogFormat: "text"}, s); diff != "" {
		t.Error(diff)
	}
}

// TestOrder: a flag wins over a variable, that over the project's file, that
// over the user's.
func TestOrder(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"home/.config/elt/settings.yaml": "target: user\nthreads: 1\nmemory: 1GB\nlog_level: warn\nlog_format: json\nquiet: true\n",
		"shop/elt.settings.yaml":         "target: project\nthreads: 2\nmemory: 2GB\nlog_level: error\nenv_file: .env\n",
	}
	vars := map[string]string{"HOME": "$DIR/home", "ELT_DIR": "$DIR/shop", "ELT_TARGET": "variable", "ELT_THREADS": "3", "ELT_MEMORY": "3GB", "ELT_NOW": "2026-03-31", "NO_COLOR": "1"}
	s, dir, err := load(t, files, vars, "--target", "flag", "--threads=4", "--json")
	if err != nil {
		t.Fatal(err)
	}
	want := settings.Settings{
		Dir: filepath.Join(dir, "shop"), Target: "flag", Threads: 4, Memory: "3GB", LogLevel: "error", LogFormat: "json",
		EnvFile: filepath.Join(dir, "shop", ".env"), Quiet: true, JSON: true, NoColor: true, AsOf: "2026-03-31",
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesNameTheirOrigin(t *testing.T) {
	t.Parallel()
	files := map[string]string{"elt.settings.yaml": "thraeds: 2\nlog_level: loud\ndir: x\n"}
	vars := map[string]string{"ELT_DIR": "$DIR", "ELT_THREADS": "many", "ELT_QUIET": "perhaps", "ELT_NOW": "soon"}
	_, dir, err := load(t, files, vars, "--log-format", "xml", "--memory", "lots")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		dir + `/elt.settings.yaml:1:1: unknown key "thraeds"`, `did you mean "threads"?`,
		`/elt.settings.yaml:2:12: log_level is "loud"`, "/elt.settings.yaml:3:6: dir in the settings of a project",
		`ELT_THREADS is "many", expected a whole number`, `ELT_QUIET is "perhaps", expected true or false`,
		`ELT_NOW is "soon", expected a date`, `--log-format is "xml", expected json or text`, `--memory is "lots", expected a size`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%s", want, err)
		}
	}
}

// Zero threads run nothing; who wants all cores says nothing.
func TestNoThreadsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		vars map[string]string
		args []string
	}{{args: []string{"--threads=0"}}, {vars: map[string]string{"ELT_THREADS": "0"}}, {args: []string{"--threads=-1"}}} {
		if _, _, err := load(t, nil, c.vars, c.args...); err == nil || !strings.Contains(err.Error(), "expected a whole number from 1") {
			t.Errorf("%v %v: %v", c.vars, c.args, err)
		}
	}
}

func TestTwoCallsDoNotMeet(t *testing.T) {
	t.Parallel()
	a, _, errA := load(t, nil, map[string]string{"ELT_TARGET": "a"})
	b, _, errB := load(t, nil, nil)
	if errA != nil || errB != nil || a.Target != "a" || b.Target != "" {
		t.Errorf("%+v %v, %+v %v", a, errA, b, errB)
	}
}
