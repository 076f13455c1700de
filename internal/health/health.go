// Package health asks, between two waves of a campaign, whether what the zones
// serve works well: an HTTP address must answer 2xx, or a command must exit 0.
// The fleet file defines the checks; nobody can name others through Temporal.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Config is one check. Exactly one of HTTP and Command is set.
type Config struct {
	HTTP    string
	Command string
	Within  time.Duration
}

// New makes the check. It returns nil while all is well, and otherwise an error
// in an operator's words.
func New(c Config) func(context.Context) error {
	ask := c.command
	if c.HTTP != "" {
		ask = c.get
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.Within)
		defer cancel()
		err := ask(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %s", c.Within)
		}
		return err
	}
}

func (c Config) get(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s answers %s", c.HTTP, answer.Status)
	}
	return nil
}

// maxSaid is how much of a command's last line is kept.
const maxSaid = 200

// command runs the command in a process group of its own, which is ended as a
// whole. It runs without the worker's environment, because that holds the API
// credential.
func (c Config) command(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", c.Command)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	last := strings.ToValidUTF8(lines[len(lines)-1], "?")
	if len(last) > maxSaid {
		last = strings.ToValidUTF8(last[:maxSaid], "") + "…"
	}
	if last == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, last)
}
