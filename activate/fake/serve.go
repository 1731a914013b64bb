package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"elt/activate"
)

// Handler is the service of a kind with its outages and the rates that it holds
// callers to.
func Handler(service http.Handler, rates []activate.Rate, faults *Faults) http.Handler {
	return &gate{service: service, rates: rates, faults: faults, now: time.Now}
}

// gate lets calls in, or not, and answers as the outage of each says.
type gate struct {
	service http.Handler
	rates   []activate.Rate
	faults  *Faults
	now     func() time.Time

	mu    sync.Mutex
	taken []time.Time // when calls were let in, oldest first; no more than a rate looks back
}

// ServeHTTP implements [http.Handler].
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wait, over := g.over(); over {
		out := Problem(http.StatusTooManyRequests, "rate", "too many calls")
		out.Header = Wait(wait, false, g.now())
		Fine.Write(w, r, out)
		return
	}
	o := g.faults.draw()
	if o.Before() {
		o.Write(w, r, o.Refusal(r, false, g.now()))
		return
	}
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	g.service.ServeHTTP(rec, r.WithContext(with(r.Context(), o)))
	out := Reply{Status: rec.status, Header: map[string]string{}, Body: rec.body.Bytes()}
	for name := range rec.header {
		out.Header[name] = rec.header.Get(name)
	}
	o.Write(w, r, out)
}

// over notes a call, or tells how long it has to wait.
func (g *gate) over() (wait time.Duration, over bool) {
	if len(g.rates) == 0 {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now, most := g.now(), 0
	for _, rate := range g.rates {
		most = max(most, rate.Calls)
		if n := len(g.taken); n >= rate.Calls {
			if open := g.taken[n-rate.Calls].Add(rate.Per); open.After(now) {
				wait, over = max(wait, open.Sub(now)), true
			}
		}
	}
	if !over {
		g.taken = append(g.taken, now)
		g.taken = g.taken[max(0, len(g.taken)-most):]
	}
	return wait, over
}

// recorder holds what a service answers until it is known what becomes of it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// serve starts the service of a kind on a free port and opens the destination at
// its address.
func serve(ctx context.Context, kind activate.Kind, c activate.Config, store activate.Store, o Options) (activate.Connector, error) {
	limits, err := kind.Limits(c)
	if err != nil {
		return activate.Connector{}, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return activate.Connector{}, fmt.Errorf("stand-in: %w", err)
	}
	c.Connection = kind.At(c.Connection, "http://"+listener.Addr().String())
	handler, err := kind.Serve(c, store)
	if err != nil {
		return activate.Connector{}, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: Handler(handler, limits.Rates, o.Faults), ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends when the server is closed, which is no error
	}()
	stop := sync.OnceValue(func() error {
		err := server.Close()
		<-ended
		return errors.Join(err, store.Close())
	})
	conn, err := kind.Open(ctx, c)
	if err != nil {
		return activate.Connector{}, errors.Join(err, stop())
	}
	conn.Destination = served{conn.Destination, stop}
	return conn, nil
}

// served is a destination with its service.
type served struct {
	activate.Destination
	stop func() error
}

// Close ends the destination, and then the service.
func (s served) Close() error { return errors.Join(s.Destination.Close(), s.stop()) }
