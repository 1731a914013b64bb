// Package files is the source of plain files: CSV, JSON, JSON lines and Parquet,
// also compressed with gzip, found by patterns. It keeps a ledger of what was
// read, so that a run reads new and rewritten files only.
//
// A file that vanishes stays in the ledger, and its rows stay in the table. A
// window reads every file, or those that were read before: which rows lie in it,
// the load decides.
package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"elt/extract"
	"elt/internal/scan"
)

// Options are the keys of a source of files; a stream may set them for itself.
type Options struct {
	Path   string          `yaml:"path,omitempty" json:"path,omitempty" jsonschema:"description=Pattern of the files relative to the project; * and ? match inside a name and ** any folders and {stream} is the name of the stream"`
	Format string          `yaml:"format,omitempty" json:"format,omitempty" jsonschema:"enum=csv,enum=json,enum=jsonl,enum=parquet,description=Format of the files; by their extension when left out"`
	CSV    scan.CSVOptions `yaml:"csv,omitempty" json:"csv,omitempty" jsonschema:"description=Dialect of CSV files"`
}

// Kind is the kind of source that a project calls files.
func Kind() extract.Kind {
	return extract.Kind{
		Name:   "files",
		Source: func() any { return &Options{} },
		Stream: func() any { return &Options{} },
		Open:   open,
	}
}

// Dirs are the folders, absolute, that a source with these options reads below:
// what an engine that reads the files itself must be let into.
func Dirs(dir string, source any, streams ...any) []string {
	var out []string
	for _, o := range append([]any{source}, streams...) {
		opts, ok := o.(*Options)
		if !ok || opts == nil || opts.Path == "" {
			continue
		}
		out = append(out, base(absolute(dir, strings.ReplaceAll(opts.Path, placeholder, "*"))))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// placeholder stands for the name of the stream in a path.
const placeholder = "{stream}"

type source struct {
	dir     string
	streams map[string]*stream
}

func open(_ context.Context, c extract.Config) (extract.Source, error) {
	common, _ := c.Source.(*Options)
	if common == nil {
		common = &Options{}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the project: %w", err)
	}
	zone := ""
	if c.Location != nil {
		zone = c.Location.String()
	}
	s := &source{dir: dir, streams: map[string]*stream{}}
	declared := c.Streams
	if len(declared) == 0 {
		if common.Path == "" {
			return nil, errors.New("a source of files needs a `path`, such as data/*.csv")
		}
		declared = []extract.StreamConfig{{Name: discovered(common.Path)}}
	}
	for _, d := range declared {
		st := &stream{config: d, dir: dir, options: *common, zone: zone}
		if own, _ := d.Options.(*Options); own != nil {
			st.options = merged(*common, *own)
		}
		if st.options.Path == "" {
			return nil, fmt.Errorf("stream %s has no `path`; give it or its source one, such as data/%s/*.csv", d.Name, d.Name)
		}
		if err := valid(st.options.Format); err != nil {
			return nil, fmt.Errorf("stream %s: %w", d.Name, err)
		}
		st.pattern = strings.ReplaceAll(st.options.Path, placeholder, d.Name)
		s.streams[d.Name] = st
	}
	return s, nil
}

// discovered is the name of the one stream of a source that declares none: the
// name of the file, or of the last folder before a pattern.
func discovered(path string) string {
	name := filepath.Base(path)
	if pattern(name) {
		name = filepath.Base(base(path))
	}
	name, _, _ = strings.Cut(name, ".")
	if name == "" {
		return "files"
	}
	return strings.ToLower(strings.ReplaceAll(name, " ", "_"))
}

func merged(common, own Options) Options {
	if own.Path == "" {
		own.Path = common.Path
	}
	if own.Format == "" {
		own.Format = common.Format
	}
	if zeroCSV(own.CSV) {
		own.CSV = common.CSV
	}
	return own
}

func zeroCSV(o scan.CSVOptions) bool {
	return o.Delimiter == "" && o.Quote == "" && o.Escape == "" && o.Header == nil && len(o.Null) == 0 && o.Skip == 0 && o.Encoding == "" &&
		o.DateFormat == "" && o.TimestampFormat == ""
}

// Streams implements [extract.Source].
func (s *source) Streams(_ context.Context, names ...string) ([]extract.Stream, error) {
	known := slices.Sorted(maps.Keys(s.streams))
	if len(names) == 0 {
		names = known
	}
	names = slices.Clone(names)
	slices.Sort(names)
	var out []extract.Stream
	for _, name := range slices.Compact(names) {
		st, ok := s.streams[name]
		if !ok {
			return nil, fmt.Errorf("this source of files has no stream %q, only %s", name, strings.Join(known, ", "))
		}
		out = append(out, st)
	}
	return out, nil
}

// Close implements [extract.Source]; nothing is open between reads.
func (s *source) Close() error { return nil }

func valid(format string) error {
	switch scan.Format(format) {
	case "", scan.CSV, scan.JSON, scan.JSONLines, scan.Parquet:
		return nil
	default:
		return fmt.Errorf("unknown format %q, expected csv, json, jsonl or parquet", format)
	}
}

// formatOf is the format that a file's extension says.
func formatOf(name string) (format scan.Format, tabs bool, err error) {
	lower := strings.ToLower(name)
	switch ext := filepath.Ext(strings.TrimSuffix(lower, ".gz")); ext {
	case ".csv":
		return scan.CSV, false, nil
	case ".tsv":
		return scan.CSV, true, nil
	case ".json":
		return scan.JSON, false, nil
	case ".jsonl", ".ndjson":
		return scan.JSONLines, false, nil
	case ".parquet", ".pq":
		return scan.Parquet, false, nil
	default:
		return "", false, fmt.Errorf("%s: cannot tell the format from the extension %q; set `format:` to csv, json, jsonl or parquet, or narrow `path:`", name, ext)
	}
}
