package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elt/activate/fake"
	"elt/internal/pipeline"
	"elt/internal/project"
)

// fakeFlags are the flags of elt fake.
type fakeFlags struct {
	listen string
	faults []string
	seed   uint64
}

func (a *app) cmdFake() *cobra.Command {
	var f fakeFlags
	cmd := command("build", "fake", "Serve what stands in for the project's HTTP destinations, for tests of your own, until interrupted",
		"elt fake\nelt fake --listen 127.0.0.1:0 --fault limited=10% --fault cut_after=5% --seed 7", []int{exitOK, exitFailed, exitUsage},
		func(cmd *cobra.Command, _ []string) error { return a.doFake(cmd.Context(), f) })
	cmd.Args = noArgs
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8181", "address of this machine to listen on; port 0 is a free one")
	cmd.Flags().StringArrayVar(&f.faults, "fault", nil, "what goes wrong: a share of the calls such as cut_after=5%, or reject=1% of the rows")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "the same seed draws the same faults for the same calls")
	return cmd
}

// doFake serves until the first signal.
func (a *app) doFake(ctx context.Context, f fakeFlags) (err error) {
	s, err := a.load()
	if err != nil {
		return err
	}
	defer func() { joinErr(&err, s.close()) }()
	if host, _, err := net.SplitHostPort(f.listen); err != nil || !loopback(host) {
		return usage("--listen %q is no address of this machine alone, expected 127.0.0.1:PORT", f.listen)
	}
	if _, err := fake.ParseFaults(f.faults, f.seed); err != nil {
		return usage("--fault: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("%w\n     choose another port with --listen, or 127.0.0.1:0 for a free one", err)
	}
	mux := http.NewServeMux()
	closers, err := a.mount(s, mux, "http://"+listener.Addr().String(), f)
	defer func() {
		for _, c := range closers {
			joinErr(&err, c())
		}
	}()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return a.serve(ctx, listener, mux)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// mount puts the service of each connection that is reached over HTTP behind its
// name, and tells the address of each, and of what is not served.
func (a *app) mount(s *session, mux *http.ServeMux, base string, f fakeFlags) (closers []func() error, err error) {
	served := 0
	for _, name := range slices.Sorted(maps.Keys(s.project.Connections)) {
		var objects []*fake.Served
		var names []string
		var handler http.Handler
		for _, sync := range syncsTo(s.project, name) {
			kind, cfg, err := pipeline.Destination(a.destinations(), s.project, sync)
			if err != nil {
				return closers, err
			}
			if kind.Serve == nil {
				fmt.Fprintf(a.out, "%s: a connection of type %s is not called over HTTP; with push: fake elt run stands in for it by itself\n", name, sync.Connection.Type)
				break
			}
			faults, err := fake.ParseFaults(f.faults, f.seed)
			if err != nil {
				return closers, err
			}
			limits, err := kind.Limits(cfg)
			if err != nil {
				return closers, fmt.Errorf("%s: %w", sync.Pos, err)
			}
			object, err := fake.Serve(kind, cfg, base+"/"+name, fake.Options{Dir: filepath.Join(s.project.Dir, ".elt", "fake", "served", name), Faults: faults})
			if err != nil {
				return closers, fmt.Errorf("%s: %w", sync.Pos, err)
			}
			closers = append(closers, object.Close)
			objects, names = append(objects, object), append(names, sync.Object)
			handler = fake.Handler(fake.Objects(objects), limits.Rates, faults)
		}
		if handler == nil {
			continue
		}
		mux.Handle("/"+name+"/", handler)
		mux.Handle("/"+name, handler)
		served++
		fmt.Fprintf(a.out, "%s: %s/%s (%s)\n", name, base, name, strings.Join(names, ", "))
	}
	if served == 0 {
		return closers, usage("no sync of the project pushes over HTTP: there is nothing to serve\n     a connection of type http has a service that elt fake stands in for")
	}
	return closers, nil
}

// syncsTo are the syncs of a connection, one for each object.
func syncsTo(p *project.Project, connection string) []*project.Sync {
	var list []*project.Sync
	for _, name := range slices.Sorted(maps.Keys(p.Syncs)) {
		s := p.Syncs[name]
		same := func(other *project.Sync) bool { return other.Object == s.Object }
		if s.Connection != nil && s.Connection.Name == connection && !slices.ContainsFunc(list, same) {
			list = append(list, s)
		}
	}
	return list
}

// serve serves until the first signal, or until ctx ends.
func (a *app) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintln(a.out, "serving until interrupted")
	drain := a.signals.begin()
	defer a.signals.end()
	select {
	case <-drain:
	case <-ctx.Done():
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	}
	err := server.Close()
	if why := <-ended; !errors.Is(why, http.ErrServerClosed) {
		err = errors.Join(err, why)
	}
	return err
}
