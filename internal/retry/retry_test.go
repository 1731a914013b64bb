package retry

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestOfTakesTheOutermostClass(t *testing.T) {
	plain := errors.New("reset")
	for _, c := range []struct {
		name  string
		err   error
		class Class
		after time.Duration
	}{
		{"nil", nil, Permanent, 0},
		{"nobody classified it", plain, Permanent, 0},
		{"transient", AsTransient(plain), Transient, 0},
		{"after", After(plain, time.Minute), Transient, time.Minute},
		{"asked", Asked(plain, time.Hour), Permanent, time.Hour},
		{"wrapped", fmt.Errorf("fetch: %w", After(plain, time.Second)), Transient, time.Second},
		{"joined", errors.Join(plain, AsTransient(plain)), Transient, 0},
	} {
		class, after := Of(c.err)
		if class != c.class || after != c.after {
			t.Errorf("%s: Of = %d, %s, want %d, %s", c.name, class, after, c.class, c.after)
		}
	}
}

func TestClassifyingKeepsTheError(t *testing.T) {
	plain := errors.New("reset")
	for _, err := range []error{AsTransient(plain), After(plain, time.Second), Asked(plain, time.Second)} {
		if !errors.Is(err, plain) || err.Error() != plain.Error() {
			t.Errorf("%v lost what it wraps", err)
		}
	}
	if AsTransient(nil) != nil || After(nil, time.Second) != nil || Asked(nil, time.Second) != nil {
		t.Error("a class made an error out of nil")
	}
}

func TestBackoffBounds(t *testing.T) {
	b := Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	for n, ceiling := range map[int]time.Duration{
		1: b.Base, 2: 2 * b.Base, 3: 4 * b.Base, 5: 16 * b.Base, 6: b.Max, 7: b.Max, 1 << 20: b.Max,
	} {
		for range 500 {
			if d := b.Wait(n, 0); d < ceiling/2 || d > ceiling {
				t.Fatalf("wait after try %d is %s, want %s to %s", n, d, ceiling/2, ceiling)
			}
		}
	}
	if d := b.Wait(1, time.Hour); d != time.Hour {
		t.Errorf("a server asked for an hour and got %s", d)
	}
	if d := (Backoff{}).Wait(3, 0); d != 0 {
		t.Errorf("the zero Backoff waits %s", d)
	}
	if d := (Backoff{Base: time.Hour, Max: time.Second}).Wait(1, 0); d > time.Second {
		t.Errorf("a base over the maximum waits %s", d)
	}
}
