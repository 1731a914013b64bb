package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScheduleExport(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "my shop")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "version: 1\nname: shop\ntimezone: Europe/Berlin\ntargets: {dev: {warehouse: 'duckdb:x.duckdb'}}\njobs:\n  nightly: {schedule: '30 2 * * *', timeout: 2h}\n  byhand: {}\n"
	if err := os.WriteFile(filepath.Join(dir, "elt.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string][]string{
		"crontab": {"\n30 0 * * * /usr/bin/elt -C '" + dir + "' --target dev run --job nightly --if-due --quiet\n", "\n0,30 1 * * * /usr/bin/elt", "(UTC) are others"},
		"systemd": {"ExecStart=/usr/bin/elt -C \"" + dir + "\" --target dev run --job nightly --if-due --quiet\n", "OnCalendar=*-*-* 02:30:00 Europe/Berlin\nOnCalendar=*-*-* 03:00:00 Europe/Berlin\n",
			"Persistent=true\n", "TimeoutStartSec=7800s\n"},
	} {
		var out bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &out, self: "/usr/bin/elt", zone: time.UTC, env: func(string) (string, bool) { return "", false }}
		if code := a.run(t.Context(), []string{"-C", dir, "schedule", "export", kind}); code != exitOK {
			t.Errorf("%s: exit %d", kind, code)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is missing in\n%s", kind, w, &out)
			}
		}
	}
}
