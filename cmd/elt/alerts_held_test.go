package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A push that is held is told once with its numbers and the command that lets it go,
// also when the next run holds it again; once it is approved it is well.
func TestAHeldPushIsToldUntilItIsApproved(t *testing.T) {
	t.Parallel()
	dir, addr := projectOf(t, casesDir+"/deletes_over_the_guard_are_held", "duckdb")
	rewrite(t, filepath.Join(dir, "elt.yaml"), "crm: {type: file, path: out}", `crm: {type: file, path: out}, chat: {type: slack, url: "https://chat.example.test/x"}`)
	rewrite(t, filepath.Join(dir, "elt.yaml"), "sources:", "alerts: [{to: chat, when: [held, recovered]}]\nsources:")
	messages := 0
	run := func(exit int, args ...string) (text string) {
		t.Helper()
		var errs bytes.Buffer
		if code, out := elt(t, dir, addr, &errs, nil, args...); code != exit {
			t.Fatalf("elt %v: exit %d, want %d\n%s%s", args, code, exit, out, errs.String())
		}
		data, err := os.ReadFile(filepath.Join(dir, ".elt", "fake", "dev", "chat", "alerts.jsonl"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(data) == 0 {
			lines = nil
		}
		for _, line := range lines[messages:] {
			var m struct{ Text string }
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			text += m.Text
		}
		messages = len(lines)
		return text
	}
	if text := run(exitOK, "run"); text != "" {
		t.Error(text)
	}
	fewer, err := os.ReadFile(filepath.Join(dir, "data", "fewer.csv"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "data", "people.csv"), fewer, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	text := run(exitUnfinished, "run")
	held := runIDs(t, dir, addr)[0]
	for _, part := range []string{"contacts: held by max_delete", "crm.contacts keeps what it has", "elt approve " + held, "nothing is sent until a plan is within the guards"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not told:\n%s", part, text)
		}
	}
	if text := run(exitUnfinished, "run"); text != "" {
		t.Errorf("told again: %s", text)
	}
	if text := run(exitOK, "approve", runIDs(t, dir, addr)[0], "--yes"); !strings.Contains(text, "contacts: recovered after ") {
		t.Errorf("the approval is not told: %q", text)
	}
	if text := run(exitOK, "run"); text != "" {
		t.Errorf("told again: %s", text)
	}
}
