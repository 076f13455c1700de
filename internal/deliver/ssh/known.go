package ssh

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownHosts is what known_hosts files say, read as OpenSSH reads them: a line that
// cannot be read is skipped.
type knownHosts struct {
	lines []knownLine
	// unread are the lines that were skipped, as file:line.
	unread []string
}

// knownLine is a key, or an authority, for the hosts that its patterns name.
type knownLine struct {
	where     string
	authority bool
	revoked   bool
	patterns  []string
	key       ssh.PublicKey
}

func readKnownHosts(files []string) (*knownHosts, error) {
	known := &knownHosts{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(text), "\n") {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			where := fmt.Sprintf("%s:%d", file, i+1)
			if l, ok := readKnownLine(line); ok {
				l.where = where
				known.lines = append(known.lines, l)
			} else {
				known.unread = append(known.unread, where)
			}
		}
	}
	return known, nil
}

func readKnownLine(text string) (l knownLine, ok bool) {
	words := strings.Fields(text)
	switch words[0] {
	case "@cert-authority":
		l.authority, words = true, words[1:]
	case "@revoked":
		l.revoked, words = true, words[1:]
	}
	if len(words) < 3 {
		return l, false
	}
	blob, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		return l, false
	}
	l.key, err = ssh.ParsePublicKey(blob)
	l.patterns = strings.Split(words[0], ",")
	return l, err == nil && l.key.Type() == words[1]
}

// of are the keys and authorities of a host. A line for the host without a port
// serves for every port that no line names.
func (k *knownHosts) of(address string) []knownLine {
	names := namesOf(address)
	for _, name := range names {
		var found []knownLine
		for _, l := range k.lines {
			if !l.revoked && l.names(name) {
				found = append(found, l)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// revokes says that a key is not to be trusted for a host.
func (k *knownHosts) revokes(address string, key ssh.PublicKey) bool {
	for _, l := range k.lines {
		for _, name := range namesOf(address) {
			if l.revoked && l.names(name) && sameKey(l.key, key) {
				return true
			}
		}
	}
	return false
}

// namesOf are the names that known_hosts may have for a host, the closest
// first.
func namesOf(address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return []string{strings.ToLower(address)}
	}
	host = strings.ToLower(host)
	if port == "22" {
		return []string{host}
	}
	return []string{"[" + host + "]:" + port, host}
}

func (l knownLine) names(host string) bool {
	found := false
	for _, pattern := range l.patterns {
		if strings.HasPrefix(pattern, "|1|") {
			found = found || hashes(pattern, host)
			continue
		}
		bare, negates := strings.CutPrefix(strings.ToLower(pattern), "!")
		bare = strings.TrimSuffix(bare, "]:22")
		if bare != pattern && strings.HasPrefix(bare, "[") && !strings.Contains(bare, "]") {
			bare = bare[1:]
		}
		// Brackets in the pattern are no wildcards.
		if ok, _ := path.Match(strings.NewReplacer("[", `\[`, "]", `\]`).Replace(bare), host); ok {
			if negates {
				return false
			}
			found = true
		}
	}
	return found
}

// hashes says whether a hashed name is the name of host.
func hashes(pattern, host string) bool {
	parts := strings.Split(pattern, "|")
	if len(parts) != 4 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	_, _ = mac.Write([]byte(host))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)) == parts[3]
}

func sameKey(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

// certified checks a host's certificate against the authorities among lines.
func certified(lines []knownLine, address string, remote net.Addr, certificate *ssh.Certificate) error {
	checker := &ssh.CertChecker{IsHostAuthority: func(authority ssh.PublicKey, _ string) bool {
		for _, l := range lines {
			if l.authority && sameKey(l.key, authority) {
				return true
			}
		}
		return false
	}}
	return checker.CheckHostKey(address, remote, certificate)
}
