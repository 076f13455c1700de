package rotation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Span is a time.Duration that reads as "30s" in JSON, because histories are
// read by people.
type Span time.Duration

// D is the duration.
func (s Span) D() time.Duration { return time.Duration(s) }

// String is time.Duration's.
func (s Span) String() string { return time.Duration(s).String() }

// MarshalText is String.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is time.ParseDuration.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// Timing is every span that a zone's rotation depends on.
type Timing struct {
	ProofFor      Span `json:"proofFor"`      // how old a host's proof may be when the refresh is signed
	Settle        Span `json:"settle"`        // wait between two reads that say "unchanged"; at least the API's request timeout
	SignatureLife Span `json:"signatureLife"` // how long after signing a request may still be executed: 300 s at Tencent
	ExposedAfter  Span `json:"exposedAfter"`  // an exposure this long is an outage
	DeliverFor    Span `json:"deliverFor"`    // how long delivery keeps trying
}

// Settings is how a plan runs.
type Settings struct {
	Waves      []string `json:"waves"` // cumulative: "1", "5%", … "100%"
	Bake       Span     `json:"bake"`
	Window     int      `json:"window"` // zones in flight, of each account
	Approve    []int    `json:"approve,omitempty"`
	MaxFailed  string   `json:"maxFailed"` // count, or percent of the whole plan
	MaxExposed int      `json:"maxExposed"`
	Timing     Timing   `json:"timing"`
	// ApproveWithin is how long a wave waits for its approval before the
	// campaign pauses; 0 is for ever.
	ApproveWithin Span `json:"approveWithin,omitzero"`
	// SecondPerson wants the approval of somebody else than who started the
	// campaign.
	SecondPerson bool `json:"secondPerson,omitempty"`
	// Health names the fleet file's checks that must be content before the next
	// wave.
	Health []string `json:"health,omitempty"`
	// Notify lists the occasions on which people elsewhere are told.
	Notify []string `json:"notify,omitempty"`
	// Windows and Freeze are the calendar that every campaign of the plan obeys,
	// as calendar.Spec has it.
	Windows []string `json:"windows,omitempty"`
	Freeze  []string `json:"freeze,omitempty"`
}

