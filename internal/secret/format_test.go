package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"elt/internal/secret"
)

// fmt calls no method for %p and refuses %w outside Errorf; both print fields.
func TestVerbsThatSkipFormatterPrintNothing(t *testing.T) {
	t.Parallel()
	held := struct{ Token secret.String }{secret.New("hunter2")}
	for _, format := range []string{"%p", "%w", "%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{held.Token, held, &held} {
			if out := fmt.Sprintf(format, v); strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74657232") {
				t.Errorf("%s prints %s", format, out)
			}
		}
	}
}
