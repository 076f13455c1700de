package fleet

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"keywave/internal/rotation"
	"keywave/internal/unchanged"
)

// Holders says to which hosts the fleet gives the keys of an account's zones.
// It may be used by many goroutines at once.
type Holders struct {
	fleet   *Fleet
	account rotation.Account
	ask     rotation.Inventory

	mu     sync.Mutex
	zones  map[rotation.ZoneID]Zone // from the file, or from its table when that last had no mistake
	seen   os.FileInfo              // of the table
	broken error                    // what was wrong with the table when it was read
	told   map[rotation.ZoneID]told // what EdgeOne said of each zone
}

type told struct {
	hosts rotation.Holders
	at    time.Time
}

// toldFor is how long EdgeOne's answer about a zone's gateways is used: a
// rotation asks more than once, above all when something goes wrong.
const toldFor = 10 * time.Minute

// Holders are the holders of an account's zones. These stand in the file or in
// its table, or they are found by the gateways that ask returns.
func (f *Fleet) Holders(account rotation.Account, ask rotation.Inventory) *Holders {
	h := &Holders{fleet: f, account: account, ask: ask, told: map[rotation.ZoneID]told{}}
	if f.Source == (Source{}) {
		h.zones = byID(f.ZonesOf(account))
	}
	return h
}

func byID(zones []Zone) map[rotation.ZoneID]Zone {
	all := make(map[rotation.ZoneID]Zone, len(zones))
	for _, z := range zones {
		all[z.ID] = z
	}
	return all
}

// Of are the hosts to which the fleet gives a zone's key. There are none when
// the fleet does not have the zone. With an error, it returns the hosts of the
// last answer.
func (h *Holders) Of(ctx context.Context, zone rotation.ZoneID) (rotation.Holders, error) {
	if h.fleet.Source.EdgeOne != nil {
		return h.gateways(ctx, zone)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.read()
	return h.fleet.refs(h.zones[zone]), err
}

// Ready says why a table of zones cannot be used.
func (h *Holders) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read()
}

// read reads the table again if the file is another one than the last time.
func (h *Holders) read() error {
	path := h.fleet.Source.CSV
	if path == "" {
		return nil
	}
	now, err := os.Stat(path)
	switch {
	case err != nil:
		h.seen, h.broken = nil, fmt.Errorf("the table of zones cannot be read: %w", err)
	case !unchanged.Since(h.seen, now):
		all, err := h.fleet.tabled()
		if h.seen, h.broken = now, err; err == nil {
			h.zones = byID(all.ZonesOf(h.account))
		}
	}
	return h.broken
}

// tabled is the fleet with the zones of its table as they are now.
func (f *Fleet) tabled() (*Fleet, error) {
	data, err := os.ReadFile(f.Source.CSV)
	if err != nil {
		return nil, err
	}
	out := *f
	if found := tableOf(f.Source.CSV, data, &out); len(found) > 0 {
		return nil, found
	}
	return &out, nil
}

// gateways asks EdgeOne whether the fleet chooses the zone, and which gateways
// the zone has.
func (h *Holders) gateways(ctx context.Context, zone rotation.ZoneID) (rotation.Holders, error) {
	h.mu.Lock()
	last, known := h.told[zone]
	h.mu.Unlock()
	if known && time.Since(last.at) < toldFor {
		return last.hosts, nil
	}
	hosts, err := h.askFor(ctx, zone)
	if err != nil {
		return last.hosts, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told[zone] = told{hosts, time.Now()}
	return hosts, nil
}

func (h *Holders) askFor(ctx context.Context, zone rotation.ZoneID) (rotation.Holders, error) {
	l := h.fleet.Source.EdgeOne
	query := l.Query
	query.ID = zone
	page, err := h.ask.Zones(ctx, query, 0)
	if err != nil {
		return nil, fmt.Errorf("EdgeOne does not say whether the fleet has zone %s: %w", zone, err)
	}
	if len(page.Zones) == 0 {
		return nil, nil
	}
	z := page.Zones[0]
	if l.Gateways {
		if z.Gateways, err = h.ask.Gateways(ctx, zone); err != nil {
			return nil, fmt.Errorf("EdgeOne does not say which gateways zone %s has: %w", zone, err)
		}
	}
	placed, problems := h.fleet.place(z, h.fleet.byGateway())
	if len(problems) > 0 {
		return nil, fmt.Errorf("the gateways of zone %s do not fit the fleet file of this worker: %s", zone, problems[0])
	}
	return h.fleet.refs(placed), nil
}

// refs are a zone's hosts, as plans name them.
func (f *Fleet) refs(z Zone) rotation.Holders {
	var refs rotation.Holders
	for _, name := range z.Hosts {
		refs = append(refs, f.Hosts[name].Ref())
	}
	return refs
}
