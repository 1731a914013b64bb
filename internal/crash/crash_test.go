package crash_test

import (
	"fmt"
	"strings"
	"testing"

	"elt/internal/crash"
)

func TestAPanicHasItsStackBesideItsText(t *testing.T) {
	t.Parallel()
	err := func() (err error) {
		defer func() { err = fmt.Errorf("read x: %w", crash.Recovered(recover())) }()
		panic("ouch")
	}()
	if text := err.Error(); !strings.HasPrefix(text, "read x: internal error: ouch; ") || strings.Contains(text, "goroutine") {
		t.Errorf("the text is %q", text)
	}
	if stack := crash.Stack(err); !strings.Contains(stack, "TestAPanicHasItsStackBesideItsText") {
		t.Errorf("the stack is %q", stack)
	}
	err = crash.Guarded(func() error { panic("beside") })()
	if stack := crash.Stack(err); !strings.Contains(fmt.Sprint(err), "internal error: beside") || !strings.Contains(stack, "TestAPanicHasItsStackBesideItsText") {
		t.Errorf("a guarded panic is %v, with the stack %q", err, stack)
	}
	if stack := crash.Stack(fmt.Errorf("other")); stack != "" {
		t.Errorf("a stack of no panic: %q", stack)
	}
}
