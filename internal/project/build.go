package project

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"elt/internal/yamlx"
)

// build turns the collected items into the project.
func (l *loader) build() {
	if l.asOf != "" {
		l.p.AsOf, _ = ParseTime(l.asOf, l.p.Timezone) // header has reported what is wrong
	}
	for _, it := range l.connections {
		l.connection(it)
	}
	for _, it := range l.targets {
		l.target(it)
	}
	l.defaultTargets()
	for _, it := range l.sources {
		l.source(it)
	}
	for _, it := range l.identities {
		l.identity(it)
	}
	written := map[string]Pos{}
	for _, it := range l.syncs {
		l.sync(it, written)
	}
	for _, it := range l.jobs {
		l.job(it)
	}
	for _, it := range l.alerts {
		l.alert(it)
	}
}

// peek returns the text of a key before the item is decoded, without
// references: types and names are never secrets.
func (it item) peek(key string) (text string, at Pos) {
	entries, _ := (&yamlx.Decoder{File: it.d.File, Errs: &Errors{}}).Entries(it.value, "")
	for _, e := range entries {
		if e.Key == key {
			text, _ = it.d.Text(e.Value)
			if e.Value == nil || it.d.Resolve(e.Value) == nil {
				return text, e.Pos
			}
			return text, it.d.File.Pos(e.Value)
		}
	}
	return "", it.pos
}

func (l *loader) connection(it item) {
	c := &Connection{Name: it.name, Pos: it.pos}
	l.p.Connections[it.name] = c
	name, at := it.peek("type")
	c.Type = name
	k, known := l.kinds[name]
	if known && k.later {
		c.Config = loose(it.d, it.value, "type")
		l.note(it.d, at, fmt.Sprintf("connection %q of type %s cannot be opened yet", it.name, name), "push: fake pushes into .elt/fake/"+it.name+"; push: live fails")
		return
	}
	if name != "" && !known {
		unknownType(it.d, at, name, l.kinds.connectable(), laterTypes())
		return
	}
	var keys connectionKeys
	if !known { // no type at all: the other keys cannot be judged
		it.fail(fmt.Sprintf("connection %q has no type", it.name), yamlx.OneOf(l.kinds.connectable()), "add type: …")
		return
	}
	c.Config = fresh(k.connection)
	o := it.d.Struct(it.value, &keys, c.Config)
	l.literalPassword(it, o)
}

// literalPassword warns of a password that stands in the file.
func (l *loader) literalPassword(it item, o yamlx.Object) {
	for _, e := range o.Entries {
		text, ok := it.d.Text(e.Value)
		_, rest, isURL := strings.Cut(text, "://")
		user, _, hasHost := strings.Cut(rest, "@")
		_, password, hasPassword := strings.Cut(user, ":")
		if ok && isURL && hasHost && hasPassword && password != "" && !strings.HasPrefix(password, "${") {
			l.p.Warnings = append(l.p.Warnings, it.d.File.Error(o.At(e.Key), e.Key+" holds a password as it stands", "a reference such as ${env:NAME}", ""))
		}
	}
}

