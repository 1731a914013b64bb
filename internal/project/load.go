package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/yamlx"
)

// FileName is the file that makes a folder a project.
const FileName = "elt.yaml"

// How long records of runs are kept. Shorter than a day, what a run that is on
// needs could go.
const (
	defaultRetention  = 90 * 24 * time.Hour
	shortestRetention = 24 * time.Hour
)

// Options are what a project is loaded with.
type Options struct {
	Kinds   []Kind                      // of sources and of destinations
	Env     func(string) (string, bool) // the environment; nil: empty
	EnvFile string                      // NAME=value lines for ${env:…}; relative to the working directory
	Target  string                      // the target that will be used; "": dev
}

// Load reads the project in dir without opening anything that it names. All
// mistakes are reported at once, as [Errors]; the project is nil then.
func Load(dir string, opts Options) (*Project, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("load project %s: %w", dir, err)
	}
	l := &loader{
		opts: opts, kinds: kindsByName(opts.Kinds), refs: &references{dir: abs, env: opts.Env}, scalars: map[string]Pos{}, dups: map[string]Pos{},
		p: &Project{
			Dir: abs, Timezone: time.UTC, Retention: defaultRetention,
			Connections: map[string]*Connection{}, Targets: map[string]*Target{}, Sources: map[string]*Source{},
			Syncs: map[string]*Sync{}, Jobs: map[string]*Job{}, Identities: map[string]*Identity{},
		},
	}
	if opts.EnvFile != "" {
		env, errs := envFile(opts.EnvFile, opts.Env)
		l.refs.env = env
		l.errs = append(l.errs, errs...)
	}
	l.files()
	l.build()
	l.errs.Sort(l.order...)
	l.p.Secrets = l.refs.secrets
	(*Errors)(&l.p.NotActing).Sort(l.order...)
	if err := l.errs.Err(); err != nil {
		return nil, err
	}
	return l.p, nil
}

// loader gathers the items of all files, and then builds them in the order in
// which they refer to each other.
type loader struct {
	opts    Options
	kinds   kinds
	refs    *references
	errs    Errors
	p       *Project
	scalars map[string]Pos // top-level keys that may stand in one file only
	dups    map[string]Pos // section + name -> first place

	asOf  string
	order []string // files as they were read

	connections, targets, sources, identities, syncs, jobs []item
	alerts                                                 []item
}

// item is a named thing of a section.
type item struct {
	name  string
	pos   Pos // of the name
	value ast.Node
	d     *yamlx.Decoder
}

// fail reports a mistake at the item's name.
func (it item) fail(msg, expected, hint string) { it.d.FailAt(it.pos, msg, expected, hint) }

func (l *loader) files() {
	root, ok := l.file(FileName)
	if !ok {
		return
	}
	seen := map[string]bool{FileName: true}
	for _, inc := range root.includes {
		matches, err := included(l.p.Dir, inc.name)
		if err != nil {
			inc.fail(fmt.Sprintf("include %q is no glob", inc.name), "a path such as sources/*.yaml", "")
			continue
		}
		if len(matches) == 0 && !strings.ContainsAny(inc.name, "*?[") {
			inc.fail(fmt.Sprintf("include %q: there is no such file", inc.name), "a file or a glob relative to the project", "")
		}
		for _, m := range matches {
			rel, err := filepath.Rel(l.p.Dir, m)
			if info, serr := os.Stat(m); err != nil || serr != nil || info.IsDir() || seen[rel] {
				continue
			}
			seen[rel] = true
			l.file(filepath.ToSlash(rel))
		}
	}
}

// part is what the loader needs of one file after it is read.
type part struct{ includes []item }

func (l *loader) file(name string) (part, bool) {
	l.order = append(l.order, name)
	src, err := os.ReadFile(filepath.Join(l.p.Dir, filepath.FromSlash(name)))
	if err != nil {
		e := &Error{Pos: Pos{File: name, Line: 1, Col: 1}, Msg: "cannot be read: " + reason(err), Expected: "a project's file"}
		if name == FileName && errors.Is(err, fs.ErrNotExist) {
			e.Msg, e.Expected = "there is no "+FileName+" in "+l.p.Dir, "the folder of a project"
			e.Hint = "run elt init to make one, or name the folder with --dir"
		}
		l.errs = append(l.errs, e)
		return part{}, false
	}
	f, errs := yamlx.Parse(name, src, nil)
	l.errs = append(l.errs, errs...)
	d := &yamlx.Decoder{File: f, Errs: &l.errs, Expand: l.refs.expand}
	if f.Root == nil {
		if name == FileName && len(errs) == 0 {
			d.FailAt(Pos{File: name, Line: 1, Col: 1}, "the file is empty", "version, name, sources and so on", "run elt init to see a whole project")
		}
		return part{}, false
	}
	var keys fileKeys
	root := d.Struct(f.Root, &keys)
	l.top(d, root, keys)
	var out part
	if inc := root.Get("include"); inc != nil {
		if name != FileName {
			d.FailAt(inc.Pos, "include in an included file", "include in "+FileName+" only", "")
			return out, true
		}
		for i, node := range d.Items(inc.Value) {
			if i < len(keys.Include) {
				out.includes = append(out.includes, item{name: keys.Include[i], pos: f.Pos(node), d: d})
			}
		}
	}
	return out, true
}

