package files

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/zeebo/xxh3"

	"elt/internal/scan"
)

// ledgerVersion is the version of the cursor that this source writes.
const ledgerVersion = 1

// ledger is the cursor: every file that was read, by its name.
type ledger struct {
	Version int              `json:"v"`
	Files   map[string]entry `json:"files"`
}

// entry is a file as it was when it was read. The hash decides where size or
// time differ: a file that was only touched or copied is not read again.
type entry struct {
	Size  int64     `json:"size"`
	MTime time.Time `json:"mtime"`
	Hash  string    `json:"hash"`
}

func parseLedger(c scan.Cursor) (ledger, error) {
	l := ledger{Version: ledgerVersion, Files: map[string]entry{}}
	if c == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(c), &l); err != nil {
		return l, fmt.Errorf("the stored cursor is no ledger of files (%w); read everything again with --full-refresh", err)
	}
	if l.Version != ledgerVersion {
		return l, fmt.Errorf("the stored ledger of files has version %d, this elt reads %d; use the elt that wrote it or a newer one", l.Version, ledgerVersion)
	}
	if l.Files == nil {
		l.Files = map[string]entry{}
	}
	return l, nil
}

func (l ledger) cursor() (scan.Cursor, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("write the ledger of files: %w", err)
	}
	return scan.Cursor(b), nil
}

// hash is over the content of the file at path, as it lies on disk.
func hash(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := xxh3.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	b := h.Sum128().Bytes()
	return hex.EncodeToString(b[:]), nil
}

func entryOf(info os.FileInfo) entry {
	return entry{Size: info.Size(), MTime: info.ModTime().UTC()}
}

func (e entry) same(o entry) bool { return e.Size == o.Size && e.MTime.Equal(o.MTime) }
