package load

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/scan"
	"elt/internal/warehouse"
)

// settle applies the contract to the staged rows: what may not be published
// leaves the stage here, with its reason, before any check looks at it. What it
// returns is to be done to the columns afterwards.
func (s *Staged) settle(ctx context.Context, tx *warehouse.Tx) ([]alteration, error) {
	c := &s.contract
	existing, err := tx.Schema(ctx, c.Table)
	if err != nil {
		return nil, err
	}
	var alter []alteration
	switch {
	case len(existing) == 0 && (c.Tables == Quarantine || c.Tables == Discard):
		err = s.setAside(ctx, tx, c.Tables, "TRUE", "table "+c.Table.Display()+" does not exist, and its contract makes no new tables")
	case len(existing) > 0:
		if err := s.columnless(ctx, tx, existing); err != nil {
			return nil, err
		}
		if alter, err = s.settleColumns(ctx, tx, existing); err != nil {
			return nil, err
		}
		untyped, typed, failed := s.untyped(ctx, tx, existing)
		if alter, err = append(alter, untyped...), failed; err == nil && (s.rows > 0 || !c.Files) {
			var types []alteration
			types, err = s.settleTypes(ctx, tx, typed, existing)
			alter = append(alter, types...)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.settleKey(ctx, tx); err != nil {
		return nil, err
	}
	return alter, s.settleCursor(ctx, tx)
}

// settleCursor is about the rows of files that have no cursor, of which a merge
// cannot say whether they are newer than others of their key.
func (s *Staged) settleCursor(ctx context.Context, tx *warehouse.Tx) error {
	c := &s.contract
	if c.Cursor == "" || c.NullCursor == "" || c.NullCursor == "include" {
		return nil
	}
	if err := haveColumns(s.columns, "cursor", c.Cursor); err != nil {
		return err
	}
	none := warehouse.Quote(c.Cursor) + " IS NULL"
	if c.NullCursor == "exclude" {
		return s.setAside(ctx, tx, Discard, none, "")
	}
	n, err := count(ctx, tx, `SELECT count(*) FROM `+s.table.String()+` WHERE `+none)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: %d rows have no %s, so that nothing says which row of a key is the newest: fill them, or say null_cursor: include "+
			"(such a row gives way to any that has one) or null_cursor: exclude (it is left out)", ErrContract, n, c.Cursor)
	}
	return err
}

// settleColumns handles columns that the table does not have.
func (s *Staged) settleColumns(ctx context.Context, tx *warehouse.Tx, existing []warehouse.Column) ([]alteration, error) {
	policy := s.contract.Columns
	if policy != Quarantine && policy != Discard {
		return nil, nil
	}
	var alter []alteration
	for _, col := range dataColumns(s.columns) {
		if _, ok := find(existing, col.Name); ok {
			continue
		}
		name := warehouse.Quote(col.Name)
		if policy == Quarantine {
			err := s.setAside(ctx, tx, policy, name+" IS NOT NULL",
				fmt.Sprintf("column %q is not in the contract of %s", col.Name, s.contract.Table.Display()))
			if err != nil {
				return nil, err
			}
		}
		alter = append(alter, s.alter(`DROP COLUMN `+name))
	}
	return alter, nil
}

// columnless gives the stage of files that have neither rows nor names of columns,
// such as empty ones, the columns of the table, whose keys they cannot lack.
func (s *Staged) columnless(ctx context.Context, tx *warehouse.Tx, existing []warehouse.Column) error {
	if !s.contract.Files || s.rows > 0 || len(dataColumns(s.columns)) != 1 || dataColumns(s.columns)[0].Name != warehouse.ColSource {
		return nil
	}
	for _, col := range existing {
		if _, ok := find(s.columns, col.Name); ok {
			continue
		}
		if _, err := tx.Exec(ctx, addColumn(s.table, col)); err != nil {
			return fmt.Errorf("add column %q: %w", col.Name, err)
		}
		s.columns = append(s.columns, col)
	}
	return nil
}

