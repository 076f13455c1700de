package baseline

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"keywave/internal/deliver"
	"keywave/internal/deliver/ssh"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// Floor does the least that a rotation can do: a refresh, and then the key to
// all of the zone's hosts at once over connections that are already open.
// Opening them, and asking what the hosts hold, does not count.
func Floor(ctx context.Context, w World) (Result, error) {
	shared, err := ssh.NewShared(ssh.Options{Keys: []string{w.Identity}, Agent: "none"})
	if err != nil {
		return Result{}, err
	}
	hosts := map[rotation.HostName]*ssh.Host{}
	for _, h := range w.Fleet.Hosts {
		host, err := ssh.New(ssh.Config{
			Name: h.Name, Address: h.SSH.Address, HostKey: h.SSH.HostKey, User: h.SSH.User,
			Settings: deliver.Settings{Path: h.SSH.Path, Mode: h.SSH.Mode, Reload: h.SSH.Reload, Verify: h.SSH.Verify},
		}, shared)
		if err != nil {
			return Result{}, err
		}
		defer func() { _ = host.Close() }()
		hosts[h.Name] = host
	}
	held, err := warm(ctx, w.Fleet, hosts)
	if err != nil {
		return Result{}, err
	}
	return w.inParallel(ctx, func(ctx context.Context, zone rotation.ZoneID, host fleet.Host, key rotation.Secret) error {
		_, err := hosts[host.Name].Put(ctx, zone, key, []rotation.Fingerprint{held[host.Name][zone]})
		if err != nil {
			return fmt.Errorf("%s: %w", host.Name, err)
		}
		return nil
	})
}

// warm opens a connection to each host and asks what it holds.
func warm(ctx context.Context, f *fleet.Fleet, hosts map[rotation.HostName]*ssh.Host) (map[rotation.HostName]map[rotation.ZoneID]rotation.Fingerprint, error) {
	zones := map[rotation.HostName][]rotation.ZoneID{}
	for _, z := range f.Zones {
		for _, name := range z.Hosts {
			zones[name] = append(zones[name], z.ID)
		}
	}
	var kept sync.Mutex
	held := map[rotation.HostName]map[rotation.ZoneID]rotation.Fingerprint{}
	group, ctx := errgroup.WithContext(ctx)
	for name, host := range hosts {
		group.Go(func() error {
			found, err := host.Prove(ctx, zones[name])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			kept.Lock()
			defer kept.Unlock()
			held[name] = found.Held
			return nil
		})
	}
	return held, group.Wait()
}
