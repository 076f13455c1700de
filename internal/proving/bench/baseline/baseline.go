// Package baseline rotates zones in the ways that Keywave is compared with: the
// floor, which nobody can beat, and the scripts that people write today. They
// are written plainly, keep no record, and stop at the first error. What they
// lose then is the reason why Keywave exists.
package baseline

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"keywave/internal/edgeone"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// World is what a baseline rotates: the zones of a fleet file, whose hosts are
// all reached over SSH with a pinned key.
type World struct {
	Fleet *fleet.Fleet
	// Credentials is Tencent's INI file, Identity an SSH private key file.
	Credentials, Identity string
	// Window is how many zones are under way at once, for the ways that do more
	// than one.
	Window int
}

// Result is what a baseline measured with its own clock.
type Result struct {
	// Took is the time from the first zone's beginning to the last one's end.
	Took time.Duration
	// Exposures has one entry for each zone: from the signing of its refresh
	// until its last host acknowledged.
	Exposures []time.Duration
}

// api is an account's API at its full pace.
func (w World) api() (*edgeone.Client, error) {
	text, err := os.ReadFile(w.Credentials)
	if err != nil {
		return nil, err
	}
	var id, key string
	if _, err := fmt.Sscanf(string(text), "[default]\nsecret_id = %s\nsecret_key = %s\n", &id, &key); err != nil {
		return nil, fmt.Errorf("%s is not the simulator's credentials file", w.Credentials)
	}
	return edgeone.New(edgeone.Config{
		Endpoint:    w.Fleet.Accounts[0].Endpoint,
		Credentials: edgeone.NewCredential(id, key, ""),
		Pace:        edgeone.NewPace(w.Fleet.Accounts[0].RequestsPerSecond),
	})
}

// push puts a zone's key on one host.
type push func(ctx context.Context, zone rotation.ZoneID, host fleet.Host, key rotation.Secret) error

// inParallel rotates many zones at once, and each zone's hosts at once.
func (w World) inParallel(ctx context.Context, push push) (Result, error) {
	api, err := w.api()
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = api.Close() }()
	var kept sync.Mutex
	var r Result
	began := time.Now()
	zones, ctx := errgroup.WithContext(ctx)
	zones.SetLimit(w.Window)
	for _, zone := range w.Fleet.Zones {
		zones.Go(func() error {
			key, receipt, err := api.Refresh(ctx, zone.ID, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", zone.ID, err)
			}
			hosts, ctx := errgroup.WithContext(ctx)
			for _, name := range zone.Hosts {
				hosts.Go(func() error { return push(ctx, zone.ID, w.Fleet.Hosts[name], key) })
			}
			if err := hosts.Wait(); err != nil {
				return fmt.Errorf("%s: %w", zone.ID, err)
			}
			kept.Lock()
			defer kept.Unlock()
			r.Exposures = append(r.Exposures, time.Since(receipt.Signed))
			return nil
		})
	}
	err = zones.Wait()
	r.Took = time.Since(began)
	return r, err
}
