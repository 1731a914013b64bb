// Package settings says how the program runs on this machine: folder, target,
// log, threads. They come from flags, ELT_* variables and an optional file, in
// this order; what a project does stands in the project, never here.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cast"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"elt/internal/project"
	"elt/internal/yamlx"
)

// FileName is the settings file in a project's folder; the user's own is
// settings.yaml in ~/.config/elt.
const FileName = "elt.settings.yaml"

// Settings are the settings of one call of the program.
type Settings struct {
	Dir       string // folder of the project
	Target    string // "": the project's default
	LogLevel  string // debug, info, warn, error
	LogFormat string // text, json
	Threads   int    // 0: all cores
	Memory    string // "": the target's
	EnvFile   string // "": none
	Quiet     bool
	JSON      bool
	NoColor   bool
	AsOf      string // "": the project's, or now
}

// fileKeys are the keys of a settings file.
type fileKeys struct {
	Dir       string `yaml:"dir"`
	Target    string `yaml:"target"`
	LogLevel  string `yaml:"log_level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	LogFormat string `yaml:"log_format" jsonschema:"enum=text,enum=json"`
	Threads   int    `yaml:"threads" jsonschema:"minimum=1"`
	Memory    string `yaml:"memory"`
	EnvFile   string `yaml:"env_file"`
	Quiet     bool   `yaml:"quiet"`
	JSON      bool   `yaml:"json"`
	NoColor   bool   `yaml:"no_color"`
	AsOf      string `yaml:"as_of"`
}

// Flags adds the flags of the settings to f.
func Flags(f *pflag.FlagSet) {
	f.StringP("dir", "C", ".", "folder of the project")
	f.String("target", "", "target to work on (default dev)")
	f.String("log-level", "info", "how much a run prints: debug (progress lines), info, warn, error (only failures, as --quiet)")
	f.String("log-format", "text", "what a run prints: text, json (as --json)")
	f.Int("threads", 0, "threads of DuckDB and steps side by side (default: cores)")
	f.String("memory", "", "memory limit of DuckDB, such as 2GB")
	f.String("env-file", "", "file of NAME=value lines for ${env:NAME}")
	f.BoolP("quiet", "q", false, "silent on success, the full story on failure")
	f.Bool("json", false, "one JSON object a line")
	f.Bool("no-color", false, "no colours on a terminal")
	f.String("as-of", "", "clock of the run: RFC 3339, or a date")
}

// keys are the names in files; flags have - for _, variables are ELT_ and the
// name in capitals.
func keys() []string {
	return []string{"dir", "target", "log_level", "log_format", "threads", "memory", "env_file", "quiet", "json", "no_color", "as_of"}
}

// Load reads the settings of flags that [Flags] has made and that are parsed, of
// the variables of env, and of the settings files. A flag wins over a variable,
// that over the project's file, and that over the user's. All mistakes are
// reported at once.
func Load(f *pflag.FlagSet, env func(string) (string, bool)) (Settings, error) {
	l := &loader{v: viper.New(), env: env, from: map[string]string{}, byVariable: map[string]bool{}, flags: f}
	for _, key := range keys() {
		flag := f.Lookup(strings.ReplaceAll(key, "_", "-"))
		if flag == nil {
			return Settings{}, fmt.Errorf("load settings: there is no flag for %s", key)
		}
		if err := l.v.BindPFlag(key, flag); err != nil {
			return Settings{}, fmt.Errorf("load settings: flag of %s: %w", key, err)
		}
	}
	vars := l.variables()
	l.file(l.userFile(), false)
	l.merge(vars)
	dir := l.v.GetString("dir") // the project's file cannot move the project
	l.file(filepath.Join(dir, FileName), true)
	l.merge(vars) // above both files
	l.v.Set("dir", dir)
	s := l.settings()
	return s, errors.Join(l.errs...)
}

// loader gathers values in the layers of one viper: flags, and under them one
// map into which files and then variables are merged. Variables do not go
// through viper's own reading of the process, so that two calls in one process
// may have two environments.
type loader struct {
	v     *viper.Viper
	flags *pflag.FlagSet
	env   func(string) (string, bool)
	from  map[string]string // key -> where its value was written
	errs  []error

	byVariable map[string]bool // keys that no file changes any more
}

func (l *loader) lookup(name string) (string, bool) {
	if l.env == nil {
		return "", false
	}
	v, ok := l.env(name)
	return v, ok && v != ""
}

func (l *loader) variables() map[string]any {
	out := map[string]any{}
	for _, key := range keys() {
		for _, name := range variablesOf(key) {
			if v, ok := l.lookup(name); ok {
				out[key] = v
				if name == "NO_COLOR" {
					out[key] = true // present is enough: no-color.org
				}
				l.from[key], l.byVariable[key] = name, true
				break
			}
		}
	}
	return out
}

func variablesOf(key string) []string {
	own := "ELT_" + strings.ToUpper(key)
	switch key {
	case "as_of":
		return []string{own, "ELT_NOW"}
	case "no_color":
		return []string{own, "NO_COLOR"}
	}
	return []string{own}
}

func (l *loader) merge(values map[string]any) {
	if err := l.v.MergeConfigMap(maps.Clone(values)); err != nil {
		l.errs = append(l.errs, fmt.Errorf("merge settings: %w", err))
	}
}

func (l *loader) userFile() string {
	base, ok := l.lookup("XDG_CONFIG_HOME")
	if !ok {
		home, ok := l.lookup("HOME")
		if !ok {
			return ""
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "elt", "settings.yaml")
}

// file merges a settings file, which may be missing. inProject tells that it
// lies in the project, where it cannot say where the project is.
func (l *loader) file(path string, inProject bool) {
	if path == "" {
		return
	}
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("read settings: %w", err))
		return
	}
	f, errs := yamlx.Parse(path, src, nil)
	if f.Root != nil {
		d := &yamlx.Decoder{File: f, Errs: &errs}
		var into fileKeys
		o := d.Struct(f.Root, &into)
		if o.Has("dir") && inProject {
			d.FailAt(o.At("dir"), "dir in the settings of a project", "any other setting", "delete it, or pass --dir")
		}
		if err := project.ParseMemory(into.Memory); err != nil {
			d.FailAt(o.At("memory"), "memory: "+err.Error(), "", "")
		}
		values := into.values()
		for key := range values {
			if !o.Has(key) {
				delete(values, key)
				continue
			}
			if !l.byVariable[key] {
				l.from[key] = path
			}
		}
		// A path in a file is relative to the file: it is read from anywhere.
		if p, ok := values["env_file"].(string); ok && !filepath.IsAbs(p) {
			values["env_file"] = filepath.Join(filepath.Dir(path), p)
		}
		if len(errs) == 0 {
			l.merge(values)
		}
	}
	errs.Sort()
	if err := errs.Err(); err != nil {
		l.errs = append(l.errs, err)
	}
}

func (k fileKeys) values() map[string]any {
	return map[string]any{
		"dir": k.Dir, "target": k.Target, "log_level": k.LogLevel, "log_format": k.LogFormat, "threads": k.Threads, "memory": k.Memory,
		"env_file": k.EnvFile, "quiet": k.Quiet, "json": k.JSON, "no_color": k.NoColor, "as_of": k.AsOf,
	}
}

// settings reads the merged values and judges them.
func (l *loader) settings() Settings {
	s := Settings{
		Dir: l.v.GetString("dir"), Target: l.v.GetString("target"), LogLevel: l.word("log_level", "debug", "info", "warn", "error"),
		LogFormat: l.word("log_format", "text", "json"), Memory: l.v.GetString("memory"), EnvFile: l.v.GetString("env_file"),
		Quiet: l.boolean("quiet"), JSON: l.boolean("json"), NoColor: l.boolean("no_color"), AsOf: l.v.GetString("as_of"),
	}
	var err error
	said := l.from["threads"] != "" || l.flags.Changed("threads")
	if s.Threads, err = cast.ToIntE(l.v.Get("threads")); err != nil || s.Threads < 0 || said && s.Threads == 0 {
		l.fail("threads", fmt.Sprint(l.v.Get("threads")), "a whole number from 1; leave it out for all cores")
	}
	if err := project.ParseMemory(s.Memory); err != nil {
		l.fail("memory", s.Memory, "a size such as 512MB, 2GB or 2GiB")
	}
	if s.AsOf != "" {
		if _, err := project.ParseTime(s.AsOf, time.UTC); err != nil {
			l.fail("as_of", s.AsOf, "a date such as 2026-03-31, or a time such as 2026-03-31T06:00:00Z")
		}
	}
	return s
}

func (l *loader) word(key string, words ...string) string {
	got := l.v.GetString(key)
	if !slices.Contains(words, got) {
		l.fail(key, got, yamlx.OneOf(words))
	}
	return got
}

func (l *loader) boolean(key string) bool {
	b, err := cast.ToBoolE(l.v.Get(key))
	if err != nil {
		l.fail(key, fmt.Sprint(l.v.Get(key)), "true or false")
	}
	return b
}

// fail reports a value by the place where it was written.
func (l *loader) fail(key, got, expected string) {
	where := l.from[key]
	if flag := strings.ReplaceAll(key, "_", "-"); where == "" || l.flags.Changed(flag) {
		where = "--" + flag
	}
	l.errs = append(l.errs, fmt.Errorf("%s is %q, expected %s", where, got, expected))
}
