//go:build unix

package duckdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"elt/internal/warehouse"
)

// claim takes the file at path for one driver. DuckDB's own lock belongs to the
// process, so a second instance in the same process would open the file as well,
// and the two would overwrite each other. A lock on a file beside it belongs to
// whoever opened that: it also tells drivers of one process apart. Drivers that
// only read share it. Where that file cannot be made there is no claim, and
// DuckDB says what is wrong with the place.
//
// The database file itself would not do: closing any descriptor of it gives up
// DuckDB's lock.
func claim(path string, readOnly bool) (release func(), err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}, nil
	}
	how := syscall.LOCK_EX
	if readOnly {
		how = syscall.LOCK_SH
	}
	switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		defer f.Close()
		return nil, claimed(f, path)
	case err != nil: // a file system without such locks
		f.Close()
		return func() {}, nil
	}
	// Who has it, for the errors of others; without it they name nobody.
	_, _ = f.WriteAt([]byte(fmt.Sprintf("%-20d", os.Getpid())), 0)
	return sync.OnceFunc(func() { f.Close() }), nil
}

// claimed is the error of a file that another driver has.
func claimed(f io.Reader, path string) error {
	who := &warehouse.LockedError{Path: path}
	hint := "wait for it, or set wait_for_lock: 5m on the target"
	if text, err := io.ReadAll(io.LimitReader(f, 20)); err == nil {
		who.PID, _ = strconv.Atoi(strings.TrimSpace(string(text))) // 0 when nobody has written
	}
	switch who.PID {
	case 0:
	case os.Getpid():
		who.Command, hint = "this process, which has it open already", "use the warehouse that is open, or close it first"
	default:
		who.Command = commandOf(who.PID)
	}
	return &warehouse.Error{Kind: warehouse.KindLocked, Err: who, Hint: hint}
}
