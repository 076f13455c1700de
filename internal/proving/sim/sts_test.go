package sim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"keywave/internal/proving/sim"
)

const (
	testRole     = "qcs::cam::uin/100000000001:roleName/keywave"
	testIdentity = "the token of a pod"
)

// lent is what STS and the metadata service hand out.
type lent struct {
	TmpSecretId, TmpSecretKey, Token string
	ExpiredTime                      int64
	Code                             string
}

func (l lent) credential() common.CredentialIface {
	return common.NewTokenCredential(l.TmpSecretId, l.TmpSecretKey, l.Token)
}

// assume calls STS with the SDK's own client. The client signs the call, unless
// it is the one that needs no signature.
func (a *api) assume(t *testing.T, action, region string, params map[string]any) (lent, error) {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme = strings.TrimPrefix(a.url, "http://"), "HTTP"
	client := common.NewCommonClient(common.NewCredential(testID, testKey), region, p)
	request := tchttp.NewCommonRequest("sts", "2018-08-13", action)
	request.SetSkipSign(action == "AssumeRoleWithWebIdentity")
	if err := request.SetActionParameters(params); err != nil {
		t.Fatal(err)
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		return lent{}, err
	}
	var out struct {
		Response struct {
			Credentials lent
			ExpiredTime int64
		}
	}
	if err := json.Unmarshal(response.GetBody(), &out); err != nil {
		t.Fatal(err)
	}
	out.Response.Credentials.ExpiredTime = out.Response.ExpiredTime
	return out.Response.Credentials, nil
}

func withRole(clock func() time.Time) sim.Config {
	return sim.Config{Clock: clock, Roles: []sim.Role{
		{ARN: testRole, ExternalID: "fleet-7", ProviderID: "cls-1", Identity: testIdentity, Instance: true},
	}}
}

// EdgeOne accepts the credential that STS gives, with its token and until its
// end.
func TestRolesCredentials(t *testing.T) {
	late := time.Duration(0)
	a := start(t, withRole(func() time.Time { return time.Now().Add(late) }))
	for _, c := range []struct {
		action string
		params map[string]any
	}{
		{"AssumeRole", map[string]any{"RoleArn": testRole, "RoleSessionName": "ops", "DurationSeconds": 900, "ExternalId": "fleet-7"}},
		{"AssumeRoleWithWebIdentity", map[string]any{"RoleArn": testRole, "RoleSessionName": "ops", "DurationSeconds": 900, "ProviderId": "cls-1", "WebIdentityToken": testIdentity}},
	} {
		late = 0
		l, err := a.assume(t, c.action, "ap-guangzhou", c.params)
		if err != nil {
			t.Fatal(err)
		}
		if life := time.Until(time.Unix(l.ExpiredTime, 0)); (life - 15*time.Minute).Abs() > time.Minute {
			t.Errorf("%s: lives for %s", c.action, life)
		}
		use := func(c common.CredentialIface) error {
			b := &api{Client: sdk(t, strings.TrimPrefix(a.url, "http://"), c)}
			_, err := b.refresh("zone-a")
			return err
		}
		if err := use(l.credential()); err != nil {
			t.Errorf("%s: %v", c.action, err)
		}
		wantCode(t, use(common.NewCredential(l.TmpSecretId, l.TmpSecretKey)), "AuthFailure.TokenFailure")
		wantCode(t, use(common.NewTokenCredential(l.TmpSecretId, l.TmpSecretKey, "another")), "AuthFailure.TokenFailure")
		wantCode(t, use(common.NewTokenCredential(l.TmpSecretId, "another", l.Token)), "AuthFailure.SignatureFailure")
		late = 4 * time.Minute
		if err := use(l.credential()); err != nil {
			t.Errorf("%s, before its end: %v", c.action, err)
		}
	}
}

// A credential that has ended is refused, and so is one with a wrong token.
func TestRolesCredentialEnds(t *testing.T) {
	a := start(t, withRole(nil))
	l, err := a.assume(t, "AssumeRole", "ap-guangzhou", map[string]any{"RoleArn": testRole, "RoleSessionName": "ops", "DurationSeconds": 1, "ExternalId": "fleet-7"})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Unix(l.ExpiredTime, 0)))
	b := &api{Client: sdk(t, strings.TrimPrefix(a.url, "http://"), l.credential())}
	_, err = b.refresh("zone-a")
	wantCode(t, err, "AuthFailure.TokenFailure")
}

func TestRolesAreRefused(t *testing.T) {
	a := start(t, withRole(nil))
	good := map[string]any{"RoleArn": testRole, "RoleSessionName": "ops", "ExternalId": "fleet-7"}
	pod := map[string]any{"RoleArn": testRole, "RoleSessionName": "ops", "ProviderId": "cls-1", "WebIdentityToken": testIdentity}
	for _, c := range []struct {
		action, region, code string
		from                 map[string]any
		change               map[string]any
	}{
		{"AssumeRole", "ap-guangzhou", "ResourceNotFound.RoleNotFound", good, map[string]any{"RoleArn": testRole + "2"}},
		{"AssumeRole", "ap-guangzhou", "MissingParameter", good, map[string]any{"RoleArn": ""}},
		{"AssumeRole", "", "MissingParameter", good, nil},
		{"AssumeRole", "ap-guangzhou", "UnauthorizedOperation", good, map[string]any{"ExternalId": "fleet-8"}},
		{"AssumeRole", "ap-guangzhou", "InvalidParameter.ParamError", good, map[string]any{"RoleSessionName": "a b"}},
		{"AssumeRole", "ap-guangzhou", "InvalidParameter.OverTimeError", good, map[string]any{"DurationSeconds": 43201}},
		{"AssumeRoleWithWebIdentity", "ap-guangzhou", "InvalidParameter.WebIdentityTokenError", pod, map[string]any{"WebIdentityToken": "another"}},
		{"AssumeRoleWithWebIdentity", "ap-guangzhou", "UnauthorizedOperation", pod, map[string]any{"ProviderId": "cls-2"}},
	} {
		params := map[string]any{}
		for _, from := range []map[string]any{c.from, c.change} {
			for k, v := range from {
				params[k] = v
			}
		}
		_, err := a.assume(t, c.action, c.region, params)
		wantCode(t, err, c.code)
	}
}

// The metadata service says which role the instance has, and gives its
// credential. It does not give that of another role.
func TestMetadata(t *testing.T) {
	a := start(t, withRole(nil))
	server := listen(t, a.Metadata())
	get := func(page string) (int, []byte) {
		response, err := http.Get(server.URL() + "/latest/meta-data/cam/security-credentials/" + page)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, body
	}
	if status, body := get(""); status != 200 || string(body) != "keywave" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get("another"); status != 404 {
		t.Errorf("%d", status)
	}
	status, body := get("keywave")
	var l lent
	if err := json.Unmarshal(body, &l); err != nil || status != 200 || l.Code != "Success" {
		t.Fatalf("%d, %v", status, err)
	}
	b := &api{Client: sdk(t, strings.TrimPrefix(a.url, "http://"), l.credential())}
	if _, err := b.refresh("zone-a"); err != nil {
		t.Error(err)
	}
	if status, _ := func() (int, []byte) {
		server = listen(t, start(t, sim.Config{}).Metadata())
		return get("")
	}(); status != 404 {
		t.Errorf("an instance without a role: %d", status)
	}
}
