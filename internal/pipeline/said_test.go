package pipeline

import "testing"

// What is quoted of personal values is hidden whole, whatever else it is a part of,
// and nothing besides.
func TestMaskValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		values     []string
	}{
		{"Grace Hopper and Hopper", "*** and ***", []string{"Hopper", "Grace Hopper"}},
		{"linda@x.org, ada@x.org", "***, ***", []string{"ada@x.org", "linda@x.org"}},
		{"403 Forbidden: 40 is no age", "403 Forbidden: *** is no age", []string{"40"}},
		{"the table is gone", "the table is gone", []string{"tab", "on"}},
		{`name "Zoë" or Zo\u00eb`, `name "***" or ***`, []string{"Zoë", `Zo\u00eb`}},
		{"no such person: ada@exam…", "no such person: ***…", []string{"ada@example.org"}},
		{"it has ended…; mend it", "it has ended…; mend it", []string{"edward"}},
		{"a b", "a b", []string{"a", "", "b", "null"}},
	} {
		if got := maskValues(c.text, c.values); got != c.want {
			t.Errorf("%q without %q is %q, want %q", c.text, c.values, got, c.want)
		}
	}
}
