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

// single writes rows one by one on the server, each in a subtransaction, so that
// those which are refused are known with their reason. A value that does not fit
// its column is known with the column: it is assigned before the row is written.
func (w work) single(ctx context.Context, rows []line) error {
	if err := w.fill(ctx, w.stage.text, rows); err != nil {
		return err
	}
	if _, err := w.exec(ctx, `TRUNCATE `+w.stage.told); err != nil {
		return err
	}
	if _, err := w.exec(ctx, w.loop()); err != nil {
		return err
	}
	result, err := w.Query(ctx, `SELECT elt_row, written, created, coalesce(code, ''), coalesce(message, ''), coalesce(id, '') FROM `+w.stage.told)
	if err != nil {
		return err
	}
	var n int
	var written, created bool
	var code, message, id string
	_, err = pgx.ForEachRow(result, []any{&n, &written, &created, &code, &message, &id}, func() error {
		o := &w.outcomes[w.rows[n].change]
		switch {
		case code != "":
			refuse(o, code, w.server.Text(message))
		case written:
			*o = activate.Outcome{OpID: o.OpID, Status: activate.Acked, Created: created, DestID: id}
		default:
			w.notWritten(o, created)
		}
		return nil
	})
	return err
}

// doubt finds out what the errors of a group were about of which that is not clear,
// when no row of it was taken: one of the rows is tried again by itself, so that the
// server says where its error comes from.
func (w work) doubt(ctx context.Context) error {
	var doubtful []line
	for i, l := range w.rows {
		o := w.outcomes[l.change]
		if o.Status == activate.Acked {
			return nil
		}
		if doubtful == nil && ambiguous(o.Code) {
			doubtful = w.rows[i : i+1]
		}
	}
	if doubtful == nil {
		return nil
	}
	err := w.attempt(ctx, func() error { return w.all(ctx, doubtful) })
	var pg *pgconn.PgError
	if errors.Is(err, errKeptOut) || errors.As(err, &pg) && ofRow(pg) {
		return nil
	}
	return err
}

// notWritten is a row to which nothing happened without an error; absent says
// that the table had none of its key.
func (w work) notWritten(o *activate.Outcome, absent bool) {
	switch {
	case w.action == activate.Delete && absent:
		*o = activate.Outcome{OpID: o.OpID, Status: activate.Acked}
	case w.action == activate.Delete:
		refuse(o, codeNotDeleted, "a trigger or policy of the table kept the row")
	case w.action == activate.Create && !absent:
		refuse(o, codeExists, "a row with this key is there already")
	case w.action == activate.Update && absent:
		refuse(o, codeNotFound, "there is no row with this key")
	default:
		refuse(o, codeNotWritten, errKeptOut.Error())
	}
}

// loop is the program that goes through the rows.
func (w work) loop() string {
	var declare, assign strings.Builder
	values := make([]string, len(w.columns))
	for i, c := range w.columns {
		values[i] = fmt.Sprintf("elt_v%d", i)
		fmt.Fprintf(&declare, "%s %s;\n", values[i], c.typ)
		fmt.Fprintf(&assign, "elt_at := %s; %s := elt_r.c%d;\n", warehouse.Literal(c.name), values[i], i)
	}
	before, undo := ``, ``
	if once(w.action) {
		before = `INSERT INTO ` + w.pushed.String() + ` (id) VALUES (elt_r.elt_op) ON CONFLICT (id) DO NOTHING;
			GET DIAGNOSTICS elt_n = ROW_COUNT;
			IF elt_n = 0 THEN
				INSERT INTO ` + w.stage.told + ` VALUES (elt_r.elt_row, true, true);
				CONTINUE;
			END IF;`
		undo = `IF elt_n = 0 THEN DELETE FROM ` + w.pushed.String() + ` WHERE id = elt_r.elt_op; END IF;`
	}
	if w.action != activate.Append {
		before += `elt_new := NOT EXISTS (SELECT 1 FROM ` + w.table.String() + ` AS t WHERE ` + w.is(values) + `);`
	}
	return `DO ` + warehouse.Literal(`DECLARE
		elt_r record; elt_at text; elt_n bigint; elt_new boolean := true; elt_state text; elt_message text; elt_column text; elt_id text;
		`+declare.String()+`
	BEGIN
		FOR elt_r IN SELECT * FROM `+w.stage.text+` ORDER BY elt_row LOOP
			BEGIN
				`+assign.String()+`
				elt_at := NULL;
				`+before+`
				`+w.one(values)+`;
				GET DIAGNOSTICS elt_n = ROW_COUNT;
				`+undo+`
				INSERT INTO `+w.stage.told+` VALUES (elt_r.elt_row, elt_n > 0, elt_new, NULL, NULL, elt_id);
			EXCEPTION WHEN assert_failure OR OTHERS THEN
				GET STACKED DIAGNOSTICS elt_state = RETURNED_SQLSTATE, elt_message = MESSAGE_TEXT, elt_column = COLUMN_NAME;
				IF `+sqlEverywhere+` THEN RAISE; END IF;
				elt_column := coalesce(elt_at, nullif(elt_column, ''));
				INSERT INTO `+w.stage.told+` VALUES (elt_r.elt_row, false, false, elt_state,
					CASE WHEN elt_column IS NULL THEN elt_message ELSE 'column ' || elt_column || ': ' || elt_message END);
			END;
		END LOOP;
	END`)
}

// one is the statement that writes one row out of variables.
func (w work) one(values []string) string {
	insert := w.insertInto() + ` VALUES (` + strings.Join(values, ", ") + `)`
	switch w.action {
	case activate.Append:
		return insert
	case activate.Create:
		return insert + ` ON CONFLICT (` + quoted(w.shape.key) + `) DO NOTHING`
	case activate.Delete:
		return `DELETE FROM ` + w.table.String() + ` AS t WHERE ` + w.is(values)
	case activate.Update:
		var list []string
		for i, c := range w.columns {
			if !w.shape.isKey(c.name) || len(w.columns) == len(w.shape.key) {
				list = append(list, warehouse.Quote(c.name)+` = `+values[i])
			}
		}
		return `UPDATE ` + w.table.String() + ` AS t SET ` + strings.Join(list, ", ") + ` WHERE ` + w.is(values)
	default:
		insert += ` ON CONFLICT (` + quoted(w.shape.key) + `) DO UPDATE SET ` + w.assign("EXCLUDED.")
		if w.shape.folds {
			insert += w.shape.identity(` RETURNING `) + ` INTO elt_id`
		}
		return insert
	}
}

// is compares the key of the table t with variables.
func (w work) is(values []string) string {
	var terms []string
	for i, c := range w.columns {
		if w.shape.isKey(c.name) {
			terms = append(terms, `t.`+warehouse.Quote(c.name)+` = `+values[i])
		}
	}
	return strings.Join(terms, " AND ")
}
