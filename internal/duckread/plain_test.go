package duckread

import (
	"errors"
	"os"
	"strings"
	"testing"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"elt/internal/scan"
)

// An error names the one file that it is about, in the name that people know.
func TestErrorsNameTheFile(t *testing.T) {
	t.Parallel()
	files := []scan.File{{Path: "/p/data/a.parquet", Name: "data/a.parquet"}, {Path: "/p/data/a.parquet2", Name: "data/a.parquet2"}}
	for _, c := range []struct {
		typ  duckdb.ErrorType
		says string
		want string
	}{
		{duckdb.ErrorTypeInvalidInput, "Invalid Input Error: No magic bytes found at end of file '/p/data/a.parquet2'",
			"read data/a.parquet2: the Parquet data is damaged or cut off (No magic bytes found at end); fetch the file again, or move it out of the pattern"},
		{duckdb.ErrorTypeInvalidInput, "Invalid Input Error: bad page",
			"read data/a.parquet and 1 more: the Parquet data is damaged or cut off (bad page); fetch the file again, or move it out of the pattern"},
		{duckdb.ErrorTypeIO, "IO Error: Could not read \"/p/data/a.parquet\": gone\n\nLINE 1: SELECT", `read data/a.parquet: IO Error: Could not read "data/a.parquet": gone`},
		{duckdb.ErrorTypeIO, `IO Error: Could not write file "/wh.duckdb": No space left on device`, `IO Error: Could not write file "/wh.duckdb": No space left on device`},
	} {
		engine := &duckdb.Error{Type: c.typ, Msg: c.says}
		err := of(files, engine)
		if err.Error() != c.want || !errors.Is(err, engine) {
			t.Errorf("%s:\n got %s\nwant %s", c.says, err, c.want)
		}
	}
}

// A scratch database without room is not the fault of the files that are read.
func TestScratchWithoutRoom(t *testing.T) {
	t.Parallel()
	s := &scratch{dir: "/tmp/elt-files-1"}
	full := &duckdb.Error{Type: duckdb.ErrorTypeIO, Msg: `IO Error: Could not write file "/tmp/elt-files-1/rows.duckdb": No space left on device`}
	err := s.space(of([]scan.File{{Path: "/p/a.csv", Name: "a.csv"}}, full))
	if want := "the scratch database in " + os.TempDir() + " cannot be written: No space left on device; make room there"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %s, want %s", err, want)
	}
	other := errors.New("other")
	if got := s.space(other); !errors.Is(got, other) || got.Error() != "other" {
		t.Errorf("got %v", got)
	}
}

func TestScratchWithoutAFolder(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	_, err := Open(t.Context(), scan.Files{}, nil, "")
	if err == nil || !strings.HasPrefix(err.Error(), "make a scratch database in /nonexistent to read files: no such file") || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("got %v", err)
	}
}
