package duckdb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/internal/warehouse/duckdb"
)

// The roles that a copy of the test binary plays.
const (
	roleVariable = "DUCKDB_TEST_ROLE"
	roleHold     = "hold" // owns the file until stdin ends
	roleFull     = "full" // fills the disk and goes on
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case roleHold:
		err = hold(os.Args[1])
	case roleFull:
		err = fill(os.Args[1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play starts a copy of this process in a role.
func play(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

func hold(path string) error {
	d, err := duckdb.Open(context.Background(), duckdb.Options{Path: path})
	if err != nil {
		return err
	}
	if _, err := warehouse.Open(context.Background(), d); err != nil {
		return err
	}
	if err := d.Serve(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is the signal
	return d.Close()
}

// holder starts a process that owns path and returns how to end it.
func holder(t *testing.T, path string) (pid int, end func()) {
	t.Helper()
	cmd := play(t, roleHold, path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	end = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	return cmd.Process.Pid, end
}

func TestALockedFileNamesItsOwnerAndIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wh.duckdb")
	pid, end := holder(t, path)
	_, err := duckdb.Open(t.Context(), duckdb.Options{Path: path})
	var locked *warehouse.LockedError
	if warehouse.KindOf(err) != warehouse.KindLocked || !errors.As(err, &locked) {
		t.Fatalf("opening a file in use: %v", err)
	}
	if locked.PID != pid || !strings.Contains(locked.Command, filepath.Base(os.Args[0])) {
		t.Errorf("its owner is %d %q, not %d", locked.PID, locked.Command, pid)
	}
	opened := make(chan error, 1)
	go func() {
		d, err := duckdb.Open(t.Context(), duckdb.Options{Path: path, WaitForLock: time.Minute})
		if err == nil {
			err = d.Close()
		}
		opened <- err
	}()
	end()
	if err := <-opened; err != nil {
		t.Errorf("waiting for the lock: %v", err)
	}
}

func TestFilesThatAreNoWarehouse(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.duckdb")
	if err := os.WriteFile(junk, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		opts duckdb.Options
		want warehouse.Kind
	}{
		{duckdb.Options{Path: junk}, warehouse.KindCorrupt},
		{duckdb.Options{Path: filepath.Join(dir, "none.duckdb"), ReadOnly: true}, warehouse.KindNotFound},
	} {
		_, err := duckdb.Open(t.Context(), c.opts)
		if warehouse.KindOf(err) != c.want || err == nil || !strings.Contains(err.Error(), c.opts.Path) {
			t.Errorf("%s: kind %d, want %d: %v", c.opts.Path, warehouse.KindOf(err), c.want, err)
		}
	}
}

func TestSQLReachesNothingOutside(t *testing.T) {
	dir, allowed := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, allowed} {
		if err := os.WriteFile(filepath.Join(d, "a.csv"), []byte("a\n1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, "wh.duckdb"), AllowedDirs: []string{allowed}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for q, ok := range map[string]bool{
		"SELECT * FROM read_csv('" + allowed + "/a.csv')":     true,
		"SELECT * FROM read_csv('" + dir + "/a.csv')":         false,
		"SELECT * FROM read_csv('" + allowed + "x/a.csv')":    false,
		"SELECT * FROM read_text('/etc/passwd')":              false,
		"COPY (SELECT 1) TO '" + dir + "/out.csv'":            false,
		"ATTACH '" + dir + "/other.duckdb' AS other":          false,
		"SET enable_external_access=true":                     false,
		"SET GLOBAL memory_limit='1GB'":                       false,
		"INSTALL httpfs":                                      false,
		"SELECT * FROM read_csv('https://example.org/a.csv')": false,
	} {
		tx, err := d.Begin(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), q); (err == nil) != ok {
			t.Errorf("%s: %v", q, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// fill runs in a process of its own, since the limit on its files is the whole
// process's: a file system that is full, without the rights to mount one.
func fill(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	d, err := duckdb.Open(ctx, duckdb.Options{Path: path, Threads: 2, Memory: "100MB"})
	if err != nil {
		return err
	}
	db, err := warehouse.Open(ctx, d)
	if err != nil {
		return err
	}
	write := func(n int) error {
		return db.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS _elt.big (id bigint, text text)"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO _elt.big SELECT range, sha256(CAST(range AS text)) FROM range($1)", int64(n))
			return err
		})
	}
	if err := write(1000); err != nil {
		return fmt.Errorf("the first write: %w", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	low := limit
	low.Cur = 4 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
		return err
	}
	if err := write(2_000_000); warehouse.KindOf(err) != warehouse.KindDiskFull {
		return fmt.Errorf("a full disk is of kind %d: %w", warehouse.KindOf(err), err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := write(10); err != nil {
		return fmt.Errorf("the write after the disk has space again: %w", err)
	}
	n := int64(0)
	err = warehouse.Each(ctx, db, "SELECT count(*) FROM _elt.big", func(r rows.Row) error { n = r.Int(0); return nil })
	if err != nil || n != 1010 {
		return fmt.Errorf("%d rows, want 1010: %w", n, err)
	}
	return db.Close()
}

func TestInvariant6AFullDiskIsSurvived(t *testing.T) {
	out, err := play(t, roleFull, filepath.Join(t.TempDir(), "wh.duckdb")).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
