package temporalclient

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// options is what temporal.toml and TEMPORAL_* say. A key that the SDK does not
// know is refused: misspelt, it would lead to another Temporal.
func options() (client.Options, error) {
	path := cmp.Or(os.Getenv("TEMPORAL_CONFIG_FILE"), envconfig.DefaultConfigFilePath())
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return client.Options{}, fmt.Errorf("the Temporal configuration %s cannot be read: %w; let this user read it, or correct TEMPORAL_CONFIG_FILE", path, errors.Unwrap(err))
	}
	if err := new(envconfig.ClientConfig).FromTOML(data, envconfig.ClientConfigFromTOMLOptions{}); err != nil {
		return client.Options{}, fmt.Errorf("the Temporal configuration %s is wrong: %w; correct it", path, err)
	}
	if err := new(envconfig.ClientConfig).FromTOML(data, envconfig.ClientConfigFromTOMLOptions{Strict: true}); err != nil {
		return client.Options{}, fmt.Errorf("the Temporal configuration %s has keys that Temporal's SDK does not know: %s; correct or remove them, or set TEMPORAL_CONFIG_FILE to a file of its own",
			path, unknownKeys(data, err))
	}
	o, err := fromProfile()
	if err != nil {
		return client.Options{}, fmt.Errorf("the Temporal configuration (TEMPORAL_* and %s) is wrong: %w", path, err)
	}
	o.HostPort, o.Namespace = cmp.Or(o.HostPort, client.DefaultHostPort), cmp.Or(o.Namespace, client.DefaultNamespace)
	return o, checkAddress(o.HostPort, path)
}

// fromProfile is envconfig.LoadDefaultClientOptions with a client certificate that is
// read again.
func fromProfile() (client.Options, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return client.Options{}, err
	}
	o, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err == nil {
		renewed(o.ConnectionOptions.TLS, profile)
	}
	return o, err
}

// unknownKeys names each key with its line, where that is found.
func unknownKeys(data []byte, err error) string {
	_, list, _ := strings.Cut(err.Error(), ": ")
	keys := slices.Compact(strings.Split(list, ", "))
	for i, key := range keys {
		last := key[strings.LastIndexByte(key, '.')+1:]
		assigned := regexp.MustCompile(`(?m)^[ \t]*(?:[\w."'-]+\.)?["']?` + regexp.QuoteMeta(last) + `["']?[ \t]*=|^[ \t]*\[` + regexp.QuoteMeta(key) + `[].]`)
		if at := assigned.FindIndex(data); at != nil {
			keys[i] += fmt.Sprintf(" (line %d)", 1+bytes.Count(data[:at[1]], []byte("\n")))
		}
	}
	return strings.Join(keys, ", ")
}

// checkAddress refuses a web address, of which gRPC would make a name to look up.
func checkAddress(address, path string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	where := "TEMPORAL_ADDRESS"
	if os.Getenv(where) == "" {
		where = "address in " + path
	}
	why := fmt.Errorf("%s begins with %s://, and Temporal's gRPC address is host:port alone; write %s", where, u.Scheme, u.Host)
	if u.Scheme == "https" {
		why = fmt.Errorf("%w, and set TEMPORAL_TLS=true", why)
	}
	return why
}
