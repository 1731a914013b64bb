package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	neturl "net/url"
	"os"
	"strings"
	"testing"
	"time"

	"elt/internal/fault"
	"elt/internal/testdb"
)

// soak makes the tests that draw their faults draw many; `make soak` sets it.
var soak = flag.Bool("soak", false, "draw many faults, as `make soak` does")

// draws is how many faults a test draws.
func draws(few, many int) int {
	if *soak {
		return many
	}
	return few
}

// drawn is a source of chance whose seed is printed. ELT_TEST_SEED repeats one.
func drawn(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text, ok := os.LookupEnv("ELT_TEST_SEED"); ok {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ELT_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// behindProxy is the address of a database behind a proxy, for somebody who asks
// after 500 ms of silence.
func behindProxy(t *testing.T, addr string) (*fault.Proxy, string) {
	t.Helper()
	u, err := neturl.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	p := proxyTo(t, u.Host)
	u.Host = p.Addr()
	u.RawQuery += "&tcp_user_timeout=500&connect_timeout=1"
	return p, u.String()
}

// proxyTo is a proxy to host:port.
func proxyTo(t *testing.T, server string) *fault.Proxy {
	t.Helper()
	p, err := fault.NewProxy(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// broken is a project whose warehouse is behind a proxy.
type broken struct {
	*testing.T
	proxy        *fault.Proxy
	addr, behind string
	clean        map[string]string // what a run without faults leaves
	sent, reply  int64             // bytes of one
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	b := &broken{T: t, addr: testdb.URL(t)}
	b.proxy, b.behind = behindProxy(t, b.addr)
	dir := copyOf(t, smallCase)
	b.proxy.Break(fault.Cut{At: 1 << 40})
	mustRun(t, dir, b.behind)
	b.sent, b.reply = b.proxy.Passed()
	b.clean = outcome(t, smallCase, dir, b.addr)
	return b
}

// run runs a new project on an empty warehouse with a cut, then without, and wants
// that to end where a run without faults ends. It returns the first exit code.
func (b *broken) run(cut fault.Cut) int {
	b.Helper()
	empty(b.T, b.addr)
	dir := copyOf(b.T, smallCase)
	came := b.proxy.Came()
	b.proxy.Break(cut)
	var stderr bytes.Buffer
	code, out := elt(b.T, dir, b.behind, &stderr, nil, "run", "--threads", "1")
	what := fmt.Sprintf("%s, reply %t, at %d, all %t", cut.Break, cut.Reply, cut.At, cut.All)
	switch {
	case code != exitOK && code != exitFailed && code != exitTryAgain:
		b.Errorf("%s: exit %d\n%s\n%s", what, code, out, &stderr)
	case code != exitOK && b.proxy.Came() == came:
		b.Errorf("%s: exit %d without a fault\n%s\n%s", what, code, out, &stderr)
	case code == exitFailed:
		b.Errorf("%s: exit %d, though it may pass by itself\n%s\n%s", what, code, out, &stderr)
	}
	b.proxy.Heal()
	mustRun(b.T, dir, b.addr)
	if got := outcome(b.T, smallCase, dir, b.addr); !maps.Equal(got, b.clean) {
		b.Errorf("%s: after exit %d a clean rerun ends elsewhere:\n%v\nwant\n%v", what, code, got, b.clean)
	}
	return code
}

// A connection to the warehouse breaks at a byte that is drawn, in every way and
// either direction, alone or with all others; a clean rerun ends where a run
// without faults ends.
func TestNetworkFaultsBetweenRunAndWarehouse(t *testing.T) {
	for _, how := range fault.Breaks() {
		for _, reply := range []bool{false, true} {
			for _, all := range []bool{false, true} {
				if how == fault.Stall && all && !*soak { // every deadline there is has to pass
					continue
				}
				t.Run(fmt.Sprintf("%s/reply=%t/all=%t", how, reply, all), func(t *testing.T) {
					t.Parallel()
					random, b := drawn(t), newBroken(t)
					n, total := draws(3, 40), b.sent
					if how == fault.Stall || all {
						n = draws(1, 15)
					}
					if reply {
						total = b.reply
					}
					for range n {
						b.run(fault.Cut{Break: how, Reply: reply, All: all, At: random.Int64N(total)})
					}
				})
			}
		}
	}
}

// Invariant 6: the reply to every single COMMIT of a run is lost; elt finds out by
// the token that it was done, and the run ends well.
func TestInvariant6TheReplyToEveryCommitOfARunIsLost(t *testing.T) {
	for _, how := range fault.Breaks() {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			random, b := drawn(t), newBroken(t)
			// Commit 1 prepares the warehouse before there can be a token.
			at, stride := 2, 1
			if !*soak {
				at, stride = 2+random.IntN(4), 4
			}
			for ; ; at += stride {
				n := 0
				came := b.proxy.Came()
				code := b.run(fault.Cut{Break: how, Reply: true, On: func(sent []byte) bool {
					if bytes.Contains(sent, []byte("COMMIT\x00")) {
						n++
					}
					return n == at
				}})
				if b.proxy.Came() == came {
					if at < 10 {
						t.Errorf("a run has %d commits", at-1)
					}
					break
				}
				if code != exitOK {
					t.Errorf("the reply to commit %d is lost: exit %d", at, code)
				}
			}
		})
	}
}

// A source that breaks, in any way, in the middle of what it sends fails the load
// or is read again; nothing of it is published in part.
func TestNetworkFaultsBetweenRunAndSource(t *testing.T) {
	for _, how := range fault.Breaks() {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			random := drawn(t)
			s := newSourced(t, "duckdb", shopProject)
			s.exec(`CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at timestamptz NOT NULL)`)
			s.exec(`INSERT INTO orders VALUES (0, 'the first', '2026-03-08')`)
			direct, _ := sources.Load(s.dir)
			proxy, behind := behindProxy(t, fmt.Sprint(direct))
			sources.Store(s.dir, behind)
			s.run(0)
			for n := range draws(1, 20) {
				rows := (n + 1) * 2000
				s.exec(`INSERT INTO orders SELECT i, repeat('x', 1000), '2026-03-09' FROM generate_series((SELECT max(id) FROM orders) + 1, ` + fmt.Sprint(rows) + `) i`)
				before := dump(t, s.dir, s.addr, "shop.orders")
				at := random.Int64N(2_000_000)
				proxy.Break(fault.Cut{Break: how, Reply: true, At: at, All: true})
				var stderr bytes.Buffer
				code, out := elt(t, s.dir, s.addr, &stderr, nil, "run")
				if told := out + stderr.String(); code != exitTryAgain || !strings.Contains(told, "connection db (elt.yaml:6:3): PostgreSQL at ") {
					t.Errorf("cut at %d: exit %d, want 75\n%s", at, code, told)
				}
				if after := dump(t, s.dir, s.addr, "shop.orders"); after != before {
					t.Errorf("cut at %d: the table changed: %s", at, firstDifference(before, after))
				}
				proxy.Heal()
				proxy.Break(fault.Cut{Break: how, Reply: true, At: at})
				elt(t, s.dir, s.addr, &stderr, nil, "run") // another try may read all of it
				proxy.Heal()
				s.run(0)
				if n := strings.Count(dump(t, s.dir, s.addr, "shop.orders"), "\n"); n != rows+2 {
					t.Errorf("cut at %d: %d lines, want a heading and %d rows", at, n, rows+1)
				}
			}
		})
	}
}