// Budget resolves maxFailed for a plan of total zones: a percentage is rounded
// up, and is at least 1.
func (s Settings) Budget(total int) (Budget, error) {
	failed, err := ParseShare(s.MaxFailed, total)
	if err != nil {
		return Budget{}, fmt.Errorf("maxFailed: %w", err)
	}
	return Budget{MaxFailed: failed, MaxExposed: s.MaxExposed}, nil
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

// CutWaves turns cumulative wave sizes into the number of zones of each wave;
// waves that would be empty are dropped, and a last wave takes whatever the
// sizes leave over.
func CutWaves(total int, sizes []string) ([]int, error) {
	var waves []int
	taken := 0
	for _, size := range sizes {
		upTo, err := ParseShare(size, total)
		if err != nil {
			return nil, fmt.Errorf("waves: %w", err)
		}
		if upTo = min(upTo, total); upTo > taken {
			waves = append(waves, upTo-taken)
			taken = upTo
		}
	}
	if taken < total {
		waves = append(waves, total-taken)
	}
	return waves, nil
}

// Limits of a plan page.
const (
	MaxPageZones = 500
	MaxPageBytes = 256 << 10
)

// Page is one shard's part of a plan: at most MaxPageZones zones of one wave and
// one account, and every host of theirs once.
type Page struct {
	Account Account    `json:"account"`
	Number  int        `json:"number"` // 1-based, over the whole plan
	Wave    int        `json:"wave"`   // 1-based
	Hosts   []HostRef  `json:"hosts"`
	Zones   []PageZone `json:"zones"`
}

// PageZone is one zone of a page.
type PageZone struct {
	ID   ZoneID `json:"id"`
	Name string `json:"name,omitempty"`
	// Hosts are indices into the page's Hosts.
	Hosts []int `json:"hosts"`
	// Baseline is the fingerprint of the live key when the plan was made; empty
	// while the page is a draft.
	Baseline Fingerprint `json:"baseline,omitempty"`
}

// HostsOf resolves a zone's hosts, without their Parts.
func (p Page) HostsOf(z PageZone) []HostRef {
	refs := make([]HostRef, len(z.Hosts))
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
	Name string `json:"name"`
	// Account is the only one, or the first of Accounts.
	Account  Account   `json:"account"`
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
	// Describes counts the calls that reading the baselines took.
	Describes int `json:"describes"`
	// Takes is how long the campaign will run, without its waits for people: an
	// estimate, outside the digest.
	Takes Span `json:"takes,omitzero"`
	// Source is where the zones came from when they did not stand in the fleet
	// file, outside the digest.
	Source string `json:"source,omitempty"`
	// Limit is the account's limit of calls a second when the plan was made, or
	// the sum of Accounts' limits, outside the digest.
	Limit float64 `json:"limit,omitzero"`
	// Accounts are each account's part, where there are several; outside the
	// digest, for Waves say which pages are whose.
	Accounts []Share `json:"accounts,omitempty"`
}

// Share is one account's part of a plan of several.
type Share struct {
	Account Account `json:"account"`
	Zones   int     `json:"zones"`
	// Limit is the account's of calls a second, Describes how many calls reading
	// its baselines took.
	Limit     float64 `json:"limit"`
	Describes int     `json:"describes"`
}

// AccountOf is whose zones a page holds, by its number.
func (p Plan) AccountOf(page int) Account {
	for _, w := range p.Waves {
		for _, part := range w.Parts {
			if page >= part.First && page <= part.Last {
				return part.Account
			}
		}
	}
	return p.Account
}

// pace is the part of the account's limit that refreshes are sent at.
const pace = 0.97

// Estimate is how long the plan takes at the accounts' limits of calls a second:
// the refreshes of an account one after the other, in each wave those of its
// slowest account, and the bake times.
func (p Plan) Estimate() Span {
	limits := map[Account]float64{p.Account: p.Limit}
	for _, a := range p.Accounts {
		limits[a.Account] = a.Limit
	}
	seconds := 0.0
	for _, w := range p.Waves {
		slowest := 0.0
		for _, part := range w.parts(p.Account) {
			slowest = max(slowest, float64(part.Zones)/(pace*limits[part.Account]))
		}
		seconds += slowest
	}
	all := time.Duration(seconds*float64(time.Second)) + time.Duration(max(0, len(p.Waves)-1))*p.Settings.Bake.D()
	return Span(max(time.Second, all.Round(time.Second)))
}

// parts are the wave's, of which the only account has all.
func (w Wave) parts(only Account) []Part {
	if len(w.Parts) > 0 {
		return w.Parts
	}
	return []Part{{only, w.Zones, w.First, w.Last}}
}

// Wave is a part of a plan that runs as one.
type Wave struct {
	Zones int `json:"zones"`
	// First and Last are page numbers, both included.
	First int `json:"first"`
	Last  int `json:"last"`
	// Parts are those of each account, in the order of their pages, where a plan
	// has several.
	Parts []Part `json:"parts,omitempty"`
}

// Part is the pages of a wave that hold one account's zones.
type Part struct {
	Account Account `json:"account"`
	Zones   int     `json:"zones"`
	// First and Last are page numbers, both included.
	First int `json:"first"`
	Last  int `json:"last"`
}

// Finding is a problem met while planning.
type Finding struct {
	Zone ZoneID   `json:"zone,omitempty"`
	Host HostName `json:"host,omitempty"`
	Text string   `json:"text"`
}

// DigestOf names what the plan will do: settings, waves and pages, but not its
// name, times, estimates or findings.
func (p Plan) DigestOf() string {
	return digest("plan", struct {
		Account  Account
		Settings Settings
		Waves    []Wave
		Pages    []string
	}{p.Account, p.Settings, p.Waves, p.Pages})
}

func digest(kind string, v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		panic("rotation: digest of a value that cannot be marshalled: " + err.Error())
	}
	h := sha256.New()
	h.Write([]byte("keywave/v1 " + kind + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// Target is a zone to be planned.
type Target struct {
	ID      ZoneID
	Name    string
	Account Account
	Hosts   []HostRef
}

// Cut makes draft pages (without baselines) and waves of targets, in their
// order; in a wave, the zones of one account stand together. No page crosses a
// wave or has zones of two accounts.
func Cut(targets []Target, sizes []string) ([]Page, []Wave, error) {
	counts, err := CutWaves(len(targets), sizes)
	if err != nil {
		return nil, nil, err
	}
	var pages []Page
	var waves []Wave
	several := len(byAccount(targets)) > 1
	for w, n := range counts {
		wave := Wave{Zones: n, First: len(pages) + 1}
		for _, own := range byAccount(targets[:n]) {
			part := Part{Account: own[0].Account, Zones: len(own), First: len(pages) + 1}
			for _, some := range cutPages(own) {
				page := newPage(part.Account, some)
				page.Number, page.Wave = len(pages)+1, w+1
				pages = append(pages, page)
			}
			part.Last = len(pages)
			if several {
				wave.Parts = append(wave.Parts, part)
			}
		}
		wave.Last = len(pages)
		waves = append(waves, wave)
		targets = targets[n:]
	}
	return pages, waves, nil
}

// byAccount keeps the targets of each account together, in their order, the
// accounts in that of their first target.
func byAccount(targets []Target) [][]Target {
	at := map[Account]int{}
	var groups [][]Target
	for _, t := range targets {
		i, known := at[t.Account]
		if !known {
			i = len(groups)
			at[t.Account] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

func cutPages(targets []Target) [][]Target {
	var parts [][]Target
	start, size := 0, 0
	seen := map[HostName]bool{}
	for i, t := range targets {
		cost := zoneBytes(t, seen)
		if i > start && (i-start == MaxPageZones || size+cost > MaxPageBytes) {
			parts = append(parts, targets[start:i])
			start, size = i, 0
			clear(seen)
			cost = zoneBytes(t, seen)
		}
		size += cost
		for _, h := range t.Hosts {
			seen[h.Name] = true
		}
	}
	return append(parts, targets[start:])
}

// zoneBytes bounds what a zone adds to its page's JSON.
func zoneBytes(t Target, seen map[HostName]bool) int {
	n := 80 + len(t.ID) + 6*len(t.Name) + 8*len(t.Hosts)
	for _, h := range t.Hosts {
		if !seen[h.Name] {
			n += 60 + len(h.Name) + len(h.Location) + len(h.Digest) + len(h.Parts)
		}
	}
	return n
}

func newPage(account Account, targets []Target) Page {
	page := Page{Account: account}
	index := map[HostName]int{}
	for _, t := range targets {
		z := PageZone{ID: t.ID, Name: t.Name}
		for _, h := range t.Hosts {
			i, known := index[h.Name]
			if !known {
				i = len(page.Hosts)
				index[h.Name] = i
				page.Hosts = append(page.Hosts, h)
			}
			z.Hosts = append(z.Hosts, i)
		}
		page.Zones = append(page.Zones, z)
	}
	return page
}
