package project

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"elt/internal/yamlx"
)

// emptyGuard is the guard that is a word and no limit.
const emptyGuard = "source_empty"

// guards are the limits that a sync may set, with what each says.
func guards() map[string]string {
	return map[string]string{
		"max_reject": "The share of the rows sent that the destination may refuse, such as 1%; 5% by default; over it, after at least 200 rows, the sync stops and the rest waits for the next run",
		"max_delete": "The most rows that a run may delete there: a number, or a share of the rows that the sync has there; 5% by default, and then at least 50 rows; a plan over it is held until elt approve",
		"max_change": "The most rows that a run may change there: a number, or a share of the rows that the sync has there; 50% by default, and then at least 50 rows; a plan over it is held until elt approve",
		"max_create": "The most rows that a run may make there: a number, or a share of the rows that the sync has there, which lets the first run be; no limit by default; a plan over it is held until elt approve",
		emptyGuard:   "What mode mirror does while the model has no row to send: hold, the default, holds the deletes until elt approve; delete deletes what is there",
	}
}

func (l *loader) sync(it item, written map[string]Pos) {
	s := &Sync{Name: it.name, Pos: it.pos}
	l.p.Syncs[it.name] = s
	to, toAt := it.peek("to")
	conn, object, dotted := strings.Cut(to, ".")
	var k kind
	judged := false // whether the keys of the type are known
	if to != "" {
		switch c := l.p.Connections[conn]; {
		case !dotted || object == "":
			it.d.FailAt(toAt, fmt.Sprintf("to is %q", to), "connection.object, such as crm.contacts", "")
		case c == nil:
			l.unknownConnection(it.d, toAt, conn)
		default:
			s.Connection = c
			k, judged = l.kinds[c.Type]
			if judged && !k.writes {
				it.d.FailAt(toAt, fmt.Sprintf("type %q of connection %q cannot be written to", c.Type, conn),
					yamlx.OneOf(l.kinds.writable()), "")
			}
		}
	}
	before := len(l.errs)
	var keys syncKeys
	s.Config = fresh(k.sync)
	var o yamlx.Object
	if judged || to == "" {
		o = it.d.Struct(it.value, &keys, s.Config)
	} else {
		return // without its connection the keys cannot be judged
	}
	s.Model, s.To, s.Object, s.Mode, s.Key = keys.Model, keys.To, object, inherit(keys.Mode, "upsert"), keys.Key
	s.Identity, s.Guards, s.Tags, s.Owner = keys.Identity, keys.Guards, keys.Tags, inherit(keys.Owner, l.p.Owner)
	if o.Entries == nil || len(l.errs) > before && to == "" {
		return
	}
	l.syncKey(it, s, o)
	l.guards(it, o)
	l.notActing(it, fmt.Sprintf("sync %q", it.name), o, keys)
	if schema, table, ok := strings.Cut(s.Model, "."); o.Has("model") && (!ok || schema == "" || table == "") {
		it.d.FailAt(o.At("model"), fmt.Sprintf("model is %q", s.Model), "schema.table, such as marts.customers", "")
	}
	l.fields(it, s, keys.Fields, written)
}

func (l *loader) syncKey(it item, s *Sync, o yamlx.Object) {
	if s.Identity != "" {
		id, ok := l.p.Identities[s.Identity]
		if !ok {
			names := slices.Sorted(maps.Keys(l.p.Identities))
			it.d.FailAt(o.At("identity"), fmt.Sprintf("unknown identity %q", s.Identity), inherit(yamlx.OneOf(names), "a name under identities:, where there is none yet"), yamlx.DidYouMean(s.Identity, names))
			return
		}
		if len(s.Key) == 0 {
			s.Key = id.Key
		}
	}
	if len(s.Key) == 0 {
		hint := "add the columns of the model that identify a row"
		if s.Mode == "append" {
			hint += ": append sends each key once"
		}
		it.fail(fmt.Sprintf("sync %q has no key", it.name), "key: COLUMN, or identity: NAME", hint)
	}
}

func (l *loader) guards(it item, o yamlx.Object) {
	e := o.Get("guards")
	if e == nil {
		return
	}
	entries, _ := (&yamlx.Decoder{File: it.d.File, Errs: &Errors{}}).Entries(e.Value, "")
	known := slices.Sorted(maps.Keys(guards()))
	for _, g := range entries {
		if !slices.Contains(known, g.Key) {
			it.d.FailAt(g.Pos, fmt.Sprintf("unknown guard %q", g.Key), yamlx.OneOf(known), yamlx.DidYouMean(g.Key, known))
			continue
		}
		if words := []string{"hold", "delete"}; g.Key == emptyGuard {
			if text, _ := it.d.Text(g.Value); !slices.Contains(words, text) {
				it.d.Fail(g.Value, fmt.Sprintf("source_empty is %q", text), yamlx.OneOf(words), yamlx.DidYouMean(text, words))
			}
			continue
		}
		var limit Limit
		it.d.Decode(g.Value, &limit)
		if g.Key != "max_reject" {
			continue
		}
		if text, ok := it.d.Text(g.Value); ok && limit.Set && limit.Percent == 0 {
			it.d.Fail(g.Value, fmt.Sprintf("max_reject is %q", text), "a share of the rows sent, over 0% and up to 100%, such as 1%", "")
		}
	}
}

