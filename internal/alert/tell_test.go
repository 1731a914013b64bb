package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a book that can lose its process at any call.
type memory struct {
	mu      sync.Mutex // of Alone
	records map[string]Record
	dieAt   int // the call of Write that never happens; 0: none
	writes  int
}

var errKilled = errors.New("killed")

func (b *memory) Alone(ctx context.Context) (context.Context, func(), error) {
	b.mu.Lock()
	return ctx, b.mu.Unlock, nil
}

func (b *memory) Read(context.Context) ([]Record, error) {
	return slices.Collect(maps.Values(b.records)), nil
}

func (b *memory) Write(_ context.Context, records []Record) error {
	if b.writes++; b.writes == b.dieAt {
		return errKilled
	}
	for _, r := range records {
		if b.records == nil {
			b.records = map[string]Record{}
		}
		b.records[r.To+"/"+r.Subject] = r
	}
	return nil
}

// chat is a place that keeps what it got; outcome says what becomes of a message.
type chat struct {
	got     []Message
	outcome string // ok, lost, unsure-got, unsure-lost
}

func (c *chat) Send(_ context.Context, m Message) error {
	if c.outcome == "ok" || c.outcome == "unsure-got" {
		c.got = append(c.got, m)
	}
	switch c.outcome {
	case "ok":
		return nil
	case "lost":
		return errors.New("refused")
	}
	return &UnsureError{Err: errors.New("no reply")}
}

func teller(c *chat, now *time.Time) *Teller {
	return &Teller{Readers: []Reader{{full, c}}, Now: func() time.Time { return *now }, Where: Where{Project: "shop", Target: "prod", Run: "r"}}
}

