package planning

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
)

const accounts = `version: 1
accounts:
  - {name: intl, requestsPerSecond: 20}
  - {name: cn, endpoint: cn.example.com, requestsPerSecond: 2}
locations: {hk: {hosts: {gw-1: {ssh: {address: "10.0.0.1:22", user: edge, path: "/k/{zone}"}}}}}
zones:
  - {id: zone-1, account: intl, hosts: [gw-1]}
  - {id: zone-2, account: cn, hosts: [gw-1]}
  - {id: zone-3, account: intl, hosts: [gw-1]}
  - {id: zone-4, account: cn, hosts: [gw-1]}
campaign: {waves: [1, 100%], bake: 0s}
`

func TestDraftOfAccounts(t *testing.T) {
	d, err := NewDraft(parse(t, accounts), "p")
	if err != nil {
		t.Fatal(err)
	}
	var pages []rotation.Account
	for _, p := range d.Pages {
		pages = append(pages, p.Account)
	}
	if want := []rotation.Account{"intl", "cn", "intl"}; !slices.Equal(pages, want) {
		t.Errorf("pages of %v, want %v", pages, want)
	}
	if want := []plan.Share{{Account: "intl", Zones: 2, Limit: 20}, {Account: "cn", Zones: 2, Limit: 2}}; !slices.Equal(d.Plan.Accounts, want) || d.Plan.Limit != 22 {
		t.Errorf("accounts %+v, limit %v", d.Plan.Accounts, d.Plan.Limit)
	}
	if got := d.Plan.Takes.D(); got != time.Second {
		t.Errorf("it takes %s, and the slowest account two calls at 1.94 a second", got)
	}
}

// A fleet of one account is drafted like a fleet of several that has only one.
func TestDraftOfOneAccount(t *testing.T) {
	d, err := NewDraft(parse(t, file), "p")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Plan.Accounts) != 1 || d.Plan.Accounts[0].Account != "default" || d.Plan.Limit != 20 || len(d.Plan.Waves[1].Parts) != 1 {
		t.Errorf("%+v", d.Plan)
	}
	const was = "50527c279015e7f1d8de1a98525f35df"
	if d.Plan.Pages = []string{d.Pages[0].Digest(), d.Pages[1].Digest()}; d.Plan.DigestOf() != was {
		t.Errorf("its digest is %s, and was %s", d.Plan.DigestOf(), was)
	}
}

func TestAZoneOfAnotherAccountIsNotWhatWasApproved(t *testing.T) {
	was, now := parse(t, accounts), parse(t, strings.Replace(accounts, "zone-3, account: intl", "zone-3, account: cn", 1))
	if said := (Planner{Loaded: now}).differs(asked(t, was), now, now); !strings.Contains(said, "zone zone-3 is of account cn, was of intl") {
		t.Errorf("it says %q", said)
	}
}

func TestUnreachableNamesTheAccount(t *testing.T) {
	f := parse(t, accounts)
	plan := plan.Plan{
		Accounts: []plan.Share{{Account: "intl", Describes: 2}, {Account: "cn"}}, Describes: 2,
		Findings: []plan.Finding{{Zone: "zone-1", Text: "drift"}, {Zone: "zone-4", Text: "no such host"}},
	}
	err := UnreachableBy(f, plan)
	if err == nil || !strings.HasPrefix(err.Error(), "no request reached EdgeOne for account cn at cn.example.com (no such host); ") {
		t.Errorf("it says %v", err)
	}
	plan.Accounts[1].Describes = 2
	if err := UnreachableBy(f, plan); err != nil {
		t.Errorf("all were read: %v", err)
	}
}
