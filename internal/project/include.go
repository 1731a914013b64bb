package project

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// included lists the files that pattern, relative to dir, matches, sorted: *, ?
// and [] match inside one name, ** any folders, none included. Folders whose
// name begins with a dot are not walked into by **, so that .git and .elt are
// left alone.
func included(dir, pattern string) ([]string, error) {
	parts := strings.Split(path.Clean(pattern), "/")
	first := slices.Index(parts, "**")
	if first < 0 {
		return filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	}
	for _, p := range parts {
		if _, err := path.Match(p, ""); err != nil {
			return nil, err
		}
	}
	starts, err := filepath.Glob(filepath.Join(dir, filepath.Join(parts[:first]...)))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, start := range starts {
		err := filepath.WalkDir(start, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && name != start && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			rel, err := filepath.Rel(start, name)
			if err == nil && !d.IsDir() && matches(parts[first:], strings.Split(filepath.ToSlash(rel), "/")) {
				out = append(out, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// matches holds the names of a path against the parts of a pattern.
func matches(pattern, names []string) bool {
	if len(pattern) == 0 {
		return len(names) == 0
	}
	if pattern[0] == "**" {
		return matches(pattern[1:], names) || len(names) > 0 && matches(pattern, names[1:])
	}
	if len(names) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], names[0])
	return err == nil && ok && matches(pattern[1:], names[1:])
}