func (l *loader) source(it item) {
	s := &Source{Name: it.name, Pos: it.pos, Streams: map[string]*Stream{}}
	l.p.Sources[it.name] = s
	if reserved(it.name) {
		it.fail(fmt.Sprintf("source %q has a reserved name", it.name), "a name for its schema other than elt, main, public, information_schema, and not beginning with pg_", "")
	}
	k, ok := l.sourceKind(it, s)
	if !ok {
		return
	}
	var keys sourceKeys
	into := []any{&keys}
	s.Config = fresh(k.source)
	into = append(into, s.Config)
	if s.Connection == nil && k.inline != nil {
		// Inline for one-offs: the keys of the connection stand in the source.
		s.Connection = &Connection{Name: it.name, Type: s.Type, Config: k.inline(), Pos: it.pos}
		into = append(into, s.Connection.Config)
	}
	o := it.d.Struct(it.value, into...)
	l.literalPassword(it, o)
	s.Owner, s.Tags = inherit(keys.Owner, l.p.Owner), keys.Tags
	window := inherit(keys.DecisionWindow, l.p.DecisionWindow)
	streams := 0
	if keys.Streams.d != nil {
		entries, _ := it.d.Entries(keys.Streams.n, "streams")
		for _, e := range entries {
			streams++
			l.stream(it.d, s, k, e)
		}
	}
	for _, st := range s.Streams {
		st.DecisionWindow = inherit(st.DecisionWindow, window)
		st.Owner = inherit(st.Owner, s.Owner)
		st.Volume = inherit(st.Volume, keys.Volume)
		for _, tag := range s.Tags {
			if !slices.Contains(st.Tags, tag) {
				st.Tags = append(st.Tags, tag)
			}
		}
	}
	if streams == 0 {
		it.fail(fmt.Sprintf("source %q has no streams", it.name), "streams: {NAME: {}}", "elt discover "+it.name+" lists what there is")
	}
}

// sourceKind finds what a source is, by its connection or its own type.
func (l *loader) sourceKind(it item, s *Source) (kind, bool) {
	conn, connAt := it.peek("connection")
	typ, typeAt := it.peek("type")
	switch {
	case conn != "" && typ != "":
		it.d.FailAt(typeAt, fmt.Sprintf("source %q has a connection and a type", it.name), "one of the two", "delete type: the connection has one")
		return kind{}, false
	case conn != "":
		c, ok := l.p.Connections[conn]
		if !ok {
			l.unknownConnection(it.d, connAt, conn)
			return kind{}, false
		}
		s.Connection, s.Type = c, c.Type
	case typ != "":
		s.Type = typ
		if _, ok := l.kinds[typ]; !ok {
			unknownType(it.d, typeAt, typ, l.kinds.readable(), nil)
			return kind{}, false
		}
	default:
		it.fail(fmt.Sprintf("source %q has neither connection nor type", it.name), "connection: NAME, or type: "+yamlx.OneOf(l.kinds.readable()), "")
		return kind{}, false
	}
	k, ok := l.kinds[s.Type]
	if ok && (!k.reads || k.later) {
		at := connAt
		if typ != "" {
			at = typeAt
		}
		it.d.FailAt(at, fmt.Sprintf("type %q cannot be read", s.Type), yamlx.OneOf(l.kinds.readable()), "")
		return k, false
	}
	return k, ok // an unknown type of a connection is reported there
}

func (l *loader) unknownConnection(d *yamlx.Decoder, at Pos, name string) {
	names := slices.Sorted(maps.Keys(l.p.Connections))
	expected := yamlx.OneOf(names)
	if expected == "" {
		expected = "a name under connections:, where there is none yet"
	}
	d.FailAt(at, fmt.Sprintf("unknown connection %q", name), expected, yamlx.DidYouMean(name, names))
}

func (l *loader) stream(d *yamlx.Decoder, s *Source, k kind, e yamlx.Entry) {
	var keys streamKeys
	st := &Stream{Name: e.Key, Pos: e.Pos, Options: fresh(k.stream)}
	s.Streams[e.Key] = st
	if !usableTable(e.Key) {
		d.FailAt(e.Pos, fmt.Sprintf("stream %q has a name that cannot be a table", e.Key), "1 to 50 bytes without control characters, not beginning with _elt_", "")
	}
	for other := range s.Streams {
		if other != e.Key && strings.EqualFold(other, e.Key) {
			d.FailAt(e.Pos, fmt.Sprintf("stream %q differs from %q only in case", e.Key, other), "names that every warehouse tells apart", "")
		}
	}
	before := len(*d.Errs)
	o := d.Struct(e.Value, &keys, st.Options)
	if e.Value == nil || e.Value.Type() == ast.NullType {
		o.Pos = e.Pos
	}
	st.Load, st.Key, st.Cursor, st.Time, st.Lookback = keys.Load, keys.Key, keys.Cursor, keys.Time, keys.Lookback
	st.NullCursor, st.OnEmpty, st.Columns = keys.NullCursor, keys.OnEmpty, keys.Columns
	st.Contract, st.QuarantineMax = Contract(keys.Contract), keys.Quarantine.Max
	st.DecisionWindow, st.PII, st.Checks, st.Volume = keys.DecisionWindow, keys.PII, keys.Checks, keys.Volume
	st.Tags, st.Owner, st.Description = keys.Tags, keys.Owner, keys.Description
	if len(*d.Errs) == before {
		l.streamRules(d, s.Type, st, o)
	}
}

