// Package plan is what a campaign is about to do, frozen: which zones with which
// hosts, in which waves and pages, under which settings; how a fleet is cut into
// it, what differs between two of them, and what people approved. As in package
// rotation, all of it is decided from values alone.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"keywave/internal/rotation"
)

// Settings is how a plan runs.
type Settings struct {
	Waves      []string        `json:"waves"` // cumulative: "1", "5%", … "100%"
	Bake       rotation.Span   `json:"bake"`
	Window     int             `json:"window"` // zones in flight, of each account
	Approve    []int           `json:"approve,omitempty"`
	MaxFailed  string          `json:"maxFailed"` // count, or percent of the whole plan
	MaxExposed int             `json:"maxExposed"`
	Timing     rotation.Timing `json:"timing"`
	// Strategy is who makes the new keys; empty is EdgeOne.
	Strategy rotation.Strategy `json:"strategy,omitempty"`
	// RollbackFor is how long the key that a staged one replaces is kept, so that people
	// can put it back; 0 keeps none.
	RollbackFor rotation.Span `json:"rollbackFor,omitzero"`
	// ApproveWithin is how long a wave waits for its approval before the
	// campaign pauses; 0 is for ever.
	ApproveWithin rotation.Span `json:"approveWithin,omitzero"`
	// SecondPerson wants the approval of somebody else than who started the
	// campaign.
	SecondPerson bool `json:"secondPerson,omitempty"`
	// Health names the fleet file's checks that must be content before the next
	// wave.
	Health []string `json:"health,omitempty"`
	// Notify lists the occasions on which people elsewhere are told.
	Notify []string `json:"notify,omitempty"`
	// StallAfter is after how long without any progress a campaign says that it is
	// stalled; 0 is the default.
	StallAfter rotation.Span `json:"stallAfter,omitzero"`
	// Windows and Freeze are the calendar that every campaign of the plan obeys,
	// as calendar.Spec has it.
	Windows []string `json:"windows,omitempty"`
	Freeze  []string `json:"freeze,omitempty"`
}

// stallAfter is the default.
const stallAfter = time.Minute

// StallsAfter is after how long without any progress a campaign is stalled.
func (s Settings) StallsAfter() time.Duration {
	if s.StallAfter > 0 {
		return s.StallAfter.D()
	}
	return stallAfter
}

// Budget resolves maxFailed for a plan of total zones: a percentage is rounded
// up, and is at least 1.
func (s Settings) Budget(total int) (rotation.Budget, error) {
	failed, err := ParseShare(s.MaxFailed, total)
	if err != nil {
		return rotation.Budget{}, fmt.Errorf("maxFailed: %w", err)
	}
	return rotation.Budget{MaxFailed: failed, MaxExposed: s.MaxExposed}, nil
}

// ParseShare reads a count ("3") or a share of total ("5%", rounded up, at
// least 1).
func ParseShare(s string, total int) (int, error) {
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil || p < 0 || p > 100 || math.IsNaN(p) {
			return 0, fmt.Errorf("%q is not a percentage between 0%% and 100%%", s)
		}
		const dust = 1e-9 // 1.1 % of 100,000 is 1100.0000000000002 in floating point
		return max(1, int(math.Ceil(p*float64(total)/100-dust))), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is neither a count nor a percentage", s)
	}
	return n, nil
}

// Limits of a plan page.
const (
	MaxPageZones = 500
	MaxPageBytes = 256 << 10
)

// Page is one shard's part of a plan: at most MaxPageZones zones of one wave and
// one account, and every host of theirs once.
type Page struct {
	Account rotation.Account   `json:"account"`
	Number  int                `json:"number"` // 1-based, over the whole plan
	Wave    int                `json:"wave"`   // 1-based
	Hosts   []rotation.HostRef `json:"hosts"`
	Zones   []PageZone         `json:"zones"`
}

// PageZone is one zone of a page.
type PageZone struct {
	ID   rotation.ZoneID `json:"id"`
	Name string          `json:"name,omitempty"`
	// Hosts are indices into the page's Hosts.
	Hosts []int `json:"hosts"`
	// Baseline is the fingerprint of the live key when the plan was made; empty
	// while the page is a draft.
	Baseline rotation.Fingerprint `json:"baseline,omitempty"`
	// Former is the key that is to be put back, in the plan of a rollback.
	Former *rotation.Former `json:"former,omitempty"`
}

// HostsOf resolves a zone's hosts, without their Parts.
func (p Page) HostsOf(z PageZone) []rotation.HostRef {
	refs := make([]rotation.HostRef, len(z.Hosts))
	for i, h := range z.Hosts {
		refs[i] = p.Hosts[h]
		refs[i].Parts = ""
	}
	return refs
}

// Pairs is the number of (zone, host) pairs.
func (p Page) Pairs() int {
	n := 0
	for _, z := range p.Zones {
		n += len(z.Hosts)
	}
	return n
}

// Digest names the page's content.
func (p Page) Digest() string { return digest("page", p) }

