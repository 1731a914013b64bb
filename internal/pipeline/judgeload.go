package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"elt/internal/check"
	"elt/internal/project"
	"elt/internal/warehouse"
	"elt/load"
)

// judgeStage judges each staged row, and the share that the source rejected.
func (l *loading) judgeStage(ctx context.Context, staged *load.Staged) ([]check.Finding, error) {
	rel := check.Relation{SQL: staged.Relation().String(), Name: l.relation, Dialect: l.DB.Dialect().Name}
	var findings []check.Finding
	if staged.Rows() > 0 {
		var err error
		if findings, err = l.evaluate(ctx, l.DB, l.rowChecks, rel, l.Now); err != nil {
			return nil, err
		}
	}
	if f, ok := l.quarantine(staged); ok {
		findings = append(findings, f)
	}
	return findings, nil
}

// quarantine judges the rejected rows against their limit, 1% unless the stream
// says otherwise.
func (l *loading) quarantine(staged *load.Staged) (check.Finding, bool) {
	n, read := staged.Quarantined(), staged.Read()
	if n == 0 {
		return check.Finding{}, false
	}
	limit := l.st.QuarantineMax
	if !limit.Set {
		limit = project.Limit{Percent: 1, Set: true}
	}
	share := 100 * float64(n) / float64(max(read, 1))
	f := check.Finding{Check: "quarantine", Relation: l.relation, Severity: check.Warn, OK: false, Failed: n,
		Observed: fmt.Sprintf("%d of %d rows (%.2f%%)", n, read, share), Expected: fmt.Sprintf("at most %g%%", limit.Percent)}
	over := share > limit.Percent
	if limit.Rows > 0 {
		f.Expected, over = fmt.Sprintf("at most %d", limit.Rows), n > limit.Rows
	}
	if over {
		f.Severity = check.Error
	}
	if bad := l.rejects.Rows(); len(bad) > 0 {
		first := MaskReject(l.st, bad[0])
		f.Samples = []string{first.Reason + " · " + first.Locator}
	}
	return f, true
}

// judgeTable judges the table as it will be.
func (l *loading) judgeTable(ctx context.Context, tx *warehouse.Tx, columns []warehouse.Column, disposition string) error {
	rel := check.Relation{SQL: l.table.String(), Name: l.relation, Dialect: tx.Dialect().Name}
	findings, err := l.evaluate(ctx, tx, l.tableChecks, rel, l.Now)
	if err != nil {
		return err
	}
	l.judged = append(l.judged, findings...)
	f, err := l.drifted(ctx, columns)
	if err != nil {
		return err
	}
	l.judged = append(l.judged, f)
	l.judged = append(l.judged, l.unmarked(columns)...)
	switch {
	case l.spec.Time != "":
		if l.high, err = highWater(ctx, tx, l.table, l.spec.Time); err != nil {
			return err
		}
		if err := l.judgeDay(ctx, tx); err != nil {
			return err
		}
	case disposition == load.Replace && !l.nothingNew:
		if err := l.judgeReplace(ctx, tx); err != nil {
			return err
		}
		l.high = l.Now
	default:
		if l.high, err = l.lastNews(ctx); err != nil {
			return err
		}
	}
	f = check.Freshness(l.relation, l.high, l.Now, l.window())
	l.stale = !f.OK && f.Severity == check.Error
	if f.Severity == check.Error { // old data are worth having: they are told, never held back
		f.Severity = check.Warn
	}
	l.judged = append(l.judged, f)
	return nil
}

// drifted compares the columns with those of the last publish, and tells of those
// that are gone from the source.
func (l *loading) drifted(ctx context.Context, columns []warehouse.Column) (check.Finding, error) {
	f, err := l.drift(ctx, l.relation, columns)
	if gone := strings.Join(l.done.Gone, "; "); err == nil && gone != "" {
		if !f.OK {
			gone = f.Observed + "; " + gone
		}
		f.OK, f.Observed = false, gone
	}
	return f, err
}

// lastNews is how new a table without a time column is: as of now when this load
// read something, else as of the last load that did. A source that has gone
// silent must not look fresh.
func (l *loading) lastNews(ctx context.Context) (time.Time, error) {
	if l.done.Read > 0 || l.from == "" {
		return l.Now, nil
	}
	known, err := l.Store.Freshness(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, f := range known {
		if f.Relation == l.relation {
			return f.HighWater, nil
		}
	}
	return l.Now, nil
}

// window is how old the data may be when they are used; 0: nobody said.
func (l *loading) window() time.Duration {
	return l.st.DecisionWindow
}
