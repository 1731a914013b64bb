package file

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"elt/activate"
)

// Find reads the file for the last line of a key: nothing but digests of keys is
// kept in memory.
func (d *destination) Find(ctx context.Context, key json.RawMessage) (*activate.Stored, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.keys[digestOf(key)]; !there || d.file == nil {
		return nil, nil
	}
	var last *activate.Stored
	r := bufio.NewReaderSize(io.NewSectionReader(d.file, 0, d.size), 1<<20)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", d.file.Name(), err)
		}
		var l line
		if !bytes.Contains(text, key) {
			continue
		}
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("look into %s: %w", d.file.Name(), err)
		}
		if bytes.Equal(l.Key, key) {
			last = &activate.Stored{Fields: l.Fields, OpID: l.OpID}
		}
	}
}
