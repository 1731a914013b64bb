package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// limitVariable bounds, in bytes, every file that a child writes. It stands in for
// a disk that is full, and needs no right to mount one: the engine gets EFBIG from
// the same calls, and goes the same ways.
const limitVariable = "ELT_TEST_FILE_BYTES"

// limitFiles does what limitVariable says.
func limitFiles() error {
	text, ok := os.LookupEnv(limitVariable)
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n})
}

// diskProject has a stream of some size and a model that sorts far more than its
// memory holds, with a result of one row.
const diskProject = `version: 1
name: disk
timezone: Europe/Berlin
as_of: 2026-03-10T02:00:00+01:00
targets:
  dev: {warehouse: "${env:WAREHOUSE}", push: fake, memory: 120MB, threads: 2}
sources:
  in: {type: files, path: "data/{stream}.csv", streams: {small: {volume: off}, big: {volume: off}}}
`

const diskModel = `select count(*) as n, max(r) as r from (
	select row_number() over (order by a.text || b.text desc) as r from "in".small a cross join "in".small b) ranked`

func newDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = quickDir(t)
	table := func(name string, rows int) {
		var text strings.Builder
		text.WriteString("id,text\n")
		for i := range rows {
			fmt.Fprintf(&text, "%d,%x%x%x\n", i, i*2654435761%4294967291, i*40503%65521, i*i%4294967291)
		}
		path := filepath.Join(dir, "data", name+".csv")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text.String()), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	table("small", 1500)
	table("big", 400_000)
	path := filepath.Join(dir, "models", "marts", "ranked.sql")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(diskProject), 0o600),
		os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(diskModel), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A disk that is full while the DuckDB file grows, and one that is full for what
// does not fit the memory: the step fails with what to do, what was there stays,
// and the next run, with space, ends well.
func TestFullDiskOfAFileAndOfItsTemporaryFolder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit, selected, table, says string
	}{
		"the file":             {"6000000", "in.big", "in.big", "wh.duckdb"},
		"the temporary folder": {"8000000", "marts.ranked", "marts.ranked", "duckdb_temp_storage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDisk(t)
			env := append(os.Environ(), "WAREHOUSE=duckdb:wh.duckdb", "HOME="+dir)
			first := start(t, dir, env, "-C", dir, "run", "in.small")
			first.wantExit(t, exitOK)
			before := dump(t, dir, "duckdb:wh.duckdb", "in.small")
			full := start(t, dir, append(env, limitVariable+"="+tt.limit), "-C", dir, "run", tt.selected)
			full.wantExit(t, exitFailed)
			full.wantTold(t, "free some space and run again", tt.says)
			if got := dump(t, dir, "duckdb:wh.duckdb", "in.small"); got != before {
				t.Error("what was there has changed")
			}
			if got := dump(t, dir, "duckdb:wh.duckdb", tt.table); got != "no table\n" {
				t.Errorf("%s has been published:\n%.100s", tt.table, got)
			}
			again := start(t, dir, env, "-C", dir, "run", "in.small", tt.selected)
			again.wantExit(t, exitOK)
			if got := dump(t, dir, "duckdb:wh.duckdb", tt.table); got == "no table\n" {
				t.Errorf("%s is not there after a run with space", tt.table)
			}
		})
	}
}

// readOnly makes a file system of its own at dir and returns what makes that
// read-only and writable again. Who may not mount one takes the right to write from
// the folder, which says the same to a user who is not root.
func readOnly(t *testing.T, dir string) (set func(on bool) error) {
	t.Helper()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m")
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return func(on bool) error {
			flags := uintptr(syscall.MS_REMOUNT)
			if on {
				flags |= syscall.MS_RDONLY
			}
			return syscall.Mount("tmpfs", dir, "tmpfs", flags, "size=64m")
		}
	}
	t.Logf("no file system can be mounted (%v): the folder loses its right to be written", err)
	return func(on bool) error {
		mode := os.FileMode(0o755)
		if on {
			mode = 0o555
		}
		return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(path, mode)
			}
			if err == nil {
				return os.Chmod(path, mode&0o644)
			}
			return err
		})
	}
}

// A file system that has become read-only is told with what to do, and who only
// looks still sees what is there.
func TestAFileSystemThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set := readOnly(t, dir)
	if err := os.CopyFS(filepath.Join(dir, "project"), os.DirFS(smallCase)); err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "project")
	mustRun(t, project, "duckdb:wh.duckdb")
	before := outcome(t, smallCase, project, "duckdb:wh.duckdb")
	if err := set(true); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code, out := elt(t, project, "duckdb:wh.duckdb", &stderr, nil, "run")
	told := out + stderr.String()
	if unwritable(t, project) && (code != exitFailed || !strings.Contains(told, "it cannot be written") || !strings.Contains(told, "let this user write the file and its folder")) {
		t.Errorf("exit %d, told:\n%s", code, told)
	}
	for _, look := range [][]string{{"status"}, {"query", "select count(*) as n from shop.orders"}} {
		stderr.Reset()
		if code, out := elt(t, project, "duckdb:wh.duckdb", &stderr, nil, look...); code != exitOK {
			t.Errorf("elt %s: exit %d\n%s\n%s", look[0], code, out, &stderr)
		}
	}
	if err := set(false); err != nil {
		t.Fatal(err)
	}
	mustRun(t, project, "duckdb:wh.duckdb")
	after := outcome(t, smallCase, project, "duckdb:wh.duckdb")
	for name, want := range before {
		if after[name] != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, after[name], want)
		}
	}
}

// unwritable reports whether dir takes no file: root may write wherever it cannot
// mount what forbids it.
func unwritable(t *testing.T, dir string) bool {
	t.Helper()
	path := filepath.Join(dir, "probe")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return true
	}
	t.Log("this user may write everywhere: only the way back is tried")
	return os.Remove(path) != nil
}
