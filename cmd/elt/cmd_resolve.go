package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"elt/activate"
	"elt/internal/pipeline"
)

func (a *app) cmdResolve() *cobra.Command {
	var sent, notSent, all bool
	const short = "Say whether rows of a sync are at their destination, where nobody knows what became of the last try; all are settled, or none is"
	cmd := &cobra.Command{Use: "resolve SYNC [KEY…]", Short: short, Example: "  elt quarantine resolve crm_contacts 4711 4712 --sent\n  elt quarantine resolve crm_contacts --all --not-sent",
		Long: short + ".\n" + exitHelp(exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || sent == notSent || all != (len(args) == 1) {
				return usage("quarantine resolve takes a sync, its keys or --all, and --sent or --not-sent\n     see what is not known: elt quarantine")
			}
			return a.resolve(cmd.Context(), args[0], args[1:], sent)
		}}
	cmd.Flags().BoolVar(&sent, "sent", false, "the last operation for the key is there: nothing is sent for it before its row changes")
	cmd.Flags().BoolVar(&notSent, "not-sent", false, "nothing of it is there: the next run sends what the model has then")
	cmd.Flags().BoolVar(&all, "all", false, "all rows of the sync of which nobody knows; look at them first: elt quarantine SYNC")
	return cmd
}

// resolve settles keys of the sync called name; none are all in doubt.
func (a *app) resolve(ctx context.Context, name string, keys []string, sent bool) (err error) {
	s, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	sync := s.project.Syncs[name]
	if sync == nil {
		return usage("no sync %q; %ssee what there is: elt ls", name, meant(name, slices.Sorted(maps.Keys(s.project.Syncs))))
	}
	p := a.pipeline(s)
	settled, err := p.Resolve(ctx, sync, keys, sent)
	switch {
	case errors.Is(err, pipeline.ErrKey), errors.Is(err, activate.ErrNoSuchKey), errors.Is(err, activate.ErrNothingUnknown):
		return &exitError{code: exitUsage, err: err}
	case err != nil:
		return err
	}
	what := "as there: it is not sent again before it changes"
	if !sent {
		what = "as not there: the next run sends what the model has then"
	}
	for _, row := range settled {
		said := what
		if row.Again {
			said = "as there: a run that died may have sent something newer, so the next run sends what the model has then"
		}
		fmt.Fprintf(a.out, "%s: %s settled %s\n", name, p.MaskPushed(sync, row.Key), said)
	}
	return nil
}
