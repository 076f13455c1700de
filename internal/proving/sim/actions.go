package sim

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// The API actions that the simulator knows.
const (
	actionRefresh  = "RefreshMultiPathGatewaySecretKey"
	actionDescribe = "DescribeMultiPathGatewaySecretKey"
	actionModify   = "ModifyMultiPathGatewaySecretKey"
	actionCreate   = "CreateMultiPathGatewaySecretKey"
	actionZones    = "DescribeZones"
	actionGateways = "DescribeMultiPathGateways"
)

// action executes a request's body under e.mu. Of the conduct, only stale,
// noKey and account matter to it.
type action func(e *EdgeOne, body []byte, how conduct) (any, *refusal)

func actions() map[string]action {
	return map[string]action{
		actionRefresh:  refreshKey,
		actionDescribe: describeKey,
		actionModify:   modifyKey,
		actionCreate:   createKey,
		actionZones:    describeZones,
		actionGateways: describeGateways,

		actionAssume:    assumeRole,
		actionAssumeWeb: assumeRoleWithWebIdentity,
	}
}

// Actions names every API action that the simulator knows, sorted.
func Actions() []string { return slices.Sorted(maps.Keys(actions())) }

type secretKeyAnswer struct{ SecretKey string }

func refreshKey(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	z, no := e.zoneIn(body, how)
	if no != nil {
		return nil, no
	}
	if z.key == "" || how.noKey {
		return nil, e.keyless()
	}
	key := newKey()
	return secretKeyAnswer{key}, e.setKey(z, key, actionRefresh)
}

func describeKey(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	z, no := e.zoneIn(body, how)
	switch {
	case no != nil:
		return nil, no
	case how.noKey:
		return secretKeyAnswer{}, nil
	case how.stale:
		return secretKeyAnswer{z.previous}, nil
	}
	return secretKeyAnswer{z.key}, nil
}

// keyRequest is the input of the actions on a zone's key.
type keyRequest struct{ ZoneId, SecretKey *string }

func modifyKey(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	in, z, no := e.keyRequest(body, how)
	switch {
	case no != nil:
		return nil, no
	case in.SecretKey == nil:
		return nil, missing("SecretKey")
	case z.key == "" || how.noKey:
		return nil, e.keyless()
	}
	return nil, e.setKey(z, *in.SecretKey, actionModify)
}

func createKey(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	in, z, no := e.keyRequest(body, how)
	switch {
	case no != nil:
		return nil, no
	case z.key != "":
		return nil, refuse("OperationDenied", "The zone already has a secret key.")
	case in.SecretKey == nil:
		return nil, e.setKey(z, newKey(), actionCreate)
	}
	return nil, e.setKey(z, *in.SecretKey, actionCreate)
}

func (e *EdgeOne) keyRequest(body []byte, how conduct) (keyRequest, *zone, *refusal) {
	in, no := decode[keyRequest](body)
	if no != nil {
		return in, nil, no
	}
	if in.SecretKey != nil && !validKey(*in.SecretKey) {
		return in, nil, refuse("InvalidParameterValue", "SecretKey must be a base64 string of 32 to 48 bytes.")
	}
	z, no := e.zoneByID(in.ZoneId, how)
	return in, z, no
}

func (e *EdgeOne) zoneIn(body []byte, how conduct) (*zone, *refusal) {
	in, no := decode[struct{ ZoneId *string }](body)
	if no != nil {
		return nil, no
	}
	return e.zoneByID(in.ZoneId, how)
}

func (e *EdgeOne) zoneByID(id *string, how conduct) (*zone, *refusal) {
	if id == nil {
		return nil, missing("ZoneId")
	}
	z := e.zones[*id]
	if z == nil {
		return nil, refuse(e.unknownZone, "The zone does not exist.")
	}
	if !z.isOf(how.account) {
		return nil, refuse(e.foreignZone, "You are not authorized to perform the operation on this zone.")
	}
	return z, nil
}

func (e *EdgeOne) keyless() *refusal {
	return refuse(e.keylessZone, "The zone has no secret key yet; create one first.")
}

func missing(parameter string) *refusal {
	return refuse("MissingParameter", fmt.Sprintf("The parameter `%s` is missing.", parameter))
}

// newKey is a key as EdgeOne makes it: the base64 form of 32 random bytes.
func newKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// validKey says whether key is base64 of 32 to 48 bytes, as documented. The
// decoder skips line breaks, so they are looked for first.
func validKey(key string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && !strings.ContainsAny(key, "\r\n") && len(raw) >= 32 && len(raw) <= 48
}

// decode reads a request's body as strictly as EdgeOne does. Its messages do not
// repeat values.
func decode[T any](body []byte) (T, *refusal) {
	var in T
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return in, nil
	case errors.As(err, &wrongType):
		return in, refuse("InvalidParameter", fmt.Sprintf("The parameter `%s` has the wrong type.", wrongType.Field))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return in, refuse("UnknownParameter", "The parameter "+field+" is not recognized.")
	}
	return in, refuse("InvalidRequest", "The request body is not JSON.")
}
