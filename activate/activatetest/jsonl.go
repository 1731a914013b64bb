package activatetest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"elt/activate"
)

// ReadRows reads the rows of a file as package file tells its readers to: appended
// ones first. A file that is not there has none.
func ReadRows(path string) ([]Row, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []Row
	last := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			Op          activate.Action
			Key, Fields json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch l.Op {
		case activate.Append:
			list = append(list, Row{string(l.Key), string(l.Fields)})
		case activate.Delete:
			delete(last, string(l.Key))
		default:
			last[string(l.Key)] = string(l.Fields)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(last)) {
		list = append(list, Row{k, last[k]})
	}
	return list, lines.Err()
}

// WriteRow adds a row that somebody else has made to such a file, which nobody has
// open.
func WriteRow(path string, r Row) error {
	return addTo(path, fmt.Sprintf(`{"op":"upsert","key":%s,"fields":%s,"op_id":%s,"batch":"theirs"}`+"\n", r.Key, r.Fields, strconv.Quote("of "+r.Key)))
}

// Tear leaves a line of a file half-written, as a process does that dies.
func Tear(path string) error { return addTo(path, `{"op":"upsert","key":{"id":1},"fie`) }

func addTo(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
