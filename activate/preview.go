package activate

import (
	"context"
	"fmt"
	"strings"

	"elt/internal/rows"
	"elt/internal/state"
	"elt/internal/warehouse"
)

// PreviewOptions say what a preview is to find out besides the counts.
type PreviewOptions struct {
	Samples int  // how many rows of each kind to show
	Hash    bool // of the plan, to approve it by
}

// Preview is what a plan would find.
type Preview struct {
	Result  Result // Deferred holds what would be sent
	Outline Outline
	Held    []Tripped // the guards that would hold the run
	Rows    []Shown
}

// Shown is one row of a plan, for people.
type Shown struct {
	What string // create, change, delete, or again: its last outcome is not known
	Key  string // as a JSON object
	Old  string // what the destination acknowledged last, as a JSON object; "" where nobody knows
	New  string // what would be sent, also where that is what an earlier run sent; "" for a delete
}

// NewPreview plans a sync without a lease and without writing.
func NewPreview(ctx context.Context, db *warehouse.DB, st *state.Store, sync Sync, opts PreviewOptions) (Preview, error) {
	if err := sync.validate(); err != nil {
		return Preview{}, err
	}
	p := newPlan(db, st, sync)
	var v Preview
	err := db.View(ctx, func(ctx context.Context, tx *warehouse.Tx) error {
		_, upgraded, err := p.engine(ctx, tx)
		if err != nil {
			return err
		}
		d, err := p.diff(ctx, tx, upgraded, true)
		if err != nil {
			return err
		}
		if sync.Mode == ModeMirror {
			d.query = `SELECT * FROM (` + d.query + `) AS here UNION ALL SELECT * FROM (` + p.goneKeys(d.src.here(tx.Dialect()), "") + `) AS gone`
		}
		return p.preview(ctx, tx, d, opts, &v)
	})
	if err != nil {
		return Preview{}, fmt.Errorf("plan sync %s: %w", sync.Name, err)
	}
	return v, nil
}

func (p *Plan) preview(ctx context.Context, tx *warehouse.Tx, d difference, opts PreviewOptions, v *Preview) error {
	r := &v.Result
	err := warehouse.Each(ctx, tx, `SELECT `+classes+` FROM (`+d.query+`) AS d GROUP BY `+byClass, func(row rows.Row) error {
		r.count(row.String(0), row.Int(1), row.Bool(2))
		v.Outline.add(row.String(0), row.Bool(3), row.Int(1))
		return nil
	}, d.args...)
	if err == nil {
		err = r.remainder(d.read)
	}
	if err == nil {
		err = p.countThere(ctx, tx, &v.Outline)
	}
	if err != nil {
		return err
	}
	r.Deferred, r.Gone.Deferred = r.Planned-r.Rejected, r.Gone.Planned-r.Gone.Rejected
	v.Held = p.sync.Guards.Judge(v.Outline, r.Unchanged+r.Planned)
	if opts.Hash {
		if v.Outline.Hash, err = p.hash(ctx, tx, d.query, d.args); err != nil {
			return err
		}
	}
	if opts.Samples > 0 && v.Outline.Sends() > 0 {
		v.Rows, err = p.shown(ctx, tx, d, opts.Samples)
	}
	return err
}

// shown are up to limit rows of each kind, the first by their keys, with what the
// destination acknowledged last of them.
func (p *Plan) shown(ctx context.Context, tx *warehouse.Tx, d difference, limit int) ([]Shown, error) {
	var list []Shown
	var hashes []string
	err := warehouse.Each(ctx, tx, `SELECT class, ownership IS NOT NULL, key_json,
			CASE WHEN `+p.resent(p.sync.Replay)+` THEN prev_payload ELSE payload END, key_hash FROM (
			SELECT *, row_number() OVER (PARTITION BY class ORDER BY key_json) AS nth FROM (`+d.query+`) AS d WHERE seq IS NOT NULL) AS ranked
		WHERE nth <= `+fmt.Sprint(limit)+` ORDER BY class, key_json`, func(r rows.Row) error {
		var o Outline
		o.add(r.String(0), r.Bool(1), 1)
		s := Shown{What: o.only(), Key: strings.Clone(r.String(2)), New: strings.Clone(r.String(3))}
		list = append(list, s)
		hashes = append(hashes, strings.Clone(r.String(4)))
		return nil
	}, d.args...)
	if err != nil {
		return nil, err
	}
	for i, hash := range hashes {
		if list[i].What == "create" {
			continue
		}
		if list[i].Old, err = p.acked(ctx, tx, hash); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// only is what an outline of one row does.
func (o Outline) only() string {
	switch {
	case o.Creates > 0:
		return "create"
	case o.Changes > 0:
		return "change"
	case o.Deletes > 0:
		return "delete"
	default:
		return "again"
	}
}

// acked is the payload that the destination acknowledged last of a key; "" where
// its record has been pruned.
func (p *Plan) acked(ctx context.Context, q warehouse.Querier, keyHash string) (payload string, err error) {
	err = warehouse.Each(ctx, q, `SELECT payload FROM `+state.Attempts+` WHERE `+mine+` AND key_hash = $5 AND status = 'acked'
		ORDER BY recorded_at DESC LIMIT 1`, func(r rows.Row) error {
		payload = strings.Clone(r.String(0))
		return nil
	}, p.id(keyHash)...)
	return payload, err
}
