package yamlx

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Entry is one key of a mapping.
type Entry struct {
	Key   string
	Pos   Pos // of the key
	Node  ast.Node
	Value ast.Node
}

// Entries returns the keys of a mapping in the order written, merged ones (<<)
// last. A key that is written twice is a mistake; the first stands. ok is false
// where n is something else, which is reported; nothing at all is an empty
// mapping.
func (d *Decoder) Entries(n ast.Node, what string) (entries []Entry, ok bool) {
	return d.entries(n, what, 0)
}

func (d *Decoder) entries(n ast.Node, what string, depth int) ([]Entry, bool) {
	var values []*ast.MappingValueNode
	switch t := d.Resolve(n).(type) {
	case nil:
		return nil, true
	case *ast.MappingNode:
		values = t.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{t}
	default:
		d.Fail(n, subject(what)+" is "+shape(t), "a mapping, as in key: value", "")
		return nil, false
	}
	seen := map[string]Pos{}
	var out, merged []Entry
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			for _, item := range d.Items(v.Value) {
				if depth < maxDepth {
					more, _ := d.entries(item, "<<", depth+1)
					merged = append(merged, more...)
				}
			}
			continue
		}
		key, place := d.key(v.Key)
		if first, twice := seen[key]; twice {
			d.FailAt(place, fmt.Sprintf("%q is written twice, first at %s", key, first), "each key once", "")
			continue
		}
		seen[key] = place
		out = append(out, Entry{Key: key, Pos: place, Node: v.Key, Value: v.Value})
		if d.nodes++; d.nodes > maxNodes {
			return out, true
		}
	}
	for _, m := range merged {
		if _, have := seen[m.Key]; !have {
			seen[m.Key] = m.Pos
			out = append(out, m)
		}
	}
	return out, true
}

// key is the text of a key: names stay as written, 1 is the name "1".
func (d *Decoder) key(n ast.MapKeyNode) (string, Pos) {
	var inner ast.Node = n
	if k, ok := n.(*ast.MappingKeyNode); ok {
		inner = k.Value
	}
	p := d.File.Pos(inner)
	if text, ok := d.Text(inner); ok {
		return text, p
	}
	if _, null := inner.(*ast.NullNode); null {
		return "null", p // the word, such as the option null of files
	}
	d.FailAt(p, "this key is no text", "a name", "")
	return "?", p
}

// Object is a decoded mapping: which keys it has, and where.
type Object struct {
	Pos     Pos
	Entries []Entry
	file    *File
}

// Has reports whether key is written.
func (o Object) Has(key string) bool { return o.Get(key) != nil }

// Get returns the entry of key, or nil.
func (o Object) Get(key string) *Entry {
	i := slices.IndexFunc(o.Entries, func(e Entry) bool { return e.Key == key })
	if i < 0 {
		return nil
	}
	return &o.Entries[i]
}

// At is where the value of key is written, or where the object is.
func (o Object) At(key string) Pos {
	e := o.Get(key)
	switch {
	case e == nil:
		return o.Pos
	case e.Value == nil || e.Value.Type() == ast.NullType:
		return e.Pos
	}
	return o.file.Pos(e.Value)
}

// Validator is a struct that judges what stands in several of its keys together.
// Struct calls it after the keys were decoded without a mistake.
type Validator interface {
	Validate(d *Decoder, o Object)
}

