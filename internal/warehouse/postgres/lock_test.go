package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"elt/internal/testdb"
	"elt/internal/warehouse"
	"elt/internal/warehouse/postgres"
)

func TestLockIsHeldByOneAndGivenBack(t *testing.T) {
	url := testdb.URL(t)
	first, second := openURL(t, url, postgres.Options{}), openURL(t, url, postgres.Options{})
	held, release, err := first.Lock(t.Context(), "shop/dev")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = second.Lock(t.Context(), "shop/dev")
	var locked *warehouse.LockedError
	if warehouse.KindOf(err) != warehouse.KindLocked || !errors.As(err, &locked) || locked.PID == 0 || !strings.Contains(err.Error(), "elt of user elt") {
		t.Errorf("error %v", err)
	}
	_, other, err := second.Lock(t.Context(), "shop/prod")
	if err != nil {
		t.Errorf("another name: %v", err)
	} else {
		other()
	}
	if held.Err() != nil {
		t.Error("the lock's context ended while it was held")
	}
	release()
	release()
	if held.Err() == nil {
		t.Error("the lock's context outlives it")
	}
	_, again, err := second.Lock(t.Context(), "shop/dev")
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again()
}

func TestLockEndsWithItsConnection(t *testing.T) {
	url := testdb.URL(t)
	d := openURL(t, url, postgres.Options{})
	held, release, err := d.Lock(t.Context(), "shop/dev")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	db := warehouse.OpenReadOnly(openURL(t, url, postgres.Options{}))
	one(t, db, `SELECT pg_terminate_backend(pid, 20000)::text FROM pg_locks WHERE locktype = 'advisory'`)
	select {
	case <-held.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody noticed that the connection is gone")
	}
	_, again, err := d.Lock(t.Context(), "shop/dev")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestCloseEndsLocksAndIsSafeTwice(t *testing.T) {
	d := open(t)
	held, release, err := d.Lock(t.Context(), "shop/dev")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if held.Err() == nil {
		t.Error("the lock outlives the driver")
	}
	release()
	if _, err := d.Begin(t.Context(), true); err == nil {
		t.Error("a closed driver begins a transaction")
	}
}
