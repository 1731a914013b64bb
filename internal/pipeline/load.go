package pipeline

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"elt/extract"
	"elt/internal/check"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/scan"
	"elt/internal/state"
	"elt/internal/warehouse"
	"elt/load"
)

// load is the step that everybody should read first: open the scan from the
// stored cursor, stage it, judge the staged rows, and in one Update publish,
// judge the table, and record the load, its findings and the cursor.
//
// A slow source never holds a warehouse transaction open, the checks judge rows
// that nobody can see yet, and the publish is short.
func (p *Pipeline) load(ctx context.Context, src *project.Source, st *project.Stream) (res event.Result, err error) {
	l := &loading{Pipeline: p, src: src, st: st, relation: src.Name + "." + st.Name, table: p.place(src.Name, st.Name)}
	declared, waiting, err := p.declared(ctx, p.DB, l.relation)
	if err != nil {
		return res, err
	}
	if l.rowChecks, l.tableChecks, err = splitChecks(declared, l.table); err != nil {
		return res, err
	}
	sc, err := l.open(ctx)
	if err != nil {
		return res, err
	}
	l.nothingNew = l.from != "" && len(sc.Parts()) == 0
	defer func() { err = errors.Join(err, sc.Close()) }()

	staged, err := load.Stage(ctx, p.DB, sc, l.contract())
	if err != nil {
		return res, err
	}
	defer func() { err = warehouse.Also(err, staged.Drop(context.WithoutCancel(ctx))) }()

	findings, err := l.judgeStage(ctx, staged)
	if err != nil {
		return res, err
	}
	findings = append(findings, waiting...)
	if !failed(findings) {
		next := sc.Cursor() // reads every file again, so not within the transaction
		err = p.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
			l.judged = findings
			return l.publish(ctx, tx, staged, next)
		})
		if err == nil {
			return l.result(l.judged), nil
		}
		if ctx.Err() != nil {
			return res, err
		}
		if !errors.Is(err, errCheck) {
			return res, warehouse.Also(err, p.Store.RecordFindings(ctx, p.record(l.judged)))
		}
		findings = l.judged
	}
	// The findings of what was rolled back, or never published, outlive it.
	err = p.DB.Update(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		if err := p.Store.SaveRejects(ctx, tx, l.relation, l.loadID, l.RunID, l.rejects.Rows()); err != nil {
			return err
		}
		return p.Store.SaveFindings(ctx, tx, p.record(findings))
	})
	if err != nil {
		return res, err
	}
	res = event.Result{Status: event.CheckFailed, Counts: []event.Count{{Label: "read", N: staged.Read()}, {Label: "published", N: 0}}}
	tell(&res, findings)
	return res, nil
}

// loading is one stream on its way into its table.
type loading struct {
	*Pipeline
	src                    *project.Source
	st                     *project.Stream
	spec                   extract.Spec
	relation               string
	table                  warehouse.Table
	from                   scan.Cursor
	rejects                *load.Rejects
	loadID                 string
	nothingNew             bool // the source has nothing that the last load had not read
	rowChecks, tableChecks []check.Check
	judged                 []check.Finding
	done                   load.Result
	high                   time.Time
	stale                  bool // older than its decision window
}

// stream opens the source and finds the stream.
func (l *loading) stream(ctx context.Context) (extract.Stream, error) {
	source, err := l.source(ctx, l.src)
	if err != nil {
		return nil, err
	}
	streams, err := source.Streams(ctx, l.st.Name)
	if err != nil {
		return nil, err
	}
	if len(streams) != 1 {
		return nil, fmt.Errorf("source %s has %d streams called %s, expected one", l.src.Name, len(streams), l.st.Name)
	}
	l.spec = streams[0].Spec()
	return streams[0], nil
}

