package edgeone

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"

	"keywave/internal/rotation"
)

// The STS actions, and what they are asked with where the fleet file says
// nothing (https://www.tencentcloud.com/document/product/1150/49456). The region
// is the one that the SDK's own providers always say.
const (
	actionAssume    = "AssumeRole"
	actionAssumeWeb = "AssumeRoleWithWebIdentity"
	stsService      = "sts"
	stsVersion      = "2018-08-13"
	stsRegion       = "ap-guangzhou"
	stsSession      = "keywave"
	stsDuration     = 2 * time.Hour
)

// sts hands out the credentials of roles. Tencent's SDK has providers for that,
// which are not used: they print their errors, with whole responses, to the
// standard logger and go on with an expired or an empty credential; they take no
// context and no external ID; and they always ask the mainland's endpoint.
type sts struct {
	api    *Client
	client *common.Client
	host   string
}

func newSTS(endpoint, region string, source Provider) (*sts, error) {
	scheme, host, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if rest, is := strings.CutPrefix(host, "teo."); is {
		host = "sts." + rest
	}
	api := &Client{
		pace: NewPace(0), gate: orOpen(nil), timeout: fetchTimeout - time.Second,
		signer: &signer{from: source}, conns: newConns(),
	}
	client := common.NewCommonClient(api.signer, region, newProfile(scheme, host))
	client.WithHttpTransport(&guard{api.conns})
	client.WithRequestClient("keywave")
	return &sts{api, client, host}, nil
}

// assumeRole is the credential of a role, assumed with another credential.
func assumeRole(life context.Context, source Provider, from Source, at Services) (Provider, error) {
	s, err := newSTS(at.Endpoint, stsRegion, source)
	if err != nil {
		return nil, err
	}
	what := "assume-role " + from.Role
	params := map[string]any{
		"RoleArn":         from.Role,
		"RoleSessionName": cmp.Or(from.Session, stsSession),
		"DurationSeconds": int64(cmp.Or(from.Duration, stsDuration) / time.Second),
	}
	if from.ExternalID != "" {
		params["ExternalId"] = from.ExternalID
	}
	r := newRenewed(life, at.Warn, func(ctx context.Context) (Credential, error) {
		return s.ask(ctx, what, actionAssume, params)
	})
	r.source = source
	return r, nil
}

// maxIdentity bounds a web identity token; TKE's have about 1 KB.
const maxIdentity = 16 << 10

// podRole is the credential of the role that TKE gives to the pod's service
// account. The token is read again for each renewal, because TKE replaces it.
func podRole(life context.Context, at Services) (Provider, error) {
	const regionVar, providerVar, roleVar, fileVar = "TKE_REGION", "TKE_PROVIDER_ID", "TKE_ROLE_ARN", "TKE_WEB_IDENTITY_TOKEN_FILE"
	if missing := unset(regionVar, providerVar, roleVar, fileVar); missing != "" {
		return nil, complain("tke-oidc: %s not set; TKE sets them in a pod whose service account has a role (annotation tke.cloud.tencent.com/role-arn): restart the pod after that, or set other credentials in the fleet file", missing)
	}
	s, err := newSTS(at.Endpoint, os.Getenv(regionVar), Credential{})
	if err != nil {
		return nil, err
	}
	role, path := os.Getenv(roleVar), os.Getenv(fileVar)
	return newRenewed(life, at.Warn, func(ctx context.Context) (Credential, error) {
		token, err := os.ReadFile(path)
		if err != nil {
			return Credential{}, complain("tke-oidc: %s, which %s names, cannot be read (%v); let this user read it", path, fileVar, errors.Unwrap(err))
		}
		identity := strings.TrimSpace(string(token))
		if identity == "" || len(identity) > maxIdentity || !graphic(identity) {
			return Credential{}, complain("tke-oidc: %s, which %s names, holds no token; restart the pod", path, fileVar)
		}
		return s.ask(ctx, "tke-oidc", actionAssumeWeb, map[string]any{
			"ProviderId":       os.Getenv(providerVar),
			"WebIdentityToken": identity,
			"RoleArn":          role,
			"RoleSessionName":  stsSession,
			"DurationSeconds":  int64(stsDuration / time.Second),
		})
	}), nil
}

