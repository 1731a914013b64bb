package project_test

import (
	"encoding/json"
	"testing"

	activateall "elt/activate/all"
	extractall "elt/extract/all"
	"elt/internal/project"
)

// TestSampleProject holds the project at the repository's root against the
// kinds that the program has, and against the schema that editors use.
func TestSampleProject(t *testing.T) {
	t.Parallel()
	var list []project.Kind
	for _, k := range extractall.Kinds() {
		list = append(list, project.Kind{Name: k.Name, Connection: k.Connection, Source: k.Source, Stream: k.Stream})
	}
	for _, k := range activateall.Kinds() {
		list = append(list, project.Kind{Name: k.Name, Connection: k.Connection, Sync: k.Sync})
	}
	p, err := project.Load("../..", project.Options{Kinds: list})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) > 0 {
		t.Errorf("warnings: %v", p.Warnings)
	}
	raw, err := project.Schema(list)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	if err := fits(schema, instance(t, "../../elt.yaml"), "elt.yaml"); err != nil {
		t.Error(err)
	}
}