// Over random outcomes of runs, deliveries that fail in every way, and kills
// between sending and recording: a place that answers hears of each change once;
// it is never told the same twice unless a reply or a process was lost between;
// and once all is quiet it knows how each subject is.
func TestInvariant12EachChangeIsToldOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		if err := history(t.Context(), rand.New(rand.NewPCG(seed, 12))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

type world struct {
	book   memory
	chat   chat
	now    time.Time
	state  map[string]*Problem
	knows  map[string]string // what people believe, by subject, from the messages
	unsure bool              // a reply or a process was lost since the last delivery
}

func history(ctx context.Context, rnd *rand.Rand) error {
	w := world{now: t0, state: map[string]*Problem{}, knows: map[string]string{}}
	problems := []*Problem{nil, nil, failing(), failing("unique"), failing("unique", "range"), {State: Held}, {State: Stale}}
	outcomes := []string{"ok", "ok", "ok", "lost", "unsure-got", "unsure-lost"}
	for range 25 {
		w.now = w.now.Add(time.Hour)
		var seen []Observation
		for _, subject := range []string{"a", "b", "c"} {
			if rnd.IntN(3) > 0 { // the others are not looked at by this run
				w.state[subject] = problems[rnd.IntN(len(problems))]
				seen = append(seen, Observation{subject, w.now, w.state[subject]})
			}
		}
		w.chat.outcome = outcomes[rnd.IntN(len(outcomes))]
		w.book.dieAt, w.book.writes = 0, 0
		if rnd.IntN(5) == 0 {
			w.book.dieAt = 1 + rnd.IntN(2)
		}
		if err := w.run(ctx, seen); err != nil {
			return err
		}
	}
	w.now, w.chat.outcome, w.book.dieAt = w.now.Add(time.Hour), "ok", 0
	var seen []Observation
	for _, subject := range slices.Sorted(maps.Keys(w.state)) {
		seen = append(seen, Observation{subject, w.now, w.state[subject]})
	}
	if err := w.run(ctx, seen); err != nil {
		return err
	}
	for subject, p := range w.state {
		if want := word(p); w.knows[subject] != want && !(want == "well" && w.knows[subject] == "") {
			return fmt.Errorf("%s is %q, and people believe %q", subject, want, w.knows[subject])
		}
	}
	before := len(w.chat.got)
	if err := w.run(ctx, seen); err != nil {
		return err
	}
	if len(w.chat.got) != before {
		return fmt.Errorf("told again without a change: %v", w.chat.got[before:])
	}
	return nil
}

func word(p *Problem) string {
	if p == nil {
		return "well"
	}
	set := p.set()
	slices.Sort(set)
	return string(p.State) + " " + strings.Join(set, ",")
}

// run tells, and reads what arrived as people do.
func (w *world) run(ctx context.Context, seen []Observation) error {
	for i := range seen {
		if p := seen[i].Problem; p != nil { // the message says what it is, so that people can be asked
			named := *p
			named.Title = "<" + word(p) + ">"
			seen[i].Problem = &named
		}
	}
	had := len(w.chat.got)
	_, err := teller(&w.chat, &w.now).Tell(ctx, &w.book, seen)
	if err != nil && !errors.Is(err, errKilled) {
		return err
	}
	for _, m := range w.chat.got[had:] {
		for _, s := range m.Sections {
			subject, text, _ := strings.Cut(s.Head, ": ")
			now := strings.Trim(text, "<>")
			if s.Good {
				now = "well"
			}
			if w.knows[subject] == now && !w.unsure {
				return fmt.Errorf("%s: %s was told twice", subject, now)
			}
			if w.knows[subject] == "" && now == "well" && !w.unsure {
				return fmt.Errorf("%s recovered from what nobody was told of", subject)
			}
			w.knows[subject] = now
		}
	}
	// What is unsure stays so until a delivery is recorded.
	switch {
	case err != nil || strings.HasPrefix(w.chat.outcome, "unsure"):
		w.unsure = true
	case w.chat.outcome == "ok" && len(w.chat.got) > had && !w.anyPerhaps():
		w.unsure = false
	}
	return nil
}

func (w *world) anyPerhaps() bool {
	for _, r := range w.book.records {
		if len(r.Perhaps) > 0 {
			return true
		}
	}
	return false
}

// Two runs that end at once tell a failure that both saw once.
func TestTwoRunsThatOverlapTellOnce(t *testing.T) {
	t.Parallel()
	var book memory
	c := chat{outcome: "ok"}
	now := t0
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := teller(&c, &now).Tell(t.Context(), &book, []Observation{{"shop.orders", t0, failing()}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(c.got) != 1 {
		t.Errorf("%d messages, want 1", len(c.got))
	}
}

// A kill between sending and recording doubles the message once, and no more.
func TestAKillDoublesAtMostOnce(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 2; at++ {
		book, c, now := memory{dieAt: at}, chat{outcome: "ok"}, t0
		seen := []Observation{{"shop.orders", t0, failing()}}
		if _, err := teller(&c, &now).Tell(t.Context(), &book, seen); !errors.Is(err, errKilled) {
			t.Fatalf("kill at write %d: %v", at, err)
		}
		for range 3 {
			if _, err := teller(&c, &now).Tell(t.Context(), &book, seen); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.got) != at {
			t.Errorf("kill at write %d: %d messages, want %d", at, len(c.got), at)
		}
	}
}

// What waits to be told is told by a run that does not look at it.
func TestTheNextRunTellsWhatCouldNotBeTold(t *testing.T) {
	t.Parallel()
	var book memory
	c, now := chat{outcome: "lost"}, t0
	p := failing("unique")
	p.Run = "first"
	out, err := teller(&c, &now).Tell(t.Context(), &book, []Observation{{"shop.orders", t0, p}})
	if err != nil || len(out) != 1 || out[0].Err == nil {
		t.Fatal(out, err)
	}
	c.outcome = "ok"
	if _, err := teller(&c, &now).Tell(t.Context(), &book, nil); err != nil || len(c.got) != 1 {
		t.Fatal(c.got, err)
	}
	if text := Text(c.got[0]); !strings.Contains(text, "run first, 10 Mar 02:00; it could not be told then") {
		t.Error(text)
	}
}

func TestWhatWasDeletedWhileItFailedIsForgotten(t *testing.T) {
	t.Parallel()
	var book memory
	c, now := chat{outcome: "ok"}, t0
	one := teller(&c, &now)
	if _, err := one.Tell(t.Context(), &book, []Observation{{"shop.orders", t0, failing()}}); err != nil {
		t.Fatal(err)
	}
	one.Exists = func(string) bool { return false }
	for range 2 {
		if _, err := one.Tell(t.Context(), &book, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.got) != 1 || !book.records["chat/shop.orders"].gone() {
		t.Errorf("%d messages, %+v", len(c.got), book.records)
	}
}

// What is kept of a problem, so that a later run can tell it, holds no secret.
func TestKeptProblemsHoldNoSecret(t *testing.T) {
	t.Parallel()
	var book memory
	c, now := chat{outcome: "ok"}, t0
	one := teller(&c, &now)
	one.Redact = func(s string) string { return strings.ReplaceAll(s, "hunter22", "***") }
	p := &Problem{State: Failed, Title: "could not start, hunter22", Error: "dial with hunter22",
		Causes:  []Cause{{Check: "sql", Observed: "hunter22", Expected: "no hunter22", Samples: []string{"hunter22"}}},
		Readers: "hunter22", Next: "hunter22", Commands: []string{"elt run hunter22"}, Owner: "hunter22", Runbook: "https://hunter22"}
	if _, err := one.Tell(t.Context(), &book, []Observation{{"start of job nightly", t0, p}}); err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(slices.Collect(maps.Values(book.records)))
	if err != nil || strings.Contains(string(kept), "hunter22") || !strings.Contains(string(kept), "dial with ***") {
		t.Errorf("kept: %s, %v", kept, err)
	}
	if p.Error != "dial with hunter22" || p.Causes[0].Observed != "hunter22" || p.Commands[0] != "elt run hunter22" {
		t.Errorf("the observation of the caller was changed: %+v", p)
	}
}

// A consequence is told under its cause, however many lie between them; where
// causes go round in a circle, each is told by itself.
func TestConsequencesOfConsequencesAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		under map[string]string // by subject
		heads []string
		also  []string // of the first
	}{
		"chain":   {map[string]string{"orders": "", "age of orders": "orders", "age of revenue": "age of orders", "age of board": "age of revenue"}, []string{"orders"}, []string{"age of board", "age of orders", "age of revenue"}},
		"two":     {map[string]string{"a": "", "b": "", "c": "b"}, []string{"a", "b"}, nil},
		"no such": {map[string]string{"age of revenue": "age of orders"}, []string{"age of revenue"}, nil},
		"itself":  {map[string]string{"a": "a"}, []string{"a"}, nil},
		"circle":  {map[string]string{"a": "b", "b": "a", "c": "a"}, []string{"a", "b", "c"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var book memory
			to, now := chat{outcome: "ok"}, t0
			var seen []Observation
			for _, subject := range slices.Sorted(maps.Keys(c.under)) {
				seen = append(seen, Observation{subject, t0, &Problem{State: Failed, Title: "broken", Under: c.under[subject]}})
			}
			if _, err := teller(&to, &now).Tell(t.Context(), &book, seen); err != nil || len(to.got) != 1 {
				t.Fatal(to.got, err)
			}
			var heads []string
			for _, s := range to.got[0].Sections {
				heads = append(heads, strings.TrimSuffix(s.Head, ": broken"))
			}
			if !slices.Equal(heads, c.heads) {
				t.Errorf("sections %q, want %q", heads, c.heads)
			}
			var also []Fact
			if c.also != nil {
				also = []Fact{{"Also", several(c.also)}}
			}
			if got := to.got[0].Sections[0].Facts; !slices.Equal(got, also) {
				t.Errorf("facts %v, want %v", got, also)
			}
		})
	}
}