// stsAnswer is what both actions answer.
type stsAnswer struct {
	*tchttp.BaseResponse
	Response *struct {
		Credentials *struct{ TmpSecretId, TmpSecretKey, Token string }
		ExpiredTime int64
		RequestId   *string
	}
}

// ask makes one call; what names the credentials in its error.
func (s *sts) ask(ctx context.Context, what, action string, params map[string]any) (Credential, error) {
	answer := stsAnswer{BaseResponse: &tchttp.BaseResponse{}}
	began := time.Now()
	receipt, err := s.api.call(ctx, action, nil, func(ctx context.Context) (*string, error) {
		request := tchttp.NewCommonRequest(stsService, stsVersion, action)
		request.SetContext(ctx)
		request.SetSkipSign(action == actionAssumeWeb) // the token is the proof
		if err := request.SetActionParameters(params); err != nil {
			return nil, err
		}
		err := s.client.Send(request, &answer)
		if err != nil || answer.Response == nil {
			return nil, err
		}
		return answer.Response.RequestId, nil
	})
	if err != nil {
		return Credential{}, s.explain(what, err)
	}
	if answer.Response.Credentials == nil {
		return Credential{}, complain("%s: the answer of %s (request %s) holds no credential; try again", what, s.host, receipt.RequestID)
	}
	c := answer.Response.Credentials
	return lasting(NewCredential(c.TmpSecretId, c.TmpSecretKey, c.Token), what+": the answer of "+s.host, answer.Response.ExpiredTime, began, receipt.Dated)
}

// lasting is a temporary credential that ends at expired, in seconds since 1970
// on the service's clock. dated is what that clock said just after began; the
// zero Time means that it is taken for this machine's.
func lasting(c Credential, where string, expired int64, began, dated time.Time) (Credential, error) {
	if c.token.IsZero() {
		return Credential{}, complain("%s holds no token; try again", where)
	}
	c, err := usable(c, where)
	if dated.IsZero() {
		dated = began
	}
	c.until = began.Add(time.Unix(expired, 0).Sub(dated))
	return c, err
}

// remedies is what to do about an answer of STS; the longest code that fits.
func remedies() []struct{ code, remedy string } {
	return []struct{ code, remedy string }{
		{"", "find the code in Tencent's list for STS, or try again"},
		{"AuthFailure", "correct the credential that the role is assumed with (its source)"},
		{"AuthFailure.SignatureExpire", "set the clock of this machine"},
		{"ClientError", "check that this machine reaches that address"},
		{"InternalError.GetRoleError", "check that the role exists"},
		{"InvalidParameter", "check the role's ARN, the session's name and the duration, which the role may limit"},
		{"InvalidParameter.OverTimeError", "ask for a shorter duration, or let the role's sessions last longer"},
		{"InvalidParameter.WebIdentityTokenError", "check that the cluster is an identity provider of the account (CAM, role-based SSO with OIDC) and that the role trusts it"},
		{"RequestLimitExceeded", "try again"},
		{"ResourceNotFound", "check that the role exists: its ARN stands under Roles in the CAM console"},
		{"UnauthorizedOperation", "let the role's trust policy name who assumes it (and the same external ID), and let its policy allow sts:AssumeRole"},
	}
}

// explain turns the error of a call to STS into one that an operator can act on.
func (s *sts) explain(what string, err error) error {
	api, ok := errors.AsType[*rotation.APIError](err)
	if _, own := errors.AsType[*CredentialError](err); own {
		return err
	}
	if !ok {
		return complain("%s: no answer from %s in time; check that this machine reaches that address", what, s.host)
	}
	best := remedies()[0]
	for _, r := range remedies() {
		if under(api.Code, r.code) && len(r.code) > len(best.code) {
			best = r
		}
	}
	if why, ours := strings.CutPrefix(api.Code, "ClientError."); ours {
		return complain("%s: no usable answer from %s (%s); %s", what, s.host, why, best.remedy)
	}
	return complain("%s: %s says %s (request %s); %s", what, s.host, api.Code, api.RequestID, best.remedy)
}