// A connection through which nothing comes once it has been greeted keeps no run
// waiting for ever: the source is tried again, and so is the warehouse.
func TestNetworkFaultsAfterTheGreeting(t *testing.T) {
	t.Parallel()
	greeted := fault.Cut{Break: fault.Stall, Reply: true, On: func(sent []byte) bool { return bytes.Contains(sent, []byte("pg_backend_pid")) }}
	b := newBroken(t)
	if came, code := b.proxy.Came(), b.run(greeted); code == exitFailed || b.proxy.Came() != came+1 {
		t.Errorf("the warehouse: exit %d", code)
	}
	s := newSourced(t, "duckdb", shopProject)
	s.exec(`CREATE TABLE orders (id bigint PRIMARY KEY, note text, updated_at timestamptz NOT NULL)`)
	s.exec(`INSERT INTO orders VALUES (0, 'the first', '2026-03-08')`)
	direct, _ := sources.Load(s.dir)
	proxy, behind := behindProxy(t, fmt.Sprint(direct))
	sources.Store(s.dir, behind)
	proxy.Break(greeted)
	if s.run(exitOK); proxy.Came() != 1 {
		t.Errorf("the source: %d cuts came", proxy.Came())
	}
}

// A slow network is no fault.
func TestASlowNetworkIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	b.proxy.Delay(3 * time.Millisecond)
	empty(t, b.addr)
	dir := copyOf(t, smallCase)
	mustRun(t, dir, b.behind)
	if got := outcome(t, smallCase, dir, b.addr); !maps.Equal(got, b.clean) {
		t.Errorf("ended with\n%v\nwant\n%v", got, b.clean)
	}
}
