package http_test

import (
	"context"
	"testing"

	"elt/activate"
	"elt/activate/activatetest"
	"elt/activate/fake"
	"elt/activate/http"
)

// stand opens the stand-in of a setup.
func stand(t testing.TB, c activate.Config, o fake.Options) activate.Connector {
	t.Helper()
	conn, err := fake.Open(context.Background(), http.Kind(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Destination.Close() })
	return conn
}

// kept reads the rows that a stand-in has, as its file tells them.
func kept(t testing.TB, path string) []activatetest.Row {
	t.Helper()
	list, err := activatetest.ReadRows(path)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The stand-in of each way to talk keeps the contract: the calls that templates
// make are read by it, and the rules read what it answers.
func TestStandInKeepsTheContract(t *testing.T) {
	for name, sync := range setups() {
		t.Run(name, func(t *testing.T) {
			activatetest.Run(t, func(t *testing.T) activatetest.Harness {
				o := fake.Options{Dir: t.TempDir()}
				c := config(t, "https://api.example.com/v1", "auth: {bearer: tok-en-1234}\nhmac: {secret: s3cr3t-key}", sync)
				return activatetest.Harness{
					Open: func(t *testing.T) activate.Destination { return stand(t, c, o).Destination },
					Rows: func(t *testing.T) []activatetest.Row { return kept(t, o.Path("things")) },
				}
			})
		})
	}
}

// Templates that name every value by itself are read back too.
func TestStandInReadsTemplates(t *testing.T) {
	for name, sync := range map[string]string{
		"members":  `request: '{"data":{"id":{{key.id}},"attributes":{"v":{{fields.v}}},"ref":[{{op_id}}]}}'` + "\nreplay: idempotency-key",
		"wrap":     `{batch: {rows: 5, wrap: '{"input":{"items":{{records}},"of":{{object}}}}'}, request: '{"id":{{key.id}},"do":{{action}},"values":{{fields}}}', replay: idempotent}`,
		"the url":  `{path: /, replay: idempotent}`,
		"in paths": `{method: PUT, path: '/v/{object}/{id}/set', request: '{{fields}}', actions: {delete: {path: '/v/{object}/{id}'}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			o := fake.Options{Dir: t.TempDir()}
			conn := stand(t, config(t, "https://api.example.com/v1", "", sync), o)
			c := change(7)
			b := activate.Batch{ID: "b", Object: "things", Changes: []activate.Change{c}}
			outs, err := conn.Destination.Push(t.Context(), b)
			if got := verdict(t, b, outs, err); got != "acked" {
				t.Fatalf("push: %s %+v", got, outs)
			}
			rows := kept(t, o.Path("things"))
			if len(rows) != 1 || rows[0] != (activatetest.Row{Key: string(c.Key), Fields: string(c.Fields)}) {
				t.Errorf("the stand-in has %v", rows)
			}
		})
	}
}

// What a stand-in refuses, and how it fails, is read by the rules as it is meant.
func TestStandInFailsAsItIsTold(t *testing.T) {
	for _, tt := range []struct {
		setup, fault, want string
		rows               int
	}{
		{"single", "reject=100%", "rejected:refused", 1},
		{"single", "limited=100%", "later 2s", 1},
		{"single", "busy=100%", "later 2s", 1},
		{"single", "conflict=100%", "rejected:conflict", 1},
		{"single", "revoked=100%", "barred 401", 1},
		{"single", "cut_after=100%", "unknown", 1},
		{"single", "failed=100%", "unknown", 1},
		{"batch", "reject=100%", "refused 422", 2},
		{"batch", "conflict=100%", "refused 409", 2},
		{"batch with results", "reject=100%", "rejected:refused rejected:refused", 2},
		{"batch with results", "half_told=100%", "acked unknown", 2},
		{"batch with results", "silent=100%", "refused silent", 2},
		{"batch with results", "garbled=100%", "unknown", 2},
		{"batch with errors", "reject=100%", "rejected:refused rejected:refused", 2},
		{"batch with positions", "reject=100%", "rejected:refused rejected:refused", 2},
	} {
		t.Run(tt.setup+" "+tt.fault, func(t *testing.T) {
			faults, err := fake.ParseFaults([]string{tt.fault}, 1)
			if err != nil {
				t.Fatal(err)
			}
			conn := stand(t, config(t, "https://api.example.com", "", setups()[tt.setup]), fake.Options{Dir: t.TempDir(), Faults: faults})
			b := batch(tt.rows)
			outs, err := conn.Destination.Push(t.Context(), b)
			if got := verdict(t, b, outs, err); got != tt.want {
				t.Errorf("%s %v, want %s", got, err, tt.want)
			}
		})
	}
}

// A lookup finds what was sent, and nothing else.
func TestStandInIsLookedUp(t *testing.T) {
	conn := stand(t, config(t, "https://api.example.com", "", setups()["reconcile"]), fake.Options{Dir: t.TempDir()})
	sent, other, never := change(1), change(1), change(2)
	other.OpID = "another"
	if _, err := conn.Destination.Push(t.Context(), activate.Batch{ID: "b", Object: "things", Changes: []activate.Change{sent}}); err != nil {
		t.Fatal(err)
	}
	found, err := conn.Lookup.Find(t.Context(), []activate.Change{sent, other, never})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]activate.Status{"op1": activate.Acked, "another": activate.Retry, "op2": activate.Retry}
	for _, o := range found {
		if o.Status != want[o.OpID] {
			t.Errorf("%s is %s, want %s", o.OpID, o.Status, want[o.OpID])
		}
	}
	if len(found) != len(want) || found[0].DestID != fake.ID(sent.Key) {
		t.Errorf("found %+v", found)
	}
}
