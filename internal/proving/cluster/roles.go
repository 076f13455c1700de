package main

import (
	"fmt"
	"os"
	"path/filepath"

	"keywave/internal/proving/stage"
)

// The workers, by index in the stack.
const (
	orchestrator = 0
	edgeone      = 2
	located      = 4
)

var locations = []string{"hk", "eu-west"}

// roles gives each worker the files that its role needs, and no others: an orchestrator
// none, edgeone the fleet file, public keysets and the credential, a location the fleet
// file, its private keyset and the SSH key.
func roles(s *stage.Stack) ([]stage.Role, error) {
	public, err := files(s, "public", "hk.public.json", "eu-west.public.json")
	if err != nil {
		return nil, err
	}
	var all []stage.Role
	for i := range 2 {
		all = append(all, stage.Role{Name: fmt.Sprintf("orchestrator-%d", i), Flags: []string{"--roles", "orchestrator"}})
	}
	for i := range 2 {
		all = append(all, stage.Role{
			Name:  fmt.Sprintf("edgeone-%d", i),
			Flags: []string{"--roles", "edgeone", "--fleet", s.Places.Fleet, "--keyring", public},
			Env:   []string{"TENCENTCLOUD_CREDENTIALS_FILE=" + s.Places.Credentials},
		})
	}
	for _, l := range locations {
		private, err := files(s, l, l+".private.json")
		if err != nil {
			return nil, err
		}
		for i := range 2 {
			all = append(all, stage.Role{
				Name:  fmt.Sprintf("%s-%d", l, i),
				Flags: []string{"--roles", "location", "--locations", l, "--fleet", s.Places.Fleet, "--keyring", private, "--ssh-identity", s.Places.Identity, "--ssh-agent", "none"},
			})
		}
	}
	return all, nil
}

// files copies keysets into a directory of their own.
func files(s *stage.Stack, dir string, names ...string) (string, error) {
	to := filepath.Join(s.Dir, "files", dir)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(s.Keyring(), name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			return "", err
		}
	}
	return to, nil
}
