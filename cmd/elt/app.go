package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"elt/activate"
	activateall "elt/activate/all"
	"elt/extract"
	extractall "elt/extract/all"
	"elt/internal/alert"
	"elt/internal/project"
	"elt/internal/report"
	"elt/internal/retry"
	"elt/internal/secret"
	"elt/internal/settings"
	"elt/internal/warehouse"
)

// app is the program with its surroundings, so that tests run it in process.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	flags    settings.Settings
	project  *project.Project // once loaded: its secrets are kept out of errors
	signals  *signals         // nil, as in tests that run in process: none are caught
	clockNow func() time.Time // nil: time.Now
	zone     *time.Location   // of the machine; nil: time.Local
	self     string           // path of the program; "": of the process
	backoff  retry.Backoff    // between the tries of a step; zero, as in tests: none
	// wrap, where set, stands between elt and its warehouse: tests fail and kill there.
	wrap func(warehouse.Driver) warehouse.Driver
	// unsaid are warnings that --quiet holds back.
	unsaid []string
	// watch is what was seen of the run that this command has made; nil: none began.
	watch     *watch
	heartbeat *heartbeat // of the job that runs; nil: none is called
}

// run executes one command line and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := known(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if cut := interruption(ctx, err); cut != nil {
		err = cut
	}
	if err != nil { // with --quiet they wait for a reason to be told
		for _, w := range a.unsaid {
			fmt.Fprintln(a.err, w)
		}
	}
	a.tell(err)
	return exitCode(err)
}

// warn tells of what is allowed and yet unwise; with --quiet only before an error.
func (a *app) warn(format string, args ...any) {
	text := fmt.Sprintf("warning: "+format, args...)
	if a.flags.Quiet {
		a.unsaid = append(a.unsaid, text)
		return
	}
	fmt.Fprintln(a.err, text)
}

// warnOfShort warns when a secret, or the password in an address, is too short to
// be kept out of what others say.
func (a *app) warnOfShort(secrets []secret.String) {
	for _, s := range secrets {
		value := s.Reveal()
		if u, err := url.Parse(value); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok {
				value = password
			}
		}
		if value != "" && len(value) < secret.Shortest {
			a.warn("a secret of the project has less than %d characters: it is too short to be masked in messages; choose a longer one", secret.Shortest)
			return
		}
	}
}

// tell prints an error, with what to type next where the warehouse knows that.
func (a *app) tell(err error) {
	if err == nil || err.Error() == "" {
		return
	}
	fmt.Fprintln(a.err, "elt: "+report.Visible(a.redact(err.Error()), "\n\t"))
	var known *warehouse.Error
	if errors.As(err, &known) && known.Hint != "" && !strings.Contains(err.Error(), known.Hint) {
		fmt.Fprintln(a.err, "     "+known.Hint)
	}
}

// known refuses a command that does not exist as what it is, a usage error.
func known(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // made only while it is executed
		return nil
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if _, _, err := root.Find(args); err != nil {
		return usage("%s\n     see: elt --help", strings.TrimSpace(err.Error()))
	}
	return nil
}

// redact is the second net: no value of a secret leaves in an error, whatever
// made the error.
func (a *app) redact(s string) string {
	if a.project == nil {
		return s
	}
	var hide []string
	for _, sec := range a.project.Secrets {
		hide = append(hide, sec.Reveal())
	}
	return secret.NewScrubber(hide...).Text(s)
}

func (a *app) sources() []extract.Kind       { return extractall.Kinds() }
func (a *app) destinations() []activate.Kind { return activateall.Kinds() }

// kinds are what the project may name, without its importing the connectors.
func (a *app) kinds() []project.Kind {
	var kinds []project.Kind
	for _, k := range a.sources() {
		kinds = append(kinds, project.Kind{Name: k.Name, Connection: k.Connection, Source: k.Source, Stream: k.Stream})
	}
	for _, k := range a.destinations() {
		kinds = append(kinds, project.Kind{Name: k.Name, Connection: k.Connection, Sync: k.Sync})
	}
	return append(kinds, project.Kind{Name: alert.SlackType, Connection: func() any { return &alert.Connection{} }, Tells: true})
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "elt", Short: "Extract, load, transform, check and activate: the whole loop in one binary",
		Long:          "elt reads sources into a warehouse (a DuckDB file or Postgres), builds SQL models there,\nchecks every run, and pushes results to the tools that people work with.",
		SilenceErrors: true, SilenceUsage: true,
		Example: "  elt init shop && cd shop && elt run",
	}
	settings.Flags(root.PersistentFlags())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if a.flags, err = settings.Load(cmd.Flags(), a.env); err != nil {
			return usage("%w", err)
		}
		return nil
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var bad *pflag.InvalidValueError
		if errors.As(err, &bad) { // in words that are not those of the standard library
			err = fmt.Errorf("--%s %q is %s", bad.GetFlag().Name, bad.GetValue(), notOf(bad.GetFlag().Value.Type()))
		}
		return usage("%w\n     see: elt %s --help", err, strings.TrimPrefix(c.CommandPath(), "elt "))
	})
	for id, title := range map[string]string{"day": "Every day:", "build": "Build:", "operate": "Operate:"} {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
	}
	a.addCommands(root)
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

// notOf is what a value is not that a flag of a type does not take, in words.
func notOf(typ string) string {
	switch typ {
	case "int", "int64":
		return "no whole number"
	case "uint64":
		return "no whole number from 0 on"
	case "bool":
		return "neither true nor false"
	case "duration":
		return "no duration such as 90m"
	}
	return "no " + typ
}

// command makes a command with its help: an example and its exit codes.
func command(group, use, short, example string, codes []int, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, GroupID: group, Example: "  " + strings.ReplaceAll(example, "\n", "\n  "),
		Long: short + ".\n" + exitHelp(codes...), RunE: run}
}

// noArgs, oneArg refuse other counts as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, got %q\n     see: %s --help", cmd.CommandPath(), args, cmd.CommandPath())
	}
	return nil
}

// joinErr is errors.Join for deferred closers.
func joinErr(err *error, more error) { *err = errors.Join(*err, more) }
