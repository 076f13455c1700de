package sim_test

import (
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/proving/sim"
)

// Two accounts at one EdgeOne: each sees only its own zones, and has its own
// limit and counters.
func TestAccounts(t *testing.T) {
	a := start(t, sim.Config{
		Credentials: map[string]sim.Credential{
			testID: {SecretKey: testKey, Account: "intl"}, "AKIDOTHER": {SecretKey: testKey, Account: "cn", Limit: 2},
		},
		Zones: []sim.Zone{{ID: "zone-a", Name: "a.example.com", Account: "intl"}, {ID: "zone-b", Name: "b.example.com", Account: "cn"}, {ID: "zone-c", Name: "c.example.com"}},
	})
	other := &api{Client: sdk(t, strings.TrimPrefix(a.url, "http://"), common.NewCredential("AKIDOTHER", testKey))}
	for _, call := range []struct {
		by         *api
		zone, want string
	}{
		{a, "zone-a", ""},
		{a, "zone-b", "UnauthorizedOperation.NoPermission"},
		{a, "zone-c", ""}, // belongs to nobody
		{other, "zone-b", ""},
		{other, "zone-a", "UnauthorizedOperation.NoPermission"},
		{other, "zone-b", "RequestLimitExceeded"},
	} {
		if _, err := call.by.refresh(call.zone); code(err) != call.want {
			t.Errorf("%s: %q, want %q", call.zone, code(err), call.want)
		}
	}
	list := teo.NewDescribeZonesRequest()
	seen, err := other.DescribeZones(list)
	if err != nil || *seen.Response.TotalCount != 2 {
		t.Errorf("the other account lists %+v, %v", seen, err)
	}
	s := a.State()
	if intl, cn := s.Accounts["intl"], s.Accounts["cn"]; intl.Limit != 20 || cn.Limit != 2 ||
		intl.Actions[refresh].Calls != 3 || intl.Actions[refresh].Throttled != 0 || cn.Actions[refresh].Calls != 3 || cn.Actions[refresh].Throttled != 1 {
		t.Errorf("accounts: %+v", s.Accounts)
	}
}
