package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"elt/internal/event"
	"elt/internal/lineage"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/load"
	"elt/transform"
)

// late warns of rows that streams have published since m was last built and that
// lie before the window of this build: m does not have them, and no later run
// will look there.
//
// It tells only what load ids tell: rows of a merge, of an append and of files
// that are new. What replaces its table, or a rewritten file, gives all its rows
// a new id. A stream counts where the time column of the model is made of one of
// its columns: rows of a dimension are older than any window.
func (p *Pipeline) late(ctx context.Context, tx *warehouse.Tx, m *transform.Model, start time.Time) ([]event.Warning, error) {
	builds, err := p.Store.Builds(ctx, m.FullName(), 1)
	if err != nil || len(builds) == 0 || start.IsZero() {
		return nil, err
	}
	var out []event.Warning
	for _, stream := range p.streamsBelow(m) {
		ids, err := p.addedSince(ctx, stream, builds[0].At)
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			continue
		}
		schema, name, _ := strings.Cut(stream, ".")
		table := p.place(schema, name)
		columns, err := tx.Schema(ctx, table)
		if err != nil {
			return nil, err
		}
		column := p.timeBelow(m, stream, columns)
		if column == "" {
			continue
		}
		n, oldest, err := older(ctx, tx, table, column, ids, start)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			count := fmt.Sprintf("%d rows", n)
			if n == 1 {
				count = "1 row"
			}
			out = append(out, event.Warning{Subject: m.FullName(),
				Text: fmt.Sprintf("%s of %s came too late for it: new there, but before %s, where this build begins; the oldest is of %s",
					count, stream, start.In(p.Project.Timezone).Format(time.DateOnly), oldest.In(p.Project.Timezone).Format(time.DateOnly)),
				Hint: "take them in: elt run " + m.FullName() + "+ --full-refresh, and let lookback reach as far as rows are late"})
		}
	}
	return out, nil
}

// streamsBelow are the streams that m is made of, through any number of models.
func (p *Pipeline) streamsBelow(m *transform.Model) []string {
	var streams []string
	seen := map[string]bool{}
	for next := slices.Clone(m.Needs); len(next) > 0; {
		table := next[0]
		next = next[1:]
		if seen[table] {
			continue
		}
		seen[table] = true
		if below := p.Graph.Model(table); below != nil {
			next = append(next, below.Needs...)
		} else {
			streams = append(streams, table)
		}
	}
	slices.Sort(streams)
	return streams
}

// addedSince are the loads of a stream whose rows were added since a time.
func (p *Pipeline) addedSince(ctx context.Context, stream string, since time.Time) ([]string, error) {
	loads, err := p.Store.Loads(ctx, stream, 100)
	if err != nil {
		return nil, err
	}
	added := func(l state.Load) bool {
		switch l.Disposition {
		case load.Merge, load.Append:
			return l.Published > 0
		case load.File:
			return l.Published > 0 && l.Deleted == 0
		}
		return false
	}
	var ids []string
	for _, l := range loads {
		if l.At.After(since) && added(l) {
			ids = append(ids, l.ID)
		}
	}
	return ids, nil
}

// timeBelow is the column of a stream's table that the time column of m is made
// of; "" where there is none, or none that is a time.
func (p *Pipeline) timeBelow(m *transform.Model, stream string, columns []warehouse.Column) string {
	tables := lineage.Tables{}
	var names []string
	for _, c := range columns {
		if typ := strings.ToLower(c.Type); typ == "date" || strings.HasPrefix(typ, "timestamp") {
			names = append(names, c.Name)
		}
	}
	tables.Mark(stream, names...)
	for _, below := range p.Graph.Models {
		tables.Trace(lineage.Model{Name: below.FullName(), Flow: below.Flow()})
	}
	of := tables.Of(m.FullName())
	from := of.Origin(m.Time)
	if from == "" || from == of.Unsure() {
		return ""
	}
	return strings.TrimPrefix(from, stream+".")
}

// older counts the rows of some loads before a time, and tells their oldest.
func older(ctx context.Context, tx *warehouse.Tx, t warehouse.Table, column string, ids []string, start time.Time) (n int64, oldest time.Time, err error) {
	args := []any{start.UTC()}
	var places []string
	for _, id := range ids {
		args = append(args, id)
		places = append(places, fmt.Sprintf("$%d", len(args)))
	}
	at := "CAST(" + warehouse.Quote(column) + " AS timestamp with time zone)"
	q := "SELECT count(*), min(" + at + ") FROM " + t.String() + " WHERE " + at + " < $1 AND _elt_load_id IN (" + strings.Join(places, ", ") + ")"
	err = warehouse.Each(ctx, tx, q, func(r rows.Row) error { n, oldest = r.Int(0), r.Time(1); return nil }, args...)
	if err != nil {
		return 0, oldest, fmt.Errorf("late rows of %s: %w", t.Display(), err)
	}
	return n, oldest, nil
}
