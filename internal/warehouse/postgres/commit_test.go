package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	neturl "net/url"
	"testing"

	"elt/internal/fault"
	"elt/internal/retry"
	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

// proxied returns the address of a new database behind a proxy, where nobody
// waits for long.
func proxied(t *testing.T) (*fault.Proxy, string) {
	t.Helper()
	u, err := neturl.Parse(testdb.URL(t))
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
	return p, u.String()
}

func isCommit(sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT\x00")) }

// insert writes the pair of rows n that must never be apart.
func insert(t *testing.T, db *warehouse.DB, n int) error {
	t.Helper()
	return db.Update(t.Context(), func(ctx context.Context, tx *warehouse.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO public.a VALUES ($1)`, n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.b VALUES ($1)`, n)
		return err
	})
}

// wantPair wants both rows n, or none; it reports which.
func wantPair(t *testing.T, db *warehouse.DB, n int) bool {
	t.Helper()
	got := one(t, db, fmt.Sprintf(`SELECT (SELECT count(*) FROM public.a WHERE x = %d), (SELECT count(*) FROM public.b WHERE x = %d)`, n, n))
	if got[0] != got[1] || got[0] != "0" && got[0] != "1" {
		t.Errorf("rows %d: %v", n, got)
	}
	return got[0] == "1"
}

// However a connection ends around COMMIT, the token tells what became of it.
func TestInvariant6_AnErrorFromCommitMeansUnknownAndIsAsked(t *testing.T) {
	for _, how := range fault.Breaks() {
		for _, answered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/answered=%t", how, answered), func(t *testing.T) {
				t.Parallel()
				proxy, url := proxied(t)
				db, err := warehouse.Open(t.Context(), openURL(t, url, postgres.Options{}))
				if err != nil {
					t.Fatal(err)
				}
				exec(t, db, `CREATE TABLE public.a (x int)`)
				exec(t, db, `CREATE TABLE public.b (x int)`)
				proxy.Break(fault.Cut{Break: how, Reply: answered, On: isCommit})
				err = insert(t, db, 1)
				if proxy.Came() != 1 {
					t.Fatalf("%d cuts came", proxy.Came())
				}
				proxy.Heal()
				there := wantPair(t, db, 1)
				class, _ := retry.Of(err)
				if answered && (!there || err != nil) || !answered && (there || !errors.Is(err, warehouse.ErrNotCommitted) || class != retry.Transient) {
					t.Errorf("there: %t, error %v (class %v)", there, err, class)
				}
			})
		}
	}
}

// Whatever byte a connection breaks at, in either direction, an update is there
// exactly when its error is nil, and nothing of it is left to block the next.
func TestInvariant6_ACutAtAnyByteOfAnUpdate(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, how := range fault.Breaks() {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			proxy, url := proxied(t)
			db, err := warehouse.Open(t.Context(), openURL(t, url, postgres.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			exec(t, db, `CREATE TABLE public.a (x int)`)
			exec(t, db, `CREATE TABLE public.b (x int)`)
			proxy.Break(fault.Cut{At: 1 << 40})
			if err := insert(t, db, 0); err != nil {
				t.Fatal(err)
			}
			sent, answered := proxy.Passed()
			tries, committed := map[fault.Break]int{fault.Stall: 6}[how], 0
			if tries == 0 {
				tries = 60
			}
			for n := 1; n <= tries; n++ {
				cut := fault.Cut{Break: how, Reply: n%2 == 0}
				cut.At = random.Int64N(map[bool]int64{true: answered, false: sent}[cut.Reply])
				came := proxy.Came()
				proxy.Break(cut)
				err := insert(t, db, n)
				if proxy.Came() != came+1 {
					t.Fatalf("%+v: %d cuts came", cut, proxy.Came()-came)
				}
				proxy.Heal()
				if there := wantPair(t, db, n); there != (err == nil) {
					t.Errorf("%+v: there: %t, error %v", cut, there, err)
				}
				if err == nil {
					committed++
				}
			}
			t.Logf("%d updates, %d of them committed", tries, committed)
		})
	}
}