// fields decodes theirs: ours, where ours is a column or a mapping.
func (l *loader) fields(it item, s *Sync, sec section, written map[string]Pos) {
	if sec.d == nil {
		it.fail(fmt.Sprintf("sync %q has no fields", it.name), "fields: {THEIRS: OURS}", "")
		return
	}
	entries, ok := it.d.Entries(sec.n, "fields")
	if ok && len(entries) == 0 {
		it.fail(fmt.Sprintf("sync %q has no fields", it.name), "fields: {THEIRS: OURS}", "")
	}
	for _, e := range entries {
		f := Field{Theirs: e.Key, Pos: e.Pos}
		if text, scalar := it.d.Text(e.Value); scalar {
			f.Column = text
		} else if it.d.Resolve(e.Value) == nil {
			it.d.FailAt(e.Pos, fmt.Sprintf("field %q names no column", e.Key), "THEIRS: OURS, or THEIRS: {column: OURS, allow_pii: true}", "")
		} else {
			var keys fieldKeys
			it.d.Struct(e.Value, &keys)
			f.Column, f.AllowPII = keys.Column, keys.AllowPII
		}
		place := s.To + "\x00" + e.Key
		if first, twice := written[place]; twice {
			it.d.FailAt(e.Pos, fmt.Sprintf("field %q of %s is written by two syncs, first at %s", e.Key, s.To, first), "one sync for each field", "delete one of the two, or join them in one model")
		} else {
			written[place] = e.Pos
		}
		s.Fields = append(s.Fields, f)
	}
	slices.SortFunc(s.Fields, func(a, b Field) int { return strings.Compare(a.Theirs, b.Theirs) })
}

func (l *loader) identity(it item) {
	var keys identityKeys
	it.d.Struct(it.value, &keys)
	id := &Identity{Name: it.name, Key: keys.Key, OnSeveral: inherit(keys.OnSeveral, "review"), OnNone: inherit(keys.OnNone, "create"), Pos: it.pos}
	l.p.Identities[it.name] = id
	l.note(it.d, it.pos, fmt.Sprintf("identity %q does not act yet", it.name), "its key is used, but no ids are looked up")
	var rules int
	if keys.Match.d != nil {
		for _, n := range it.d.Items(keys.Match.n) {
			rules++
			id.Match = append(id.Match, l.match(it.d, item{pos: it.d.File.Pos(n), value: n, d: it.d}))
		}
	}
	if rules == 0 {
		it.fail(fmt.Sprintf("identity %q has no match", it.name), "match: [{column: OURS, CONNECTION: THEIRS}]", "")
	}
}

// match decodes a rule: column and normalize, and beside them a field for each
// connection.
func (l *loader) match(d *yamlx.Decoder, it item) Match {
	m := Match{Theirs: map[string]string{}, Pos: it.pos}
	entries, ok := d.Entries(it.value, "a rule of match")
	if !ok {
		return m
	}
	var keys matchKeys
	own := []string{"column", "normalize"}
	for _, e := range entries {
		if slices.Contains(own, e.Key) {
			continue
		}
		if _, ok := l.p.Connections[e.Key]; !ok {
			names := append(slices.Sorted(maps.Keys(l.p.Connections)), own...)
			d.FailAt(e.Pos, fmt.Sprintf("unknown connection %q", e.Key), yamlx.OneOf(names), yamlx.DidYouMean(e.Key, names))
			continue
		}
		var theirs string
		d.Decode(e.Value, &theirs)
		m.Theirs[e.Key] = theirs
	}
	for _, e := range entries {
		switch e.Key {
		case "column":
			d.Decode(e.Value, &keys.Column)
		case "normalize":
			d.Decode(e.Value, &keys.Normalize)
			if how := []string{"email", "phone", "lower", "trim"}; !slices.Contains(how, keys.Normalize) {
				d.Fail(e.Value, fmt.Sprintf("normalize is %q", keys.Normalize), yamlx.OneOf(how), yamlx.DidYouMean(keys.Normalize, how))
			}
		}
	}
	if keys.Column == "" {
		it.fail("the rule names no column of ours", "{column: OURS, CONNECTION: THEIRS}", "")
	}
	m.Column, m.Normalize = keys.Column, keys.Normalize
	return m
}
