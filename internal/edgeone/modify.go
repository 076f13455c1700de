package edgeone

import (
	"context"
	"encoding/base64"

	"keywave/internal/rotation"
)

var _ rotation.Switcher = (*Client)(nil)

// Modify implements rotation.Switcher. Credentials that cannot be read are a
// *CredentialError, as in Refresh. A Refused answer to a second call does not
// say that the first was not executed: what EdgeOne answers to the key that it
// has already is not documented.
func (c *Client) Modify(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, ready func() error) (rotation.Receipt, error) {
	if !choosable(key) {
		return rotation.Receipt{}, &rotation.APIError{Class: rotation.Refused, Code: codeBadKey}
	}
	return c.call(ctx, ActionModify, ready, func(ctx context.Context) (*string, error) {
		return c.sdk.modify(ctx, string(zone), key.Expose())
	})
}

// A key that a caller chooses is base64 of 32 to 48 bytes, by EdgeOne's own page
// of the call. Whether EdgeOne refuses others is not known, so nobody is to find
// out with a zone's only key.
const (
	leastChosen = 32
	mostChosen  = 48
)

// choosable says that EdgeOne is documented to take the key. It compares the
// whole text, because a decoder skips line breaks.
func choosable(key rotation.Secret) bool {
	raw, err := base64.StdEncoding.DecodeString(key.Expose())
	return err == nil && len(raw) >= leastChosen && len(raw) <= mostChosen && base64.StdEncoding.EncodeToString(raw) == key.Expose()
}
