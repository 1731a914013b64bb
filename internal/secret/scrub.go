package secret

import (
	"errors"
	"net/url"
	"strings"

	"elt/internal/retry"
)

// Scrubber takes secrets out of the text of errors that a driver made. The zero
// Scrubber takes nothing out. It is safe for concurrent use.
type Scrubber struct{ secrets []string }

// Shortest is how many bytes a secret needs to be masked in text that others made:
// a shorter one stands in half of all words, and masking those would hide the
// message and point at the secret.
const Shortest = 4

// NewScrubber masks each secret as it is and as a URL spells it. Those that are
// shorter than [Shortest] are left out.
func NewScrubber(secrets ...string) Scrubber {
	var s Scrubber
	for _, v := range secrets {
		if len(v) >= Shortest {
			s.secrets = append(s.secrets, v, url.QueryEscape(v), url.PathEscape(v))
		}
	}
	return s
}

// Text is text with every secret masked.
func (s Scrubber) Text(text string) string {
	for _, v := range s.secrets {
		text = strings.ReplaceAll(text, v, masked)
	}
	return text
}

// Clean returns err, or an error with its text masked if that holds a secret. The
// chain is cut then, since it holds the secret too; [errors.Is] and the class of
// [retry.Of] still answer. nil stays nil.
func (s Scrubber) Clean(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := s.Text(text)
	if clean == text {
		return err
	}
	var out error = &hidden{text: clean, err: err}
	switch class, after := retry.Of(err); {
	case class == retry.Transient:
		out = retry.After(out, after)
	case after > 0:
		out = retry.Asked(out, after)
	}
	return out
}

// hidden stands for an error whose text holds a secret.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }

// Is compares with the errors that are hidden.
func (h *hidden) Is(target error) bool { return errors.Is(h.err, target) }