// untyped gives columns of files that have no value in any row the types of the
// table: what the reader makes of them, text most often, is nothing that the
// source says. It returns the columns of the stage as they are then.
func (s *Staged) untyped(ctx context.Context, tx *warehouse.Tx, existing []warehouse.Column) (alter []alteration, typed []warehouse.Column, err error) {
	for _, col := range s.columns {
		have, ok := find(existing, col.Name)
		if !s.contract.Files || isOurs(col.Name) || !ok || have.Type == col.Type {
			typed = append(typed, col)
			continue
		}
		name := warehouse.Quote(col.Name)
		some, err := hasValue(ctx, tx, s.table, col.Name)
		switch {
		case err != nil:
			return nil, nil, err
		case some:
			typed = append(typed, col)
		default:
			alter = append(alter, s.alter(`ALTER COLUMN `+name+` TYPE `+have.Type+` USING CAST(NULL AS `+have.Type+`)`))
			col.Type = have.Type
			typed = append(typed, col)
		}
	}
	return alter, typed, nil
}

// settleTypes handles columns whose values the table's type may not hold.
func (s *Staged) settleTypes(ctx context.Context, tx *warehouse.Tx, staged, existing []warehouse.Column) ([]alteration, error) {
	policy := s.contract.Types
	if policy != Quarantine && policy != Discard {
		g, err := compare(ctx, tx, &s.contract, s.contract.Table, staged, existing)
		if err != nil {
			return nil, err
		}
		return nil, g.frozen(&s.contract)
	}
	var alter []alteration
	for _, col := range dataColumns(staged) {
		have, ok := find(existing, col.Name)
		if !ok || have.Type == col.Type {
			continue
		}
		if wide, ok := tx.Dialect().Widen(have.Type, col.Type); ok && wide == have.Type {
			continue
		}
		change, err := s.narrow(ctx, tx, col, have)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", col.Name, err)
		}
		alter = append(alter, change)
	}
	return alter, nil
}

// narrow sets aside the rows whose value the table's type does not hold. The
// alteration gives the staged column that type.
func (s *Staged) narrow(ctx context.Context, tx *warehouse.Tx, col, have warehouse.Column) (alteration, error) {
	name := warehouse.Quote(col.Name)
	try, drop, err := tryCast(ctx, tx, name, have.Type)
	if err != nil {
		return nil, err
	}
	bad := name + " IS NOT NULL AND " + try + " IS NULL"
	if _, numeric := tx.Dialect().Widen(have.Type, col.Type); numeric {
		// Both are of one family, so a value that comes back changed was cut.
		bad = name + " IS NOT NULL AND CAST(" + try + " AS " + col.Type + ") IS DISTINCT FROM " + name
	}
	reason := fmt.Sprintf("the value of column %q is no %s", col.Name, have.Type)
	if err := s.setAside(ctx, tx, s.contract.Types, bad, reason); err != nil {
		return nil, err
	}
	change := func(ctx context.Context, tx *warehouse.Tx) error {
		try, drop, err := tryCast(ctx, tx, name, have.Type)
		if err != nil {
			return err
		}
		if err := s.alter(`ALTER COLUMN `+name+` TYPE `+have.Type+` USING `+try)(ctx, tx); err != nil {
			return err
		}
		return drop(ctx, tx)
	}
	return change, drop(ctx, tx)
}

// tryCast is an expression that is NULL where expr does not cast to typ, and
// what to do when it is no longer needed. Postgres has no such cast before
// version 16 and lends itself a function for the session.
func tryCast(ctx context.Context, tx *warehouse.Tx, expr, typ string) (string, alteration, error) {
	if !isPostgres(tx) {
		return "TRY_CAST(" + expr + " AS " + typ + ")", func(context.Context, *warehouse.Tx) error { return nil }, nil
	}
	const name = `pg_temp._elt_try_cast`
	// A type name without its modifiers: a function returns no numeric(12,2).
	_, err := tx.Exec(ctx, `CREATE FUNCTION `+name+`(v text) RETURNS text LANGUAGE plpgsql AS $elt$
		BEGIN PERFORM CAST(v AS `+typ+`); RETURN v; EXCEPTION WHEN data_exception THEN RETURN NULL; END $elt$`)
	drop := func(ctx context.Context, tx *warehouse.Tx) error {
		_, err := tx.Exec(ctx, `DROP FUNCTION `+name+`(text)`)
		return err
	}
	return "CAST(" + name + "(CAST(" + expr + " AS text)) AS " + typ + ")", drop, err
}

