package sim

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"keywave/internal/rotation"
)

// Zone is a zone to simulate. Empty texts get the usual value: Area "global",
// Type "full", Status "active", LockStatus "enable".
type Zone struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Area       string            `json:"area,omitempty"`
	Type       string            `json:"type,omitempty"`
	Status     string            `json:"status,omitempty"`
	LockStatus string            `json:"lockStatus,omitempty"`
	Paused     bool              `json:"paused,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Gateways   []Gateway         `json:"gateways,omitempty"`
	// Account is the account that the zone belongs to. Empty means all.
	Account string `json:"account,omitempty"`
	// Key is the first key, base64 of 32 to 48 bytes. If it is empty, one is
	// made.
	Key string `json:"key,omitempty"`
	// Keyless leaves the zone without a key.
	Keyless bool `json:"keyless,omitempty"`
}

// zone is a Zone and the history of its key.
type zone struct {
	Zone
	number    int
	created   time.Time
	key       string
	previous  string
	keys      []string // every key that ever existed, oldest first; one that came back again is there again
	changes   int      // since this process began
	changedAt time.Time
	refreshes int
	modifies  int
}

// has says that the key is the present one; had, that it was one before.
func (z *zone) has(key string) bool { return z.key != "" && z.key == key }
func (z *zone) had(key string) bool { return z.key != key && slices.Contains(z.keys, key) }

// AddZones adds zones to those that exist.
func (e *EdgeOne) AddZones(zones ...Zone) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, z := range zones {
		errs = append(errs, e.addZone(z))
	}
	return errors.Join(errs...)
}

func (e *EdgeOne) addZone(z Zone) error {
	switch {
	case z.ID == "":
		return errors.New("a zone needs an id")
	case e.zones[z.ID] != nil:
		return fmt.Errorf("zone %s exists already", z.ID)
	case z.Key != "" && (z.Keyless || !validKey(z.Key)):
		return fmt.Errorf("zone %s: the key must be base64 of 32 to 48 bytes, and the zone not keyless", z.ID)
	case z.Key == "" && !z.Keyless:
		z.Key = newKey()
	}
	z.Area = orElse(z.Area, "global")
	z.Type = orElse(z.Type, "full")
	z.Status = orElse(z.Status, "active")
	z.LockStatus = orElse(z.LockStatus, "enable")
	entry := entry{Zone: &z, ID: z.ID, At: e.clock()}
	if err := e.store.append(entry); err != nil {
		return fmt.Errorf("zone %s was not added: %w", z.ID, err)
	}
	e.remember(entry)
	return nil
}

// byConsole is the name for somebody who changes a key in the console.
const byConsole = "console"

// ChangeKey gives a zone another key without a call of the API.
func (e *EdgeOne) ChangeKey(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	z := e.zones[id]
	if z == nil {
		return fmt.Errorf("there is no zone %q", id)
	}
	if no := e.setKey(z, newKey(), byConsole); no != nil {
		return errors.New(no.message)
	}
	return nil
}

// DeleteZone deletes a zone.
func (e *EdgeOne) DeleteZone(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.zones[id] == nil {
		return fmt.Errorf("there is no zone %q", id)
	}
	gone := entry{ID: id, Gone: true, At: e.clock()}
	if err := e.store.append(gone); err != nil {
		return fmt.Errorf("zone %s was not deleted: %w", id, err)
	}
	e.remember(gone)
	return nil
}

// setKey makes key the only key of the zone. The one before is dead at once. The
// key that the zone has already changes nothing.
func (e *EdgeOne) setKey(z *zone, key, by string) *refusal {
	entry := entry{ID: z.ID, Key: key, By: by, At: e.clock()}
	if err := e.store.append(entry); err != nil {
		return refuse("InternalError", "The simulator could not keep its state, and did nothing.")
	}
	if !z.has(key) {
		z.changes++
		z.changedAt = entry.At
	}
	e.remember(entry)
	return nil
}

// remember applies what happened, now or when the state file is read again.
func (e *EdgeOne) remember(entry entry) {
	if entry.Zone != nil {
		z := &zone{Zone: *entry.Zone, number: len(e.order), created: entry.At}
		e.zones[entry.ID] = z
		e.order = append(e.order, z)
		entry.Key = z.Key
	}
	z := e.zones[entry.ID]
	if z == nil {
		return
	}
	if entry.Gone {
		delete(e.zones, entry.ID)
		e.order = slices.DeleteFunc(e.order, func(other *zone) bool { return other == z })
		return
	}
	switch entry.By {
	case actionRefresh:
		z.refreshes++
	case actionModify:
		z.modifies++
	}
	if entry.Key != z.key {
		z.previous, z.key = z.key, entry.Key
		z.keys = append(z.keys, entry.Key)
	}
}

func (z *zone) isOf(account string) bool { return z.Account == "" || z.Account == account }

func (z *zone) fingerprint(key string) rotation.Fingerprint {
	return rotation.FingerprintOf(rotation.ZoneID(z.ID), rotation.NewSecret(key))
}

// State is what the simulator holds and counted, without any key.
type State struct {
	Zones   map[string]ZoneState `json:"zones"`
	Actions map[string]Counter   `json:"actions"`
	// Accounts has the same counters for each account that credentials name.
	Accounts map[string]AccountState `json:"accounts,omitempty"`
	// Rejected counts answered API errors by code.
	Rejected map[string]int `json:"rejected"`
	// Faults counts the faults that struck by kind.
	Faults map[string]int `json:"faults"`
	// Limit is the number of calls per sliding second, action and SecretId. 0 or
	// less means no limit.
	Limit int `json:"limit"`
}

// AccountState is what one account's credentials called.
type AccountState struct {
	// Limit is the number of calls per sliding second and action. 0 or less means
	// no limit.
	Limit   int                `json:"limit"`
	Actions map[string]Counter `json:"actions"`
}

// ZoneState is the truth about one zone.
type ZoneState struct {
	Name string `json:"name"`
	// Live is the fingerprint of the present key, or "absent".
	Live rotation.Fingerprint `json:"live"`
	// Refreshes is how many Refresh calls were executed, also by earlier
	// processes with the same state file.
	Refreshes int `json:"refreshes"`
	// Modifies is the same of Modify calls, those included that brought the key
	// that the zone had.
	Modifies int `json:"modifies"`
	// Ever has the fingerprint of every key that ever existed, oldest first. A key
	// that was put back is there again.
	Ever []rotation.Fingerprint `json:"ever"`
}

// State is a consistent view of everything except the keys.
func (e *EdgeOne) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := State{
		Zones:    make(map[string]ZoneState, len(e.zones)),
		Actions:  map[string]Counter{},
		Rejected: maps.Clone(e.rejected),
		Faults:   maps.Clone(e.fired),
		Limit:    e.limit,
	}
	for id, z := range e.zones {
		ever := make([]rotation.Fingerprint, 0, len(z.keys))
		for _, key := range z.keys {
			ever = append(ever, z.fingerprint(key))
		}
		s.Zones[id] = ZoneState{Name: z.Name, Live: z.fingerprint(z.key), Refreshes: z.refreshes, Modifies: z.modifies, Ever: ever}
	}
	for name, c := range e.counters {
		s.Actions[name] = *c
	}
	for _, credential := range e.credentials {
		counters, named := e.accounts[credential.Account]
		if !named {
			continue
		}
		a := AccountState{Limit: e.limitOf(credential), Actions: map[string]Counter{}}
		for name, c := range counters {
			a.Actions[name] = *c
		}
		if s.Accounts == nil {
			s.Accounts = map[string]AccountState{}
		}
		s.Accounts[credential.Account] = a
	}
	return s
}

// ZoneKeys are a zone's keys in clear: base64, as EdgeOne answers them.
type ZoneKeys struct {
	// Live is the present key. It is empty if there is none.
	Live string `json:"live"`
	// Ever has every key that ever existed, oldest first. A key that was put back
	// is there again.
	Ever []string `json:"ever"`
}

// Keys has every key that ever existed, by zone, in clear. It is for leak
// tests, and to compare with what hosts hold.
func (e *EdgeOne) Keys() map[string]ZoneKeys {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make(map[string]ZoneKeys, len(e.zones))
	for id, z := range e.zones {
		keys[id] = ZoneKeys{Live: z.key, Ever: slices.Clone(z.keys)}
	}
	return keys
}

// MAC is what a zone's client shows to the data plane: HMAC-SHA256 over the
// nonce, in hex. Its key is the zone's key in the base64 form in which a host's
// file holds it.
func MAC(key, nonce string) string { return hex.EncodeToString(hmacSHA256([]byte(key), nonce)) }

// LetsIn says whether the zone's data plane accepts the MAC of the nonce. It
// accepts only a MAC that was made with the live key.
func (e *EdgeOne) LetsIn(zone, nonce, mac string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	z := e.zones[zone]
	return z != nil && z.key != "" && hmac.Equal([]byte(MAC(z.key, nonce)), []byte(mac))
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func sortedValues(m map[string]string) []string { return slices.Sorted(maps.Values(m)) }
