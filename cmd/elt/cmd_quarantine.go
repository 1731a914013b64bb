package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/internal/project"
	"elt/internal/report"
)

type quarantineFlags struct {
	limit            int
	showPII, release bool
}

func (a *app) cmdQuarantine() *cobra.Command {
	var f quarantineFlags
	cmd := command("operate", "quarantine [STREAM|SYNC]",
		"Show the rows that loads could not take, that the destination of a sync refused, or that a sync cannot send, with reason and payload",
		"elt quarantine\nelt quarantine shop.orders\nelt quarantine crm_contacts --release", []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if f.release {
				return a.release(cmd.Context(), name)
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error { return a.quarantine(ctx, s, name, f) })
		})
	cmd.Args = atMostOne
	cmd.AddCommand(a.cmdResolve())
	addShowPII(cmd, &f.showPII)
	cmd.Flags().IntVar(&f.limit, "limit", 100, "how many of each stream and sync")
	cmd.Flags().BoolVar(&f.release, "release", false, "forget the rows of STREAM: they are mended or given up; send those of SYNC again")
	return cmd
}

// aside is one row that was set aside: by a load, by a destination, or by a sync
// that could not send it.
type aside struct {
	of          string // the stream or sync
	at          time.Time
	place       string // locator of a stream, key of a sync
	reason      string
	payload     string
	destination bool // of a sync
}

// quarantine lists the rows set aside of the stream or sync called name; of all
// when it is "".
func (a *app) quarantine(ctx context.Context, s *session, name string, f quarantineFlags) error {
	sync := s.project.Syncs[name]
	var list []aside
	var err error
	if sync == nil {
		if list, err = quarantined(ctx, s, name, f); err != nil {
			return err
		}
	}
	for _, other := range slices.Sorted(maps.Keys(s.project.Syncs)) {
		if name != "" && name != other {
			continue
		}
		more, err := a.notSent(ctx, s, s.project.Syncs[other], f)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	if known := s.asides(); len(list) == 0 && name != "" && !slices.Contains(known, name) {
		return usage("no stream or sync %q; %ssee what there is: elt ls", name, meant(name, known))
	}
	headings := []string{"name", "at", "place", "reason", "payload"}
	switch {
	case sync != nil:
		headings = []string{"sync", "since", "key", "reason", "payload"}
	case name != "":
		headings[0] = "stream"
	}
	var table [][]any
	for _, r := range list {
		var at any // of a row that was never sent nothing is known
		if !r.at.IsZero() {
			at = r.at.In(s.project.Timezone).Format("2006-01-02 15:04")
		}
		place := any(r.place)
		if r.destination {
			place = document(r.place)
		}
		table = append(table, []any{r.of, at, place, r.reason, document(r.payload)})
	}
	return a.printValues(headings, table)
}

// asides are the names of the streams and syncs.
func (s *session) asides() []string {
	names := slices.Collect(maps.Keys(s.project.Syncs))
	for _, src := range s.project.Sources {
		for _, st := range src.Streams {
			names = append(names, src.Name+"."+st.Name)
		}
	}
	return names
}

func quarantined(ctx context.Context, s *session, stream string, f quarantineFlags) ([]aside, error) {
	found, err := s.store.Quarantine(ctx, stream, f.limit)
	if err != nil {
		return nil, err
	}
	var list []aside
	for _, q := range found {
		if !f.showPII {
			q.Reject = maskReject(s, q)
		}
		list = append(list, aside{of: q.Stream, at: q.At, place: q.Locator, reason: q.Reason, payload: q.Payload})
	}
	return list, nil
}

// notSent lists the rows that the destination of a sync has refused, and those of
// its model that it cannot send at all.
func (a *app) notSent(ctx context.Context, s *session, sync *project.Sync, f quarantineFlags) ([]aside, error) {
	refused, err := s.store.RefusedRows(ctx, sync.Name, f.limit)
	if err != nil {
		return nil, err
	}
	p := a.pipeline(s)
	invalid, err := p.Invalid(ctx, sync, f.limit)
	if err != nil {
		return nil, err
	}
	var list []aside
	for _, r := range refused {
		list = append(list, aside{of: r.Sync, at: r.FirstAt, place: r.Key, reason: strings.TrimSpace(r.Code + " " + r.Message), payload: r.Payload, destination: true})
	}
	unknown, err := s.store.UnknownRows(ctx, sync.Name, f.limit)
	if err != nil {
		return nil, err
	}
	settles := p.Settles(sync)
	for _, r := range unknown {
		what := "; the next run finds out"
		switch ok, until := settles(r.Action, r.At); {
		case !ok:
			what = "; say so: " + s.target.Command("elt quarantine resolve "+sync.Name+" KEY --sent|--not-sent")
		case !until.IsZero():
			what += ", if it comes by " + until.In(s.project.Timezone).Format("2006-01-02 15:04")
		}
		list = append(list, aside{of: sync.Name, at: r.At, place: r.Key, payload: r.Payload, destination: true,
			reason: r.Action + " by run " + r.RunID + ": nobody knows whether it is there" + what})
	}
	for _, r := range invalid {
		list = append(list, aside{of: sync.Name, place: r.Key, reason: r.Reason(), payload: r.Payload, destination: true})
	}
	if !f.showPII {
		for i := range list {
			list[i].reason = p.MaskSaid(sync, list[i].reason, list[i].place, list[i].payload)
			list[i].place = p.MaskPushed(sync, list[i].place)
			if list[i].payload != "" { // a delete has none
				list[i].payload = p.MaskPushed(sync, list[i].payload)
			}
		}
	}
	return list, nil
}

// release forgets the quarantined rows of a stream or lets those of a sync be
// sent again.
func (a *app) release(ctx context.Context, name string) (err error) {
	if name == "" {
		return usage("--release takes the name of a stream or a sync, such as shop.orders\n     see what there is: elt quarantine")
	}
	s, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.project.Syncs[name] != nil {
		n, err := s.store.ReleaseRefused(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s: %s released, which the next run sends again\n", name, report.Several(int(n), "row"))
		return nil
	}
	n, err := s.store.ReleaseQuarantine(ctx, name)
	if err != nil {
		return err
	}
	if source, stream, _ := strings.Cut(name, "."); n == 0 && (s.project.Sources[source] == nil || s.project.Sources[source].Streams[stream] == nil) {
		return usage("no stream or sync %q; %ssee what there is: elt ls", name, meant(name, s.asides()))
	}
	fmt.Fprintf(a.out, "%s: %s released\n", name, report.Several(int(n), "row"))
	return nil
}