// Plan is the frozen list of what a campaign will do. Its pages are held by
// workflows of their own.
type Plan struct {
	Name     string    `json:"name"`
	Made     time.Time `json:"made"`
	Settings Settings  `json:"settings"`
	Zones    int       `json:"zones"`
	Hosts    int       `json:"hosts"`
	Pairs    int       `json:"pairs"`
	Waves    []Wave    `json:"waves"`
	// Pages are the digests of the pages, in order.
	Pages  []string `json:"pages"`
	Digest string   `json:"digest"`
	// Findings are problems met while planning; they are outside the digest.
	Findings []Finding `json:"findings,omitempty"`
	// Found counts all findings; Findings may hold only the first of them.
	Found int `json:"found"`
	// Unready counts the zones that would not have been rotated when the plan was
	// made, outside the digest: their live key could not be read, or a host
	// of theirs could not take one, or was not asked.
	Unready int `json:"unready,omitempty"`
	// Describes counts the calls that reading the baselines took.
	Describes int `json:"describes"`
	// Takes is how long the campaign will run, without its waits for people: an
	// estimate, outside the digest.
	Takes rotation.Span `json:"takes,omitzero"`
	// Source is where the zones came from when they did not stand in the fleet
	// file, outside the digest.
	Source string `json:"source,omitempty"`
	// Undoes is the campaign whose former keys are to be put back, outside the digest;
	// the pages have the keys.
	Undoes string `json:"undoes,omitempty"`
	// Limit is the sum of the accounts' limits of calls a second when the plan was
	// made, outside the digest.
	Limit float64 `json:"limit,omitzero"`
	// Accounts are each account's part, of which there is at least one; outside the
	// digest, because Waves say which pages are whose.
	Accounts []Share `json:"accounts"`
}

// Share is one account's part of a plan.
type Share struct {
	Account rotation.Account `json:"account"`
	Zones   int              `json:"zones"`
	// Limit is the account's of calls a second, Describes how many calls reading
	// its baselines took.
	Limit     float64 `json:"limit"`
	Describes int     `json:"describes"`
}

// Owners are the plan's accounts, in order.
func (p Plan) Owners() []rotation.Account {
	var all []rotation.Account
	for _, s := range p.Accounts {
		all = append(all, s.Account)
	}
	return all
}

// FirstPage is the number of the first page that holds zones of an account; 0 where
// none does.
func (p Plan) FirstPage(account rotation.Account) int {
	for _, w := range p.Waves {
		for _, part := range w.Parts {
			if part.Account == account {
				return part.First
			}
		}
	}
	return 0
}

// AccountOf is whose zones a page holds, by its number.
func (p Plan) AccountOf(page int) rotation.Account {
	for _, w := range p.Waves {
		for _, part := range w.Parts {
			if page >= part.First && page <= part.Last {
				return part.Account
			}
		}
	}
	return ""
}

// PutsBack says what a rollback of a campaign does; empty where there is none.
func PutsBack(undoes string) string {
	if undoes == "" {
		return ""
	}
	return "puts back the keys that campaign " + undoes + " replaced"
}

// reads is how many reads each zone costs. A former key is read before it is replaced,
// so that it can be kept, or put back.
func (p Plan) reads() int {
	if p.Settings.RollbackFor > 0 || p.Undoes != "" {
		return 2
	}
	return 1
}

// Estimate is how long the plan takes at the accounts' limits of calls a second:
// the refreshes of an account one after the other, in each wave those of its
// slowest account, and the bake times. Reads have a limit of their own, which is the
// narrower one.
func (p Plan) Estimate() rotation.Span {
	limits := map[rotation.Account]float64{}
	for _, a := range p.Accounts {
		limits[a.Account] = a.Limit
	}
	seconds := 0.0
	for _, w := range p.Waves {
		slowest := 0.0
		for _, part := range w.Parts {
			slowest = max(slowest, float64(part.Zones*p.reads())/rotation.ZonesPerSecond(limits[part.Account]))
		}
		seconds += slowest
	}
	all := time.Duration(seconds*float64(time.Second)) + time.Duration(max(0, len(p.Waves)-1))*p.Settings.Bake.D()
	return rotation.Span(max(time.Second, all.Round(time.Second)))
}

// Wave is a part of a plan that runs as one.
type Wave struct {
	Zones int `json:"zones"`
	// First and Last are page numbers, both included.
	First int `json:"first"`
	Last  int `json:"last"`
	// Parts are those of each account, in the order of their pages.
	Parts []Part `json:"parts"`
}

// Part is the pages of a wave that hold one account's zones.
type Part struct {
	Account rotation.Account `json:"account"`
	Zones   int              `json:"zones"`
	// First and Last are page numbers, both included.
	First int `json:"first"`
	Last  int `json:"last"`
}

// Finding is a problem met while planning.
type Finding struct {
	Zone rotation.ZoneID   `json:"zone,omitempty"`
	Host rotation.HostName `json:"host,omitempty"`
	Text string            `json:"text"`
	// Format says that the host's file is in another format than the fleet file says:
	// which key is in it could not be seen.
	Format bool `json:"format,omitempty"`
	// Staged says that a staged key lies on the host.
	Staged bool `json:"staged,omitempty"`
	// Bastion is lost, and with it the hosts Behind it. Of what people see, Text names
	// both.
	Bastion string              `json:"bastion,omitempty"`
	Behind  []rotation.HostName `json:"behind,omitempty"`
}

// DigestOf names what the plan will do: settings, waves and pages, but not its
// name, times, estimates or findings.
func (p Plan) DigestOf() string {
	return digest("plan", struct {
		Settings Settings
		Waves    []Wave
		Pages    []string
	}{p.Settings, p.Waves, p.Pages})
}

func digest(kind string, v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		panic("plan: digest of a value that cannot be marshalled: " + err.Error())
	}
	h := sha256.New()
	h.Write([]byte("keywave/v1 " + kind + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))[:32]
}
