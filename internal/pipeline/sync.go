package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"elt/activate"
	"elt/activate/fake"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/warehouse"
	"elt/internal/yamlx"
	"elt/transform"
)

// sync plans the difference between a model and what its destination last
// acknowledged, and pushes it.
func (p *Pipeline) sync(ctx context.Context, s *project.Sync) (res event.Result, err error) {
	sync, err := p.activation(s)
	if err != nil {
		return res, err
	}
	plan, err := activate.NewPlan(ctx, p.DB, p.Store, sync)
	if err != nil {
		return res, err
	}
	defer func() { err = warehouse.Also(err, plan.Close(context.WithoutCancel(ctx))) }()
	held, done, err := plan.Guard(ctx, p.Approved[s.Name])
	if errors.Is(err, activate.ErrPlanChanged) {
		return res, fmt.Errorf("%w: nothing was pushed; the next run judges it anew", err)
	}
	if err != nil {
		return res, err
	}
	if held {
		return p.heldBack(s, done), nil
	}
	conn, err := p.destination(ctx, s)
	if err != nil {
		return res, fmt.Errorf("open %s: %w", s.To, err)
	}
	defer func() { err = errors.Join(err, conn.Destination.Close()) }()
	done, err = plan.Push(ctx, conn, activate.Options{
		Progress: p.progress(Sync, s.Name), Mask: p.masker(s), Drain: p.drain, Accounts: &p.accounts, Zone: p.Project.Timezone,
	})
	if err != nil {
		return res, err
	}
	var invalid []activate.InvalidKind
	if done.Invalid > 0 {
		if invalid, err = plan.Invalid(ctx); err != nil {
			return res, err
		}
		for i := range invalid {
			invalid[i].Key = p.MaskPushed(s, invalid[i].Key)
		}
	}
	if done.Barred != nil {
		done.Problem = "" // it is the step's error
	}
	none, err := noneTaken(ctx, plan, done)
	if err != nil {
		return res, err
	}
	res = told(s, p.maskKeys(s, done), invalid, none)
	doubts, err := p.doubts(ctx, s, done)
	if err != nil {
		return res, err
	}
	res.Warnings = append(res.Warnings, doubts...)
	return res, done.Barred
}

// Invalid lists up to limit rows of the model of a sync, as it stands now, that
// the sync cannot send; none when the model is not built.
func (p *Pipeline) Invalid(ctx context.Context, s *project.Sync, limit int) ([]activate.InvalidRow, error) {
	sync, err := p.activation(s)
	if err != nil {
		return nil, err
	}
	columns, err := p.columns(ctx, sync.Model)
	if err != nil || len(columns) == 0 {
		return nil, err
	}
	return activate.InvalidRows(ctx, p.DB, p.Store, sync, limit)
}

// columns are those of a table or view; none when there is no such.
func (p *Pipeline) columns(ctx context.Context, t warehouse.Table) (columns []warehouse.Column, err error) {
	err = p.DB.View(ctx, func(ctx context.Context, tx *warehouse.Tx) (err error) {
		columns, err = tx.Schema(ctx, t)
		return err
	})
	return columns, err
}

// activation is a declared sync as the engine takes it.
func (p *Pipeline) activation(s *project.Sync) (activate.Sync, error) {
	m := p.Graph.Model(s.Model)
	if m == nil {
		return activate.Sync{}, fmt.Errorf("sync %s: no model %s", s.Name, s.Model)
	}
	account := p.account(s.Connection)
	out := activate.Sync{Name: s.Name, Model: m.Table, Object: s.Object, Mode: s.Mode, Key: s.Key, RunID: p.RunID,
		Account:  p.accountOf(s),
		TargetFP: activate.Fingerprint(p.Push, s.Connection.Type, account, s.Object), Fields: fieldsOf(s), Replay: p.settling(s).Replay}
	var err error
	out.Guards, err = guardsOf(s)
	return out, err
}

// destination opens where a sync pushes to: with push: fake what stands in for it,
// with its rows in a file of the project, one for each target.
func (p *Pipeline) destination(ctx context.Context, s *project.Sync) (activate.Connector, error) {
	cfg := destinationConfig(p.Project, s)
	kind, err := p.destinationKind(s.Connection.Type)
	if p.Push == "fake" {
		faults, err := Faults(p.Target)
		if err != nil {
			return activate.Connector{}, err
		}
		dir := filepath.Join(p.Project.Dir, ".elt", "fake", p.Target.Name, s.Connection.Name)
		return fake.Open(ctx, kind, cfg, fake.Options{Dir: dir, Faults: faults})
	}
	if err != nil {
		return activate.Connector{}, err
	}
	return kind.Open(ctx, cfg)
}

// destinationConfig is what a kind of destination is opened with for a sync.
func destinationConfig(prj *project.Project, s *project.Sync) activate.Config {
	fields := fieldsOf(s)
	cfg := activate.Config{Connection: s.Connection.Config, Sync: s.Config, Object: s.Object, Mode: s.Mode, Dir: prj.Dir,
		Key: activate.Sync{Key: s.Key, Fields: fields}.DestKey()}
	for _, f := range fields {
		cfg.Fields = append(cfg.Fields, f.Theirs)
	}
	return cfg
}

// Destination is the kind among kinds that a sync pushes to, and what it is opened with.
func Destination(kinds []activate.Kind, prj *project.Project, s *project.Sync) (activate.Kind, activate.Config, error) {
	kind, err := (&Pipeline{Destinations: kinds}).destinationKind(s.Connection.Type)
	return kind, destinationConfig(prj, s), err
}

