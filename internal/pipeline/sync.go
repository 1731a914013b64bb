package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"elt/activate"
	"elt/activate/file"
	"elt/internal/event"
	"elt/internal/project"
	"elt/internal/warehouse"
	"elt/transform"
)

// sync plans the difference between a model and what its destination last
// acknowledged, and pushes it.
func (p *Pipeline) sync(ctx context.Context, s *project.Sync) (res event.Result, err error) {
	sync, err := p.activation(s)
	if err != nil {
		return res, err
	}
	dest, err := p.destination(ctx, s, sync.DestKey())
	if err != nil {
		return res, fmt.Errorf("open %s: %w", s.To, err)
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	plan, err := activate.NewPlan(ctx, p.DB, p.Store, sync)
	if err != nil {
		return res, err
	}
	defer func() { err = warehouse.Also(err, plan.Close(context.WithoutCancel(ctx))) }()
	done, err := plan.Push(ctx, dest, activate.Options{Progress: p.progress(Sync, s.Name)})
	if err != nil {
		return res, err
	}
	return told(s, p.maskKeys(s, done)), nil
}

// activation is a declared sync as the engine takes it.
func (p *Pipeline) activation(s *project.Sync) (activate.Sync, error) {
	m := p.Graph.Model(s.Model)
	if m == nil {
		return activate.Sync{}, fmt.Errorf("sync %s: no model %s", s.Name, s.Model)
	}
	out := activate.Sync{Name: s.Name, Model: m.Table, Object: s.Object, Mode: s.Mode, Key: s.Key, RunID: p.RunID,
		TargetFP: activate.Fingerprint(p.Push, s.Connection.Type, s.Connection.Name, s.Object)}
	for _, f := range s.Fields {
		out.Fields = append(out.Fields, activate.Field{Theirs: f.Theirs, Column: f.Column})
	}
	if limit := strings.TrimSuffix(s.Guards["max_reject"], "%"); limit != "" {
		share, err := strconv.ParseFloat(limit, 64)
		if err != nil {
			return out, fmt.Errorf("%s:%d: guard max_reject %q, expected a percentage", s.Pos.File, s.Pos.Line, s.Guards["max_reject"])
		}
		out.Guards.MaxRejectPercent = share
	}
	return out, nil
}

// destination opens where a sync pushes to: with push: fake a file in the
// project, whatever the connection is.
func (p *Pipeline) destination(ctx context.Context, s *project.Sync, key []string) (activate.Destination, error) {
	cfg := activate.Config{Connection: s.Connection.Config, Sync: s.Config, Object: s.Object, Key: key, Dir: p.Project.Dir}
	kind := s.Connection.Type
	if p.Push == "fake" {
		kind, cfg.Connection = file.Kind().Name, &file.Connection{Path: filepath.Join(".elt", "fake", s.Connection.Name)}
	}
	i := slices.IndexFunc(p.Destinations, func(k activate.Kind) bool { return k.Name == kind })
	if i < 0 {
		return nil, fmt.Errorf("no destination of type %q in this binary", kind)
	}
	return p.Destinations[i].Open(ctx, cfg)
}

// told is the result of a sync as a step reports it.
func told(s *project.Sync, r activate.Result) event.Result {
	res := event.Result{Counts: []event.Count{{Label: "read", N: r.Read}, {Label: "unchanged", N: r.Unchanged}, {Label: "acked", N: r.Acked}}}
	for _, c := range []event.Count{{Label: "new", N: r.New}, {Label: "invalid", N: r.Invalid}, {Label: "rejected", N: r.Rejected},
		{Label: "unknown", N: r.Unknown}, {Label: "deferred", N: r.Deferred}} {
		if c.N > 0 {
			res.Counts = append(res.Counts, c)
		}
	}
	if n := r.Invalid + r.Rejected; n > 0 {
		w := event.Warning{Subject: s.Name, Text: fmt.Sprintf("%d invalid and %d rejected rows", r.Invalid, r.Rejected)}
		if len(r.Samples) > 0 {
			w.Detail = r.Samples[0].Reason + " · " + r.Samples[0].Key
		}
		res.Warnings = append(res.Warnings, w)
	}
	if r.Problem != "" {
		res.Warnings = append(res.Warnings, event.Warning{Subject: s.Name, Text: r.Problem})
	}
	if r.Unknown+r.Deferred > 0 || r.Problem != "" {
		res.Status = event.Unfinished
	}
	return res
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
