package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Control is EdgeOne's part of the control API; see the package's table.
func (e *EdgeOne) Control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /edges", e.journal)
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { show(w, e.State()) })
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { show(w, e.Keys()) })
	mux.HandleFunc("POST /faults", accept(func(faults []Fault) error { return e.AddFaults(faults...) }))
	mux.HandleFunc("POST /zones", accept(func(zones []Zone) error { return e.AddZones(zones...) }))
	mux.HandleFunc("DELETE /zones/{zone}", e.onZone(e.DeleteZone))
	mux.HandleFunc("POST /zones/{zone}/key", e.onZone(e.ChangeKey))
	mux.HandleFunc("POST /limit", accept(e.setLimits))
	mux.HandleFunc("POST /dataplane/{zone}", e.dataPlane)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		e.ClearFaults()
		show(w, struct{}{})
	})
	return mux
}

func (e *EdgeOne) onZone(do func(id string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.PathValue("zone")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		show(w, struct{}{})
	}
}

type limitRequest struct {
	PerSecond *int `json:"perSecond"`
}

func (e *EdgeOne) setLimits(limits []limitRequest) error {
	for _, l := range limits {
		if l.PerSecond == nil {
			return errors.New("perSecond is missing")
		}
		e.SetLimit(*l.PerSecond)
	}
	return nil
}

func (e *EdgeOne) dataPlane(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Nonce string `json:"nonce"`
		MAC   string `json:"mac"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Nonce == "" {
		http.Error(w, "the body must be {\"nonce\", \"mac\"}", http.StatusBadRequest)
		return
	}
	if !e.LetsIn(r.PathValue("zone"), in.Nonce, in.MAC) {
		http.Error(w, "not made with the zone's live key", http.StatusForbidden)
		return
	}
	show(w, struct{}{})
}

// accept reads one T or a list of them, strictly.
func accept[T any](apply func([]T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values, err := oneOrMany[T](r.Body)
		if err == nil {
			err = apply(values)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		show(w, struct{}{})
	}
}

func oneOrMany[T any](r io.Reader) ([]T, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '[' {
		body = fmt.Appendf(nil, "[%s]", body)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var values []T
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("cannot read the request: %w", err)
	}
	return values, nil
}

func show(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, append(body, '\n'))
}