// undeliverable are the mistakes of a sync that its destination can tell without
// being called: a template that names no field of the key, a mode that it does not
// have.
func (p *Pipeline) undeliverable(s *project.Sync) project.Errors {
	kind, cfg, _ := Destination(p.Destinations, p.Project, s)
	if kind.Limits == nil { // also a type of which only the stand-in is in this binary
		return nil
	}
	limits, err := kind.Limits(cfg)
	if err != nil {
		return project.Errors{{Pos: s.Pos, Msg: fmt.Sprintf("sync %s: %v", s.Name, err)}}
	}
	if !slices.Contains(limits.Modes, s.Mode) {
		return project.Errors{{Pos: s.Pos, Msg: fmt.Sprintf("sync %s: mode %s is not what %s takes as it is described", s.Name, s.Mode, s.To), Expected: yamlx.OneOf(limits.Modes)}}
	}
	return nil
}

func fieldsOf(s *project.Sync) []activate.Field {
	list := make([]activate.Field, len(s.Fields))
	for i, f := range s.Fields {
		list[i] = activate.Field{Theirs: f.Theirs, Column: f.Column}
	}
	return list
}

// Faults are those that a target switches on in its stand-ins.
func Faults(t *project.Target) (*fake.Faults, error) {
	var switches []string
	for _, name := range slices.Sorted(maps.Keys(t.Faults)) {
		switches = append(switches, name+"="+t.Faults[name])
	}
	faults, err := fake.ParseFaults(switches, uint64(max(0, t.FaultSeed)))
	if err != nil {
		return nil, fmt.Errorf("faults of target %s: %w", t.Name, err)
	}
	return faults, nil
}

func (p *Pipeline) destinationKind(name string) (activate.Kind, error) {
	i := slices.IndexFunc(p.Destinations, func(k activate.Kind) bool { return k.Name == name })
	if i < 0 {
		return activate.Kind{}, fmt.Errorf("no destination of type %q in this binary", name)
	}
	return p.Destinations[i], nil
}

// account is what identifies the account of a connection: what its kind says, or
// its name.
func (p *Pipeline) account(c *project.Connection) string {
	kind, err := p.destinationKind(c.Type)
	if err != nil || kind.Account == nil {
		return c.Name
	}
	return kind.Account(c.Config)
}

// told is the result of a sync as a step reports it.
func told(s *project.Sync, r activate.Result, invalid []activate.InvalidKind, none bool) event.Result {
	res := event.Result{Counts: []event.Count{{Label: "read", N: r.Read}, {Label: "unchanged", N: r.Unchanged}, {Label: "acked", N: r.Acked}}}
	for _, c := range []event.Count{{Label: "new", N: r.New}, {Label: "deleted", N: r.Gone.Deleted}, {Label: "invalid", N: r.Invalid},
		{Label: "rejected", N: r.Rejected + r.Gone.Rejected}, {Label: "unknown", N: r.Unknown + r.Gone.Unknown},
		{Label: "deferred", N: r.Deferred + r.Gone.Deferred}} {
		if c.N > 0 {
			res.Counts = append(res.Counts, c)
		}
	}
	look := "elt quarantine " + s.Name
	for _, k := range invalid {
		why := " not sent: other rows have the same key"
		if k.NullKey {
			why = " not sent: NULL in the key"
		}
		res.Warnings = append(res.Warnings, event.Warning{Subject: s.Name, Text: several(k.N, "row") + why, Detail: k.Key, Hint: look})
	}
	if rejected := r.Rejected + r.Gone.Rejected; rejected > 0 {
		w := event.Warning{Subject: s.Name, Text: several(rejected, "row") + " rejected by the destination", Hint: look}
		for _, sample := range r.Samples {
			if sample.Reason != "null_key" && sample.Reason != "duplicate_key" {
				w.Detail = sample.Reason + " · " + sample.Key
				break
			}
		}
		if w.Cause = none; none {
			w.Text = "none of " + several(rejected, "row") + " was accepted by the destination"
			res.Status = event.Unfinished
		}
		res.Warnings = append(res.Warnings, w)
	}
	if r.Problem != "" {
		res.Warnings = append(res.Warnings, event.Warning{Subject: s.Name, Text: r.Problem, Cause: true})
	}
	res.Warnings = append(res.Warnings, toldOfGone(s, r)...)
	res.Warnings = append(res.Warnings, toldOfTwins(s, r)...)
	if r.Unknown+r.Deferred+r.Gone.Unknown+r.Gone.Deferred > 0 || r.Problem != "" {
		res.Status = event.Unfinished
	}
	return res
}

// noneTaken reports whether the destination has refused all that there is: no row of
// the sync is there, and something that all of them have in common is to blame.
func noneTaken(ctx context.Context, plan *activate.Plan, r activate.Result) (bool, error) {
	if r.Rejected == 0 || r.Acked+r.Unchanged+r.Unknown+r.Deferred+r.Gone.Planned > 0 {
		return false, nil
	}
	there, err := plan.There(ctx) // of a model that holds a day, those of the days before
	return there == 0, err
}

// several counts things in English; noun is the singular.
func several(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// planned are the models among names, in build order.
func (p *Pipeline) planned(names map[string]bool) []*transform.Model {
	var out []*transform.Model
	for _, m := range p.Graph.Models {
		if names[m.FullName()] {
			out = append(out, m)
		}
	}
	return out
}