func (l *loading) open(ctx context.Context) (scan.Scan, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return nil, err
	}
	if l.st.NullCursor == "include" && !l.spec.Files && l.declared() == load.Append && len(l.key()) == 0 {
		return nil, fmt.Errorf("null_cursor: include reads the rows without a %s on every run, and %s, which is appended and has no key, would get them each time: "+
			"add key: COLUMN, or say null_cursor: exclude", l.spec.Cursor, l.relation)
	}
	if !l.FullRefresh {
		if l.from, err = l.Store.Cursor(ctx, l.DB, l.relation); err != nil {
			return nil, err
		}
	}
	l.loadID = LoadID(time.Now())
	l.rejects = load.NewRejects(0)
	if !l.spec.Files && (l.disposition() == load.Replace || l.spec.Cursor == "") {
		l.from = "" // what replaces the table must be all of it
	}
	sc, err := stream.Open(ctx, extract.Request{From: l.from, Reject: l.rejects.Add})
	if err != nil || l.from == "" || l.disposition() != load.Replace || len(sc.Parts()) == 0 {
		return sc, err
	}
	if err := sc.Close(); err != nil { // some files are new: read all of them
		return nil, err
	}
	l.from = ""
	return stream.Open(ctx, extract.Request{Reject: l.rejects.Add})
}

// LoadID makes an id that sorts by time, so that engines prune by it.
func LoadID(now time.Time) string {
	return now.UTC().Format("20060102T150405.000000") + strings.ToLower(rand.Text()[:6])
}

func (l *loading) key() []string {
	if len(l.st.Key) > 0 {
		return l.st.Key
	}
	return l.spec.Key
}

func (l *loading) contract() load.Contract {
	var key []string
	if l.disposition() == load.Merge || l.distinct() {
		key = l.key()
	}
	return load.Contract{
		Table: l.table, LoadID: l.loadID, LoadedAt: time.Now().UTC(), Key: key, Cursor: l.spec.Cursor, NullCursor: l.nullCursor(key),
		Tables: l.st.Contract.Tables, Columns: l.st.Contract.Columns, Types: l.st.Contract.Types,
		Files: l.spec.Files, Replaces: l.disposition() == load.Replace, Rejects: l.rejects, TimeZone: l.Project.Timezone.String(), Progress: l.progress(Extract, l.relation),
	}
}

// nullCursor is what the load does with rows without a cursor: files are merged
// by it, and any other source sees to it while it reads.
func (l *loading) nullCursor(key []string) string {
	if !l.spec.Files || len(key) == 0 {
		return ""
	}
	return cmp.Or(l.st.NullCursor, "raise")
}

// disposition is how this run publishes the stream: a full refresh replaces.
func (l *loading) disposition() string {
	if l.FullRefresh {
		return load.Replace
	}
	return l.declared()
}

// distinct reports whether a full refresh must keep one row of each key, as the
// merges did whose rows it replaces.
func (l *loading) distinct() bool { return l.FullRefresh && l.declared() == load.Merge }

// declared is what the project says, or what suits the source.
func (l *loading) declared() string {
	switch {
	case l.st.Load != "":
		return l.st.Load
	case l.spec.Files:
		return load.File
	case l.spec.Cursor != "" && len(l.key()) > 0:
		return load.Merge
	case l.spec.Cursor != "":
		return load.Append
	default:
		return load.Replace
	}
}

// publish runs inside Update. Its findings go to l.judged, which outlives a rollback.
func (l *loading) publish(ctx context.Context, tx *warehouse.Tx, staged *load.Staged, next scan.Cursor) error {
	var err error
	disposition := l.disposition()
	l.done, err = staged.Publish(ctx, tx, load.Target{
		Disposition: disposition, Key: l.key(), Cursor: l.spec.Cursor, Time: l.spec.Time,
		OnEmpty: l.onEmpty(), Distinct: l.distinct(), Full: l.from == "", Overlap: l.overlap(disposition),
	})
	if err != nil {
		return err
	}
	columns, err := tx.Schema(ctx, l.table)
	if err != nil {
		return err
	}
	if len(columns) > 0 {
		if err := l.judgeTable(ctx, tx, columns, disposition); err != nil {
			return err
		}
	}
	if failed(l.judged) {
		return errCheck
	}
	return l.recordLoad(ctx, tx, columns, disposition, next)
}

// overlap reports whether the source may give rows that the table has already:
// with a lookback, and without one those at the cursor's value, where a source
// leaves them to the key, and those that have no cursor. A merge replaces these
// few; an append must not add them.
func (l *loading) overlap(disposition string) bool {
	return l.st.Lookback > 0 || disposition == load.Append && !l.spec.Files && l.spec.Cursor != "" && len(l.key()) > 0
}

