package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/internal/project"
)

// shownTime is how people see the time of a slot.
const shownTime = "2006-01-02 15:04 -07:00"

func (a *app) cmdSchedule() *cobra.Command {
	cmd := command("operate", "schedule", "List the jobs: when they were due, what became of that, and when they are due next",
		"elt schedule\nelt schedule export crontab --target prod", []int{exitOK, exitFailed, exitUsage, exitLocked, exitTryAgain},
		func(cmd *cobra.Command, args []string) error { return a.schedule(cmd.Context()) })
	cmd.Args = noArgs
	var job string
	var user bool
	export := &cobra.Command{Use: "export crontab|systemd", Short: "Print lines of a crontab, or units of systemd, that start the jobs",
		Example: "  elt schedule export crontab --target prod\n  elt schedule export systemd --job nightly --user",
		Long:    "Print lines of a crontab, or units of systemd, that start the jobs.\n" + exitHelp(exitOK, exitFailed, exitUsage),
		RunE:    func(_ *cobra.Command, args []string) error { return a.export(args, job, user) }}
	export.Flags().StringVar(&job, "job", "", "of this job alone")
	export.Flags().BoolVar(&user, "user", false, "units for systemctl --user instead of the system's")
	cmd.AddCommand(export)
	return cmd
}

func (a *app) schedule(ctx context.Context) error {
	s, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // it was only looked at
	var table [][]string
	for _, name := range slices.Sorted(maps.Keys(s.project.Jobs)) {
		job := s.project.Jobs[name]
		row := []string{name, job.Schedule, "", "", ""}
		last, err := s.store.Slots(ctx, name, 1)
		if err != nil {
			return err
		}
		if len(last) > 0 {
			row[2], row[3] = last[0].At.In(s.project.Timezone).Format(shownTime), strings.TrimSpace(last[0].Status+" "+last[0].RunID+last[0].Reason)
		}
		if !job.Due.IsZero() {
			next := job.Due.Next(a.wall().In(s.project.Timezone))
			row[4] = next.Format(shownTime) + ", " + job.Due.Next(next).Format(shownTime)
		}
		table = append(table, row)
	}
	return a.print([]string{"job", "schedule", "last_slot", "became", "next"}, table)
}

// export prints what starts the jobs that have a schedule.
func (a *app) export(args []string, only string, user bool) (err error) {
	if len(args) != 1 || args[0] != "crontab" && args[0] != "systemd" {
		return usage("schedule export takes crontab or systemd")
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	if only != "" && s.project.Jobs[only] == nil {
		return usage("no job %q in the project", only)
	}
	self := a.self
	if self == "" {
		if self, err = os.Executable(); err != nil {
			return fmt.Errorf("path of this program: %w", err)
		}
	}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(s.project.Jobs)) {
		job := s.project.Jobs[name]
		if job.Due.IsZero() || only != "" && only != name {
			continue
		}
		n++
		words := []string{self, "-C", s.project.Dir, "--target", s.target.Name}
		if a.flags.EnvFile != "" {
			path, err := filepath.Abs(a.flags.EnvFile)
			if err != nil {
				return fmt.Errorf("path of the file of variables: %w", err)
			}
			words = append(words, "--env-file", path)
		}
		words = append(words, "run", "--job", name, "--if-due", "--quiet")
		if args[0] == "crontab" {
			err = a.crontab(s.project, job, words)
		} else {
			err = a.units(s.project, job, words, user)
		}
		if err != nil {
			return fmt.Errorf("job %s: %w", name, err)
		}
	}
	if n == 0 {
		return usage("no job with a schedule; give it one, such as schedule: \"0 2 * * *\"")
	}
	return nil
}

// crontab prints the lines of a job. Debian's cron knows no time zone of its own.
func (a *app) crontab(prj *project.Project, job *project.Job, words []string) error {
	machine := a.zone
	if machine == nil {
		machine = time.Local
	}
	lines, exact, err := job.Due.Crontab(prj.Timezone, machine, a.wall())
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "# %s of %s: %s in %s\n", job.Name, prj.Name, job.Schedule, prj.Timezone)
	if !exact {
		fmt.Fprintf(a.out, "# The clocks of this machine (%s) are others: cron starts it whenever it can be due, and --if-due ends at once when it is not.\n", clocks(machine, a.wall()))
	}
	for i, w := range words {
		if !regexp.MustCompile(`^[\w@%+=:,./-]+$`).MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = strings.ReplaceAll(w, "%", `\%`) // which ends the command of a crontab
	}
	for _, line := range lines {
		fmt.Fprintln(a.out, line+" "+strings.Join(words, " "))
	}
	return nil
}

// clocks names the zone of a machine, which may be known by its offset alone.
func clocks(machine *time.Location, now time.Time) string {
	if name := machine.String(); name != "Local" {
		return name
	}
	return now.In(machine).Format("MST, -07:00 now")
}

// units prints the service and the timer of a job, each under its file name.
func (a *app) units(prj *project.Project, job *project.Job, words []string, user bool) error {
	values, err := job.Due.OnCalendar(prj.Timezone, a.wall())
	if err != nil {
		return err
	}
	for i, w := range words {
		w = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(w)
		if strings.ContainsAny(w, " \t'\";") {
			w = `"` + w + `"`
		}
		words[i] = w
	}
	limit, hardening := "infinity", "NoNewPrivileges=true\n"
	if job.Timeout > 0 { // elt itself ends it first, and says so
		limit = fmt.Sprintf("%ds", int((job.Timeout+10*time.Minute)/time.Second))
	}
	if !user {
		hardening += "PrivateTmp=true\nProtectSystem=full\nProtectKernelTunables=true\nProtectControlGroups=true\nRestrictSUIDSGID=true\n"
		if info, err := os.Stat(prj.Dir); err == nil {
			hardening = ownerLine(info) + hardening
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("owner of the project: %w", err)
		}
	}
	unit := "elt-" + prj.Name + "-" + job.Name
	fmt.Fprintf(a.out, "# %s.service\n[Unit]\nDescription=elt job %s of %s\nAfter=network-online.target\n\n[Service]\nType=oneshot\nExecStart=%s\nEnvironmentFile=-/etc/elt/%s.env\nTimeoutStartSec=%s\nTimeoutStopSec=30min\n%s\n",
		unit, job.Name, prj.Name, strings.Join(words, " "), prj.Name, limit, hardening)
	fmt.Fprintf(a.out, "# %s.timer\n[Unit]\nDescription=%s in %s\n\n[Timer]\n", unit, job.Schedule, prj.Timezone)
	for _, v := range values {
		fmt.Fprintln(a.out, "OnCalendar="+v)
	}
	fmt.Fprintf(a.out, "AccuracySec=1s\nPersistent=%t\n\n[Install]\nWantedBy=timers.target\n\n", job.Catchup != "none")
	return nil
}
