package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const value = "hunter2-Zq"

// leaks fails when out shows the value, as text or as the numbers of its bytes.
func leaks(t *testing.T, how, out string) {
	t.Helper()
	for _, shape := range []string{
		value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprintf("% x", value), fmt.Sprintf("%d", []byte(value)),
	} {
		if strings.Contains(out, shape) {
			t.Errorf("%s prints the secret: %s", how, out)
		}
	}
}

// Package fmt asks a value how to print itself for every verb but %T, %p and a %w
// that is given no error.
func TestVerbsDoNotPrintTheValue(t *testing.T) {
	s := New(value)
	holders := []any{
		s, &s, []String{s}, map[string]String{"k": s}, map[String]int{s: 1},
		struct{ Password String }{s}, &struct{ Password *String }{&s},
	}
	for _, holder := range holders {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %T %c %U %e %100s %.3s %-9v %!") {
			leaks(t, fmt.Sprintf("%s of a %T", verb, holder), fmt.Sprintf(verb, holder))
		}
	}
	leaks(t, "an error", fmt.Errorf("open %v: %w", s, errors.New("no")).Error())
	leaks(t, "Sprint", fmt.Sprint(s))
	if got := fmt.Sprintf("%s %v %#v", s, s, s); got != "*** *** ***" {
		t.Errorf("printed as %q", got)
	}
	if s.String() != masked || s.GoString() != masked {
		t.Error("String or GoString is not masked")
	}
}

func TestNoEncodingPrintsTheValue(t *testing.T) {
	s := New(value)
	out, err := json.Marshal(map[string]any{"s": s, "p": &s, "l": []String{s}, "m": map[String]int{s: 1}})
	if err != nil {
		t.Fatal(err)
	}
	leaks(t, "JSON", string(out))

	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("open", "s", s, "p", &s, "struct", struct{ P String }{s}, slog.Group("g", "s", s))
	}
	leaks(t, "slog", log.String())
	if !strings.Contains(log.String(), "s=***") {
		t.Errorf("slog does not show that there is a secret: %s", log.String())
	}
}

func TestRevealGivesTheValue(t *testing.T) {
	if got := New(value).Reveal(); got != value {
		t.Errorf("Reveal() = %q", got)
	}
	var s String
	if !s.IsZero() || s.Reveal() != "" {
		t.Error("the zero String holds something")
	}
	if err := json.Unmarshal([]byte(`"`+value+`"`), &s); err != nil || s.Reveal() != value || s.IsZero() {
		t.Errorf("read from JSON: %q, %v", s.Reveal(), err)
	}
}
