package health_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/internal/health"
)

func TestHTTP(t *testing.T) {
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	check := health.New(health.Config{HTTP: server.URL, Within: time.Minute})
	if err := check(context.Background()); err != nil {
		t.Errorf("of 204: %v", err)
	}
	status = http.StatusServiceUnavailable
	if err := check(context.Background()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("of 503: %v", err)
	}
	server.Close()
	if err := check(context.Background()); err == nil {
		t.Error("a server that is gone is well")
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("TENCENTCLOUD_SECRET_KEY", "not-for-commands")
	for _, tt := range []struct{ command, want string }{
		{"true", ""},
		{"echo first; echo the last line >&2; exit 3", "exit status 3: the last line"},
		{"exit 3", "exit status 3"},
		{`env | grep TENCENTCLOUD && exit 1; exit 0`, ""},
	} {
		err := health.New(health.Config{Command: tt.command, Within: time.Minute})(context.Background())
		if got := text(err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.want)
		}
	}
}

// A command that hangs is ended, with all processes that it started.
func TestCommandThatHangs(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	check := health.New(health.Config{Command: "sleep 600 & echo $! >" + pid + "; wait", Within: time.Second})
	if got := text(check(context.Background())); got != "no answer within 1s" {
		t.Errorf("got %q", got)
	}
	body, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	status := "/proc/" + strings.TrimSpace(string(body)) + "/stat"
	for i := 0; ; i++ {
		stat, err := os.ReadFile(status)
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if i > 1000 {
			t.Fatalf("the command's child lives on: %s", stat)
		}
		time.Sleep(time.Millisecond)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
