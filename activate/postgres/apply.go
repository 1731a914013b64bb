package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"elt/activate"
	"elt/internal/warehouse"
)

// oneByOne is how many rows are few enough to be tried one after the other when
// there is one among them that the database refuses.
const oneByOne = 250

// work is a group on its way into the table.
type work struct {
	*destination
	*session
	*group
	stage    stage
	outcomes []activate.Outcome // of the batch
}

// write does the whole transaction but its COMMIT.
func (d *destination) write(ctx context.Context, s *session, token string, groups []*group, outcomes []activate.Outcome) error {
	stages := make([]stage, len(groups))
	for i, g := range groups { // outside of the transaction, so that they stay
		var err error
		if stages[i], err = d.stage(ctx, s, g); err != nil {
			return err
		}
	}
	if err := d.begin(ctx, s, token); err != nil {
		return err
	}
	for i, g := range groups {
		w := work{d, s, g, stages[i], outcomes}
		if err := w.put(ctx, g.rows); err != nil {
			return err
		}
		if err := w.doubt(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w work) exec(ctx context.Context, q string, args ...any) (int64, error) {
	tag, err := w.Exec(ctx, q, args...)
	return tag.RowsAffected(), err
}

// put writes rows, all at once if it can. When one of them is to blame that it
// cannot, they are tried in parts, and in the end one by one.
func (w work) put(ctx context.Context, rows []line) error {
	err := w.attempt(ctx, func() error { return w.all(ctx, rows) })
	if err == nil || !blames(err) {
		return err
	}
	if w.action == activate.Upsert && w.isFresh() {
		w.notFresh()
		return w.put(ctx, rows)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "21000" && w.action == activate.Upsert {
		rest, err := w.duplicates(ctx, rows)
		if err != nil && !blames(err) {
			return err
		}
		if err == nil && len(rest) < len(rows) {
			return w.put(ctx, rest)
		}
	}
	if len(rows) <= oneByOne {
		return w.single(ctx, rows)
	}
	part := max((len(rows)+15)/16, oneByOne)
	for len(rows) > 0 {
		n := min(part, len(rows))
		if err := w.put(ctx, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// attempt undoes what fn did when it fails because of a row.
func (w work) attempt(ctx context.Context, fn func() error) error {
	if _, err := w.exec(ctx, `SAVEPOINT elt`); err != nil {
		return err
	}
	failed := fn()
	if failed != nil && !blames(failed) {
		return failed
	}
	if failed != nil {
		if _, err := w.exec(ctx, `ROLLBACK TO SAVEPOINT elt`); err != nil {
			return err
		}
	}
	_, err := w.exec(ctx, `RELEASE SAVEPOINT elt`)
	return errors.Join(failed, err)
}

// all writes rows with one statement.
func (w work) all(ctx context.Context, rows []line) error {
	if len(rows) == 0 {
		return nil
	}
	if w.action == activate.Upsert && w.isFresh() {
		return w.direct(ctx, rows)
	}
	if err := w.fill(ctx, w.stage.typed, rows); err != nil {
		return err
	}
	did := make([]bool, len(w.rows)) // by number: dealt with
	if once(w.action) {
		if err := w.known(ctx, rows, did); err != nil {
			return err
		}
	}
	switch w.action {
	case activate.Append:
		return w.insert(ctx, rows, did, ``)
	case activate.Create:
		return w.create(ctx, rows, did)
	case activate.Update:
		return w.update(ctx, rows)
	case activate.Delete:
		return w.remove(ctx, rows)
	default:
		return w.upsert(ctx, rows)
	}
}

// direct copies rows into a table that had none but those from here.
func (w work) direct(ctx context.Context, rows []line) error {
	tag, err := w.PgConn().CopyFrom(ctx, w.lines(rows, false), `COPY `+w.table.String()+` (`+w.names("")+`) FROM STDIN`)
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "0A000" { // row security: COPY takes no part in it
			return errKeptOut
		}
		return err
	}
	if tag.RowsAffected() != int64(len(rows)) {
		return errKeptOut
	}
	w.ack(rows, nil, true)
	return nil
}

// fill copies rows with their numbers into a table of the session.
func (w work) fill(ctx context.Context, table string, rows []line) error {
	if _, err := w.exec(ctx, `TRUNCATE `+table); err != nil {
		return err
	}
	_, err := w.PgConn().CopyFrom(ctx, w.lines(rows, true), `COPY `+table+` FROM STDIN`)
	return err
}

// ack acknowledges rows but those that were dealt with before.
func (w work) ack(rows []line, did []bool, created bool) {
	for _, l := range rows {
		if did == nil || !did[l.number] {
			o := &w.outcomes[l.change]
			o.Status, o.Created = activate.Acked, created
		}
	}
}

// numbers are the rows that a query tells of.
func (w work) numbers(ctx context.Context, q string, args ...any) ([]int, error) {
	rows, err := w.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

// known leaves evidence of operations that are made once, and acknowledges those
// that have left it before.
func (w work) known(ctx context.Context, rows []line, did []bool) error {
	todo, err := w.numbers(ctx, `WITH new AS (INSERT INTO `+w.pushed.String()+` (id) SELECT elt_op FROM `+w.stage.typed+`
		ORDER BY elt_op ON CONFLICT (id) DO NOTHING RETURNING id)
		SELECT elt_row FROM `+w.stage.typed+` WHERE elt_op IN (SELECT id FROM new)`)
	if err != nil || len(todo) == len(rows) {
		return err
	}
	for _, l := range rows {
		did[l.number] = true
	}
	w.ack(rows, nil, true)
	for _, n := range todo {
		did[n] = false
	}
	_, err = w.exec(ctx, `DELETE FROM `+w.stage.typed+` WHERE NOT elt_row = ANY ($1)`, todo)
	return err
}

// insert takes what is in the stage and wants every row of it taken.
func (w work) insert(ctx context.Context, rows []line, did []bool, conflict string) error {
	want := 0
	for _, l := range rows {
		if !did[l.number] {
			want++
		}
	}
	n, err := w.exec(ctx, w.insertInto()+` SELECT `+w.names("")+` FROM `+w.stage.typed+` ORDER BY elt_row`+conflict)
	if err == nil && n != int64(want) {
		err = errKeptOut
	}
	if err == nil {
		w.ack(rows, did, true)
	}
	return err
}

func (w work) create(ctx context.Context, rows []line, did []bool) error {
	there, err := w.numbers(ctx, `SELECT elt_row FROM `+w.stage.typed+` AS s WHERE EXISTS (SELECT 1 FROM `+w.table.String()+` AS t WHERE `+w.match()+`)`)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		_, err := w.exec(ctx, `WITH gone AS (DELETE FROM `+w.stage.typed+` WHERE elt_row = ANY ($1) RETURNING elt_op)
			DELETE FROM `+w.pushed.String()+` WHERE id IN (SELECT elt_op FROM gone)`, there)
		if err != nil {
			return err
		}
		for _, n := range there {
			did[n] = true
			refuse(&w.outcomes[w.rows[n].change], codeExists, "a row with this key is there already")
		}
	}
	return w.insert(ctx, rows, did, ` ON CONFLICT (`+quoted(w.shape.key)+`) DO NOTHING`)
}

func (w work) update(ctx context.Context, rows []line) error {
	set := w.assign("s.")
	done, err := w.numbers(ctx, `UPDATE `+w.table.String()+` AS t SET `+set+` FROM `+w.stage.typed+` AS s WHERE `+w.match()+` RETURNING s.elt_row`)
	if err != nil {
		return err
	}
	for _, l := range rows {
		refuse(&w.outcomes[l.change], codeNotFound, "there is no row with this key")
	}
	for _, n := range done {
		o := &w.outcomes[w.rows[n].change]
		*o = activate.Outcome{OpID: o.OpID, Status: activate.Acked}
	}
	return nil
}

// remove deletes the rows; one that was not there is gone too.
func (w work) remove(ctx context.Context, rows []line) error {
	if _, err := w.exec(ctx, `DELETE FROM `+w.table.String()+` AS t USING `+w.stage.typed+` AS s WHERE `+w.match()); err != nil {
		return err
	}
	left, err := w.numbers(ctx, `SELECT elt_row FROM `+w.stage.typed+` AS s WHERE EXISTS (SELECT 1 FROM `+w.table.String()+` AS t WHERE `+w.match()+`)`)
	if err != nil {
		return err
	}
	w.ack(rows, nil, false)
	for _, n := range left {
		refuse(&w.outcomes[w.rows[n].change], codeNotDeleted, "a trigger or policy of the table kept the row")
	}
	return nil
}

// upsert tells new rows by their xmax: one that was updated has been locked
// first. A partitioned table does not tell it.
func (w work) upsert(ctx context.Context, rows []line) error {
	created := `xmax = 0`
	var there []int
	var err error
	if w.shape.kind == "p" {
		created = `true`
		there, err = w.numbers(ctx, `SELECT elt_row FROM `+w.stage.typed+` AS s WHERE EXISTS (SELECT 1 FROM `+w.table.String()+` AS t WHERE `+w.match()+`)`)
		if err != nil {
			return err
		}
	}
	result, err := w.Query(ctx, w.insertInto()+` SELECT `+w.names("")+` FROM `+w.stage.typed+` ORDER BY elt_row
		ON CONFLICT (`+quoted(w.shape.key)+`) DO UPDATE SET `+w.assign("EXCLUDED.")+` RETURNING `+created+w.shape.identity(`, `))
	if err != nil {
		return err
	}
	type told struct {
		created bool
		id      string
	}
	done, err := pgx.CollectRows(result, func(r pgx.CollectableRow) (t told, err error) {
		if w.shape.folds {
			return t, r.Scan(&t.created, &t.id)
		}
		return t, r.Scan(&t.created)
	})
	if err == nil && len(done) != len(rows) {
		err = errKeptOut
	}
	if err != nil {
		return err
	}
	w.ack(rows, nil, false)
	for i, l := range rows {
		o := &w.outcomes[l.change]
		o.Created, o.DestID = done[i].created, done[i].id
	}
	for _, n := range there {
		w.outcomes[w.rows[n].change].Created = false
	}
	return nil
}

// duplicates refuses rows whose keys are equal in the type of the column though
// they were not in the model, and returns the others.
func (w work) duplicates(ctx context.Context, rows []line) (rest []line, err error) {
	err = w.attempt(ctx, func() error {
		if err := w.fill(ctx, w.stage.typed, rows); err != nil {
			return err
		}
		keys := quoted(w.shape.key)
		twice, err := w.numbers(ctx, `SELECT elt_row FROM (SELECT elt_row, count(*) OVER (PARTITION BY `+keys+`) AS n FROM `+w.stage.typed+`) AS c WHERE n > 1`)
		if err != nil {
			return err
		}
		bad := map[int]bool{}
		for _, n := range twice {
			bad[n] = true
			refuse(&w.outcomes[w.rows[n].change], codeDuplicateKey, "another row has the same key in the type of the table's column")
		}
		for _, l := range rows {
			if !bad[l.number] {
				rest = append(rest, l)
			}
		}
		return nil
	})
	return rest, err
}

// names lists the columns.
func (w work) names(prefix string) string {
	list := make([]string, len(w.columns))
	for i, c := range w.columns {
		list[i] = prefix + warehouse.Quote(c.name)
	}
	return strings.Join(list, ", ")
}

func (w work) insertInto() string {
	q := `INSERT INTO ` + w.table.String() + ` AS t (` + w.names("") + `)`
	for _, c := range w.columns {
		if c.always {
			return q + ` OVERRIDING SYSTEM VALUE`
		}
	}
	return q
}

// match joins the stage s with the table t.
func (w work) match() string {
	terms := make([]string, len(w.shape.key))
	for i, k := range w.shape.key {
		terms[i] = fmt.Sprintf("t.%[1]s = s.%[1]s", warehouse.Quote(k))
	}
	return strings.Join(terms, " AND ")
}

// assign sets all columns but the key, which stays as it is spelled.
func (w work) assign(from string) string {
	var list []string
	for _, c := range w.columns {
		if !w.shape.isKey(c.name) {
			list = append(list, warehouse.Quote(c.name)+` = `+from+warehouse.Quote(c.name))
		}
	}
	if list == nil {
		k := warehouse.Quote(w.shape.key[0])
		list = []string{k + ` = t.` + k} // there is nothing else
	}
	return strings.Join(list, ", ")
}
