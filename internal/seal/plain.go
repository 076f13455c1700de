package seal

import (
	"encoding/json"
	"time"

	"keywave/internal/rotation"
)

// plainVersion is the form of what is sealed. A worker opens no other.
const plainVersion = 1

// plaintext is what is sealed: the key, and to whom it may be given.
type plaintext struct {
	Version int                 `json:"v"`
	Zone    rotation.ZoneID     `json:"zone"`
	Hosts   []rotation.HostName `json:"hosts,omitempty"`
	At      time.Time           `json:"at"`
	Until   time.Time           `json:"until"`
	Key     []byte              `json:"key"`
}

func plain(zone rotation.ZoneID, key rotation.Secret, g rotation.Grant) []byte {
	body, _ := json.Marshal(plaintext{plainVersion, zone, g.Hosts, g.At.UTC(), g.Until.UTC(), []byte(key.Expose())})
	return body
}

// readPlain says false for anything else than what plain writes of the zone. It
// has no error to return: a parser's quotes what it stumbles over.
func readPlain(zone rotation.ZoneID, body []byte) (rotation.Secret, rotation.Grant, bool) {
	var in plaintext
	if json.Unmarshal(body, &in) != nil || in.Version != plainVersion || in.Zone != zone || len(in.Key) == 0 {
		return rotation.Secret{}, rotation.Grant{}, false
	}
	return rotation.NewSecret(string(in.Key)), rotation.Grant{Hosts: in.Hosts, At: in.At, Until: in.Until}, true
}
