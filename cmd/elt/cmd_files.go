package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	sample "elt"
	"elt/internal/pipeline"
	"elt/internal/project"
	"elt/internal/report"
)

// These commands read and write files; they open no warehouse.

func (a *app) cmdInit() *cobra.Command {
	var minimal bool
	cmd := command("build", "init DIR", "Make a new project: the sample shop, or an empty one", "elt init shop && cd shop && elt run\nelt init --minimal mine",
		[]int{exitOK, exitFailed, exitUsage},
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("init takes the folder of the new project")
			}
			return a.doInit(args[0], minimal)
		})
	cmd.Flags().BoolVar(&minimal, "minimal", false, "an empty project")
	return cmd
}

// firstThing is what to do with a project that has nothing in it.
const firstThing = "add a source to elt.yaml or a query as models/SCHEMA/TABLE.sql"

func (a *app) doInit(dir string, minimal bool) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usage("%s is not empty; name a new folder", dir)
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(filepath.Base(filepath.Clean(dir))))
	files := map[string][]byte{".gitignore": []byte("/.elt/\n")}
	if minimal {
		files["elt.yaml"] = fmt.Appendf(nil, "version: 1\nname: %s\ntimezone: UTC\n\ntargets:\n  dev: {warehouse: \"duckdb:.elt/dev.duckdb\", push: fake}\n", name)
		files["models/.gitkeep"] = nil
	} else if err := sampleFiles(files); err != nil {
		return err
	}
	for path, data := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, data, 0o644); err != nil {
			return err
		}
	}
	next := "cd " + dir + " && elt run"
	if minimal { // there is nothing to run yet
		next = "cd " + dir + ", " + firstThing + ", then: elt run"
	}
	fmt.Fprintf(a.out, "made %s; next: %s\n", filepath.Join(dir, "elt.yaml"), next)
	return nil
}

func sampleFiles(into map[string][]byte) error {
	return fs.WalkDir(sample.Sample, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		into[path], err = sample.Sample.ReadFile(path)
		return err
	})
}

func (a *app) cmdValidate() *cobra.Command {
	cmd := command("build", "validate", "Check the project's files, all mistakes at once; opens no connection", "elt validate", []int{exitOK, exitUsage},
		func(cmd *cobra.Command, args []string) (err error) {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			if _, err := a.describe(s); err != nil {
				return err
			}
			a.tellNotActing(s)
			streams := 0
			for _, src := range s.project.Sources {
				streams += len(src.Streams)
			}
			fmt.Fprintf(a.out, "%s is valid: %s, %s, %s, %s\n", s.project.Name, report.Several(streams, "stream"), report.Several(len(s.graph.Models), "model"),
				report.Several(len(s.project.Syncs), "sync"), report.Several(len(s.project.Jobs), "job"))
			return nil
		})
	cmd.Args = noArgs
	return cmd
}

// describe is the pipeline without a warehouse, for what reads files only. It
// refuses syncs of models that do not exist.
func (a *app) describe(s *session) (*pipeline.Pipeline, error) {
	p := &pipeline.Pipeline{Project: s.project, Target: s.target, Graph: s.graph, Push: "fake", Destinations: a.destinations()}
	return p, p.Validate()
}

func (a *app) cmdList() *cobra.Command {
	var sel selection
	cmd := command("build", "ls [SELECTOR…]", "List what selectors name: sources, models, syncs", "elt ls\nelt ls source:shop.orders+", []int{exitOK, exitUsage},
		func(cmd *cobra.Command, args []string) (err error) {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			p, err := a.describe(s)
			if err != nil {
				return err
			}
			steps, err := sel.steps(p, args)
			if err != nil {
				return err
			}
			var table [][]string
			for _, st := range steps {
				table = append(table, []string{st.Kind, st.Name, strings.Join(st.Needs, " ")})
			}
			return a.print([]string{"kind", "name", "needs"}, table)
		})
	sel.add(cmd)
	return cmd
}

func (a *app) cmdSchema() *cobra.Command {
	cmd := command("build", "schema", "Print the JSON Schema of elt.yaml, for editors", "elt schema > elt.schema.json", []int{exitOK, exitFailed, exitUsage},
		func(cmd *cobra.Command, args []string) error {
			out, err := project.Schema(a.kinds())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, strings.TrimSpace(string(out)))
			return err
		})
	cmd.Args = noArgs
	return cmd
}

func (a *app) cmdVersion() *cobra.Command {
	cmd := command("operate", "version", "Print the version of elt and of what it is made with", "elt version", []int{exitOK},
		func(cmd *cobra.Command, args []string) error {
			version, parts := "dev", map[string]string{}
			if info, ok := debug.ReadBuildInfo(); ok {
				if info.Main.Version != "" && info.Main.Version != "(devel)" {
					version = info.Main.Version
				}
				parts["go"] = info.GoVersion
				for _, d := range info.Deps {
					switch d.Path {
					case "github.com/duckdb/duckdb-go/v2", "github.com/apache/arrow-go/v18", "github.com/jackc/pgx/v5":
						parts[d.Path[strings.Index(d.Path, "/")+1:]] = d.Version
					}
				}
			}
			fmt.Fprintln(a.out, "elt", version)
			for _, name := range slices.Sorted(maps.Keys(parts)) {
				fmt.Fprintf(a.out, "  %s %s\n", name, parts[name])
			}
			return nil
		})
	cmd.Args = noArgs
	return cmd
}

func (a *app) cmdDiscover() *cobra.Command {
	cmd := command("build", "discover SOURCE", "List the streams that a source has, with their columns", "elt discover shop", []int{exitOK, exitFailed, exitUsage, exitTryAgain},
		func(cmd *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usage("discover takes the name of a source")
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			defer func() { joinErr(&err, s.close()) }()
			src := s.project.Sources[args[0]]
			if src == nil {
				return usage("no source %q, expected one of %s", args[0], strings.Join(slices.Sorted(maps.Keys(s.project.Sources)), ", "))
			}
			source, err := pipeline.OpenSource(cmd.Context(), a.sources(), s.project, src)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, source.Close()) }()
			streams, err := source.Streams(cmd.Context())
			if err != nil {
				return err
			}
			var table [][]string
			for _, st := range streams {
				spec := st.Spec()
				var cols []string
				if spec.Schema != nil {
					for _, f := range spec.Schema.Fields() {
						cols = append(cols, f.Name+" "+f.Type.String())
					}
				}
				table = append(table, []string{spec.Name, strings.Join(spec.Key, ", "), spec.Cursor, strings.Join(cols, ", ")})
			}
			return a.print([]string{"stream", "key", "cursor", "columns"}, table)
		})
	return cmd
}
