package temporalclient

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The error says what is at the address. A wrong TLS setting, for example, is
// no reason to start another Temporal.
func TestUnreachableSaysWhatIsThere(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	plain, secret := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secret.Close()
	plain.Config.ErrorLog, secret.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0), slog.NewLogLogger(slog.DiscardHandler, 0)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Close() }()
	go func() {
		for conn, err := gone.Accept(); err == nil; conn, err = gone.Accept() {
			_ = conn.Close()
		}
	}()
	starting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	frontend := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Unavailable, "Frontend is not healthy yet") // as Temporal 1.32 does
	}))
	defer frontend.Stop()
	go func() { _ = frontend.Serve(starting) }()
	t.Setenv("TEMPORAL_CONFIG_FILE", "/dev/null")
	for name, c := range map[string]struct {
		address string
		tls     string
		want    string
		away    bool // a worker waits for it
	}{
		"nobody":                     {"127.0.0.1:1", "", "no Temporal at 127.0.0.1:1 (", true},
		"a proxy alone":              {gone.Addr().String(), "", " hangs up, as a proxy does", true},
		"a proxy alone, with TLS":    {gone.Addr().String(), "true", " hangs up, as a proxy does", true},
		"a Temporal that starts":     {starting.Addr().String(), "", " starts, and takes no calls yet (", true},
		"TLS, and this client not":   {strings.TrimPrefix(secret.URL, "https://"), "", " speaks TLS, and this client does not: set TEMPORAL_TLS=true", false},
		"no TLS, and this client":    {strings.TrimPrefix(plain.URL, "http://"), "true", " speaks no TLS, and this client does: unset TEMPORAL_TLS", false},
		"a certificate of strangers": {strings.TrimPrefix(secret.URL, "https://"), "true", " do not agree on TLS (", false},
		"another service":            {strings.TrimPrefix(plain.URL, "http://"), "", " is no Temporal that this client understands (", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TEMPORAL_ADDRESS", c.address)
			t.Setenv("TEMPORAL_TLS", c.tls)
			_, err := Dial(t.Context(), slog.New(slog.DiscardHandler), "test")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "start one") != (name == "nobody") {
				t.Errorf("it says %v", err)
			}
			if IsAway(err) != c.away {
				t.Errorf("waiting for it is %t: %v", !c.away, err)
			}
		})
	}
}