// streamRules are the keys of a stream that need each other, or shut each other
// out, in a source of type typ.
func (l *loader) streamRules(d *yamlx.Decoder, typ string, st *Stream, o yamlx.Object) {
	rule := func(bad bool, at, msg, hint string) {
		if bad {
			d.FailAt(o.At(at), msg, "", hint)
		}
	}
	noKey := len(st.Key) == 0
	rule(st.Load == "merge" && noKey, "load", "load: merge without a key", "add key: COLUMN, what identifies a row")
	rule(st.Load == "window" && st.Time == "", "load", "load: window without time", "add time: COLUMN, the time of the event")
	rule(st.Load == "window" && st.Cursor != "", "load", "load: window with a cursor: a read of what is new holds no whole window, and would replace the rows that it lacks",
		"load: merge with a key, or delete cursor to read all each time")
	rule(st.Load == "window" && typ == "files", "load", "load: window of files: a run reads the files that are new, which hold no whole window",
		"load: file, so that a rewritten file replaces its rows, or load: merge with a key")
	rule(st.Lookback > 0 && noKey, "lookback", "lookback without a key: rows that are read again could not be told apart", "add key: COLUMN, or delete lookback")
	rule(st.Lookback > 0 && st.Cursor == "", "lookback", "lookback without a cursor", "add cursor: COLUMN, or delete lookback")
	rule(st.NullCursor != "" && st.Cursor == "", "null_cursor", "null_cursor without a cursor", "add cursor: COLUMN, or delete null_cursor")
	if typ == "files" && st.Load != "merge" {
		l.idleOfFiles(d, st, o)
	}
	for i, name := range st.Key {
		rule(slices.Contains(st.Key[:i], name), "key", fmt.Sprintf("key names %q twice", name), "")
		rule(name == "", "key", "key has an empty name", "")
	}
}

// idleOfFiles notes the keys of a stream of files that only load: merge heeds:
// what is new is known by the files themselves.
func (l *loader) idleOfFiles(d *yamlx.Decoder, st *Stream, o yamlx.Object) {
	does := "load: file, the default, replaces the rows of a file that was rewritten"
	switch st.Load {
	case "append":
		does = "load: append adds the rows of every file that is new or rewritten"
	case "replace":
		does = "load: replace reads every file"
	}
	instead := does + "; say load: merge with a key to keep the row with the highest cursor of each key"
	for key, set := range map[string]bool{"key": len(st.Key) > 0 && st.Load != "replace", "cursor": st.Cursor != "", "null_cursor": st.NullCursor != ""} {
		if set {
			l.note(d, o.At(key), fmt.Sprintf("%s of stream %q does not act: it reads files, and does not merge", key, st.Name), instead)
		}
	}
}

func inherit[T comparable](own, above T) T {
	var zero T
	if own == zero {
		return above
	}
	return own
}

func reserved(schema string) bool {
	s := strings.ToLower(schema)
	return strings.HasPrefix(s, "pg_") || slices.Contains([]string{"elt", "main", "public", "information_schema", "temp", "memory", "system", "wh"}, s)
}

func usableTable(name string) bool {
	control := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
	return name != "" && len(name) <= 50 && !control && !strings.HasPrefix(name, "_elt_")
}
