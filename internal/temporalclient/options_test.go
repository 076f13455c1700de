package temporalclient

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mistake in temporal.toml is reported with the file, the key and the line.
func TestOptionsNameWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		file, address string
		want          string // "" when nothing is wrong; FILE stands for its path
	}{
		"nothing":           {"", "", ""},
		"all that is known": {"[profile.default]\naddress = \"10.0.0.7:7233\"\n[profile.default.tls]\nserver_name = \"x\"\n", "", ""},
		"a key":             {"# mine\n[profile.default]\nadress = \"10.0.0.7:7233\"\n", "", "FILE has keys that Temporal's SDK does not know: profile.default.adress (line 3); correct or remove them"},
		"a key of TLS":      {"[profile.default.tls]\nserver_name=\"x\"\n\n\"client_cert\" = \"y\"\n", "", ": profile.default.tls.client_cert (line 4); "},
		"a dotted key":      {"[profile.default]\ntls.servername = \"x\"\n", "", "profile.default.tls.servername (line 2); "},
		"a table":           {"[profiles.default]\naddress = \"x\"\n", "", ": profiles.default (line 1), profiles.default.address (line 2); "},
		"no TOML":           {"[profile.default]\naddress = 10.0.0.7\n", "", "FILE is wrong: toml: line 2"},
		"another type":      {"[profile.default]\naddress = 7\n", "", "FILE is wrong: toml: line 2"},
		"a URL":             {"", "http://user:hidden@10.0.0.7:7233/x", "TEMPORAL_ADDRESS begins with http://, and Temporal's gRPC address is host:port alone; write 10.0.0.7:7233"},
		"a URL with TLS":    {"", "https://10.0.0.7:7233", "write 10.0.0.7:7233, and set TEMPORAL_TLS=true"},
		"a URL in a file":   {"[profile.default]\naddress = \"http://10.0.0.7:7233\"\n", "", "address in FILE begins with http://"},
		"a resolver":        {"", "dns:///temporal:7233", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "temporal.toml")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TEMPORAL_CONFIG_FILE", path)
			t.Setenv("TEMPORAL_ADDRESS", c.address)
			if c.address == "" {
				os.Unsetenv("TEMPORAL_ADDRESS")
			}
			_, err := options()
			want := strings.ReplaceAll(c.want, "FILE", path)
			if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", t.TempDir())
	if _, err := options(); err == nil || !strings.Contains(err.Error(), "cannot be read: is a directory; let this user read it, or correct") {
		t.Errorf("of a directory: %v", err)
	}
}