func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// top takes the keys of one file that stand once, and collects the named ones.
func (l *loader) top(d *yamlx.Decoder, root yamlx.Object, keys fileKeys) {
	for _, e := range root.Entries {
		if !slices.Contains([]string{"version", "name", "timezone", "owner", "as_of", "decision_window", "retention"}, e.Key) {
			continue
		}
		if first, twice := l.scalars[e.Key]; twice {
			d.FailAt(e.Pos, fmt.Sprintf("%s is written twice, first at %s", e.Key, first), "once in all files", "")
			continue
		}
		l.scalars[e.Key] = e.Pos
		l.header(d, root, e, keys)
	}
	if d.File.Name == FileName && root.Entries != nil {
		for _, key := range []string{"version", "name"} {
			if !root.Has(key) {
				d.FailAt(root.Pos, key+" is missing", map[string]string{"version": "version: 1", "name": "a short name, such as shop"}[key], "")
			}
		}
	}
	l.collect("connection", keys.Connections, &l.connections)
	l.collect("target", keys.Targets, &l.targets)
	l.collect("source", keys.Sources, &l.sources)
	l.collect("identity", keys.Identities, &l.identities)
	l.collect("sync", keys.Syncs, &l.syncs)
	l.collect("job", keys.Jobs, &l.jobs)
	if keys.Alerts.d != nil {
		for _, n := range d.Items(keys.Alerts.n) {
			l.alerts = append(l.alerts, item{pos: d.File.Pos(n), value: n, d: d})
		}
	}
}

func (l *loader) header(d *yamlx.Decoder, root yamlx.Object, e yamlx.Entry, keys fileKeys) {
	at := root.At(e.Key)
	switch e.Key {
	case "version":
		if l.p.Version = keys.Version; keys.Version != 1 {
			d.FailAt(at, fmt.Sprintf("version is %d", keys.Version), "1, the only version that this program knows", "")
		}
	case "name":
		if l.p.Name = keys.Name; !plainName(keys.Name) {
			d.FailAt(at, fmt.Sprintf("name is %q", keys.Name), "letters, digits, _ and -, beginning with a letter, at most 40", "")
		}
	case "timezone":
		l.timezone(d, at, keys.Timezone)
	case "owner":
		l.p.Owner = keys.Owner
	case "as_of":
		if _, err := ParseTime(keys.AsOf, time.UTC); err != nil {
			d.FailAt(at, fmt.Sprintf("as_of is %q", keys.AsOf), "a date such as 2026-03-31, or a time such as 2026-03-31T06:00:00Z", "")
			return
		}
		// The zone may stand below: build reads it once it is known.
		l.asOf = keys.AsOf
	case "decision_window":
		l.p.DecisionWindow = keys.DecisionWindow
	case "retention":
		if l.p.Retention = keys.Retention; keys.Retention < shortestRetention {
			d.FailAt(at, "retention is shorter than a day", "a duration of 1d or more, such as 90d", "")
		}
	}
}

func (l *loader) timezone(d *yamlx.Decoder, at Pos, name string) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		zones := []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Vienna", "Europe/Zurich", "America/New_York", "America/Chicago", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Kolkata", "Asia/Singapore", "Australia/Sydney"}
		d.FailAt(at, fmt.Sprintf("timezone is %q, which is no time zone", name), "a name of the IANA list, such as Europe/Berlin", yamlx.DidYouMean(name, zones))
		return
	}
	l.p.Timezone = loc
}

// collect takes the items of a section and reports names that stand twice, in
// whatever files.
func (l *loader) collect(kind string, s section, into *[]item) {
	if s.d == nil {
		return
	}
	entries, _ := s.d.Entries(s.n, kind+"s")
	for _, e := range entries {
		it := item{name: e.Key, pos: e.Pos, value: e.Value, d: s.d}
		if first, twice := l.dups[kind+" "+e.Key]; twice {
			it.fail(fmt.Sprintf("%s %q is written twice, first at %s", kind, e.Key, first), "each name once in all files", "")
			continue
		}
		l.dups[kind+" "+e.Key] = e.Pos
		if !plainName(e.Key) {
			it.fail(fmt.Sprintf("%s %q has a name that cannot be used", kind, e.Key), "letters, digits, _ and -, beginning with a letter, at most 40", "")
		}
		if other := differsInCase(*into, e.Key); other != "" {
			it.fail(fmt.Sprintf("%s %q differs from %q only in case", kind, e.Key, other), "names that every warehouse tells apart", "")
		}
		*into = append(*into, it)
	}
}

// differsInCase returns the item that a warehouse without regard to case would
// take for name, or "".
func differsInCase(items []item, name string) string {
	for _, it := range items {
		if it.name != name && strings.EqualFold(it.name, name) {
			return it.name
		}
	}
	return ""
}

// namePattern is what a person may call things: it is part of paths, table
// names and selectors.
const namePattern = `^[A-Za-z][A-Za-z0-9_-]{0,39}$`

func plainName(s string) bool { return regexp.MustCompile(namePattern).MatchString(s) }

// ParseTime reads the clock of a run: RFC 3339, or a date or a time of day
// without a zone, which is local to loc. A date is its first instant.
func ParseTime(s string, loc *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; expected 2026-03-31 or 2026-03-31T06:00:00Z", s)
}
