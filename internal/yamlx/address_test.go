package yamlx_test

import (
	"testing"

	"elt/internal/yamlx"
)

func TestAddressProblem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://hooks.example.com/T0/B0": "", "http://127.0.0.1:8080/x?y=z": "", "HTTPS://u:p@[::1]:9/": "",
		"hooks.example.com/T0": "begins with neither https:// nor http://", "": "begins with neither https:// nor http://",
		"mailto:ops@example.com": "begins with neither https:// nor http://", "token:s3cret": "begins with neither https:// nor http://",
		"https://": "names no host", "https://:443/x": "names no host", "https:hooks.example.com": "names no host",
		"https://a b/": "is no address", "https://a:port/": "is no address", "https://a/\n": "is no address", "://x": "is no address",
	} {
		if got := yamlx.AddressProblem(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
