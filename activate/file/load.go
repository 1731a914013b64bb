package file

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"elt/activate"
)

// load reads which operations and keys the file has and removes a last line
// that a crash has cut off. A line in the middle that is not one of ours is an
// error: somebody else has written here.
func (d *destination) load() error {
	r := bufio.NewReaderSize(d.file, 1<<20)
	for number := 1; ; number++ {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return d.cut(len(text))
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", d.file.Name(), err)
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil || l.OpID == "" {
			if _, end := r.Peek(1); errors.Is(end, io.EOF) {
				return d.cut(len(text)) // blocks of a last write may reach the disk in any order
			}
			return fmt.Errorf("%s:%d is not a line that elt wrote; move the file away, or point the connection to another folder",
				d.file.Name(), number)
		}
		d.size += int64(len(text))
		d.ops[digestOf([]byte(l.OpID))] = struct{}{}
		if l.Op == activate.Delete {
			delete(d.keys, digestOf(l.Key))
		} else {
			d.keys[digestOf(l.Key)] = struct{}{}
		}
	}
}

// cut removes n bytes behind the last whole line.
func (d *destination) cut(n int) error {
	if n == 0 {
		return nil
	}
	if err := d.file.Truncate(d.size); err != nil {
		return fmt.Errorf("remove a half-written line of %s: %w", d.file.Name(), err)
	}
	return nil
}
