package project

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"elt/internal/secret"
	"elt/internal/yamlx"
)

// DefaultTarget is where a run works when nothing else is said.
const DefaultTarget = "dev"

// Target returns the named target; "" is the default one. Its error names the
// targets that there are, or the reference that the target lacks.
func (p *Project) Target(name string) (*Target, error) {
	if name == "" {
		name = DefaultTarget
	}
	t, ok := p.Targets[name]
	if !ok {
		names := slices.Sorted(maps.Keys(p.Targets))
		msg := fmt.Sprintf("unknown target %q, expected %s", name, yamlx.OneOf(names))
		if hint := yamlx.DidYouMean(name, names); hint != "" {
			msg += "; " + hint
		}
		return nil, fmt.Errorf("%s\n  choose with --target or ELT_TARGET", msg)
	}
	if t.unresolved != nil {
		return nil, Errors{t.unresolved}
	}
	return t, nil
}

// Command is a command as it is typed for this target.
func (t *Target) Command(text string) string {
	if t.Name == DefaultTarget {
		return text
	}
	return text + " --target " + t.Name
}

func (l *loader) selected(name string) bool { return name == inherit(l.opts.Target, DefaultTarget) }

// target decodes one target. What a target that is not selected refers to may
// be missing: a laptop needs no password of production.
func (l *loader) target(it item) {
	t := &Target{Name: it.name, Pos: it.pos}
	l.p.Targets[it.name] = t
	var keys targetKeys
	d := *it.d
	if !l.selected(it.name) {
		d.Expand = func(text string, hidden bool) (string, error) {
			out, err := l.refs.expand(text, hidden)
			if err == nil {
				return out, nil
			}
			at := it.pos
			if hidden {
				_, at = it.peek("warehouse")
			}
			t.unresolved = it.d.File.Error(at, fmt.Sprintf("target %s: %s", it.name, err), "", "")
			return text, nil
		}
	}
	before := len(l.errs)
	o := d.Struct(it.value, &keys)
	if o.Entries == nil {
		o.Pos = it.pos
	}
	l.literalPassword(it, o)
	t.Warehouse, t.Push, t.SchemaPrefix = keys.Warehouse, inherit(keys.Push, "fake"), keys.SchemaPrefix
	t.Threads, t.Memory, t.WaitForLock = keys.Threads, keys.Memory, keys.WaitForLock
	t.Faults, t.FaultSeed = keys.Faults, keys.FaultSeed
	if len(l.errs) > before || t.unresolved != nil {
		return
	}
	if !isWarehouse(t.Warehouse.Reveal()) {
		it.d.FailAt(o.At("warehouse"), "warehouse is no address of a warehouse", "duckdb:PATH or postgres://USER:PASSWORD@HOST/DATABASE", "")
	}
	if t.SchemaPrefix != "" && !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,19}$`).MatchString(t.SchemaPrefix) {
		it.d.FailAt(o.At("schema_prefix"), fmt.Sprintf("schema_prefix is %q", t.SchemaPrefix), "letters, digits and _, beginning with a letter, at most 20", "")
	}
	if err := ParseMemory(t.Memory); err != nil {
		it.d.FailAt(o.At("memory"), fmt.Sprintf("memory is %q", t.Memory), "a size such as 512MB, 2GB or 2GiB", "")
	}
	if !strings.HasPrefix(t.Warehouse.Reveal(), "duckdb:") {
		for key, instead := range map[string]string{"memory": "the server has its own settings", "wait_for_lock": "several processes may use the server at once"} {
			if o.Has(key) {
				l.note(it.d, o.At(key), fmt.Sprintf("%s of target %q acts on DuckDB alone", key, it.name), instead)
			}
		}
	}
}

func isWarehouse(s string) bool {
	if path, ok := strings.CutPrefix(s, "duckdb:"); ok {
		return strings.TrimSpace(path) != ""
	}
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			return rest != ""
		}
	}
	return false
}

// ParseMemory holds a memory limit against what DuckDB takes. "" is the default.
func ParseMemory(s string) error {
	if s != "" && !regexp.MustCompile(`^(?i)[0-9]+(\.[0-9]+)? ?[KMGT]i?B$`).MatchString(s) {
		return fmt.Errorf("%q is no size, expected one such as 512MB, 2GB or 2GiB", s)
	}
	return nil
}

func (l *loader) defaultTargets() {
	if len(l.targets) > 0 {
		return
	}
	l.p.Targets[DefaultTarget] = &Target{
		Name: DefaultTarget, Warehouse: secret.New("duckdb:.elt/dev.duckdb"), Push: "fake", Pos: Pos{File: FileName, Line: 1, Col: 1},
	}
}