// Struct decodes a mapping strictly into the structs that into point to. Each
// key goes to the first that has a field for it; a key that none has is a
// mistake, and so is a required field that is not written. A nil in into is
// skipped.
func (d *Decoder) Struct(n ast.Node, into ...any) Object {
	place := Pos{File: d.File.Name, Line: 1, Col: 1}
	if n != nil {
		place = d.File.Pos(n)
	}
	entries, ok := d.Entries(n, "")
	o := Object{Pos: place, Entries: entries, file: d.File}
	var fields []field
	for _, target := range into {
		if target == nil || reflect.ValueOf(target).IsNil() {
			continue
		}
		v := reflect.ValueOf(target).Elem()
		fields = append(fields, fieldsOf(v)...)
		setPlace(v, place)
	}
	if !ok {
		return o
	}
	before := len(*d.Errs)
	defer func() {
		for _, target := range into {
			v, judges := target.(Validator)
			if judges && !reflect.ValueOf(target).IsNil() && len(*d.Errs) == before {
				v.Validate(d, o)
			}
		}
	}()
	var meant []string // required keys that a misspelt one stands for
	for _, e := range entries {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == e.Key })
		if i < 0 {
			meant = append(meant, d.unknownKey(e, fields))
			continue
		}
		if v := fields[i].value; d.Resolve(e.Value) == nil && isScalar(v) {
			d.FailAt(e.Pos, e.Key+" has no value", typeName(v), "")
			continue
		}
		before := len(*d.Errs)
		d.value(e.Value, fields[i].value, e.Key)
		if len(*d.Errs) == before {
			d.constrain(e, fields[i])
		}
	}
	for _, f := range fields {
		if f.required && !o.Has(f.name) && !slices.Contains(meant, f.name) {
			d.FailAt(place, f.name+" is missing", f.description, "add "+f.name+": …")
		}
	}
	return o
}

// unknownKey reports a key and returns the one that was probably meant.
func (d *Decoder) unknownKey(e Entry, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	expected := "no key here"
	if len(names) > 0 {
		expected = OneOf(names)
	}
	d.FailAt(e.Pos, fmt.Sprintf("unknown key %q", e.Key), expected, DidYouMean(e.Key, names))
	return Nearest(e.Key, names)
}

// constrain holds a decoded value against its jsonschema tag.
func (d *Decoder) constrain(e Entry, f field) {
	if len(f.enum) > 0 && f.value.Kind() == reflect.String {
		if got := f.value.String(); !slices.Contains(f.enum, got) {
			d.Fail(e.Value, fmt.Sprintf("%s is %q", e.Key, clip(got)), OneOf(f.enum), DidYouMean(got, f.enum))
		}
	}
	if f.minimum != nil && f.value.CanInt() && float64(f.value.Int()) < *f.minimum {
		d.Fail(e.Value, fmt.Sprintf("%s is %d", e.Key, f.value.Int()), fmt.Sprintf("at least %v", *f.minimum), "")
	}
}

func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(Unmarshaler); ok {
		return false
	}
	switch v.Kind() {
	case reflect.Struct:
		return isText(v)
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
		return false
	}
	return true
}

// field is a field of a struct as its tags describe it.
type field struct {
	name        string
	value       reflect.Value
	required    bool
	enum        []string
	minimum     *float64
	description string
}

func fieldsOf(v reflect.Value) []field {
	if v.Kind() != reflect.Struct {
		return nil
	}
	var out []field
	for i := range v.NumField() {
		t := v.Type().Field(i)
		tag, tagged := t.Tag.Lookup("yaml")
		name, opts, _ := strings.Cut(tag, ",")
		if !t.IsExported() || name == "-" {
			continue
		}
		if strings.Contains(opts, "inline") || t.Anonymous && !tagged {
			out = append(out, fieldsOf(v.Field(i))...)
			continue
		}
		if name == "" {
			continue
		}
		f := field{name: name, value: v.Field(i)}
		for part := range strings.SplitSeq(t.Tag.Get("jsonschema"), ",") {
			switch key, val, _ := strings.Cut(part, "="); key {
			case "required":
				f.required = true
			case "enum":
				f.enum = append(f.enum, val)
			case "description":
				f.description = val
			case "minimum":
				if m, err := strconv.ParseFloat(val, 64); err == nil {
					f.minimum = &m
				}
			}
		}
		out = append(out, f)
	}
	return out
}

func setPlace(v reflect.Value, p Pos) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && f.Type == reflect.TypeFor[Pos]() && f.Tag.Get("yaml") == "" {
			v.Field(i).Set(reflect.ValueOf(p))
		}
	}
}
