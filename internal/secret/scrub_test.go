package secret_test

import (
	"testing"

	"elt/internal/secret"
)

// A password of one letter is no reason to mask that letter in every word; the
// address that holds it is masked as a whole.
func TestShortSecretsDoNotGarbleText(t *testing.T) {
	t.Parallel()
	const address = "postgres://me:y@host/db"
	s := secret.NewScrubber(address, "y", "", "long enough")
	for text, want := range map[string]string{
		"you may try again":            "you may try again",
		"connect to " + address:        "connect to ***",
		"it is long enough, they said": "it is ***, they said",
		"it is long+enough":            "it is ***",
	} {
		if got := s.Text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