// onEmpty is what an empty read means. Files that did not change since the last
// load say nothing about the table, whatever the stream says about empty sources.
func (l *loading) onEmpty() string {
	if l.nothingNew {
		return load.EmptyKeep
	}
	return l.st.OnEmpty
}

func (l *loading) recordLoad(ctx context.Context, tx *warehouse.Tx, columns []warehouse.Column, disposition string, next scan.Cursor) error {
	d := l.done
	status := "ok"
	if l.stale {
		status = "stale"
	}
	steps := []func() error{
		func() error {
			return l.Store.SaveLoad(ctx, tx, state.Load{ID: l.loadID, RunID: l.RunID, Stream: l.relation, Table: l.table.Display(),
				Disposition: disposition, CursorFrom: l.from, CursorTo: next, Read: d.Read, Staged: d.Staged, Quarantined: d.Quarantined,
				Discarded: d.Discarded, Published: d.Published, Superseded: d.Superseded, AlreadyPresent: d.AlreadyPresent,
				Deleted: d.Deleted, Checksum: d.Checksum, HighWater: l.high, Status: status, At: time.Now().UTC()})
		},
		func() error { return l.Store.SaveRejects(ctx, tx, l.relation, l.loadID, l.RunID, l.rejects.Rows()) },
		func() error { return l.Store.SaveFindings(ctx, tx, l.record(l.judged)) },
	}
	if len(columns) > 0 {
		steps = append(steps, func() error { return l.Store.SaveColumns(ctx, tx, l.relation, columns) },
			func() error { return l.saveFreshness(ctx, tx, status) })
	}
	if next != "" { // invariant 1: with the rows, and a run of no rows keeps what there is
		steps = append(steps, func() error { return l.Store.SaveCursor(ctx, tx, l.relation, next, l.loadID) })
	}
	if next == "" && l.FullRefresh && l.onEmpty() != load.EmptyKeep { // the table is empty: nothing lies before the cursor
		steps = append(steps, func() error { return l.Store.DropCursor(ctx, tx, l.relation) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// saveFreshness tells how current the table is. A load that read nothing did not
// update it.
func (l *loading) saveFreshness(ctx context.Context, tx *warehouse.Tx, status string) error {
	f := state.Freshness{Relation: l.relation, HighWater: l.high, Status: status}
	if l.done.Read > 0 || l.from == "" {
		f.UpdatedAt = time.Now().UTC()
	}
	return countRows(ctx, tx, l.table, func(n int64) error {
		f.Rows = n
		return l.Store.SaveFreshness(ctx, tx, f)
	})
}

func (l *loading) result(findings []check.Finding) event.Result {
	d := l.done
	if !l.byWindows(l.relation) {
		l.setHigh(l.relation, l.high)
	}
	res := event.Result{AsOf: l.high, Counts: []event.Count{{Label: "read", N: d.Read}, {Label: "published", N: d.Published}}}
	for _, c := range []event.Count{{Label: "superseded", N: d.Superseded}, {Label: "already present", N: d.AlreadyPresent},
		{Label: "discarded", N: d.Discarded}, {Label: "quarantined", N: d.Quarantined}} {
		if c.N > 0 {
			res.Counts = append(res.Counts, c)
		}
	}
	var rest []check.Finding
	for _, f := range findings {
		if f.Check == "quarantine" {
			res.Warnings = append(res.Warnings, event.Warning{Subject: l.relation, Text: f.Observed + " quarantined, limit " + strings.TrimPrefix(f.Expected, "at most "),
				Detail: strings.Join(f.Samples, ""), Hint: "elt quarantine " + l.relation})
			continue
		}
		rest = append(rest, f)
	}
	tell(&res, rest)
	for _, c := range d.Changes {
		if l.from == "" && !l.FullRefresh && !l.byWindows(l.relation) { // a first load makes its table: that is no news
			break
		}
		res.Warnings = append(res.Warnings, event.Warning{Subject: l.relation, Text: c})
	}
	return res
}
