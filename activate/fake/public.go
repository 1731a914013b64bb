package fake

import (
	"errors"
	"net/http"

	"elt/activate"
)

// Served is the service of one object that others call.
type Served struct {
	service activate.Service
	store   activate.Store
}

// Serve opens the service of an object whose calls come to an address.
func Serve(kind activate.Kind, c activate.Config, address string, o Options) (*Served, error) {
	store, err := o.store(c.Object)
	if err != nil {
		return nil, err
	}
	c.Connection = kind.At(c.Connection, address)
	service, err := kind.Serve(c, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Served{service, store}, nil
}

// Close lets go of the rows.
func (s *Served) Close() error { return s.store.Close() }

// Objects is the service of all objects of one connection: each call goes to the
// first one whose calls look so.
func Objects(list []*Served) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, s := range list {
			if s.service.Takes(r) {
				s.service.ServeHTTP(w, r)
				return
			}
		}
		Fine.Write(w, r, Problem(http.StatusNotFound, "not_found", "the project describes no call "+r.Method+" "+r.URL.Path))
	})
}
