package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"keywave/internal/proving/stage"
)

// profileFor is how long the server is watched, in the middle of a campaign.
const profileFor = 20 * time.Second

// profileEngine records in a file what the Temporal server does during a
// campaign at full speed. The compiler uses this profile to optimise devserver.
func (b *bench) profileEngine(ctx context.Context, file string) error {
	port := stage.FreePort()
	run := setup{
		name: "profile", zones: 3 * b.free, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1,
		serverFlags: []string{"--profile-port", strconv.Itoa(port)},
	}
	return b.durable(ctx, run, func(ctx context.Context, s *stand) error {
		if err := s.journal.awaitRefreshes(ctx, b.free/4); err != nil {
			return err
		}
		return fetch(ctx, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%.0f", port, profileFor.Seconds()), file)
	})
}

func fetch(ctx context.Context, address, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, answer.Status)
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}
