package sim_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/sim/journal"
	"keywave/internal/rotation"
)

const (
	testID   = "AKIDSIMULATORTEST"
	testKey  = "a secret key of the test"
	refresh  = "RefreshMultiPathGatewaySecretKey"
	describe = "DescribeMultiPathGatewaySecretKey"
	modify   = "ModifyMultiPathGatewaySecretKey"
)

// api is a simulated EdgeOne on loopback, and the real SDK as its client.
type api struct {
	*sim.EdgeOne
	*teo.Client
	url     string
	control string
}

func start(t *testing.T, cfg sim.Config) *api {
	t.Helper()
	if cfg.Credentials == nil {
		cfg.Credentials = map[string]sim.Credential{testID: {SecretKey: testKey}}
	}
	if cfg.Zones == nil {
		cfg.Zones = []sim.Zone{{ID: "zone-a", Name: "a.example.com"}, {ID: "zone-b", Name: "b.example.com"}}
	}
	e, err := sim.NewEdgeOne(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := listen(t, e)
	control := listen(t, e.Control())
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &api{e, sdk(t, server.Addr(), common.NewCredential(testID, testKey)), server.URL(), control.URL()}
}

func listen(t *testing.T, handler http.Handler) *sim.Server {
	t.Helper()
	server, err := sim.Listen("127.0.0.1:0", handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

func sdk(t *testing.T, addr string, credential common.CredentialIface) *teo.Client {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme = addr, "HTTP"
	p.HttpProfile.ReqTimeout = 10
	p.Language = "en-US"
	client, err := teo.NewClient(credential, "", p)
	if err != nil {
		t.Fatal(err)
	}
	client.WithHttpTransport(&http.Transport{MaxIdleConnsPerHost: 64})
	return client
}

// refresh returns the new key, or the SDK's error.
func (a *api) refresh(zone string) (string, error) {
	in := teo.NewRefreshMultiPathGatewaySecretKeyRequest()
	in.ZoneId = &zone
	out, err := a.RefreshMultiPathGatewaySecretKey(in)
	if err != nil || out.Response == nil || out.Response.SecretKey == nil {
		return "", err
	}
	return *out.Response.SecretKey, nil
}

func (a *api) describe(t *testing.T, zone string) string {
	t.Helper()
	in := teo.NewDescribeMultiPathGatewaySecretKeyRequest()
	in.ZoneId = &zone
	out, err := a.DescribeMultiPathGatewaySecretKey(in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.Response.SecretKey
}

func (a *api) modify(zone, key string) error {
	_, err := a.modified(zone, key)
	return err
}

func (a *api) modified(zone, key string) (*teo.ModifyMultiPathGatewaySecretKeyResponse, error) {
	in := teo.NewModifyMultiPathGatewaySecretKeyRequest()
	in.ZoneId, in.SecretKey = &zone, &key
	return a.ModifyMultiPathGatewaySecretKey(in)
}

// change gives the zone another key by an action, and says whether the answer
// had what such an answer has.
func (a *api) change(action, zone string) (answered bool, err error) {
	if action == refresh {
		key, err := a.refresh(zone)
		return key != "", err
	}
	out, err := a.modified(zone, newKey())
	return err == nil && out.Response != nil && out.Response.RequestId != nil, err
}

func (a *api) create(zone string) error {
	in := teo.NewCreateMultiPathGatewaySecretKeyRequest()
	in.ZoneId = &zone
	_, err := a.CreateMultiPathGatewaySecretKey(in)
	return err
}

func code(err error) string {
	var sdkError *tcerrors.TencentCloudSDKError
	if errors.As(err, &sdkError) {
		return sdkError.Code
	}
	if err != nil {
		return "not an SDK error: " + err.Error()
	}
	return ""
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("code is %q, want %q (%v)", got, want, err)
	}
}

func TestRefreshReplacesTheKeyAtOnce(t *testing.T) {
	a := start(t, sim.Config{})
	before := a.describe(t, "zone-a")
	other := a.describe(t, "zone-b")
	key, err := a.refresh("zone-a")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(raw) != 32 {
		t.Errorf("the key is %d bytes (%v), want base64 of 32", len(raw), err)
	}
	if key == before || a.describe(t, "zone-a") != key {
		t.Error("the refreshed key is not the live one")
	}
	if a.describe(t, "zone-b") != other {
		t.Error("another zone's key changed")
	}
	if a.LetsIn("zone-a", "nonce", sim.MAC(before, "nonce")) || !a.LetsIn("zone-a", "nonce", sim.MAC(key, "nonce")) {
		t.Error("the data plane does not accept exactly the live key")
	}
	s := a.State()
	z := s.Zones["zone-a"]
	fingerprints := []rotation.Fingerprint{
		rotation.FingerprintOf("zone-a", rotation.NewSecret(before)), rotation.FingerprintOf("zone-a", rotation.NewSecret(key)),
	}
	if z.Refreshes != 1 || z.Live != fingerprints[1] || !slices.Equal(z.Ever, fingerprints) {
		t.Errorf("state is %+v, want one refresh and fingerprints %v", z, fingerprints)
	}
	if got := a.Keys()["zone-a"]; got.Live != key || !slices.Equal(got.Ever, []string{before, key}) {
		t.Error("Keys does not hold every key that ever existed")
	}
	if c := s.Actions[refresh]; c.Calls != 1 || c.Executed != 1 || c.Throttled != 0 || c.MaxPerSecond != 1 {
		t.Errorf("counter is %+v", c)
	}
}

func TestCreate(t *testing.T) {
	a := start(t, sim.Config{Zones: []sim.Zone{{ID: "zone-new", Keyless: true}}})
	_, err := a.refresh("zone-new")
	wantCode(t, err, "OperationDenied")
	if got := a.describe(t, "zone-new"); got != "" {
		t.Error("a zone without a key was given one")
	}
	if a.State().Zones["zone-new"].Live != rotation.Absent {
		t.Error("a zone without a key is not absent")
	}
	if err := a.create("zone-new"); err != nil {
		t.Error(err)
	}
	wantCode(t, a.create("zone-new"), "OperationDenied")
	if a.describe(t, "zone-new") == "" {
		t.Error("Create made no key")
	}
}

func TestCodesThatNobodyDocumentsAreConfigurable(t *testing.T) {
	a := start(t, sim.Config{UnknownZone: "ResourceNotFound.ZoneNotFound", KeylessZone: "FailedOperation", Zones: []sim.Zone{{ID: "zone-new", Keyless: true}}})
	_, err := a.refresh("zone-x")
	wantCode(t, err, "ResourceNotFound.ZoneNotFound")
	_, err = a.refresh("zone-new")
	wantCode(t, err, "FailedOperation")
	_, err = start(t, sim.Config{}).refresh("zone-x")
	wantCode(t, err, "InvalidParameter")
}

func TestDescribeZonesPagesFiltersAndSorts(t *testing.T) {
	var zones []sim.Zone
	for i := range 250 {
		z := sim.Zone{ID: fmt.Sprintf("zone-%03d", i), Name: fmt.Sprintf("shop-%03d.example.com", 249-i)}
		if i%50 == 0 {
			z.Tags = map[string]string{"tier": "canary", "n": fmt.Sprint(i)}
		}
		if i == 7 {
			z.Status, z.Paused, z.LockStatus = "pending", true, "plan_migrate"
		}
		zones = append(zones, z)
	}
	a := start(t, sim.Config{Zones: zones})
	list := func(in *teo.DescribeZonesRequest) (ids []string, total int64, err error) {
		out, err := a.DescribeZones(in)
		if err != nil {
			return nil, 0, err
		}
		for _, z := range out.Response.Zones {
			ids = append(ids, *z.ZoneId)
		}
		return ids, *out.Response.TotalCount, nil
	}
	var all []string
	for offset := int64(0); offset < 300; offset += 100 {
		in := teo.NewDescribeZonesRequest()
		in.Offset, in.Limit = common.Int64Ptr(offset), common.Int64Ptr(100)
		in.Order, in.Direction = common.StringPtr("create-time"), common.StringPtr("asc")
		ids, total, err := list(in)
		if err != nil || total != 250 {
			t.Fatalf("total %d, error %v", total, err)
		}
		all = append(all, ids...)
	}
	if len(all) != 250 || !slices.IsSorted(all) {
		t.Errorf("paging gave %d zones, sorted %t", len(all), slices.IsSorted(all))
	}
	if ids, _, _ := list(teo.NewDescribeZonesRequest()); len(ids) != 20 || ids[0] != "zone-249" {
		t.Errorf("by default %d zones from %s, want the 20 newest", len(ids), ids[0])
	}
	filtered := map[string]struct {
		filter teo.AdvancedFilter
		want   int64
	}{
		"id":     {teo.AdvancedFilter{Name: common.StringPtr("zone-id"), Values: common.StringPtrs([]string{"zone-001", "zone-009", "zone-none"})}, 2},
		"name":   {teo.AdvancedFilter{Name: common.StringPtr("zone-name"), Values: common.StringPtrs([]string{"shop-000.example.com"})}, 1},
		"fuzzy":  {teo.AdvancedFilter{Name: common.StringPtr("zone-name"), Values: common.StringPtrs([]string{"shop-24"}), Fuzzy: common.BoolPtr(true)}, 10},
		"status": {teo.AdvancedFilter{Name: common.StringPtr("status"), Values: common.StringPtrs([]string{"pending"})}, 1},
		"key":    {teo.AdvancedFilter{Name: common.StringPtr("tag-key"), Values: common.StringPtrs([]string{"tier"})}, 5},
		"value":  {teo.AdvancedFilter{Name: common.StringPtr("tag-value"), Values: common.StringPtrs([]string{"canary"})}, 5},
	}
	for name, f := range filtered {
		in := teo.NewDescribeZonesRequest()
		in.Filters = []*teo.AdvancedFilter{&f.filter}
		if _, total, err := list(in); err != nil || total != f.want {
			t.Errorf("%s: %d zones (%v), want %d", name, total, err, f.want)
		}
	}
	byName := teo.NewDescribeZonesRequest()
	byName.Order, byName.Direction = common.StringPtr("zone-name"), common.StringPtr("asc")
	if ids, _, _ := list(byName); ids[0] != "zone-249" {
		t.Errorf("the first by name is %s", ids[0])
	}
	tooMany := teo.NewDescribeZonesRequest()
	tooMany.Limit = common.Int64Ptr(101)
	_, _, err := list(tooMany)
	wantCode(t, err, "InvalidParameterValue")
}

func TestDescribeGateways(t *testing.T) {
	z := sim.Zone{ID: "zone-a"}
	for i := range 30 {
		kind := []string{"private", "cloud"}[i%2]
		z.Gateways = append(z.Gateways, sim.Gateway{ID: fmt.Sprintf("mpgw-%d", i), Name: fmt.Sprintf("gw-%d", i), Type: kind, IP: "10.0.0.1", Port: 22})
	}
	a := start(t, sim.Config{Zones: []sim.Zone{z}})
	in := teo.NewDescribeMultiPathGatewaysRequest()
	in.ZoneId = common.StringPtr("zone-a")
	in.Filters = []*teo.Filter{{Name: common.StringPtr("gateway-type"), Values: common.StringPtrs([]string{"private"})}}
	in.Limit = common.Int64Ptr(10)
	out, err := a.DescribeMultiPathGateways(in)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Response.TotalCount != 15 || len(out.Response.Gateways) != 10 || *out.Response.Gateways[0].GatewayPort != 22 {
		t.Errorf("got %d of %d gateways", len(out.Response.Gateways), *out.Response.TotalCount)
	}
	in.Limit = common.Int64Ptr(1001)
	_, err = a.DescribeMultiPathGateways(in)
	wantCode(t, err, "InvalidParameterValue")
}

func TestFrontDoor(t *testing.T) {
	a := start(t, sim.Config{Credentials: map[string]sim.Credential{
		testID: {SecretKey: testKey}, "AKIDTEMPORARY": {SecretKey: testKey, Token: "a token"},
	}})
	addr := strings.TrimPrefix(a.url, "http://")
	try := func(id, key, token string) string {
		_, err := (&api{Client: sdk(t, addr, common.NewTokenCredential(id, key, token))}).refresh("zone-a")
		return code(err)
	}
	for name, got := range map[string][2]string{
		"unknown id":    {try("AKIDNOBODY", testKey, ""), "AuthFailure.SecretIdNotFound"},
		"wrong key":     {try(testID, "another", ""), "AuthFailure.SignatureFailure"},
		"wrong token":   {try("AKIDTEMPORARY", testKey, "another"), "AuthFailure.TokenFailure"},
		"without token": {try("AKIDTEMPORARY", testKey, ""), "AuthFailure.TokenFailure"},
		"with token":    {try("AKIDTEMPORARY", testKey, "a token"), ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, want %q", name, got[0], got[1])
		}
	}
	raw := func(change func(http.Header)) string {
		r, _ := http.NewRequest(http.MethodPost, a.url, strings.NewReader("{}"))
		r.Header.Set("X-TC-Action", refresh)
		r.Header.Set("X-TC-Version", "2022-09-01")
		change(r.Header)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var out struct {
			Response struct {
				Error     struct{ Code string }
				RequestId string
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&out); err != nil || response.StatusCode != 200 || len(out.Response.RequestId) != 36 {
			t.Errorf("status %d, request ID %q (%v)", response.StatusCode, out.Response.RequestId, err)
		}
		return out.Response.Error.Code
	}
	for want, change := range map[string]func(http.Header){
		"MissingParameter":                 func(h http.Header) { h.Del("X-TC-Action") },
		"AuthFailure.InvalidAuthorization": func(http.Header) {},
	} {
		if got := raw(change); got != want {
			t.Errorf("code is %q, want %q", got, want)
		}
	}
	if s := a.State(); s.Zones["zone-a"].Refreshes != 1 || s.Zones["zone-b"].Refreshes != 0 {
		t.Error("a rejected call was executed")
	}
}

func TestOldSignaturesAreDead(t *testing.T) {
	for _, off := range []time.Duration{-310 * time.Second, 310 * time.Second, -290 * time.Second, 290 * time.Second} {
		a := start(t, sim.Config{Clock: func() time.Time { return time.Now().Add(off) }})
		_, err := a.refresh("zone-a")
		want := ""
		if off.Abs() > 300*time.Second {
			want = "AuthFailure.SignatureExpire"
		}
		wantCode(t, err, want)
	}
}

func TestUnknownActionVersionAndParameters(t *testing.T) {
	a := start(t, sim.Config{})
	in := teo.NewDescribeMultiPathGatewayRegionsRequest()
	in.ZoneId = common.StringPtr("zone-a")
	_, err := a.DescribeMultiPathGatewayRegions(in)
	wantCode(t, err, "InvalidAction")

	old := tchttp.NewCommonRequest("teo", "2019-01-01", refresh)
	wantCode(t, a.Send(old, tchttp.NewCommonResponse()), "NoSuchVersion")

	odd := tchttp.NewCommonRequest("teo", "2022-09-01", refresh)
	if err := odd.SetActionParameters(`{"ZoneId":"zone-a","Odd":1}`); err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.Send(odd, tchttp.NewCommonResponse()), "UnknownParameter")

	_, err = a.RefreshMultiPathGatewaySecretKey(teo.NewRefreshMultiPathGatewaySecretKeyRequest())
	wantCode(t, err, "MissingParameter")
}

func TestTheLimitHoldsBeforeExecution(t *testing.T) {
	a := start(t, sim.Config{Limit: 5})
	var mu sync.Mutex
	codes := map[string]int{}
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			_, err := a.refresh("zone-a")
			mu.Lock()
			defer mu.Unlock()
			codes[code(err)]++
		})
	}
	all.Wait()
	s := a.State()
	c := s.Actions[refresh]
	if c.Calls != 30 || c.Executed != codes[""] || c.Throttled != codes["RequestLimitExceeded"] || c.Executed+c.Throttled != 30 || c.Throttled == 0 {
		t.Errorf("counted %+v, the client %v", c, codes)
	}
	if s.Zones["zone-a"].Refreshes != c.Executed || c.MaxPerSecond < 6 {
		t.Errorf("%d refreshes executed, %+v", s.Zones["zone-a"].Refreshes, c)
	}
	a.describe(t, "zone-a") // another action has a limit of its own
	a.SetLimit(0)
	for range 30 {
		if _, err := a.refresh("zone-a"); err != nil {
			t.Fatalf("with the limit lifted: %v", err)
		}
	}
}

