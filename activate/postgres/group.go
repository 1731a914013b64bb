package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"elt/activate"
)

// group is what one statement writes: changes of one action that name the same
// columns, as lines of COPY in text format.
type group struct {
	action  activate.Action
	oid     uint32 // of the table
	columns []column
	buf     []byte
	rows    []line
}

// line is one change in the buffer of its group: its number, its operation where
// it is sent once only, and its values.
type line struct {
	number            int // in its group
	change            int // in the batch
	start, body, stop int
}

// once reports whether evidence of each operation is kept: doing one of these
// again would add a row, or refuse what is there already.
func once(a activate.Action) bool { return a == activate.Append || a == activate.Create }

// member is one field of a change.
type member struct {
	name, value []byte
}

// encode sorts the changes of a batch into groups. What cannot be written as text
// is refused at once; outcomes has a place for every change.
func (s *shape) encode(batch activate.Batch, outcomes []activate.Outcome) ([]*group, error) {
	e := encoder{shape: s, groups: map[string]*group{}}
	for i, c := range batch.Changes {
		outcomes[i].OpID = c.OpID
		if err := e.change(c); err != nil {
			unfit(&outcomes[i], codeInvalid, err)
			continue
		}
		g, err := e.group(c.Action)
		if err != nil {
			return nil, err
		}
		if err := g.add(i, c.OpID, e.members); err != nil {
			code := codeInvalid
			if errors.As(err, new(loss)) {
				code = codeInexact
			}
			unfit(&outcomes[i], code, err)
		}
	}
	return e.order, nil
}

type encoder struct {
	shape   *shape
	groups  map[string]*group
	order   []*group
	last    *group
	members []member
}

// change takes a change apart: its fields, and what its key has besides.
func (e *encoder) change(c activate.Change) error {
	e.members = e.members[:0]
	if c.Action != activate.Delete {
		err := members(c.Fields, func(name, value []byte) error {
			e.members = append(e.members, member{name, value})
			return nil
		})
		if err != nil {
			return err
		}
	}
	if c.Action == activate.Append {
		return nil
	}
	fields := len(e.members)
	return members(c.Key, func(name, value []byte) error {
		if !slices.ContainsFunc(e.members[:fields], func(m member) bool { return string(m.name) == string(name) }) {
			e.members = append(e.members, member{name, value})
		}
		return nil
	})
}

// group is where the members belong.
func (e *encoder) group(a activate.Action) (*group, error) {
	if e.last != nil && e.last.action == a && e.last.has(e.members) {
		return e.last, nil
	}
	names := make([]string, len(e.members))
	for i, m := range e.members {
		names[i] = string(m.name)
	}
	id := string(a) + "\x00" + strings.Join(names, "\x00")
	g := e.groups[id]
	if g == nil {
		columns, err := e.shape.pick(a, names)
		if err != nil {
			return nil, err
		}
		g = &group{action: a, oid: e.shape.oid, columns: columns}
		e.groups[id] = g
		e.order = append(e.order, g)
	}
	e.last = g
	return g, nil
}

func (g *group) has(list []member) bool {
	if len(list) != len(g.columns) {
		return false
	}
	for i, m := range list {
		if string(m.name) != g.columns[i].name {
			return false
		}
	}
	return true
}

// add writes the line of a change; one that fails leaves nothing behind.
func (g *group) add(change int, op string, list []member) (err error) {
	l := line{number: len(g.rows), change: change, start: len(g.buf)}
	g.buf = strconv.AppendInt(g.buf, int64(l.number), 10)
	g.buf = append(g.buf, '\t')
	if once(g.action) {
		g.buf = hex.AppendEncode(g.buf, evidenceOf(op, g.oid))
		g.buf = append(g.buf, '\t')
	}
	l.body = len(g.buf)
	for i, m := range list {
		if i > 0 {
			g.buf = append(g.buf, '\t')
		}
		if c := &g.columns[i]; c.limit.kind != unlimited {
			if err = c.keeps(m.value); err != nil {
				g.buf = g.buf[:l.start]
				return err
			}
		}
		if g.buf, err = appendValue(g.buf, m.value, g.columns[i].form); err != nil {
			g.buf = g.buf[:l.start]
			return err
		}
	}
	g.buf = append(g.buf, '\n')
	l.stop = len(g.buf)
	g.rows = append(g.rows, l)
	return nil
}

// evidenceOf is what an operation on the table with an oid leaves in elt_pushed: of
// one that has been dropped and made again nothing is evidence.
func evidenceOf(op string, oid uint32) []byte {
	sum := sha256.Sum256(strconv.AppendUint([]byte(op+" "), uint64(oid), 10))
	return sum[:16]
}

// lines reads the lines of rows, with their numbers or without.
func (g *group) lines(rows []line, numbered bool) io.Reader {
	return &reader{g: g, rows: rows, numbered: numbered}
}

type reader struct {
	g        *group
	rows     []line
	numbered bool
	rest     []byte
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.rest) == 0 {
			if len(r.rows) == 0 {
				break
			}
			l := r.rows[0]
			r.rows = r.rows[1:]
			start := l.body
			if r.numbered {
				start = l.start
			}
			r.rest = r.g.buf[start:l.stop]
		}
		m := copy(p[n:], r.rest)
		r.rest, n = r.rest[m:], n+m
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
