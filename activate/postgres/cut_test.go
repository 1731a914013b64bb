package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	neturl "net/url"
	"testing"

	"elt/activate"
	"elt/internal/fault"
	"elt/internal/retry"
)

// behind is the same database behind a proxy, where nobody waits for long.
func (w world) behind(t *testing.T) (*fault.Proxy, world) {
	t.Helper()
	u, err := neturl.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	p, err := fault.NewProxy(t.Context(), u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	u.Host = p.Addr()
	u.RawQuery += "&tcp_user_timeout=500&connect_timeout=1"
	return p, world{u.String()}
}

func isCommit(sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT\x00")) }

// The token tells what became of a transaction whose COMMIT has no answer, and
// the outcomes are those that the server had told before.
func TestALostAnswerToCommitIsFoundOut(t *testing.T) {
	for _, how := range fault.Breaks() {
		for _, reached := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/reached=%t", how, reached), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, `CREATE TABLE things (id int PRIMARY KEY, v text)`, `INSERT INTO things VALUES (1, 'old')`)
				proxy, behind := w.behind(t)
				d := behind.mustOpen(t, things)
				changes := []activate.Change{change(activate.Upsert, 1, `,"v":"a"`), change(activate.Upsert, 2, `,"v":"b"`), change(activate.Create, 3, `,"v":"c"`)}
				proxy.Break(fault.Cut{Break: how, Reply: reached, On: isCommit})
				if reached {
					want(t, "outcomes", push(t, d, changes...), "acked\nacked new\nacked new")
				} else {
					outs, err := d.Push(context.Background(), activate.Batch{Changes: changes})
					if class, _ := retry.Of(err); class != retry.Transient {
						t.Fatalf("%v, %v; want a transient error: nothing was written", outs, err)
					}
					want(t, "before", w.read(t, `SELECT id, v FROM things ORDER BY id`), "1 old")
					want(t, "outcomes", push(t, d, changes...), "acked\nacked new\nacked new")
				}
				if proxy.Came() != 1 {
					t.Fatalf("%d cuts came, want 1", proxy.Came())
				}
				want(t, "after", w.read(t, `SELECT id, v FROM things ORDER BY id`), "1 a\n2 b\n3 c")
			})
		}
	}
}

// When nobody can be asked either, the outcome is unknown, and sending the same
// operations again doubles nothing.
func TestWhatCannotBeFoundOutIsUnknownAndSafeToSendAgain(t *testing.T) {
	for _, how := range fault.Breaks() {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, `CREATE TABLE things (id int, v text)`)
			proxy, behind := w.behind(t)
			d := behind.mustOpen(t, things)
			one := change(activate.Append, 1, `,"v":"a"`)
			proxy.Break(fault.Cut{Break: how, Reply: true, On: isCommit, All: true})
			outs, err := d.Push(context.Background(), activate.Batch{Changes: []activate.Change{one}})
			var barred *activate.BarredError
			var refused *activate.RefusedError
			if class, _ := retry.Of(err); err == nil || class == retry.Transient || errors.As(err, &barred) || errors.As(err, &refused) {
				t.Fatalf("%v, %v; want an error that says that nothing is known", outs, err)
			}
			proxy.Heal()
			want(t, "again", push(t, d, one, change(activate.Append, 2, `,"v":"b"`)), "acked new\nacked new")
			want(t, "table", w.read(t, `SELECT id, v FROM things ORDER BY id`), "1 a\n2 b")
		})
	}
}

// Cut anywhere, in whatever direction: what is not acknowledged is sent again in
// another batch, and in the end every row is there once.
func TestCutAnywhereNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, `CREATE TABLE things (id int, v text)`)
	proxy, behind := w.behind(t)
	var all []activate.Change
	for i := range 200 {
		all = append(all, change(activate.Append, i, fmt.Sprintf(`,"v":"value %d"`, i)))
	}
	done := map[string]bool{}
	for round := range 36 {
		if round < 24 {
			proxy.Break(fault.Cut{Break: fault.Breaks()[random.IntN(2)], Reply: random.IntN(2) == 0, At: random.Int64N(6000), All: random.IntN(4) == 0})
		} else {
			proxy.Heal()
		}
		var batch []activate.Change
		for range 10 {
			batch = append(batch, all[random.IntN(len(all))])
		}
		if round == 35 {
			batch = all
		}
		batch = distinct(batch)
		d, err := behind.open(things)
		if err == nil {
			outs, err := d.Push(context.Background(), activate.Batch{Changes: batch})
			for _, o := range outs {
				if err == nil && o.Status == activate.Acked {
					done[o.OpID] = true
				}
			}
			_ = d.Close() // its connection may be gone
		}
		proxy.Heal()
		if got := w.read(t, `SELECT count(*) - count(DISTINCT id) FROM things`); got != "0" {
			t.Fatalf("round %d: %s rows are there twice", round, got)
		}
	}
	want(t, "acknowledged", fmt.Sprint(len(done)), "200")
	want(t, "table", w.read(t, `SELECT count(*), count(DISTINCT id) FROM things`), "200 200")
}

func distinct(list []activate.Change) (out []activate.Change) {
	seen := map[string]bool{}
	for _, c := range list {
		if !seen[c.OpID] {
			out = append(out, c)
		}
		seen[c.OpID] = true
	}
	return out
}
