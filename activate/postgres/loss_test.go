package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"elt/activate"
)

// A value that the type of its column rounds or cuts off without a word is refused,
// and what the column keeps is not.
func TestNoValueIsRoundedOrCutOffSilently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `CREATE DOMAIN price AS numeric(8,2)`)
	for _, test := range []struct {
		typ        string
		kept, lost []string
	}{
		{"numeric(6,2)", []string{`1`, `1.20`, `-1.2000`, `0.0000`, `125e-2`, `1.25E1`, `"1.25"`, `"NaN"`, `1200e0`, `0e-9`},
			[]string{`1.234`, `-0.001`, `1e-3`, `1.25e-1`, `"1.234"`, `0.30000000000000004`}},
		{"numeric(6)", []string{`1.0`, `12e1`}, []string{`1.5`}},
		{"numeric", []string{`1.234567890123456789012345678901`}, nil},
		{"price", []string{`1.25`}, []string{`1.255`}},
		{"numeric(6,2)[]", []string{`[1.25,null]`, `[[1.25],[null]]`, `[]`}, []string{`[1.25,1.255]`, `[[1.255]]`}},
		{"money", []string{`1.25`}, []string{`1.255`}},
		{"date", []string{`"2026-03-29"`, `"2026-03-29T00:00:00.000000"`, `"2026-03-29T00:00:00.000000Z"`, `"20260329"`, `"infinity"`},
			[]string{`"2026-03-29T00:00:01.000000"`, `"2026-03-29 12:00"`, `"2026-03-29T00:00:00.000001Z"`, `"20260329T103000"`}},
		{"date[]", []string{`["2026-03-29"]`}, []string{`["2026-03-29 12:00"]`}},
		{"timestamp", []string{`"2026-03-29T02:30:00.123456"`, `"2026-03-29T02:30:00.123456000"`, `"2026-03-29T02:30:00Z"`, `"2026-03-29 02:30:00+00:00"`, `"2026-03-29"`},
			[]string{`"2026-03-29T02:30:00.1234567"`, `"2026-03-29T02:30:00+02:00"`, `"2026-03-29 02:30:00.5-05"`}},
		{"timestamp(0)", []string{`"2026-03-29T02:30:00.000000"`}, []string{`"2026-03-29T02:30:00.500000"`}},
		{"timestamptz(3)", []string{`"2026-03-29T02:30:00.123000Z"`, `"2026-03-29T02:30:00.123+02:00"`}, []string{`"2026-03-29T02:30:00.123400Z"`}},
		{"timestamptz", []string{`"2026-03-29T02:30:00.123456+02:00"`}, []string{`"2026-03-29T02:30:00.123456789Z"`}},
		{"time", []string{`"02:30:00.123456"`, `"02:30"`}, []string{`"02:30:00.1234567"`, `"2026-03-29T02:30:00"`, `"02:30:00+02"`}},
		{"time(0)", []string{`"02:30:00"`}, []string{`"02:30:00.5"`}},
		{"timetz", []string{`"02:30:00+02"`}, []string{`"2026-03-29T02:30:00+02"`}},
		{"interval", []string{`"1 day 02:03:04.5"`, `"1.5 days"`}, []string{`"02:03:04.1234567"`}},
		{"interval(0)", []string{`"1 day 02:03:04.0"`}, []string{`"02:03:04.5"`}},
		{"varchar(3)", []string{`"abc"`, `"ab "`, `"äöü"`, `123`}, []string{`"abc "`, `"   \u0020"`}},
		{"char(3)", []string{`"abc"`, `"abc  "`}, nil},
		{"text", []string{`"abc  "`}, nil},
		{"name", []string{`"abc"`}, []string{fmt.Sprintf(`"%064d"`, 1)}},
		{`"char"`, []string{`"a"`}, []string{`"ab"`}},
		{"float8", []string{`9007199254740992`, `0.1`, `12345678901234567890.5`, `100000000000000000000`}, []string{`9007199254740993`, `-9007199254740993`, `"9007199254740993"`}},
		{"real", []string{`16777216`, `3.3333333333`}, []string{`16777217`}},
	} {
		w.exec(t, `DROP TABLE IF EXISTS things`, `CREATE TABLE things (id int PRIMARY KEY, v `+test.typ+`)`)
		d := w.mustOpen(t, things)
		var changes []activate.Change
		for i, v := range append(test.kept, test.lost...) {
			changes = append(changes, change(activate.Upsert, i, `,"v":`+v))
		}
		outs, err := d.Push(t.Context(), activate.Batch{Changes: changes})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outs {
			if i < len(test.kept) && o.Status != activate.Acked {
				t.Errorf("%s: %s is %s (%s %s), want it kept", test.typ, test.kept[i], o.Status, o.Code, o.Message)
			}
			if i >= len(test.kept) && (o.Code != "inexact" || !o.Local) {
				t.Errorf("%s: %s is %s %s %s, want it refused as inexact", test.typ, test.lost[i-len(test.kept)], o.Status, o.Code, o.Message)
			}
		}
	}
	w.exec(t, `DROP TABLE things`, `CREATE TABLE things (id int PRIMARY KEY, v numeric(6,2))`)
	d := w.mustOpen(t, things)
	want(t, "told", push(t, d, change(activate.Upsert, 1, `,"v":1.255`)),
		"rejected inexact column v: the value has digits that would be rounded in numeric(6,2); round or cut it in the model, or widen the column")
}

// The server is asked which of some numbers and times it would change.
func TestWhatIsInexactIsWhatTheServerWouldChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	number := func() string {
		text := fmt.Sprintf("%d.%0*d", random.IntN(2000)-1000, 1+random.IntN(5), random.IntN(10)*random.IntN(2))
		if random.IntN(3) == 0 {
			text += fmt.Sprintf("e%d", random.IntN(9)-4)
		}
		return text
	}
	moment := func() string {
		const layout = "2026-03-29T02:%02d:%02d.%06d"
		fraction := random.IntN(10)
		for range random.IntN(6) {
			fraction *= 10
		}
		return fmt.Sprintf(layout, random.IntN(60), random.IntN(60), fraction)
	}
	for _, test := range []struct {
		narrow, wide string
		draw         func() string
	}{
		{"numeric(30,2)", "numeric", number}, {"numeric(30)", "numeric", number}, {"timestamp(0)", "timestamp", moment}, {"timestamp(2)", "timestamp", moment}, {"date", "timestamp", moment},
	} {
		w.exec(t, `DROP TABLE IF EXISTS things`, `CREATE TABLE things (id int PRIMARY KEY, v `+test.narrow+`)`)
		d := w.mustOpen(t, things)
		var changes []activate.Change
		var texts []string
		for i := range 1000 {
			texts = append(texts, test.draw())
			changes = append(changes, change(activate.Upsert, i, fmt.Sprintf(`,"v":%q`, texts[i])))
		}
		outs, err := d.Push(t.Context(), activate.Batch{Changes: changes})
		if err != nil {
			t.Fatal(err)
		}
		kept := strings.Split(w.read(t, `SELECT (v::`+test.narrow+`)::`+test.wide+` = v::`+test.wide+` FROM unnest('{`+strings.Join(texts, ",")+`}'::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n`), "\n")
		for i, o := range outs {
			if fmt.Sprint(o.Status == activate.Acked) != kept[i] || o.Code != "" && o.Code != "inexact" {
				t.Errorf("%s: %s is %s %s, and that the server would keep it is %s", test.narrow, texts[i], o.Status, o.Code, kept[i])
			}
		}
	}
}
