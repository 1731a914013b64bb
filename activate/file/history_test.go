package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/file"
)

// TestMain sets how many histories are tried; -rapid.checks=N tries more.
func TestMain(m *testing.M) { os.Exit(activatetest.Main(m, 36)) }

// TestInvariant8 writes random histories of a model to files, by processes that die
// and leave a line half-written.
func TestInvariant8(t *testing.T) {
	limits, err := file.Kind().Limits(activate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	activatetest.Histories(t, limits.Modes, func(at activatetest.At) *activatetest.Place {
		dir := filepath.Join(root, fmt.Sprint(at.N))
		path := filepath.Join(dir, "things.jsonl")
		mind := func(err error) {
			if err != nil {
				at.T.Fatal(err)
			}
		}
		return &activatetest.Place{
			Open: func() (activate.Connector, error) {
				return file.Kind().Open(context.Background(), activate.Config{
					Connection: &file.Connection{Path: dir}, Object: "things", Key: []string{"id"}, Mode: at.Mode,
				})
			},
			Rows:   func() ([]activatetest.Row, error) { return activatetest.ReadRows(path) },
			Put:    func(r activatetest.Row) { mind(activatetest.WriteRow(path, r)) },
			Died:   func() { mind(activatetest.Tear(path)) },
			Close:  func() { mind(os.RemoveAll(dir)) },
			Replay: limits.Replay, Alone: true,
		}
	})
}
