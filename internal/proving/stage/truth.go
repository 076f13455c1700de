package stage

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The API actions that a rotation calls.
const (
	ModifyAction   = "ModifyMultiPathGatewaySecretKey"
	RefreshAction  = "RefreshMultiPathGatewaySecretKey"
	DescribeAction = "DescribeMultiPathGatewaySecretKey"
)

// What the simulator knows, which is the truth.
type (
	HostState struct {
		Dir string `json:"dir"`
	}
	ZoneKeys struct {
		Ever []string `json:"ever"`
		Live string   `json:"live"`
	}
	Edge struct {
		Seq    uint64 `json:"seq"`
		Kind   string `json:"edge"`
		Action string `json:"action"`
		Zone   string `json:"zone"`
		Code   string `json:"code"`
		Host   string `json:"host"`
		ID     string `json:"requestId"`
		Fault  string `json:"fault"`
		MonoUs int64  `json:"monoUs"`
		// At is wall time. On this machine, Temporal's clock is the same.
		At time.Time `json:"at"`
	}
	// Calls are the simulator's counters of one action: authenticated arrivals,
	// those that took effect, those above the limit, and the most arrivals in any
	// sliding second.
	Calls struct {
		Calls        int `json:"calls"`
		Executed     int `json:"executed"`
		Throttled    int `json:"throttled"`
		MaxPerSecond int `json:"maxPerSecond"`
	}
)

// Calls counts calls by action.
func (s *Stack) Calls(ctx context.Context) (map[string]Calls, error) {
	var state struct {
		Actions map[string]Calls `json:"actions"`
	}
	return state.Actions, s.Control(ctx, http.MethodGet, "/state", nil, &state)
}

func (s *Stack) Hosts(ctx context.Context) (map[string]HostState, error) {
	var hosts map[string]HostState
	return hosts, s.Control(ctx, http.MethodGet, "/hosts", nil, &hosts)
}

// Check reports everything that is wrong with a campaign of all zones. It compares
// the simulator, the hosts' files and the disk with each other and with Keywave's
// own reports.
func (s *Stack) Check(ctx context.Context, st Status, ended error) []string {
	var wrong []string
	if ended != nil {
		wrong = append(wrong, fmt.Sprintf("%v (state %s, zones %v)", ended, st.State, st.Zones))
	}
	return append(append(wrong, looks(ctx, s.everyZoneOnce)...), s.Outside(ctx)...)
}

// Outside reports everything that is wrong, seen from outside alone.
func (s *Stack) Outside(ctx context.Context) []string {
	return looks(ctx, s.everyHostHoldsTheLiveKey, s.noRefreshOnAGuess, s.neverAboveTheLimit, s.NoKeyAnywhere)
}

func looks(ctx context.Context, all ...func(context.Context) ([]string, error)) (wrong []string) {
	for _, look := range all {
		found, err := look(ctx)
		if err != nil {
			found = append(found, "could not be checked: "+err.Error())
		}
		wrong = append(wrong, found...)
	}
	return wrong
}

// everyZoneOnce: each zone has exactly one outcome, and the counts add up.
func (s *Stack) everyZoneOnce(ctx context.Context) ([]string, error) {
	zones, err := s.Reported(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var wrong []string
	seen := map[string]bool{}
	for _, z := range zones {
		if seen[z.ID] {
			wrong = append(wrong, z.ID+" is in the report twice")
		}
		seen[z.ID] = true
		if z.Outcome != "done" {
			wrong = append(wrong, fmt.Sprintf("%s ended %s in a healed world", z.ID, z.Outcome))
		}
	}
	if len(seen) != len(keys) {
		wrong = append(wrong, fmt.Sprintf("the report has %d zones of %d", len(seen), len(keys)))
	}
	return wrong, nil
}

// Reported is a zone as the campaign's report has it.
type Reported struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
}

// Reported asks the CLI for the campaign's report.
func (s *Stack) Reported(ctx context.Context) ([]Reported, error) {
	var report struct {
		Zones []Reported `json:"zones"`
	}
	out, err := s.CLI(ctx, "campaign", "report", s.Campaign, "--format", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &report)
	}
	return report.Zones, err
}

func (s *Stack) Keys(ctx context.Context) (map[string]ZoneKeys, error) {
	var keys map[string]ZoneKeys
	return keys, s.Control(ctx, http.MethodGet, "/keys", nil, &keys)
}

// everyHostHoldsTheLiveKey: the file's bytes are the live key and a newline,
// and the data plane lets in whoever signs with the file's key.
func (s *Stack) everyHostHoldsTheLiveKey(ctx context.Context) ([]string, error) {
	keys, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	pairs, err := s.Pairs(ctx)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, p := range pairs {
		content, err := os.ReadFile(p.File)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s on %s: %v", p.Zone, p.Host, err))
		case string(content) != keys[p.Zone].Live+"\n":
			wrong = append(wrong, fmt.Sprintf("%s on %s: the file does not hold the live key", p.Zone, p.Host))
		default:
			mac := hmac.New(sha256.New, bytes.TrimSuffix(content, []byte("\n")))
			mac.Write([]byte("nonce"))
			in := map[string]string{"nonce": "nonce", "mac": hex.EncodeToString(mac.Sum(nil))}
			if err := s.Control(ctx, http.MethodPost, "/dataplane/"+p.Zone, in, nil); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s on %s: the data plane does not let it in: %v", p.Zone, p.Host, err))
			}
		}
		if info, err := os.Stat(p.File); err == nil && info.Mode().Perm() != 0o600 {
			wrong = append(wrong, fmt.Sprintf("%s on %s: mode %o", p.Zone, p.Host, info.Mode().Perm()))
		}
	}
	return wrong, nil
}

