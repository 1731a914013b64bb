package reference

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
)

// section is one mapping of a project file: all keys that may stand at path.
type section struct {
	path     string
	variants []variant
}

// variant is one form that a section may have, such as the keys of one type.
type variant struct {
	label  string // of the type; "": there is one form only
	schema *jsonschema.Schema
}

// Keys renders the JSON Schema of a project as tables, a section for each
// mapping, in the order of the schema. root names the outermost one.
func Keys(schema []byte, root string) (string, error) {
	var top jsonschema.Schema
	if err := json.Unmarshal(schema, &top); err != nil {
		return "", fmt.Errorf("read the schema: %w", err)
	}
	w := walker{}
	w.visit("", "", &top)
	var b strings.Builder
	for _, s := range w.sections {
		name := "`" + s.path + "`"
		if s.path == "" {
			name = root
		}
		fmt.Fprintf(&b, "### %s\n\n| key | type | default | required | what it says | allowed values |\n|---|---|---|---|---|---|\n", name)
		for _, r := range s.rows() {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", r.key, cell(r.kind), cell(r.def), r.required, cell(r.description), cell(r.allowed))
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String()), nil
}

func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`) }

// walker finds the mappings inside a schema.
type walker struct{ sections []*section }

func (w *walker) visit(path, label string, s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.Properties != nil && s.Properties.Len() > 0 {
		if s.Title != "" && path != "" {
			label = s.Title
		}
		w.add(path, variant{label, s})
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			w.visit(strings.TrimPrefix(path+"."+p.Key, "."), label, p.Value)
		}
		return
	}
	if s.AdditionalProperties != nil {
		w.visit(path+".NAME", label, s.AdditionalProperties)
	}
	w.visit(path+"[]", label, s.Items)
	for _, one := range s.AnyOf {
		if one.Items != nil { // one, or a list of the same
			w.visit(path, label, one.Items)
			continue
		}
		w.visit(path, label, one)
	}
}

func (w *walker) add(path string, v variant) {
	i := slices.IndexFunc(w.sections, func(s *section) bool { return s.path == path })
	if i < 0 {
		w.sections = append(w.sections, &section{path: path})
		i = len(w.sections) - 1
	}
	w.sections[i].variants = append(w.sections[i].variants, v)
}

// row is one key with what all variants say of it.
type row struct {
	key, kind, def, required, description, allowed string
}

func (s *section) rows() []row {
	var keys []string
	for _, v := range s.variants {
		for p := v.schema.Properties.Oldest(); p != nil; p = p.Next() {
			if !slices.Contains(keys, p.Key) {
				keys = append(keys, p.Key)
			}
		}
	}
	var out []row
	for _, k := range keys {
		out = append(out, s.row(k))
	}
	return out
}

func (s *section) row(key string) row {
	r := row{key: key, required: "yes"}
	var labels, all, words, later, texts []string
	said := map[string][]string{} // by description, the variants that have it
	for _, v := range s.variants {
		p, ok := v.schema.Properties.Get(key)
		if v.label != "" && v.label != Later {
			all = once(all, v.label)
		}
		if !ok {
			continue
		}
		if v.label == Later {
			later = append(later, allowed(p)...)
			continue
		}
		labels = once(labels, v.label)
		r.kind = kindOf(p)
		if said[p.Description] == nil {
			texts = append(texts, p.Description)
		}
		said[p.Description] = once(said[p.Description], v.label)
		if p.Default != nil {
			r.def = fmt.Sprintf("`%v`", p.Default)
		}
		for _, word := range allowed(p) {
			words = once(words, word)
		}
	}
	for _, v := range s.variants {
		if slices.Contains(labels, v.label) && !slices.Contains(v.schema.Required, key) {
			r.required = ""
		}
	}
	for i, text := range texts {
		if len(texts) > 1 || len(labels) < len(all) { // it is not the same for all
			texts[i] = "(" + strings.Join(said[text], ", ") + ") " + text
		}
	}
	r.description = strings.Join(texts, "; ")
	r.allowed = strings.Join(words, ", ")
	if len(later) > 0 {
		r.allowed += "; taken, but not opened yet: " + strings.Join(later, ", ")
	}
	return r
}

func once(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// allowed are the words that a value may be, with those of its alternatives.
func allowed(s *jsonschema.Schema) []string {
	var out []string
	for _, v := range s.Enum {
		out = append(out, fmt.Sprintf("`%v`", v))
	}
	for _, one := range s.AnyOf {
		if one.Items == nil {
			out = append(out, allowed(one)...)
		}
	}
	if s.Minimum != "" {
		out = append(out, "at least "+s.Minimum.String())
	}
	return out
}

// Later is the title of a variant whose types may be named already, though this
// program cannot open them yet.
const Later = "later"

// kindOf says what is written for a value.
func kindOf(s *jsonschema.Schema) string {
	switch {
	case s.Title != "" && s.Properties == nil:
		return s.Title
	case s.Items != nil:
		return "list"
	case s.AdditionalProperties != nil && s.Properties == nil:
		return "mapping of names"
	case s.Type == "object":
		return "mapping"
	case len(s.AnyOf) > 0:
		var kinds []string
		for _, one := range s.AnyOf {
			kinds = once(kinds, kindOf(one))
		}
		return strings.Join(kinds, " or ")
	case s.Type == "string":
		return "text"
	}
	return s.Type
}
