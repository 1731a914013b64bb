// Package files is the source of CSV, JSON and Parquet files on this machine,
// plain or gzipped, which DuckDB's own readers take in.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"elt/extract"
	"elt/internal/scan"
)

// SourceConfig are the keys of a source of type files.
type SourceConfig struct {
	Path   string          `yaml:"path" json:"path" jsonschema:"required,description=Pattern of the files with * ? [] and ** relative to the project; {stream} stands for the name of the stream"`
	Format string          `yaml:"format,omitempty" json:"format,omitempty" jsonschema:"enum=csv,enum=json,enum=jsonl,enum=parquet,description=By the ending of the files when left out"`
	CSV    scan.CSVOptions `yaml:"csv,omitempty" json:"csv,omitempty"`
}

// StreamConfig are the keys of a stream of such a source; they win over those of
// the source.
type StreamConfig struct {
	Path   string           `yaml:"path,omitempty" json:"path,omitempty" jsonschema:"description=Pattern of this stream's files"`
	Format string           `yaml:"format,omitempty" json:"format,omitempty" jsonschema:"enum=csv,enum=json,enum=jsonl,enum=parquet"`
	CSV    *scan.CSVOptions `yaml:"csv,omitempty" json:"csv,omitempty"`
}

// Kind is the kind of source named files.
func Kind() extract.Kind {
	return extract.Kind{
		Name:   "files",
		Source: func() any { return &SourceConfig{} },
		Stream: func() any { return &StreamConfig{} },
		Open:   open,
	}
}

// Dirs are the folders that a source with these keys reads: the fixed part of
// each pattern.
func Dirs(dir string, source any, streams ...any) []string {
	var out []string
	if c, ok := source.(*SourceConfig); ok && c != nil {
		out = append(out, base(dir, c.Path))
	}
	for _, s := range streams {
		if c, ok := s.(*StreamConfig); ok && c != nil && c.Path != "" {
			out = append(out, base(dir, c.Path))
		}
	}
	return out
}

// base is the folder in front of the first wildcard.
func base(dir, pattern string) string {
	pattern = absolute(dir, pattern)
	if i := strings.IndexAny(pattern, "*?[{"); i >= 0 {
		pattern = pattern[:i]
	}
	return filepath.Dir(pattern + "x")
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// source implements [extract.Source].
type source struct {
	config  extract.Config
	files   SourceConfig
	streams []extract.StreamConfig
}

func open(_ context.Context, c extract.Config) (extract.Source, error) {
	cfg, ok := c.Source.(*SourceConfig)
	if !ok || cfg == nil {
		return nil, errors.New("a source of type files needs path: the pattern of its files")
	}
	return &source{config: c, files: *cfg, streams: c.Streams}, nil
}

func (s *source) Close() error { return nil }

// Streams implements [extract.Source]: the declared ones, for files have no
// names of their own.
func (s *source) Streams(_ context.Context, names ...string) ([]extract.Stream, error) {
	var out []extract.Stream
	var known []string
	for _, st := range s.streams {
		known = append(known, st.Name)
	}
	if len(names) == 0 {
		names = known
	}
	names = slices.Clone(names)
	slices.Sort(names)
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fmt.Errorf("no stream %q, expected one of %s", name, strings.Join(known, ", "))
		}
		st, err := s.stream(s.streams[i])
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *source) stream(c extract.StreamConfig) (*stream, error) {
	st := &stream{config: c, dir: s.config.Dir, pattern: s.files.Path, format: scan.Format(s.files.Format), csv: s.files.CSV}
	if o, ok := c.Options.(*StreamConfig); ok && o != nil {
		if o.Path != "" {
			st.pattern = o.Path
		}
		if o.Format != "" {
			st.format = scan.Format(o.Format)
		}
		if o.CSV != nil {
			st.csv = *o.CSV
		}
	}
	if st.pattern == "" {
		return nil, fmt.Errorf("stream %s has no path, expected one on the stream or its source", c.Name)
	}
	st.pattern = strings.ReplaceAll(st.pattern, "{stream}", c.Name)
	return st, nil
}

// find lists the files of a pattern, sorted, with their names relative to the
// project. No file at all is an error: a typing mistake must not look like an
// empty source.
func find(dir, pattern string) ([]scan.File, error) {
	full := absolute(dir, pattern)
	var paths []string
	var err error
	if head, tail, deep := strings.Cut(full, "**"); deep {
		paths, err = walk(filepath.Dir(head+"x"), full, strings.TrimPrefix(tail, "/"))
	} else {
		paths, err = filepath.Glob(full)
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	var out []scan.File
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			out = append(out, scan.File{Path: p, Name: display(dir, p), Size: info.Size(), Modified: info.ModTime().UTC()})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no file matches %s; patterns start at the project's folder, %s", pattern, dir)
	}
	slices.SortFunc(out, func(a, b scan.File) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// walk finds the files below root whose path from any folder on matches tail.
func walk(root, full, tail string) ([]string, error) {
	if _, err := filepath.Match(tail, ""); err != nil {
		return nil, err
	}
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ok, _ := filepath.Match(tail, filepath.Base(path)); ok { // the pattern was checked above
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

func display(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(path)
}

// formatOf tells the format of a file by its ending.
func formatOf(name string) (scan.Format, error) {
	switch filepath.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")) {
	case ".csv", ".tsv", ".txt":
		return scan.CSV, nil
	case ".jsonl", ".ndjson":
		return scan.JSONLines, nil
	case ".json":
		return scan.JSON, nil
	case ".parquet":
		return scan.Parquet, nil
	}
	return "", fmt.Errorf("%s: the ending tells no format; say format: csv, json, jsonl or parquet", name)
}
