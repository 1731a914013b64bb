package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"elt/internal/warehouse"
)

// stage are the tables of a session through which the rows of a group go.
type stage struct {
	typed string // columns of the table's own types, or of text for those that have none
	text  string // the same as text, for rows that are tried one by one
	told  string // what became of those
}

// stage makes the tables of a group, once for each session.
func (d *destination) stage(ctx context.Context, s *session, g *group) (stage, error) {
	id := fmt.Sprint(once(g.action), len(g.columns))
	for _, c := range g.columns {
		id += "\x00" + c.name
	}
	if st, ok := s.stages[id]; ok {
		return st, nil
	}
	name := func(what string) string {
		return warehouse.Table{Schema: "pg_temp", Name: fmt.Sprintf("elt_%s_%d", what, len(s.stages))}.String()
	}
	st := stage{typed: name("rows"), text: name("text"), told: name("told")}
	list := []string{`elt_row integer`}
	if once(g.action) {
		list = append(list, `elt_op uuid`)
	}
	plain := append([]string{}, list...)
	for i, c := range g.columns {
		list = append(list, warehouse.Quote(c.name)+` `+c.typ+c.collate)
		plain = append(plain, fmt.Sprintf("c%d text", i))
	}
	for _, q := range []string{
		`CREATE TEMP TABLE ` + st.typed + ` (` + strings.Join(list, ", ") + `) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE ` + st.text + ` (` + strings.Join(plain, ", ") + `) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE ` + st.told + ` (elt_row integer, written boolean, created boolean, code text, message text, id text) ON COMMIT DELETE ROWS`,
	} {
		if _, err := s.Exec(ctx, q); err != nil {
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "42501" {
				return st, barred(pg.Code, fmt.Sprintf("%s: %s", d.server, d.server.Text(pg.Message)),
					"rows go through a temporary table: GRANT TEMPORARY ON DATABASE "+warehouse.Quote(d.server.Database())+" TO "+warehouse.Quote(d.server.User()))
			}
			return st, err
		}
	}
	s.stages[id] = st
	return st, nil
}
