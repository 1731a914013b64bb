package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"elt/internal/check"
	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/window"
)

// volumeDays is how far back the check of volume looks: eight weeks and the day
// that it judges.
const volumeDays = 57

// volumeFinding adds the finding of the check of volume as the stream wants it.
func (l *loading) volumeFinding(f check.Finding) {
	switch l.st.Volume {
	case "off":
		return
	case "warn":
		f.Severity = check.Warn
	}
	l.judged = append(l.judged, f)
}

// judgeReplace compares the whole table with what the last replaces put there.
func (l *loading) judgeReplace(ctx context.Context, tx *warehouse.Tx) error {
	history, err := l.Store.VolumeHistory(ctx, l.relation, 28)
	if err != nil {
		return err
	}
	var before []int64
	for _, v := range slices.Backward(history) { // newest first
		before = append(before, v.Rows)
	}
	l.volumeFinding(check.Whole(l.relation, l.done.Published, before))
	return l.Store.SaveVolume(ctx, tx, l.relation, state.Volume{Slot: time.Now().UTC(), Rows: l.done.Published})
}

// judgeDay judges the last closed day of the table by its time column, so that a
// rerun that finds nothing new is no anomaly, and records what the first run after
// its end saw: one that judges the same weekday later compares with what could be
// known by then.
func (l *loading) judgeDay(ctx context.Context, tx *warehouse.Tx) error {
	zone := l.Project.Timezone
	today := window.StartOfDay(l.Now, zone)
	first := window.StartOfDay(today.AddDate(0, 0, -volumeDays), zone)
	counts, err := l.countDays(ctx, tx, first, today)
	if err != nil {
		return err
	}
	history, err := l.Store.VolumeHistory(ctx, l.relation, volumeDays+1)
	if err != nil {
		return err
	}
	seen := map[int64]int64{}
	for _, v := range history {
		seen[v.Slot.Unix()] = v.Rows
	}
	var days []check.Day
	for d := first; d.Before(today); d = window.StartOfDay(d.Add(36*time.Hour), zone) {
		day := check.Day{At: d.In(zone), Rows: counts[d.In(zone).Format(time.DateOnly)], Seen: -1}
		if n, ok := seen[d.Unix()]; ok {
			day.Seen = n
		}
		days = append(days, day)
	}
	last := days[len(days)-1]
	if last.Seen >= 0 && last.Rows >= last.Seen { // judged, and later runs of a day may see more of the day before
		return nil
	}
	l.volumeFinding(check.Daily(l.relation, days))
	if last.Seen >= 0 {
		return nil
	}
	return l.Store.SaveVolume(ctx, tx, l.relation, state.Volume{Slot: last.At.UTC(), Rows: last.Rows})
}

// countDays counts the rows of each day of [from, to), by its date.
func (l *loading) countDays(ctx context.Context, tx *warehouse.Tx, from, to time.Time) (map[string]int64, error) {
	counts := map[string]int64{}
	q := fmt.Sprintf(`SELECT CAST(CAST(%[1]s AS date) AS text), count(*) FROM %[2]s
		WHERE CAST(%[1]s AS timestamp with time zone) >= $1 AND CAST(%[1]s AS timestamp with time zone) < $2 GROUP BY 1`,
		warehouse.Quote(l.spec.Time), l.table)
	err := warehouse.Each(ctx, tx, q, func(r rows.Row) error { counts[r.String(0)] = r.Int(1); return nil }, from.UTC(), to.UTC())
	if err != nil {
		return nil, fmt.Errorf("volume of %s: %w", l.table.Display(), err)
	}
	return counts, nil
}
