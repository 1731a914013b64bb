package files

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"elt/extract"
	"elt/internal/scan"
)

// stream implements [extract.Stream] over the files of one pattern.
type stream struct {
	config  extract.StreamConfig
	dir     string
	pattern string
	format  scan.Format
	csv     scan.CSVOptions
}

// Spec implements [extract.Stream]. The columns are known when files are read.
func (s *stream) Spec() extract.Spec {
	return extract.Spec{Name: s.config.Name, Key: s.config.Key, Cursor: s.config.Cursor, Time: s.config.Time, Files: true}
}

// Open implements [extract.Stream]: it reads the files that are new or were
// rewritten since the ledger of r.From. A window and a limit do not narrow what
// is read: a file is the unit. A file that is gone stays in the ledger, and its
// rows where they are.
func (s *stream) Open(ctx context.Context, r extract.Request) (scan.Scan, error) {
	known, err := parseLedger(r.From)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", s.config.Name, err)
	}
	files, err := find(s.dir, s.pattern)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", s.config.Name, err)
	}
	if !r.Window.IsZero() {
		known = ledger{Version: 1, Files: map[string]entry{}}
	}
	sc := &filesScan{after: ledger{Version: 1, Files: maps.Clone(known.Files)}}
	groups := map[scan.Format][]scan.File{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		now, fresh, err := known.look(f)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.config.Name, err)
		}
		sc.after.Files[f.Name] = now
		if !fresh {
			continue
		}
		format := s.format
		if format == "" {
			if format, err = formatOf(f.Name); err != nil {
				return nil, fmt.Errorf("stream %s: %w", s.config.Name, err)
			}
		}
		groups[format] = append(groups[format], f)
	}
	for _, format := range slices.Sorted(maps.Keys(groups)) {
		sc.parts = append(sc.parts, scan.Part{Files: &scan.Files{Format: format, Paths: groups[format], Columns: s.columns(), CSV: s.csv}})
	}
	return sc, nil
}

func (s *stream) columns() []scan.Column {
	var out []scan.Column
	for _, name := range slices.Sorted(maps.Keys(s.config.Columns)) {
		out = append(out, scan.Column{Name: name, Type: s.config.Columns[name]})
	}
	return out
}

// filesScan implements [scan.Scan].
type filesScan struct {
	parts []scan.Part
	after ledger
}

func (s *filesScan) Schema() *arrow.Schema  { return nil }
func (s *filesScan) Parts() []scan.Part     { return s.parts }
func (s *filesScan) Counted() (int64, bool) { return 0, false }

func (s *filesScan) Close() error { return nil }

// Cursor is the ledger; "" when there was nothing to read.
func (s *filesScan) Cursor() scan.Cursor {
	if len(s.parts) == 0 {
		return ""
	}
	text, err := json.Marshal(s.after)
	if err != nil {
		return "" // maps of strings and numbers always marshal
	}
	return scan.Cursor(text)
}

// ledger is the cursor of a stream of files: what was read, by name.
type ledger struct {
	Version int              `json:"v"`
	Files   map[string]entry `json:"files"`
}

// entry is one file as it was read.
type entry struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"mtime"`
	Hash     string    `json:"hash"` // XXH3-128 of its bytes
}

func parseLedger(c scan.Cursor) (ledger, error) {
	l := ledger{Version: 1, Files: map[string]entry{}}
	if c == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(c), &l); err != nil || l.Version != 1 {
		return l, errors.New("the stored cursor is no ledger of files; was the source of another type? Read it anew with --full-refresh")
	}
	if l.Files == nil {
		l.Files = map[string]entry{}
	}
	return l, nil
}

// look tells how a file is now and whether it must be read. Size and time alone
// tell that it is unchanged; only the content tells that it is not.
func (l ledger) look(f scan.File) (now entry, fresh bool, err error) {
	was, known := l.Files[f.Name]
	now = entry{Size: f.Size, Modified: f.Modified, Hash: was.Hash}
	if known && was.Size == now.Size && was.Modified.Equal(now.Modified) {
		return was, false, nil
	}
	if now.Hash, err = hashOf(f.Path); err != nil {
		return now, false, err
	}
	return now, !known || was.Hash != now.Hash, nil
}

func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	sum := h.Sum128().Bytes()
	return hex.EncodeToString(sum[:]), nil
}
