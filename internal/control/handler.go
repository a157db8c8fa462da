package control

import (
	"encoding/json"
	"net/http"
)

// StatusPath is the path of the router's status.
const StatusPath = "/v1/status"

// Handler serves the API over b. It refuses requests that a browser made: no
// page may steer a router (any Origin or foreign Host).
func Handler(b Backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, r *http.Request) {
		s, err := b.Status(r.Context())
		answer(w, s, err)
	})
	return guard(mux)
}

// Host is the only Host that requests may name.
const Host = "upsycle.local"

func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Host != Host {
			refuse(w, http.StatusForbidden, "the control API is not for browsers", "use the upsycle command")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Failure is the JSON of a request that was not carried out.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error(), "the router may be shutting down; try again")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value) // an error here is the client's hanging up
}

func refuse(w http.ResponseWriter, status int, text, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(Failure{text, hint})
}
