package duckdb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	engine "github.com/duckdb/duckdb-go/v2"

	"elt/internal/warehouse"
)

// What cannot be opened is told in one line with its place, and with what to do.
func TestOpenSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "whole.duckdb")
	d, err := Open(t.Context(), Options{Path: whole})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte // nil: a folder
		kind    warehouse.Kind
		says    string
		hint    string
	}{
		"rubbish":   {bytes.Repeat([]byte("rubbish "), 1000), warehouse.KindCorrupt, "the file is no DuckDB database", "move the file away: mv "},
		"a text":    {[]byte("hello\n"), warehouse.KindCorrupt, "the file is no DuckDB database", "correct the path"},
		"cut short": {data[:len(data)/2], warehouse.KindCorrupt, "the file is damaged or cut short", "put a backup in its place"},
		"a folder":  {nil, warehouse.KindNotFound, "it is a folder", "warehouse.duckdb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "wh.duckdb")
			err := os.WriteFile(path, c.content, 0o600)
			if c.content == nil {
				err = errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := Open(t.Context(), Options{Path: path})
			if err == nil {
				_ = d.Close()
				t.Fatal("no error")
			}
			checkOpening(t, err, path, c.kind, c.says, c.hint)
			if after, err := os.ReadFile(path); c.content != nil && (err != nil || !bytes.Equal(after, c.content)) {
				t.Errorf("the file was changed, or cannot be read: %v", err)
			}
		})
	}
}

// A superuser may write everywhere, so the engine's words stand in for the folder.
func TestOpenWithoutTheRightToWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	for _, reason := range []string{"Read-only file system", "Permission denied"} {
		said := &engine.Error{Type: engine.ErrorTypeIO, Msg: `IO Error: Cannot open file "` + path + `": ` + reason}
		checkOpening(t, opening(wrap(said), path), path, warehouse.KindReadOnly, "it cannot be written ("+reason+")", "let this user write the file and its folder")
	}
}

func checkOpening(t *testing.T, err error, path string, kind warehouse.Kind, says, hint string) {
	t.Helper()
	var known *warehouse.Error
	if !errors.As(err, &known) || known.Kind != kind || !strings.Contains(known.Hint, hint) {
		t.Errorf("error %v, %+v", err, known)
	}
	if text := err.Error(); !strings.HasPrefix(text, "open warehouse "+path+": "+says) || strings.Contains(text, "\n") || strings.Contains(text, "IO Error") {
		t.Errorf("it says %q", text)
	}
}
