package duckread

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"elt/internal/retry"
	"elt/internal/scan"
)

// stamp tells whether a file is the one it was.
type stamp struct {
	size  int64
	mtime time.Time
}

func stamps(files []scan.File) ([]stamp, error) {
	if len(files) == 0 {
		return nil, errNoFiles
	}
	out := make([]stamp, len(files))
	for i, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, cause(err))
		}
		out[i] = stamp{info.Size(), info.ModTime()}
	}
	return out, nil
}

// compare fails for the first file that is not what it was before.
func compare(before []stamp, files []scan.File) error {
	after, err := stamps(files)
	if err != nil {
		return retry.AsTransient(err)
	}
	for i, f := range files {
		if after[i].size != before[i].size || !after[i].mtime.Equal(before[i].mtime) {
			return retry.AsTransient(fmt.Errorf(
				"%s changed while it was read (%d bytes, then %d); nothing of it was taken, run again when its writer is done "+
					"(a writer that renames a finished file into place is never met half way)",
				f.Name, before[i].size, after[i].size))
		}
	}
	return nil
}

// cause is an error of the file system without the path, which the caller names.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func compressed(path string) bool { return strings.HasSuffix(strings.ToLower(path), ".gz") }

// open opens f, decompressed, for line-wise reading.
func open(f scan.File) (*bufio.Reader, io.Closer, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", f.Name, cause(err))
	}
	if !compressed(f.Path) {
		return bufio.NewReaderSize(file, 1<<18), file, nil
	}
	buffered := bufio.NewReaderSize(file, 1<<16)
	if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
		return buffered, file, nil // an empty file holds no rows, compressed or not
	}
	z, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, nil, errors.Join(corruptGzip(f, err), file.Close())
	}
	return bufio.NewReaderSize(z, 1<<18), file, nil
}

func corruptGzip(f scan.File, err error) error {
	return fmt.Errorf("read %s: the gzip data is damaged or cut off (%w); fetch the file again, or move it out of the pattern", f.Name, err)
}

// broken names the file in an error of reading it.
func broken(f scan.File, err error) error {
	if compressed(f.Path) {
		return corruptGzip(f, err)
	}
	return fmt.Errorf("read %s: %w", f.Name, cause(err))
}

// firstLine returns the first line of f that is not blank, without a byte order
// mark, after skip lines; "" when there is none.
func firstLine(f scan.File, skip int) (string, error) {
	r, closer, err := open(f)
	if err != nil {
		return "", err
	}
	defer func() { _ = closer.Close() }()
	for i := 0; ; i++ {
		line, err := r.ReadSlice('\n')
		text := strings.TrimPrefix(string(line), "\ufeff")
		if i >= skip && strings.TrimSpace(text) != "" {
			return text, nil // a line longer than the buffer is enough as it is
		}
		switch {
		case errors.Is(err, io.EOF):
			return "", nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return "", broken(f, err)
		}
	}
}

// seen is what a file holds: how many lines that are not blank, and whether any
// number that DuckDB's JSON reader would round.
type seen struct {
	lines  int64
	rounds bool
}

// tally reads each file to its end and returns what it saw. For compressed files
// that also proves that they are whole, which DuckDB does not check. It runs
// beside DuckDB's own reading.
func tally(ctx context.Context, files []scan.File) (seen, error) {
	var total seen
	for _, f := range files {
		s, err := tallyOne(ctx, f)
		if err != nil {
			return seen{}, err
		}
		total.lines += s.lines
		total.rounds = total.rounds || s.rounds
	}
	return total, nil
}

// tallyOverlap is how much of the bytes before is looked at again for numbers
// that lie across two reads.
const tallyOverlap = 128

func tallyOne(ctx context.Context, f scan.File) (seen, error) {
	r, closer, err := open(f)
	if err != nil {
		return seen{}, err
	}
	defer func() { _ = closer.Close() }()
	var s seen
	blank := true // what was seen of this line so far
	buf := make([]byte, tallyOverlap+1<<18)
	kept := 0
	for ctx.Err() == nil {
		n, err := r.Read(buf[kept:])
		s.rounds = s.rounds || roundsNumbers(buf[:kept+n], false)
		rest := buf[kept : kept+n]
		for len(rest) > 0 {
			i := bytes.IndexByte(rest, '\n')
			part := rest
			if i >= 0 {
				part, rest = rest[:i], rest[i+1:]
			} else {
				rest = nil
			}
			blank = blank && len(bytes.TrimSpace(part)) == 0
			if i >= 0 {
				if !blank {
					s.lines++
				}
				blank = true
			}
		}
		if errors.Is(err, io.EOF) {
			if !blank {
				s.lines++
			}
			return s, nil
		}
		if err != nil {
			return seen{}, broken(f, err)
		}
		last := min(tallyOverlap, kept+n)
		kept = copy(buf, buf[kept+n-last:kept+n])
	}
	return seen{}, context.Cause(ctx)
}
