package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/rows"
	"elt/internal/warehouse"
	"elt/window"
)

// incremental builds a window of days, or the rows of the query by their key,
// into the table that stands; all of it where none does.
func (b *builder) incremental(ctx context.Context, tx *warehouse.Tx) error {
	kind, err := kindOf(ctx, tx, b.m.Table)
	if err != nil {
		return err
	}
	w, all := b.w, b.opts.FullRefresh && b.w.IsZero()
	if b.m.Windowed() && kind == kindTable && !all && w.IsZero() {
		if w, err = b.due(ctx, tx); err != nil {
			return err
		}
		all = w.IsZero()
	}
	if b.m.Windowed() {
		b.res.Window = w
		b.res.Note = days(w, b.m.zone)
	} else {
		b.res.Note = "by key"
	}
	if kind != kindTable || all {
		return b.first(ctx, tx)
	}
	fresh, err := b.aside(ctx, tx, b.res.Window)
	if err != nil {
		return err
	}
	where, err := b.stale(ctx, tx, fresh)
	if err != nil {
		return err
	}
	cols, err := b.grow(ctx, tx)
	if err != nil {
		return err
	}
	if b.res.Replaced, err = tx.Exec(ctx, `DELETE FROM `+b.m.Table.String()+` AS t WHERE `+where); err != nil {
		return err
	}
	err = execAll(ctx, tx, `INSERT INTO `+b.m.Table.String()+` (`+cols+`) SELECT `+cols+` FROM `+fresh.String(), `DROP TABLE `+fresh.String())
	if err != nil {
		return err
	}
	return b.verify(ctx, tx, b.m.Table)
}

// first builds the whole table; by key it may not begin with doubles either.
func (b *builder) first(ctx context.Context, tx *warehouse.Tx) error {
	if b.m.Windowed() {
		return b.whole(ctx, tx)
	}
	inner := b.opts.Verify
	b.opts.Verify = func(ctx context.Context, tx *warehouse.Tx, rel warehouse.Table) error {
		if err := b.keys(ctx, tx, rel); err != nil || inner == nil {
			return err
		}
		return inner(ctx, tx, rel)
	}
	return b.whole(ctx, tx)
}

// stale is the condition of the rows of t that fresh replaces.
func (b *builder) stale(ctx context.Context, tx *warehouse.Tx, fresh warehouse.Table) (string, error) {
	if b.m.Windowed() {
		filter, err := b.filter(b.res.Window)
		return filter, b.judged(err)
	}
	if err := b.keys(ctx, tx, fresh); err != nil {
		return "", err
	}
	var same []string
	for _, k := range b.m.Key {
		same = append(same, "s."+warehouse.Quote(k)+" = t."+warehouse.Quote(k))
	}
	return `EXISTS (SELECT 1 FROM ` + fresh.String() + ` AS s WHERE ` + strings.Join(same, " AND ") + `)`, nil
}

// keys fails when rows cannot be told apart by the key: those would pile up with
// every build.
func (b *builder) keys(ctx context.Context, tx *warehouse.Tx, t warehouse.Table) error {
	var names, null []string
	for _, k := range b.m.Key {
		names = append(names, warehouse.Quote(k))
		null = append(null, warehouse.Quote(k)+" IS NULL")
	}
	n, err := count(ctx, tx, `SELECT count(*) FROM `+t.String()+` WHERE `+strings.Join(null, " OR "))
	if err != nil {
		return err
	}
	if n > 0 {
		return b.judged(fmt.Errorf("%d rows have NULL in the key (%s): filter them out or fill them", n, strings.Join(b.m.Key, ", ")))
	}
	list := strings.Join(names, ", ")
	n, err = count(ctx, tx, `SELECT count(*) FROM (SELECT `+list+` FROM `+t.String()+` GROUP BY `+list+` HAVING count(*) > 1) AS d`)
	if err != nil {
		return err
	}
	if n > 0 {
		return b.judged(fmt.Errorf("%d keys (%s) have more than one row: keep one, such as the newest", n, strings.Join(b.m.Key, ", ")))
	}
	return nil
}

// due is the window of a run that was given none: from the day of the newest
// row, less lookback, to the end of the clock's day. Zero: the table is empty.
func (b *builder) due(ctx context.Context, tx *warehouse.Tx) (window.Window, error) {
	newest, err := b.newest(ctx, tx)
	if err != nil || newest.IsZero() {
		return window.Window{}, err
	}
	if due := b.opts.DueFrom; !due.IsZero() && due.Before(newest) {
		newest = due
	}
	if newest.After(b.opts.Now) {
		newest = b.opts.Now
	}
	from := newest.Add(-b.m.Lookback)
	if day := 24 * time.Hour; b.m.Lookback%day == 0 { // days of the calendar, whatever their length
		from = newest.In(b.m.zone).AddDate(0, 0, -int(b.m.Lookback/day))
	}
	return window.Window{Start: window.StartOfDay(from, b.m.zone).UTC(), End: nextDay(b.opts.Now, b.m.zone).UTC()}, nil
}

// newest is the time of the newest row of the table; zero: it has none.
func (b *builder) newest(ctx context.Context, tx *warehouse.Tx) (newest time.Time, err error) {
	f, err := b.timeForm()
	if err != nil {
		return newest, b.judged(err)
	}
	err = warehouse.Each(ctx, tx, `SELECT max(`+warehouse.Quote(b.m.Time)+`) FROM `+b.m.Table.String(), func(r rows.Row) error {
		newest = r.Time(0)
		return nil
	})
	if err == nil && !newest.IsZero() && f != formInstant { // the wall clock of the zone
		y, m, d := newest.Date()
		newest = time.Date(y, m, d, newest.Hour(), newest.Minute(), newest.Second(), newest.Nanosecond(), b.m.zone)
	}
	return newest, err
}

