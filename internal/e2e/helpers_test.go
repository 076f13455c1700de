package e2e

import (
	"encoding/base64"
	"errors"
	"os/exec"
	"regexp"
)

func asExit(err error) (*exec.ExitError, bool) {
	var exit *exec.ExitError
	ok := errors.As(err, &exit)
	return exit, ok
}

var payload = regexp.MustCompile(`"data":\s*"([A-Za-z0-9+/=]+)"`)

// plainPayloads are the payloads of an event, decoded.
func plainPayloads(event []byte) []byte {
	var all []byte
	for _, m := range payload.FindAllSubmatch(event, -1) {
		if plain, err := base64.StdEncoding.DecodeString(string(m[1])); err == nil {
			all = append(all, plain...)
		}
	}
	return all
}
