package project

import (
	"fmt"
	"reflect"

	"elt/internal/yamlx"
)

// A key that is taken and validated though nothing acts on it yet carries the
// tag later, which says what happens instead. The tag is the one list of them:
// the notes of a project and the descriptions of the schema are made from it.
const laterTag = "later"

// laterKeys are the keys of a struct that carry the tag, with its text.
func laterKeys(keys any) map[string]string {
	out := map[string]string{}
	t := reflect.Indirect(reflect.ValueOf(keys)).Type()
	for i := range t.NumField() {
		if text, ok := t.Field(i).Tag.Lookup(laterTag); ok {
			out[t.Field(i).Tag.Get("yaml")] = text
		}
	}
	return out
}

// notActing notes every key of o that keys, its type, marks as later. subject
// names the item, such as job "nightly".
func (l *loader) notActing(it item, subject string, o yamlx.Object, keys any) {
	later := laterKeys(keys)
	for _, e := range o.Entries {
		if text, ok := later[e.Key]; ok {
			l.note(it.d, e.Pos, fmt.Sprintf("%s of %s does not act yet", e.Key, subject), text)
		}
	}
}

// note records that what stands at a place does not act yet, and what happens
// instead.
func (l *loader) note(d *yamlx.Decoder, at Pos, msg, instead string) {
	l.p.NotActing = append(l.p.NotActing, d.File.Error(at, msg, "", instead))
}