func TestJournalTellsTheStoryInOrder(t *testing.T) {
	a := start(t, sim.Config{})
	if _, err := a.refresh("zone-a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []journal.Kind
	for after := uint64(0); after < 3; {
		edges, _ := a.Journal().Wait(ctx, after, 1)
		if len(edges) == 0 {
			t.Fatal("the journal has too few edges")
		}
		e := edges[0]
		if after = e.Seq; e.Zone != "zone-a" || e.Action != refresh || len(e.RequestID) != 36 || e.At.IsZero() {
			t.Errorf("edge is %+v", e)
		}
		got = append(got, e.Edge)
	}
	if want := []journal.Kind{journal.Arrived, journal.Executed, journal.Answered}; !slices.Equal(got, want) {
		t.Errorf("edges are %v, want %v", got, want)
	}
}

func TestStateFileSurvivesAndForgetsNothing(t *testing.T) {
	cfg := sim.Config{StateFile: filepath.Join(t.TempDir(), "state")}
	a := start(t, cfg)
	key, err := a.refresh("zone-a")
	if err != nil {
		t.Fatal(err)
	}
	before := a.Keys()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, cfg)
	if b.describe(t, "zone-a") != key || !slices.Equal(b.Keys()["zone-a"].Ever, before["zone-a"].Ever) || b.State().Zones["zone-a"].Refreshes != 1 {
		t.Error("the state was not taken up again")
	}
	if _, err := b.refresh("zone-a"); err != nil || b.State().Zones["zone-a"].Refreshes != 2 {
		t.Errorf("it does not go on: %v", err)
	}
}

