package main

import (
	"bytes"
	"strings"
	"testing"
)

// PostgreSQL's json takes half a surrogate pair and numbers of any size, its jsonb
// does not: such a row goes into the quarantine, and the others are loaded.
func TestJSONThatJSONBDoesNotTake(t *testing.T) {
	for name, bad := range map[string]string{"surrogate": `{"k":"\ud83d"}`, "number": `{"k":1e200000}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSourced(t, "postgres", shopProject)
			dir, addr := s.dir, s.addr
			s.exec(`CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, doc json);
				INSERT INTO orders SELECT i, '2026-03-09 10:00:00+01', '{"a":1}' FROM generate_series(1, 300) i;
				INSERT INTO orders VALUES (1001, '2026-03-09 11:00:00+01', '` + bad + `')`)
			var stderr bytes.Buffer
			code, out := elt(t, dir, addr, &stderr, nil, "run")
			if code != 0 || !strings.Contains(out, "301 read") || !strings.Contains(out, "300 published") {
				t.Errorf("exit %d\n%s\n%s", code, out, &stderr)
			}
			_, list := elt(t, dir, addr, &stderr, nil, "quarantine", "shop.orders")
			if !strings.Contains(list, `column "doc": JSON`) {
				t.Errorf("the quarantine lacks the reason:\n%s", list)
			}
		})
	}
}