// Pair is a zone's key file on one host.
type Pair struct{ Zone, Host, File string }

// Pairs reads from the simulator's own memory which host has which zone.
func (s *Stack) Pairs(ctx context.Context) ([]Pair, error) {
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var world struct {
		Zones []struct {
			ID    string   `json:"id"`
			Hosts []string `json:"hosts"`
		} `json:"zones"`
	}
	body, err := os.ReadFile(filepath.Join(s.Dir, worldDir, "world.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &world); err != nil {
		return nil, err
	}
	var pairs []Pair
	for _, z := range world.Zones {
		for _, h := range z.Hosts {
			found, err := filepath.Glob(filepath.Join(hosts[h].Dir, "*", z.ID+".key"))
			if err != nil {
				return nil, err
			}
			if len(found) != 1 {
				return nil, fmt.Errorf("%s on %s: %d files", z.ID, h, len(found))
			}
			pairs = append(pairs, Pair{z.ID, h, found[0]})
		}
	}
	return pairs, nil
}

// noRefreshOnAGuess: between a refresh that was executed, at once or late, and
// the next one of the same zone, the live key was read at least twice. Between two
// calls that bring a key it was read at least once.
func (s *Stack) noRefreshOnAGuess(ctx context.Context) ([]string, error) {
	edges, err := s.Edges(ctx, 0)
	if err != nil {
		return nil, err
	}
	return append(onAGuess(edges, RefreshAction, 2), onAGuess(edges, ModifyAction, 1)...), nil
}

func onAGuess(edges []Edge, action string, least int) []string {
	executed := map[string]bool{}
	for _, e := range edges {
		if e.Kind == "executed" {
			executed[e.ID] = true
		}
	}
	var wrong []string
	type open struct {
		id    string
		reads int
	}
	last := map[string]*open{}
	for _, e := range edges {
		switch {
		case e.Kind == "answered" && e.Action == DescribeAction && e.Code == "" && last[e.Zone] != nil:
			last[e.Zone].reads++
		case e.Kind == "arrived" && e.Action == action:
			if o := last[e.Zone]; o != nil && executed[o.id] && o.reads < least {
				wrong = append(wrong, fmt.Sprintf("%s: %s was called again (%s) after it was executed (%s), with %d reads between", e.Zone, action, e.ID, o.id, o.reads))
			}
			if last[e.Zone] == nil || executed[e.ID] {
				last[e.Zone] = &open{id: e.ID}
			}
		}
	}
	return wrong
}

func (s *Stack) Edges(ctx context.Context, after uint64) ([]Edge, error) {
	var all []Edge
	for {
		var page struct {
			Edges []Edge `json:"edges"`
			Lost  uint64 `json:"lost"`
		}
		if err := s.Control(ctx, http.MethodGet, fmt.Sprintf("/edges?after=%d&max=1000", after), nil, &page); err != nil {
			return nil, err
		}
		if page.Lost > 0 {
			return nil, fmt.Errorf("the simulator's journal lost %d edges", page.Lost)
		}
		if len(page.Edges) == 0 {
			return all, nil
		}
		all = append(all, page.Edges...)
		after = page.Edges[len(page.Edges)-1].Seq
	}
}

// neverAboveTheLimit: in no sliding second were there more calls of an action
// than the account's limit, rejected ones included.
func (s *Stack) neverAboveTheLimit(ctx context.Context) ([]string, error) {
	actions, err := s.Calls(ctx)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for action, a := range actions {
		if a.MaxPerSecond <= s.Limit {
			continue
		}
		edges, err := s.Edges(ctx, 0)
		if err != nil {
			return nil, err
		}
		wrong = append(wrong, fmt.Sprintf("%s was called %d times in one second: %s", action, a.MaxPerSecond, worst(edges, action, s.Limit)))
	}
	return wrong, nil
}

// worst lists the arrivals around the fullest second, each in milliseconds from
// the one before.
func worst(edges []Edge, action string, limit int) string {
	var at []int64
	for _, e := range edges {
		if e.Kind == "arrived" && e.Action == action {
			at = append(at, e.MonoUs/1000)
		}
	}
	for i := 1; i+limit < len(at); i++ {
		if at[i+limit]-at[i] <= 1000 {
			around := at[max(0, i-3):min(len(at), i+limit+3)]
			shifted := make([]int64, len(around))
			for j, ms := range around {
				shifted[j] = ms - at[i]
			}
			return fmt.Sprint(shifted)
		}
	}
	return "not found among the edges"
}