// Newest is the time of the newest row that the table of m, a model with a time
// column, holds; zero when there is no such table, or it is empty.
func Newest(ctx context.Context, tx *warehouse.Tx, m *Model) (time.Time, error) {
	b := &builder{m: m}
	var err error
	if b.res.Columns, err = tx.Schema(ctx, m.Table); err != nil || len(b.res.Columns) == 0 {
		return time.Time{}, err
	}
	newest, err := b.newest(ctx, tx)
	if err != nil {
		return newest, fmt.Errorf("find the newest row of %s: %w", m.FullName(), err)
	}
	return newest, nil
}

// timeForm is how values of the time column are written.
func (b *builder) timeForm() (form, error) {
	c := find(b.res.Columns, b.m.Time)
	if c == nil {
		return 0, fmt.Errorf("the time column %s is not among the model's columns: %s", b.m.Time, columnList(b.res.Columns))
	}
	typ := strings.ToLower(c.Type)
	switch {
	case typ == "date":
		return formDate, nil
	case strings.HasPrefix(typ, "timestamp") && strings.Contains(typ, "with time zone"):
		return formInstant, nil
	case strings.HasPrefix(typ, "timestamp"):
		return formTimestamp, nil
	}
	return 0, fmt.Errorf("the time column %s is %s: cast it to date, timestamp or timestamptz", b.m.Time, c.Type)
}

// filter is the condition of the rows of a window; "" for all.
func (b *builder) filter(w window.Window) (string, error) {
	if !b.m.Windowed() || w.IsZero() {
		return "", nil
	}
	f, err := b.timeForm()
	if err != nil {
		return "", err
	}
	typ := map[form]string{formDate: "date ", formTimestamp: "timestamp ", formInstant: "timestamptz "}[f]
	col := warehouse.Quote(find(b.res.Columns, b.m.Time).Name)
	bound := func(name, op string) string {
		return col + op + typ + marker{name: name, form: f}.literal(w, b.opts.Now, b.m.zone)
	}
	var parts []string
	if !w.Start.IsZero() {
		parts = append(parts, bound("window_start", " >= "))
	}
	if !w.End.IsZero() {
		parts = append(parts, bound("window_end", " < "))
	}
	return strings.Join(parts, " AND "), nil
}

// grow brings the columns of the table in line with the query's without touching
// what is there: new ones are added, types widened, none is dropped. It returns
// the columns to insert.
func (b *builder) grow(ctx context.Context, tx *warehouse.Tx) (string, error) {
	old, err := tx.Schema(ctx, b.m.Table)
	if err != nil {
		return "", err
	}
	var changes []string
	alter := `ALTER TABLE ` + b.m.Table.String()
	for _, c := range missing(b.res.Columns, old) {
		changes = append(changes, alter+` ADD COLUMN `+warehouse.Quote(c.Name)+` `+c.Type)
		b.res.Changes = append(b.res.Changes, fmt.Sprintf("added column %s (%s), NULL in rows of earlier runs", c.Name, c.Type))
	}
	for _, c := range missing(old, b.res.Columns) {
		b.res.Changes = append(b.res.Changes, fmt.Sprintf("column %s is no longer in the query, NULL in new rows", c.Name))
	}
	retyped := false
	for _, c := range b.res.Columns {
		o := find(old, c.Name)
		if o == nil || o.Type == c.Type {
			continue
		}
		wide, ok := b.dialect.Widen(o.Type, c.Type)
		switch {
		case !ok:
			return "", b.judged(fmt.Errorf("column %s is %s now and was %s, which cannot hold both: elt run %s --full-refresh, or cast it",
				c.Name, c.Type, o.Type, b.m.FullName()))
		case wide != o.Type:
			retyped = true
			changes = append(changes, alter+` ALTER COLUMN `+warehouse.Quote(c.Name)+` TYPE `+wide)
			b.res.Changes = append(b.res.Changes, fmt.Sprintf("column %s is %s now, was %s", c.Name, wide, o.Type))
		}
	}
	if len(changes) > 0 {
		if err := b.alter(ctx, tx, changes, retyped, old); err != nil {
			return "", err
		}
	}
	return columnList(b.res.Columns), nil
}

// alter changes the table under its views. Postgres refuses another type while
// a view reads the column, so those that elt owns are made again.
func (b *builder) alter(ctx context.Context, tx *warehouse.Tx, changes []string, retyped bool, old []warehouse.Column) error {
	if b.dialect.Name != postgres {
		if err := execAll(ctx, tx, changes...); err != nil {
			return err
		}
		now := append(slices.Clone(old), missing(b.res.Columns, old)...)
		b.res.Columns, now = now, b.res.Columns
		err := b.refreshViews(ctx, tx, old)
		b.res.Columns = now
		return err
	}
	if !retyped {
		return execAll(ctx, tx, changes...)
	}
	deps, err := dependents(ctx, tx, b.m.Table, kindTable)
	if err != nil {
		return err
	}
	return b.replace(ctx, tx, kindNone, deps, b.m.Table, func() error { return execAll(ctx, tx, changes...) })
}

// days is what a window covers in words.
func days(w window.Window, zone *time.Location) string {
	if w.Start.IsZero() || w.End.IsZero() {
		return "all days"
	}
	n := 0
	for at := window.StartOfDay(w.Start, zone); at.Before(w.End); at = nextDay(at, zone) {
		n++
	}
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
