package seal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"keywave/internal/rotation"
)

// KeptAfterRotation is how long a retired private key still opens what was
// sealed with it. The first rotation after that removes it.
const KeptAfterRotation = 30 * 24 * time.Hour

// DefaultDir is $XDG_DATA_HOME/keywave/keyring, or ~/.local/share/keywave/keyring
// (XDG Base Directory Specification).
func DefaultDir() (string, error) {
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "keywave", "keyring"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no place for the keyring: %w; set XDG_DATA_HOME, or name a directory", err)
	}
	return filepath.Join(home, ".local", "share", "keywave", "keyring"), nil
}

// Create makes the keyset of a location: its private file (mode 0600), then its
// public one (0644), in dir, which it makes with mode 0700. If the location has
// either file already nothing changes and the error is fs.ErrExist.
func Create(dir string, location rotation.Location) error {
	return change(dir, location, func() error {
		for _, path := range []string{privatePath(dir, location), publicPath(dir, location)} {
			if _, err := os.Lstat(path); err == nil {
				return fmt.Errorf("location %q has a keyset already: %w: %s; to replace it run `keywave keyring rotate %s` where its private keyset is", location, fs.ErrExist, path, location)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return ring{location: location}.extend(dir, keyset.NewManager(), time.Now())
	})
}

// Rotate gives a location's keyset a new primary key as of now. The keys before
// it still open what was sealed with them for KeptAfterRotation. The private
// file is written first: from then on the location's workers can open what the
// edgeone workers begin to seal once the public file is written.
func Rotate(dir string, location rotation.Location, now time.Time) error {
	return change(dir, location, func() error {
		old, err := readPrivate(privatePath(dir, location))
		if err != nil {
			return explain(dir, location, err)
		}
		manager := keyset.NewManagerFromHandle(old.handle)
		kept := ring{location: location}
		for _, key := range old.keys {
			if !key.Retired.IsZero() && now.Sub(key.Retired) > KeptAfterRotation {
				if err := manager.Delete(key.ID); err != nil {
					return fmt.Errorf("cannot remove the retired key %d of location %q: %w; nothing was changed", key.ID, location, err)
				}
				continue
			}
			if key.Retired.IsZero() {
				key.Retired = now.UTC()
			}
			kept.keys = append(kept.keys, key)
		}
		return kept.extend(dir, manager, now)
	})
}

// extend adds a new primary key and writes both files.
func (r ring) extend(dir string, manager *keyset.Manager, now time.Time) error {
	id, err := manager.Add(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	if err != nil {
		return fmt.Errorf("cannot make a key for location %q: %w", r.location, err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return fmt.Errorf("cannot make a key for location %q: %w", r.location, err)
	}
	private, err := manager.Handle()
	if err != nil {
		return fmt.Errorf("cannot make a keyset for location %q: %w", r.location, err)
	}
	public, err := private.Public()
	if err != nil {
		return fmt.Errorf("cannot make a public keyset for location %q: %w", r.location, err)
	}
	r.keys = append(r.keys, Key{ID: id, Created: now.UTC()})
	secret, err := r.encode(func(w keyset.Writer) error { return insecurecleartextkeyset.Write(private, w) })
	if err != nil {
		return err
	}
	open, err := r.encode(public.WriteWithNoSecrets)
	if err != nil {
		return err
	}
	if err := replace(privatePath(dir, r.location), secret, 0o600); err != nil {
		return fmt.Errorf("cannot write the private keyset of location %q: %w; the public one is as it was, so what it seals can still be opened", r.location, err)
	}
	if err := replace(publicPath(dir, r.location), open, 0o644); err != nil {
		return fmt.Errorf("the private keyset of location %q was written, but not the public one: %w; mend that and run `keywave keyring rotate %s`, until then sealing goes on as before", r.location, err, r.location)
	}
	return nil
}

// Info is what may be known of a location's keyset; never a key.
type Info struct {
	Location rotation.Location `json:"location"`
	// Primary is the ID of the key that seals; 0 when it cannot be read.
	Primary uint32 `json:"primary"`
	// Keys are oldest first.
	Keys []Key `json:"keys"`
	// Fingerprint is the same on every machine that has the same keyset, public
	// or private: 16 hex digits.
	Fingerprint string `json:"fingerprint"`
	// Public and Private say which files are here.
	Public  bool `json:"public"`
	Private bool `json:"private"`
	// Problem is what is wrong with the files and what to do; empty when they
	// are in order.
	Problem string `json:"problem,omitempty"`
}

// Show describes every keyset in dir, by location. A keyset that cannot be read
// is described by its Problem. A dir that does not exist has none.
func Show(dir string) ([]Info, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the keyring: %w", err)
	}
	var infos []Info
	for _, file := range files {
		name, isPublic := strings.CutSuffix(file.Name(), publicSuffix)
		name, isPrivate := strings.CutSuffix(name, privateSuffix)
		location := rotation.Location(name)
		if isPublic == isPrivate || checkName(location) != nil {
			continue
		}
		i := slices.IndexFunc(infos, func(in Info) bool { return in.Location == location })
		if i < 0 {
			i = len(infos)
			infos = append(infos, Info{Location: location})
		}
		infos[i].Public = infos[i].Public || isPublic
		infos[i].Private = infos[i].Private || isPrivate
	}
	for i := range infos {
		infos[i].look(dir)
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Location, b.Location) })
	return infos, nil
}

// look fills in what the files say. Where both are here and differ, the private
// one is described, and the difference is the problem.
func (in *Info) look(dir string) {
	if in.Public {
		public, err := readPublic(publicPath(dir, in.Location))
		if err != nil {
			in.Problem = err.Error()
		} else {
			in.describe(public, public.handle)
		}
	}
	if !in.Private {
		return
	}
	private, err := readPrivate(privatePath(dir, in.Location))
	if err != nil {
		in.Problem = err.Error()
		return
	}
	derived, err := private.handle.Public()
	if err != nil {
		in.Problem = privatePath(dir, in.Location) + " holds no private keys; copy it again from where it was made"
		return
	}
	before := in.Fingerprint
	in.describe(private, derived)
	if before != "" && before != in.Fingerprint {
		in.Problem = fmt.Sprintf("%s and %s are not of one keyset; copy both from where they were made, or run `keywave keyring rotate %s`", publicName(in.Location), privateName(in.Location), in.Location)
	}
}

func (in *Info) describe(r ring, public *keyset.Handle) {
	in.Keys = r.keys
	in.Fingerprint = fingerprint(r.location, public)
	if primary, err := public.Primary(); err == nil {
		in.Primary = primary.KeyID()
	}
}

// explain turns the error of reading a location's file into what to do.
func explain(dir string, location rotation.Location, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keyset of location %q: %w", location, err)
	}
	has := func(path string) bool { _, err := os.Stat(path); return err == nil }
	switch {
	case has(privatePath(dir, location)):
		return fmt.Errorf("location %q has a private keyset but no %s in %s; copy it from where it was made, or run `keywave keyring rotate %s`: %w", location, publicName(location), dir, location, fs.ErrNotExist)
	case has(publicPath(dir, location)):
		return fmt.Errorf("location %q has a public keyset but no %s in %s; copy it from where it was made: %w", location, privateName(location), dir, fs.ErrNotExist)
	}
	return fmt.Errorf("location %q has no keyset in %s; run `keywave keyring create %s`, or copy the keyset that it has elsewhere: %w", location, dir, location, fs.ErrNotExist)
}
