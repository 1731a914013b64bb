package main

import (
	"os"
	"strings"
	"testing"

	"elt/internal/project"
	"elt/internal/reference"
	"elt/transform"
)

const referencePage = "../../docs/reference.md"

// docs/reference.md holds what the program says of itself: every key of a
// project and of a model, every command, every flag. make docs writes it.
func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(committed)
	for name, text := range generated(t) {
		if page, err = reference.Put(page, name, text); err != nil {
			t.Fatal(err)
		}
	}
	if *updateWant {
		if err := os.WriteFile(referencePage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != string(committed) {
		t.Error("docs/reference.md is older than the program; run: make docs")
	}
}

// Each key says what it is: a table with an empty cell tells nobody anything.
func TestReferenceDescribesEveryKey(t *testing.T) {
	t.Parallel()
	for name, text := range generated(t) {
		for _, line := range strings.Split(text, "\n") {
			cells := strings.Split(line, " | ")
			if strings.HasPrefix(line, "| `") && len(cells) == 6 && len(strings.TrimSpace(cells[4])) < 8 {
				t.Errorf("%s: a key without a description: %s", name, line)
			}
		}
	}
}

// generated are the parts of the page by the name of their markers.
func generated(t *testing.T) map[string]string {
	t.Helper()
	a := &app{}
	schema, err := project.Schema(a.kinds())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := reference.Keys(schema, "`elt.yaml` and included files")
	if err != nil {
		t.Fatal(err)
	}
	header, err := project.SchemaOf(transform.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	model, err := reference.Keys(header, "Header of a model")
	if err != nil {
		t.Fatal(err)
	}
	model, _, _ = strings.Cut(model, "\n### `checks") // the same as on a stream
	root := a.root()
	return map[string]string{
		"keys": keys, "models": model, "commands": reference.Commands(root), "flags": reference.Flags(root.PersistentFlags()),
	}
}
