package yamlx

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/secret"
)

// Unmarshaler is a type that decodes itself and reports its mistakes to d.
type Unmarshaler interface {
	UnmarshalNode(d *Decoder, n ast.Node)
}

// Decoder decodes nodes of one file into typed values. Mistakes are collected in
// Errs and never stop it.
//
// It takes string, bool, integers, floats, [time.Duration] (with d for days and w
// for weeks), [secret.String], slices (a scalar is a list of one), maps with
// string keys, pointers, structs whose fields have yaml tags, types with
// UnmarshalText, and [Unmarshaler]. A jsonschema tag may say required, enum=…,
// minimum=…; a struct field of type [Pos] without a yaml tag is set to the place
// of the struct.
type Decoder struct {
	File *File
	Errs *Errors
	// Expand replaces references in a text; hidden says that the text goes to a
	// secret. nil: texts are taken as they are. Its error becomes a mistake.
	Expand func(text string, hidden bool) (string, error)
	nodes  int
	depth  int
}

// maxNodes bounds what aliases can blow a small file up to, maxDepth what a
// file of brackets can do to the stack.
const (
	maxNodes = 100_000
	maxDepth = 64
)

// Fail records a mistake at n.
func (d *Decoder) Fail(n ast.Node, msg, expected, hint string) {
	d.FailAt(d.File.Pos(n), msg, expected, hint)
}

// FailAt records a mistake at p.
func (d *Decoder) FailAt(p Pos, msg, expected, hint string) {
	*d.Errs = append(*d.Errs, d.File.Error(p, msg, expected, hint))
}

// Decode decodes n into the value that into points to.
func (d *Decoder) Decode(n ast.Node, into any) {
	d.value(n, reflect.ValueOf(into).Elem(), "")
}

// Resolve follows anchors, aliases and tags to the node that holds the value.
// It returns nil where nothing is written or an alias leads nowhere.
func (d *Decoder) Resolve(n ast.Node) ast.Node {
	for range maxDepth {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.AliasNode:
			n = d.File.targets[t]
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
	return nil
}

// value decodes n into v. what is the key that it stands under.
func (d *Decoder) value(n ast.Node, v reflect.Value, what string) {
	d.nodes++
	d.depth++
	defer func() { d.depth-- }()
	if d.nodes > maxNodes || d.depth > maxDepth {
		if d.nodes <= maxNodes+1 {
			d.nodes = maxNodes + 2
			d.Fail(n, "too many or too deeply nested values", "a file that a person can read", "")
		}
		return
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		u.UnmarshalNode(d, n)
		return
	}
	real := d.Resolve(n)
	if v.Kind() == reflect.Pointer {
		if real != nil {
			v.Set(reflect.New(v.Type().Elem()))
			d.value(n, v.Elem(), what)
		}
		return
	}
	switch {
	case v.Kind() == reflect.Struct && !isText(v):
		d.Struct(n, v.Addr().Interface())
	case v.Kind() == reflect.Map:
		d.mapping(n, v, what)
	case v.Kind() == reflect.Slice:
		d.slice(n, v, what)
	default:
		d.scalar(n, real, v, what)
	}
}

func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func (d *Decoder) mapping(n ast.Node, v reflect.Value, what string) {
	entries, ok := d.Entries(n, what)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		item := reflect.New(v.Type().Elem()).Elem()
		if d.Resolve(e.Value) == nil && isScalar(item) {
			hint := ""
			if strings.ContainsAny(e.Key, ")]") {
				hint = "put a text with a comma in quotes"
			}
			d.FailAt(e.Pos, e.Key+" has no value", typeName(item), hint)
			continue
		}
		d.value(e.Value, item, e.Key)
		v.SetMapIndex(reflect.ValueOf(e.Key).Convert(v.Type().Key()), item)
	}
}

func (d *Decoder) slice(n ast.Node, v reflect.Value, what string) {
	items := d.Items(n)
	v.Set(reflect.MakeSlice(v.Type(), 0, len(items)))
	for _, i := range items {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(i, item, what)
		v.Set(reflect.Append(v, item))
	}
}

// Items returns the values of a list; a single value is a list of one.
func (d *Decoder) Items(n ast.Node) []ast.Node {
	switch t := d.Resolve(n).(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		return t.Values
	default:
		return []ast.Node{n}
	}
}

// Text returns the text of a scalar as it is written, without quotes.
func (d *Decoder) Text(n ast.Node) (string, bool) {
	switch t := d.Resolve(n).(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		if t.Value == nil {
			return "", true
		}
		return t.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return t.GetToken().Value, true
	}
	return "", false
}

func (d *Decoder) scalar(n, real ast.Node, v reflect.Value, what string) {
	expected := typeName(v)
	if real == nil {
		d.Fail(n, subject(what)+" has no value", expected, "")
		return
	}
	text, ok := d.Text(real)
	_, hidden := v.Interface().(secret.String)
	if _, isBool := real.(*ast.BoolNode); isBool && v.Kind() == reflect.String {
		d.Fail(n, subject(what)+" is "+text+", which is no text", expected, fmt.Sprintf("write %q in quotes if you mean the word", text))
		return
	}
	if !ok {
		d.Fail(n, subject(what)+" is "+shape(real), expected, "")
		return
	}
	if d.Expand != nil && strings.Contains(text, "${") {
		out, err := d.Expand(text, hidden)
		if err != nil {
			d.Fail(n, err.Error(), "", "")
			return
		}
		text = out
	}
	if err := set(v, text); err != nil {
		shown := strconv.Quote(clip(text))
		if d.Expand != nil && strings.Contains(real.GetToken().Value, "${") {
			shown = strconv.Quote(real.GetToken().Value) // never what came from outside
		}
		d.Fail(n, fmt.Sprintf("%s is %s", subject(what), shown), expected, "")
	}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

func subject(what string) string {
	if what == "" {
		return "the value"
	}
	return what
}

// set parses text into v.
func set(v reflect.Value, text string) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		dur, err := ParseDuration(text)
		v.SetInt(int64(dur))
		return err
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return t.UnmarshalText([]byte(text))
	}
	number := strings.ReplaceAll(text, "_", "")
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("not a boolean: %s", text)
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(number, 10, v.Type().Bits())
		v.SetInt(i)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(number, 10, v.Type().Bits())
		v.SetUint(u)
		return err
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(number, v.Type().Bits())
		v.SetFloat(f)
		return err
	default:
		return fmt.Errorf("the program cannot decode into %s", v.Type())
	}
	return nil
}

func typeName(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 15m, 24h or 7d"
	case isText(v):
		return "a text"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a text"
}

// shape names what a node is in the words of an error.
func shape(n ast.Node) string {
	switch n.(type) {
	case nil:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	}
	return "something else"
}

// ParseDuration is [time.ParseDuration] with d for days and w for weeks of
// fixed length. A duration is not negative.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	for _, unit := range []struct {
		suffix string
		hours  int64
	}{{"d", 24}, {"w", 7 * 24}} {
		if count, ok := strings.CutSuffix(text, unit.suffix); ok {
			n, err := strconv.ParseInt(count, 10, 32)
			if err != nil || n < 0 || n > 100*366 {
				return 0, fmt.Errorf("%q is no duration", s)
			}
			return time.Duration(n*unit.hours) * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || text == "" || slices.Contains([]byte("+-"), text[0]) {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return d, nil
}
