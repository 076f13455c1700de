package sim

import (
	"crypto/hmac"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Role is a CAM role, and who can get its credentials.
type Role struct {
	// ARN is "qcs::cam::uin/UIN:roleName/NAME". Every caller can assume it.
	ARN string
	// ExternalID must be given to assume it. Empty means none.
	ExternalID string
	// ProviderID and Identity are an OIDC provider, and its token, for which the
	// role is given without a signature. Empty means none.
	ProviderID, Identity string
	// Instance says that this is the role of the instance that asks Metadata.
	Instance bool
}

// name is what follows the last slash.
func (r Role) name() string { return r.ARN[strings.LastIndex(r.ARN, "/")+1:] }

// The STS actions.
const (
	actionAssume    = "AssumeRole"
	actionAssumeWeb = "AssumeRoleWithWebIdentity"
)

// service is a part of Tencent's API. Tencent has a host for each, the
// simulator has one for all.
type service struct {
	name, version      string
	unsigned, regional bool
}

func serviceOf(action string) service {
	switch action {
	case actionAssume:
		return service{name: "sts", version: "2018-08-13", regional: true}
	case actionAssumeWeb:
		return service{name: "sts", version: "2018-08-13", regional: true, unsigned: true}
	}
	return service{name: "teo", version: "2022-09-01"}
}

const (
	defaultSession = 2 * time.Hour
	maxSession     = 12 * time.Hour
)

// assumeRequest is the input of both actions.
type assumeRequest struct {
	RoleArn, RoleSessionName string
	DurationSeconds          *int64
	ExternalId               string
	ProviderId               string
	WebIdentityToken         string
}

// assumeAnswer is what both actions answer.
type assumeAnswer struct {
	Credentials struct{ Token, TmpSecretId, TmpSecretKey string }
	ExpiredTime int64
	Expiration  string
}

func assumeRole(e *EdgeOne, body []byte, _ conduct) (any, *refusal) {
	return e.assume(body, func(r Role, in assumeRequest) *refusal {
		if r.ExternalID != in.ExternalId {
			return refuse("UnauthorizedOperation", "You are not authorized to perform this operation. Check your CAM policies.")
		}
		return nil
	})
}

func assumeRoleWithWebIdentity(e *EdgeOne, body []byte, _ conduct) (any, *refusal) {
	return e.assume(body, func(r Role, in assumeRequest) *refusal {
		if r.Identity == "" || r.ProviderID != in.ProviderId {
			return refuse("UnauthorizedOperation", "The role does not trust the identity provider.")
		}
		if !hmac.Equal([]byte(r.Identity), []byte(in.WebIdentityToken)) {
			return refuse("InvalidParameter.WebIdentityTokenError", "WebIdentityToken is invalid.")
		}
		return nil
	})
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,128}$`)

// assume returns a role's credential to a caller that may have it.
func (e *EdgeOne) assume(body []byte, may func(Role, assumeRequest) *refusal) (any, *refusal) {
	in, no := decode[assumeRequest](body)
	if no != nil {
		return nil, no
	}
	life := defaultSession
	if in.DurationSeconds != nil {
		life = time.Duration(*in.DurationSeconds) * time.Second
	}
	role, known := e.role(func(r Role) bool { return r.ARN == in.RoleArn })
	switch {
	case in.RoleArn == "":
		return nil, missing("RoleArn")
	case !sessionName.MatchString(in.RoleSessionName):
		return nil, refuse("InvalidParameter.ParamError", "RoleSessionName is malformed.")
	case life <= 0 || life > maxSession:
		return nil, refuse("InvalidParameter.OverTimeError", "DurationSeconds is out of range.")
	case !known:
		return nil, refuse("ResourceNotFound.RoleNotFound", "The role does not exist.")
	}
	if no := may(role, in); no != nil {
		return nil, no
	}
	return e.lend(role, in.RoleSessionName, life), nil
}

func (e *EdgeOne) role(is func(Role) bool) (Role, bool) {
	for _, r := range e.roles {
		if is(r) {
			return r, true
		}
	}
	return Role{}, false
}

// lend makes a temporary credential of the role. The caller holds e.mu.
func (e *EdgeOne) lend(role Role, session string, life time.Duration) assumeAnswer {
	until := e.clock().Add(life).Truncate(time.Second)
	var out assumeAnswer
	out.Credentials.Token, out.Credentials.TmpSecretId, out.Credentials.TmpSecretKey = randomHex(32), "AKIDTEMPORARY"+randomHex(10), randomHex(16)
	out.ExpiredTime, out.Expiration = until.Unix(), until.UTC().Format(time.RFC3339)
	e.credentials[out.Credentials.TmpSecretId] = Credential{SecretKey: out.Credentials.TmpSecretKey, Token: out.Credentials.Token, Until: until, owner: role.ARN, session: session}
	return out
}

// Lent is the role of a credential, and the session for which it was asked.
// role is "" for a permanent credential.
func (e *EdgeOne) Lent(secretID string) (role, session string) {
	c, _ := e.credential(secretID)
	return c.owner, c.session
}

func (e *EdgeOne) credential(secretID string) (Credential, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.credentials[secretID]
	return c, ok
}

const (
	metadataRoles = "/latest/meta-data/cam/security-credentials/"
	metadataLife  = 6 * time.Hour
)

// Metadata is the metadata service of an instance that has the role marked
// Instance. It answers GET /latest/meta-data/cam/security-credentials/ and,
// below that, the role's name.
func (e *EdgeOne) Metadata() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metadataRoles+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		role, has := e.role(func(r Role) bool { return r.Instance })
		switch name := r.PathValue("name"); {
		case !has, name != "" && name != role.name():
			http.NotFound(w, r)
		case name == "":
			_, _ = w.Write([]byte(role.name()))
		default:
			e.mu.Lock()
			lent := e.lend(role, "", metadataLife)
			e.mu.Unlock()
			body, _ := json.Marshal(map[string]any{
				"TmpSecretId": lent.Credentials.TmpSecretId, "TmpSecretKey": lent.Credentials.TmpSecretKey, "Token": lent.Credentials.Token,
				"ExpiredTime": lent.ExpiredTime, "Expiration": lent.Expiration, "Code": "Success",
			})
			writeJSON(w, http.StatusOK, body)
		}
	})
	return mux
}
