package fleet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

func bare(t *testing.T, zones, table string) (*fleet.Fleet, string) {
	t.Helper()
	path := fleetWith(t, zones, table)
	f, err := fleet.Bare(path)
	if err != nil {
		t.Fatal(err)
	}
	return f, filepath.Join(filepath.Dir(path), "zones.csv")
}

// holders returns a zone's hosts, and why they may be out of date.
func holders(t *testing.T, h *fleet.Holders, zone rotation.ZoneID) string {
	t.Helper()
	given, err := h.Of(t.Context(), zone)
	text := rotation.Named(rotation.NamesOf(given))
	if err != nil {
		text += "; " + err.Error()
	}
	return text
}

func TestHoldersOfAList(t *testing.T) {
	f, _ := bare(t, "[{id: zone-a, hosts: [gw-1, gw-3]}]", "")
	h := f.Holders(f.Accounts[0].Name, nil)
	if got := holders(t, h, "zone-a"); got != "gw-1 and gw-3" {
		t.Error(got)
	}
	if got := holders(t, h, "zone-b"); got != "nobody" {
		t.Error(got)
	}
	if got := holders(t, f.Holders("another account", nil), "zone-a"); got != "nobody" {
		t.Error(got)
	}
	if given, _ := h.Of(t.Context(), "zone-a"); given[0] != f.Hosts["gw-1"].Ref() {
		t.Errorf("%+v is not how a plan names it", given[0])
	}
}

// The present table counts. While it cannot be read, its last content counts,
// together with the reason.
func TestHoldersOfATable(t *testing.T) {
	f, table := bare(t, "{csv: zones.csv}", "id,hosts\nzone-a,gw-1 gw-3\n")
	h := f.Holders(f.Accounts[0].Name, nil)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(table+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(table+".new", table); err != nil {
			t.Fatal(err)
		}
	}
	if got := holders(t, h, "zone-a"); got != "gw-1 and gw-3" {
		t.Error(got)
	}
	write("id,hosts\nzone-a,gw-2\nzone-b,gw-1\n")
	if got := holders(t, h, "zone-a") + ", " + holders(t, h, "zone-b"); got != "gw-2, gw-1" {
		t.Error(got)
	}
	write("id,hosts\nzone-a,nowhere\n")
	for range 2 { // a broken table stays broken
		if got := holders(t, h, "zone-a"); !strings.HasPrefix(got, "gw-2; ") || !strings.Contains(got, `"nowhere"`) {
			t.Error(got)
		}
	}
	if err := os.Remove(table); err != nil {
		t.Fatal(err)
	}
	if got := holders(t, h, "zone-b"); !strings.HasPrefix(got, "gw-1; the table of zones cannot be read") {
		t.Error(got)
	}
	write("id,hosts\nzone-a,gw-1\n")
	if got := holders(t, h, "zone-a"); got != "gw-1" {
		t.Error(got)
	}
}

// listed is what EdgeOne has for an account.
type listed struct {
	zone     *rotation.ListedZone
	gateways []rotation.Gateway
	fail     error
	asked    int
}

func (l *listed) Zones(_ context.Context, q rotation.ZoneQuery, _ int) (rotation.ZonePage, error) {
	l.asked++
	var page rotation.ZonePage
	if l.zone != nil && q.Chooses(*l.zone) {
		page.Zones = []rotation.ListedZone{*l.zone}
	}
	return page, l.fail
}

func (l *listed) Gateways(context.Context, rotation.ZoneID) ([]rotation.Gateway, error) {
	return l.gateways, l.fail
}

func TestHoldersOfGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := bare(t, "{edgeone: {tags: {fleet: edge}, hosts: [gw-1]}}", "")
		account := &listed{zone: &rotation.ListedZone{ID: "zone-a", Tags: map[string]string{"fleet": "edge"}}, gateways: []rotation.Gateway{{ID: "1", IP: "203.0.113.2"}}}
		h := f.Holders(f.Accounts[0].Name, account)
		expect := func(asked int, want string) {
			t.Helper()
			if got := holders(t, h, "zone-a"); !strings.HasPrefix(got, want) || account.asked != asked {
				t.Errorf("%q after %d questions, want %q after %d", got, account.asked, want, asked)
			}
		}
		expect(1, "gw-1 and gw-2")
		account.gateways = []rotation.Gateway{{ID: "2", Name: "gw-3"}}
		expect(1, "gw-1 and gw-2")
		time.Sleep(11 * time.Minute)
		expect(2, "gw-1 and gw-3")
		time.Sleep(11 * time.Minute)
		account.fail = errors.New("no answer")
		expect(3, "gw-1 and gw-3; EdgeOne does not say whether the fleet has zone zone-a: no answer")
		account.fail = nil
		account.gateways = []rotation.Gateway{{ID: "3", Name: "of somebody", IP: "198.51.100.1"}}
		expect(4, "gw-1 and gw-3; the gateways of zone zone-a do not fit the fleet file of this worker: ")
		account.zone.Tags = nil
		expect(5, "nobody")
	})
}
