package file_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/file"
)

func open(t *testing.T, dir string) (activate.Destination, error) {
	t.Helper()
	conn, err := file.Kind().Open(context.Background(), activate.Config{
		Connection: &file.Connection{Path: "out"}, Object: "things", Key: []string{"id"}, Dir: dir,
	})
	return conn.Destination, err
}

func mustOpen(t *testing.T, dir string) activate.Destination {
	t.Helper()
	d, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func upsert(op string) activate.Batch {
	return activate.Batch{ID: "b", Object: "things", Changes: []activate.Change{{
		OpID: op, Action: activate.Upsert, Key: []byte(`{"id":1}`), Fields: []byte(`{"v":"<a>"}`),
	}}}
}

// rows reads a file as its documentation tells readers to.
func rows(t *testing.T, path string) []activatetest.Row {
	t.Helper()
	list, err := activatetest.ReadRows(path)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestContract(t *testing.T) {
	activatetest.Run(t, func(t *testing.T) activatetest.Harness {
		dir := t.TempDir()
		return activatetest.Harness{
			Open: func(t *testing.T) activate.Destination { return mustOpen(t, dir) },
			Rows: func(t *testing.T) []activatetest.Row { return rows(t, filepath.Join(dir, "out", "things.jsonl")) },
		}
	})
}

func TestHalfWrittenLineIsRemoved(t *testing.T) {
	for name, tail := range map[string]string{
		"no newline": `{"op":"upsert","key":{"id":2},"fi`,
		"garbage":    "\x00\x00\x00\x00\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := mustOpen(t, dir)
			if _, err := d.Push(context.Background(), upsert("one")); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "out", "things.jsonl")
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(bytes.Clone(before), tail...), 0o644); err != nil {
				t.Fatal(err)
			}
			d = mustOpen(t, dir)
			if _, err := d.Push(context.Background(), upsert("one")); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("file is %q, want %q", after, before)
			}
		})
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out", "things.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("hello\nworld\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), "things.jsonl:1") {
		t.Errorf("error %v, want one that names the line", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "hello\nworld\n" {
		t.Errorf("the file was changed: %q", text)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	if _, err := open(t, dir); err == nil {
		t.Error("a second writer was let in")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestActions(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	defer func() { _ = d.Close() }()
	steps := []struct {
		action  activate.Action
		status  activate.Status
		created bool
	}{
		{activate.Update, activate.Rejected, false},
		{activate.Create, activate.Acked, true},
		{activate.Create, activate.Rejected, false},
		{activate.Upsert, activate.Acked, false},
		{activate.Delete, activate.Acked, false},
		{activate.Update, activate.Rejected, false},
		{activate.Delete, activate.Acked, false},
		{activate.Upsert, activate.Acked, true},
	}
	for i, s := range steps {
		outs, err := d.Push(context.Background(), activate.Batch{ID: "b", Changes: []activate.Change{{
			OpID: string(rune('a' + i)), Action: s.action, Key: []byte(`{"id":1}`), Fields: []byte(`{}`),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if outs[0].Status != s.status || outs[0].Created != s.created {
			t.Errorf("step %d %s: %+v, want %s, created %v", i, s.action, outs[0], s.status, s.created)
		}
	}
}
