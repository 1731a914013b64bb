package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/secret"
	"elt/internal/yamlx"
)

// kind is everything that connectors of one name take, reading and writing.
type kind struct {
	connection, source, stream, sync func() any
	inline                           func() any // keys of a connection that a source may hold itself
	reads, writes, tells             bool
	later                            bool // known, but not in this program yet
}

// known reports whether there is such a type: an unknown one is told where it stands.
func (k kind) known() bool { return k.reads || k.writes || k.tells }

type kinds map[string]kind

// kindsByName merges the kinds of sources and of destinations that share a name.
// Their connection is that of the destination, which may have more keys.
func kindsByName(list []Kind) kinds {
	all := kinds{}
	for _, k := range list {
		have := all[k.Name]
		have.connection = first(have.connection, k.Connection)
		if k.Source != nil || k.Stream != nil {
			have.inline = first(have.inline, k.Connection)
		} else if k.Sync != nil {
			have.connection = first(k.Connection, have.connection)
		}
		have.source = first(have.source, k.Source)
		have.stream = first(have.stream, k.Stream)
		have.sync = first(have.sync, k.Sync)
		have.reads = have.reads || k.Source != nil || k.Stream != nil
		have.writes = have.writes || k.Sync != nil || k.Source == nil && k.Stream == nil && !k.Tells
		have.tells = have.tells || k.Tells
		all[k.Name] = have
	}
	for _, name := range laterTypes() {
		if _, have := all[name]; !have {
			all[name] = kind{later: true, reads: true, writes: true}
		}
	}
	return all
}

// laterTypes are types that a project may already name in its connections, so
// that it is validated as a whole, though this program cannot open them yet.
func laterTypes() []string {
	return []string{"hubspot", "salesforce", "mysql", "kafka", "smtp"}
}

func first(a, b func() any) func() any {
	if a != nil {
		return a
	}
	return b
}

func (k kinds) names(keep func(kind) bool) []string {
	var names []string
	for name, one := range k {
		if keep(one) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// connectable are the types that a connection may have, readable those of a
// source, writable those of a destination, without those that come later.
func (k kinds) connectable() []string {
	return k.names(func(one kind) bool { return !one.later && one.connection != nil })
}

func (k kinds) readable() []string {
	return k.names(func(one kind) bool { return !one.later && one.reads })
}

// telling are the types that alerts go to.
func (k kinds) telling() []string {
	return k.names(func(one kind) bool { return !one.later && one.tells })
}

func (k kinds) writable() []string {
	return k.names(func(one kind) bool { return !one.later && one.writes })
}

// unknownType reports a type that does not exist.
func unknownType(d *yamlx.Decoder, at Pos, name string, types, later []string) {
	d.FailAt(at, fmt.Sprintf("unknown type %q", name), yamlx.OneOf(types), yamlx.DidYouMean(name, append(types, later...)))
}

// Loose holds the keys of a type that this program does not know yet, each as
// a secret, nested ones joined with dots.
type Loose map[string]secret.String

// loose decodes every key of n that skip does not name.
func loose(d *yamlx.Decoder, n ast.Node, skip ...string) Loose {
	out := Loose{}
	out.fill(d, n, nil, skip)
	return out
}

func (l Loose) fill(d *yamlx.Decoder, n ast.Node, path, skip []string) {
	switch d.Resolve(n).(type) {
	case nil:
	case *ast.MappingNode, *ast.MappingValueNode:
		entries, _ := d.Entries(n, "")
		for _, e := range entries {
			if len(path) < 16 && !slices.Contains(skip, e.Key) {
				l.fill(d, e.Value, append(slices.Clone(path), e.Key), nil)
			}
		}
	case *ast.SequenceNode:
		for i, item := range d.Items(n) {
			if len(path) < 16 {
				l.fill(d, item, append(slices.Clone(path), fmt.Sprint(i)), nil)
			}
		}
	default:
		var text secret.String
		d.Decode(n, &text)
		l[strings.Join(path, ".")] = text
	}
}

// fresh calls fn where there is one; nil takes no keys.
func fresh(fn func() any) any {
	if fn == nil {
		return nil
	}
	return fn()
}