// settleKey sets aside the rows that no key identifies.
func (s *Staged) settleKey(ctx context.Context, tx *warehouse.Tx) error {
	if len(s.contract.Key) == 0 {
		return nil
	}
	if err := haveColumns(s.columns, "key", s.contract.Key...); err != nil {
		return err
	}
	return s.setAside(ctx, tx, Quarantine, nullKey(s.contract.Key),
		"the key ("+strings.Join(s.contract.Key, ", ")+") has a NULL")
}

func nullKey(key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = warehouse.Quote(k) + " IS NULL"
	}
	return strings.Join(parts, " OR ")
}

// haveColumns refuses names that the staged rows do not have.
func haveColumns(staged []warehouse.Column, what string, wanted ...string) error {
	for _, w := range wanted {
		if c, ok := find(staged, w); !ok || c.Name != w {
			return fmt.Errorf("%w: the %s column %q is not among the columns of the source (%s); correct `%s:` of the stream",
				ErrContract, what, w, strings.Join(names(dataColumns(staged)), ", "), what)
		}
	}
	return nil
}

// setAside takes the rows that match bad out of the stage. Under Quarantine each
// is kept with its key, reason and content; under Discard they are counted.
func (s *Staged) setAside(ctx context.Context, tx *warehouse.Tx, policy, bad, reason string) error {
	if policy == Quarantine {
		if err := s.quarantine(ctx, tx, bad, reason); err != nil {
			return err
		}
	}
	n, err := tx.Exec(ctx, `DELETE FROM `+s.table.String()+` WHERE `+bad)
	if err != nil {
		return err
	}
	s.rows -= n
	if policy == Quarantine {
		s.quarantined += n
	} else {
		s.discarded += n
	}
	return nil
}

func (s *Staged) quarantine(ctx context.Context, tx *warehouse.Tx, bad, reason string) error {
	data := names(dataColumns(s.columns))
	locator := "'row'"
	if key := s.locatorColumns(data); len(key) > 0 {
		parts := make([]string, len(key))
		for i, k := range key {
			parts[i] = warehouse.Literal(k+"=") + " || coalesce(CAST(" + warehouse.Quote(k) + " AS text), 'NULL')"
		}
		locator = strings.Join(parts, ` || ' ' || `)
	}
	q := `SELECT ` + locator + ` AS locator, CAST(to_json(doc) AS text) AS payload FROM (SELECT ` + list(data) + ` FROM ` +
		s.table.String() + ` WHERE ` + bad + `) AS doc`
	return warehouse.Each(ctx, tx, q, func(r rows.Row) error {
		return s.Rejects.Add(scan.Reject{Locator: r.String(0), Reason: reason, Payload: r.String(1)})
	})
}

// locatorColumns are the key, or the file, as far as they are staged.
func (s *Staged) locatorColumns(data []string) []string {
	wanted := s.contract.Key
	if len(wanted) == 0 && s.contract.Files {
		wanted = []string{warehouse.ColSource}
	}
	var out []string
	for _, w := range wanted {
		for _, d := range data {
			if d == w {
				out = append(out, w)
			}
		}
	}
	return out
}

// texts runs a SELECT of one text column.
func texts(ctx context.Context, tx *warehouse.Tx, q string, args ...any) ([]string, error) {
	var out []string
	err := warehouse.Each(ctx, tx, q, func(r rows.Row) error {
		out = append(out, r.String(0))
		return nil
	}, args...)
	return out, err
}
