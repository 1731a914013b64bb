package http_test

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/fake"
	"elt/activate/http"
)

// TestMain sets how many histories are tried in each test; -rapid.checks=N tries more.
func TestMain(m *testing.M) { os.Exit(activatetest.Main(m, 7)) }

// TestInvariant8 pushes random histories of a model to a service that fails at
// random. With reconcile it knows no operation again, so that any call that should
// not have been repeated shows.
func TestInvariant8(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(setups())) {
		t.Run(name, func(t *testing.T) {
			activatetest.Histories(t, modes(t, name), func(at activatetest.At) *activatetest.Place { return service(t, at, name) })
		})
	}
}

// setup is one of few rows in a batch.
func setup(name string) string { return strings.ReplaceAll(setups()[name], "rows: 10", "rows: 3") }

func limitsOf(t *testing.T, name string) activate.Limits {
	t.Helper()
	l, err := http.Kind().Limits(config(t, "https://api.example.com", "", setup(name)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func modes(t *testing.T, name string) []string { return limitsOf(t, name).Modes }

// service is a service of its own for a history.
func service(t *testing.T, at activatetest.At, name string) *activatetest.Place {
	s := &activatetest.Service{
		Answers: answers(setups()[name]), Forgetful: name == "reconcile", DateForm: rapid.Bool().Draw(at.T, "Retry-After is a date"),
		Reject: func(_, fields string) (code, message string) {
			if strings.Contains(fields, `"v":"bad"`) {
				return "bad", "no such value"
			}
			return "", ""
		},
	}
	// Without a word on each row a row that is refused can only be told by refusing all.
	s.Atomic = s.Answers == activatetest.NoAnswers || rapid.Bool().Draw(at.T, "whole calls are refused")
	server := httptest.NewServer(s)
	conn := fmt.Sprintf("concurrency: %d", rapid.IntRange(1, 3).Draw(at.T, "concurrency"))
	hasty := config(t, server.URL, conn+"\ntimeout: 250ms", setup(name)) // of a service that does not answer
	patient := config(t, server.URL, conn, setup(name))
	hasty.Mode, patient.Mode = at.Mode, at.Mode
	c := patient
	p := &activatetest.Place{
		Open:   func() (activate.Connector, error) { return http.Kind().Open(context.Background(), c) },
		Rows:   func() ([]activatetest.Row, error) { return s.Rows("things"), nil },
		Put:    func(r activatetest.Row) { s.Put("things", r.Key, r.Fields) },
		Close:  server.Close,
		Replay: limitsOf(t, name).Replay,
		Break: func(script *activatetest.Script) {
			list := outages(s.Answers, s.Forgetful)
			s.SetFault(func(int) fake.Outage { return list[script.Pick("", len(list))] })
			c = hasty
		},
		Heal: func() {
			s.SetFault(nil)
			c = patient
		},
	}
	if s.Forgetful {
		p.Twice = func() int { _, _, n := s.Calls(); return n }
	}
	return p
}

// outages are those after which a service says what is true, or nothing. A
// conflict would be said of rows that it has taken; where rows are refused by
// whole calls, others are so too. A call of which it is not known whether it is
// still on is no matter of looking up.
func outages(answers activatetest.Answers, reconcile bool) []fake.Outage {
	out := []fake.Outage{fake.Conflict, fake.Bomb}
	if answers != activatetest.EachRow {
		out = append(out, fake.SilentIdle)
	}
	if reconcile {
		out = append(out, fake.Slow)
	}
	return slices.DeleteFunc(fake.Outages(), func(o fake.Outage) bool { return slices.Contains(out, o) })
}

// TestInvariant8OfStandIns is the same for the stand-in of each way to talk.
func TestInvariant8OfStandIns(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(setups())) {
		t.Run(name, func(t *testing.T) {
			c, root := config(t, "https://api.example.com", "", setup(name)), t.TempDir()
			limits := limitsOf(t, name)
			activatetest.Histories(t, limits.Modes, func(at activatetest.At) *activatetest.Place {
				c.Mode = at.Mode
				each := outages(answers(setups()[name]), true)
				return activatetest.StandIn(at, http.Kind(), c, filepath.Join(root, fmt.Sprint(at.N)), each)
			})
		})
	}
}
