package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"keywave/internal/harmless"
)

// listen serves what machines ask a worker, until it is stopped: /metrics, /healthz
// and /readyz. It holds no secret, and knows nobody: who may reach the address may
// read it.
func listen(address string, page http.Handler, unready func(context.Context) []string) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	server := &http.Server{Handler: answers(page, unready), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = server.Serve(l) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if errors.Is(server.Shutdown(ctx), context.DeadlineExceeded) {
			_ = server.Close()
		}
	}, nil
}

func answers(page http.Handler, unready func(context.Context) []string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "the process works") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if reasons := unready(r.Context()); len(reasons) > 0 {
			say(w, http.StatusServiceUnavailable, reasons...)
			return
		}
		say(w, http.StatusOK, "ready")
	})
	return mux
}

// say answers with a line for each thing that is said.
func say(w http.ResponseWriter, code int, lines ...string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	for _, line := range lines {
		fmt.Fprintln(w, harmless.Log(strings.ReplaceAll(line, "\n", "; ")))
	}
}
