package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"elt/internal/pipeline"
	"elt/internal/project"
)

type quarantineFlags struct {
	limit            int
	showPII, release bool
}

func (a *app) cmdQuarantine() *cobra.Command {
	var f quarantineFlags
	cmd := command("operate", "quarantine [STREAM|SYNC]",
		"Show the rows that loads could not take, or that the destination of a sync refused, with reason and payload",
		"elt quarantine\nelt quarantine shop.orders\nelt quarantine crm_contacts --release", []int{exitOK, exitFailed, exitUsage, exitLocked},
		func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if f.release {
				return a.release(cmd.Context(), name)
			}
			return a.look(cmd.Context(), func(ctx context.Context, s *session) error {
				if sync := s.project.Syncs[name]; sync != nil {
					return a.refused(ctx, s, sync, f)
				}
				return a.quarantined(ctx, s, name, f)
			})
		})
	cmd.Args = atMostOne
	addShowPII(cmd, &f.showPII)
	cmd.Flags().IntVar(&f.limit, "limit", 100, "how many")
	cmd.Flags().BoolVar(&f.release, "release", false, "forget the rows of STREAM: they are mended or given up; send those of SYNC again")
	return cmd
}

func (a *app) quarantined(ctx context.Context, s *session, stream string, f quarantineFlags) error {
	list, err := s.store.Quarantine(ctx, stream, f.limit)
	if err != nil {
		return err
	}
	var table [][]string
	for _, q := range list {
		if !f.showPII {
			if q.Reject, err = maskReject(ctx, s, q); err != nil {
				return err
			}
		}
		table = append(table, []string{q.Stream, q.At.In(s.project.Timezone).Format("2006-01-02 15:04"), q.Locator, q.Reason, q.Payload})
	}
	return a.print([]string{"stream", "at", "place", "reason", "payload"}, table)
}

// refused lists the rows that the destination of a sync has refused.
func (a *app) refused(ctx context.Context, s *session, sync *project.Sync, f quarantineFlags) error {
	list, err := s.store.RefusedRows(ctx, sync.Name, f.limit)
	if err != nil {
		return err
	}
	p := &pipeline.Pipeline{Project: s.project, Graph: s.graph}
	var table [][]string
	for _, r := range list {
		if !f.showPII {
			r.Key, r.Payload = p.MaskPushed(sync, r.Key), p.MaskPushed(sync, r.Payload)
		}
		table = append(table, []string{r.Sync, r.FirstAt.In(s.project.Timezone).Format("2006-01-02 15:04"), r.Key, strings.TrimSpace(r.Code + " " + r.Message), r.Payload})
	}
	return a.print([]string{"sync", "since", "key", "reason", "payload"}, table)
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
		fmt.Fprintf(a.out, "%s: %d rows released; the next run sends them again\n", name, n)
		return nil
	}
	n, err := s.store.ReleaseQuarantine(ctx, name)
	if err != nil {
		return err
	}
	if source, stream, _ := strings.Cut(name, "."); n == 0 && (s.project.Sources[source] == nil || s.project.Sources[source].Streams[stream] == nil) {
		return usage("no stream or sync %q; see what there is: elt ls", name)
	}
	fmt.Fprintf(a.out, "%s: %d rows released\n", name, n)
	return nil
}