// What somebody does in the console: the key is changed, or the zone is
// deleted. A later process remembers both.
func TestBehindEverybodysBack(t *testing.T) {
	cfg := sim.Config{StateFile: filepath.Join(t.TempDir(), "edgeone.jsonl")}
	a := start(t, cfg)
	before := a.Keys()["zone-a"].Live
	do := func(method, path string) int {
		r, _ := http.NewRequest(method, a.control+path, nil)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	if status := do("POST", "/zones/zone-a/key"); status != 200 {
		t.Errorf("the key is not changed: %d", status)
	}
	key := a.describe(t, "zone-a")
	if z := a.State().Zones["zone-a"]; key == before || z.Refreshes != 0 || len(z.Ever) != 2 {
		t.Errorf("the zone is %+v", z)
	}
	if status := do("DELETE", "/zones/zone-b"); status != 200 {
		t.Errorf("the zone is not deleted: %d", status)
	}
	_, err := a.refresh("zone-b")
	wantCode(t, err, "InvalidParameter")
	for _, path := range [][2]string{{"POST", "/zones/none/key"}, {"DELETE", "/zones/none"}, {"DELETE", "/zones/zone-b"}} {
		if status := do(path[0], path[1]); status != 400 {
			t.Errorf("%v: %d", path, status)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := sim.NewEdgeOne(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if keys := e.Keys(); keys["zone-a"].Live != key || len(keys) != 1 {
		t.Errorf("after a restart there are %d zones", len(keys))
	}
}

func TestControlAPI(t *testing.T) {
	a := start(t, sim.Config{})
	do := func(method, path, body string) (int, []byte) {
		r, _ := http.NewRequest(method, a.control+path, strings.NewReader(body))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(response.Body)
		return response.StatusCode, b.Bytes()
	}
	for _, bad := range [][2]string{
		{"/faults", `{"fault":"nonsense"}`},
		{"/faults", `{"fault":"resetAfter","action":"Nonsense"}`},
		{"/faults", `{"fault":"resetAfter","what":1}`},
		{"/faults", `{"fault":"error:"}`},
		{"/zones", `{"id":"zone-a"}`},
		{"/limit", `{}`},
	} {
		if status, body := do("POST", bad[0], bad[1]); status != 400 || len(body) == 0 {
			t.Errorf("%s %s: %d %s", bad[0], bad[1], status, body)
		}
	}
	if status, body := do("POST", "/faults", `[{"fault":"error:OperationDenied.ConfigLocked","zone":"zone-c"}]`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := do("POST", "/zones", `{"id":"zone-c"}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	_, err := a.refresh("zone-c")
	wantCode(t, err, "OperationDenied.ConfigLocked")
	do("DELETE", "/faults", "")
	key, err := a.refresh("zone-c")
	wantCode(t, err, "")
	if status, _ := do("POST", "/limit", `{"perSecond":3}`); status != 200 || a.State().Limit != 3 {
		t.Errorf("the limit is %d", a.State().Limit)
	}
	_, body := do("GET", "/state", "")
	if bytes.Contains(body, []byte(key)) {
		t.Error("/state shows a key")
	}
	var s sim.State
	if err := json.Unmarshal(body, &s); err != nil || s.Zones["zone-c"].Refreshes != 1 || s.Faults["error:OperationDenied.ConfigLocked"] != 1 {
		t.Errorf("state is %s (%v)", body, err)
	}
	var keys map[string]sim.ZoneKeys
	_, body = do("GET", "/keys", "")
	if err := json.Unmarshal(body, &keys); err != nil || keys["zone-c"].Live != key {
		t.Errorf("keys are wrong: %v", err)
	}
	mac := func(key string) string { return fmt.Sprintf(`{"nonce":"n1","mac":%q}`, sim.MAC(key, "n1")) }
	for body, want := range map[string]int{mac(key): 200, mac(keys["zone-c"].Ever[0]): 403, "{}": 400} {
		if status, _ := do("POST", "/dataplane/zone-c", body); status != want {
			t.Errorf("data plane answers %d, want %d", status, want)
		}
	}
	var page journal.Page
	_, body = do("GET", "/edges?after=0&max=2&wait=1s", "")
	if err := json.Unmarshal(body, &page); err != nil || len(page.Edges) != 2 || page.Last < 4 {
		t.Errorf("edges are %s", body)
	}
	if status, _ := do("GET", "/edges?wait=soon", ""); status != 400 {
		t.Errorf("a bad wait gave %d", status)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "nonsense"} {
		if server, err := sim.Listen(addr, http.NotFoundHandler()); err == nil {
			_ = server.Close()
			t.Errorf("it listens on %s", addr)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := sim.Listen(taken.Addr().String(), http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a taken port gives %v", err)
	}
}
