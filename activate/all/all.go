// Package all names the kinds of destinations that are in the binary.
package all

import (
	"elt/activate"
	"elt/activate/file"
	"elt/activate/http"
	"elt/activate/postgres"
)

// Kinds lists every kind of destination, by name.
func Kinds() []activate.Kind {
	return []activate.Kind{
		file.Kind(),
		http.Kind(),
		postgres.Kind(),
	}
}
