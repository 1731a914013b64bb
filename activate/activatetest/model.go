package activatetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/internal/warehouse"
)

// The values of a row that are not sent as they are.
const (
	null = "null" // SQL's
	bad  = "bad"  // refused, where the destination refuses rows
	// theirs is that of a row that somebody else has made at the destination.
	theirs = "theirs"
)

// foreign is the key of a row there that the model never has.
const foreign = 100

// things is what is pushed: rows of an id and a value. Some have no key, and some
// keys are those of two rows.
type things struct {
	rows  map[int]string
	twice map[int]bool
	nulls int
	sent  map[int]map[string]bool // values that a run may have sent
	there map[int]bool            // rows that are foreign, or were until we sent them
}

func newThings() *things {
	return &things{rows: map[int]string{}, twice: map[int]bool{}, sent: map[int]map[string]bool{}, there: map[int]bool{}}
}

// edits are changes of a model.
type edits struct {
	list  []edit
	nulls int
}

// edit is what a row becomes.
type edit struct {
	id int
	v  string
}

func drawEdits(rt *rapid.T) (e edits) {
	for range rapid.IntRange(1, 5).Draw(rt, "edits") {
		id := rapid.IntRange(1, 6).Draw(rt, "id")
		v := rapid.SampledFrom([]string{"a", "b", "c", bad, null, "gone", "gone", "twice"}).Draw(rt, "v")
		e.list = append(e.list, edit{id, v})
	}
	e.nulls = max(0, rapid.IntRange(-2, 2).Draw(rt, "rows without a key"))
	return e
}

// apply changes some rows.
func (m *things) apply(e edits) {
	for _, e := range e.list {
		delete(m.rows, e.id)
		delete(m.twice, e.id)
		switch e.v {
		case "gone":
		case "twice":
			m.twice[e.id] = true
		default:
			m.rows[e.id] = e.v
		}
	}
	m.nulls = e.nulls
}

// mend makes every row one that can be sent; but for the keys of two rows, where
// they stay.
func (m *things) mend(apart bool) {
	for id, v := range m.rows {
		if v == bad {
			m.rows[id] = "mended"
		}
	}
	if apart {
		for id := range m.twice {
			m.rows[id] = "apart"
		}
		clear(m.twice)
	}
}

// begin notes what a run that begins now may send.
func (m *things) begin() {
	for id, v := range m.rows {
		if m.sent[id] == nil {
			m.sent[id] = map[string]bool{}
		}
		m.sent[id][v] = true
	}
}

// insert are the statements that make t what the model is.
func (m *things) insert(t warehouse.Table) []string {
	list := []string{`DELETE FROM ` + t.String()}
	add := func(id, v string) {
		list = append(list, fmt.Sprintf(`INSERT INTO %s VALUES (%s, %s)`, t, id, v))
	}
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		v := warehouse.Literal(m.rows[id])
		if m.rows[id] == null {
			v = "NULL"
		}
		add(fmt.Sprint(id), v)
	}
	for _, id := range slices.Sorted(maps.Keys(m.twice)) {
		add(fmt.Sprint(id), "'one'")
		add(fmt.Sprint(id), "'two'")
	}
	for range m.nulls {
		add("NULL", "'n'")
	}
	return list
}

func (m *things) invalid() int64 { return int64(m.nulls + 2*len(m.twice)) }

func (m *things) read() int64 { return m.invalid() + int64(len(m.rows)) }

// RowOf is the row of an id with a value, as a destination has it.
func RowOf(id int, v string) Row {
	text := `"` + v + `"`
	if v == null {
		text = null
	}
	return Row{Key: fmt.Sprintf(`{"id":%d}`, id), Fields: fmt.Sprintf(`{"id":%d,"v":%s}`, id, text)}
}

// idOf reads a row.
func idOf(r Row) (id int, v string, err error) {
	if _, err := fmt.Sscanf(r.Key, `{"id":%d}`, &id); err != nil {
		return 0, "", fmt.Errorf("key %s: %w", r.Key, err)
	}
	v = strings.TrimSuffix(strings.TrimPrefix(r.Fields, fmt.Sprintf(`{"id":%d,"v":`, id)), `}`)
	return id, strings.Trim(v, `"`), nil
}

// compare tells what is wrong with the rows of a destination once nothing fails
// any more and all has been sent; "" is nothing.
func (m *things) compare(mode string, got []Row) string {
	have := map[int]string{}
	for _, r := range got {
		id, v, err := idOf(r)
		if err != nil {
			return err.Error()
		}
		if _, again := have[id]; again {
			return fmt.Sprintf("row %d is there twice", id)
		}
		have[id] = v
	}
	if have[foreign] != theirs {
		return "the foreign row has changed"
	}
	for id := range have {
		if _, ok := m.rows[id]; !ok && id != foreign {
			if wrong := m.left(mode, id, have[id]); wrong != "" {
				return wrong
			}
		}
	}
	for id, v := range m.rows {
		if wrong := m.mine(mode, id, v, have); wrong != "" {
			return wrong
		}
	}
	for id := range m.there {
		if _, ok := have[id]; !ok && (mode != activate.ModeMirror || len(m.sent[id]) == 0) {
			return fmt.Sprintf("the foreign row %d is gone", id)
		}
	}
	return ""
}

// left judges a row that the model has not, or has twice.
func (m *things) left(mode string, id int, v string) string {
	mirrored := mode == activate.ModeMirror && !m.twice[id]
	switch {
	case m.there[id] && v == theirs:
		return "" // whatever was tried, nothing came of it
	case m.there[id] && mode == activate.ModeInsert:
		return fmt.Sprintf("the foreign row %d has become %q", id, v)
	case !m.sent[id][v]:
		return fmt.Sprintf("row %d is %q, which no run has sent", id, v)
	case mirrored:
		return fmt.Sprintf("row %d is still there", id)
	case mode == activate.ModeUpdate && !m.there[id]:
		return fmt.Sprintf("row %d was made by an update", id)
	}
	return ""
}

// mine judges a row that the model has.
func (m *things) mine(mode string, id int, v string, have map[int]string) string {
	got, ok := have[id]
	switch mode {
	case activate.ModeUpdate:
		if !m.there[id] {
			if ok {
				return fmt.Sprintf("row %d was made by an update", id)
			}
			return ""
		}
	case activate.ModeInsert:
		if m.there[id] {
			v = theirs
			break
		}
		fallthrough
	case activate.ModeAppend:
		if ok && m.sent[id][got] {
			return ""
		}
	}
	if !ok || got != v {
		return fmt.Sprintf("row %d is %q (there: %t), want %q", id, got, ok, v)
	}
	return ""
}

// refused is how many rows of the model the destination refuses whatever is done.
func (m *things) refused(mode string) (n int64) {
	for id := range m.rows {
		if mode == activate.ModeInsert && m.there[id] || mode == activate.ModeUpdate && !m.there[id] {
			n++
		}
	}
	return n
}
