package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"keywave/internal/notify"
)

// hook starts a receiver of notices that refuses the first notice with 503. It
// sets HOOK, and adds each notice that it accepts to hook.txt: event, state,
// text.
func hook(ts *testscript.TestScript, _ bool, _ []string) {
	refused := false
	file := ts.MkAbs("hook.txt")
	ts.Check(os.WriteFile(file, nil, 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !refused {
			refused = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, err := io.ReadAll(r.Body)
		var n struct{ Event, State, Text string }
		if err != nil || json.NewDecoder(bytes.NewReader(body)).Decode(&n) != nil || !strings.Contains(r.Header.Get(notify.SignatureHeader), ",v1=") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(n.Event + " " + n.State + " " + n.Text + "\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("HOOK", server.URL)
}
