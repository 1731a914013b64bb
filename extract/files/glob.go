package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func pattern(s string) bool { return strings.ContainsAny(s, "*?[") }

func absolute(dir, p string) string {
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return filepath.Clean(p)
}

// base is the folder above the first part of p that is a pattern, or above the file.
func base(p string) string {
	var keep []string
	parts := strings.Split(filepath.ToSlash(p), "/")
	for _, part := range parts[:len(parts)-1] {
		if pattern(part) {
			break
		}
		keep = append(keep, part)
	}
	joined := strings.Join(keep, "/")
	if joined == "" && strings.HasPrefix(filepath.ToSlash(p), "/") {
		return "/"
	}
	return filepath.FromSlash(joined)
}

// glob returns the files that match p, absolute and sorted. A file whose name is
// p itself is that file, whatever characters it has. Files and folders that begin
// with a dot match only a part that does.
func glob(p string) ([]string, error) {
	info, err := os.Stat(p)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder; name the files in it, such as %s", p, filepath.Join(p, "*.csv"))
	case err == nil:
		return []string{p}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("look for %s: %w", p, err)
	}
	root := base(p)
	if _, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("folder %s does not exist or cannot be read (%w); correct `path:`", root, reason(err))
	}
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", p, err)
	}
	parts := strings.Split(filepath.ToSlash(rel), "/")
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return nil, fmt.Errorf("%s is no valid pattern: %w", p, err)
		}
	}
	var out []string
	err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("look for %s: %w", p, err)
		}
		if at == root {
			return nil
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return fmt.Errorf("look for %s: %w", p, err)
		}
		names := strings.Split(filepath.ToSlash(rel), "/")
		if d.IsDir() {
			if !leads(parts, names) {
				return filepath.SkipDir
			}
			return nil
		}
		if matches(parts, names) && regular(at, d) {
			out = append(out, at)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// regular reports whether d is a file, itself or through a link.
func regular(at string, d fs.DirEntry) bool {
	if d.Type().IsRegular() {
		return true
	}
	info, err := os.Stat(at)
	return err == nil && info.Mode().IsRegular()
}

// reason is an error of the file system without its path.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func matchOne(part, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
		return false
	}
	ok, _ := path.Match(part, name) // the pattern was checked
	return ok
}

// matches reports whether names match all of parts; ** stands for any folders.
func matches(parts, names []string) bool {
	if len(parts) == 0 {
		return len(names) == 0
	}
	if parts[0] == "**" {
		if matches(parts[1:], names) {
			return true
		}
		return len(names) > 0 && !strings.HasPrefix(names[0], ".") && matches(parts, names[1:])
	}
	return len(names) > 0 && matchOne(parts[0], names[0]) && matches(parts[1:], names[1:])
}

// leads reports whether something below the folder names may match parts.
func leads(parts, names []string) bool {
	switch {
	case len(names) == 0:
		return len(parts) > 0
	case len(parts) == 0:
		return false
	case parts[0] == "**":
		return leads(parts[1:], names) || !strings.HasPrefix(names[0], ".") && leads(parts, names[1:])
	default:
		return matchOne(parts[0], names[0]) && leads(parts[1:], names[1:])
	}
}
