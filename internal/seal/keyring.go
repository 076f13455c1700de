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
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

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
	whose := owner{Location: location}
	return change(dir, whose, func() error {
		instead := fmt.Sprintf("`keywave keyring rotate %s` where its private keyset is", location)
		if err := vacant(fmt.Sprintf("location %q", location), instead, privatePath(dir, location), publicPath(dir, location)); err != nil {
			return err
		}
		return ring{owner: whose}.extend(dir, keyset.NewManager(), time.Now())
	})
}

// vacant says that there is none of these files. If there is one, the error says what to
// run instead.
func vacant(whose, instead string, paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s has a keyset already: %w: %s; to replace it run %s", whose, fs.ErrExist, path, instead)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Rotate gives a location's keyset a new primary key as of now. The keys before
// it still open what was sealed with them for KeptAfterRotation. The private
// file is written first: from then on the location's workers can open what the
// edgeone workers begin to seal once the public file is written.
func Rotate(dir string, location rotation.Location, now time.Time) error {
	whose := owner{Location: location}
	return change(dir, whose, func() error {
		old, err := readPrivate(privatePath(dir, location))
		if err != nil {
			return explain(dir, location, err)
		}
		manager, kept, err := old.retire(now)
		if err != nil {
			return err
		}
		return kept.extend(dir, manager, now)
	})
}

// retire is the keyset without the keys that were retired long ago. Those that
// are left are retired as of now.
func (r ring) retire(now time.Time) (*keyset.Manager, ring, error) {
	manager := keyset.NewManagerFromHandle(r.handle)
	kept := ring{owner: r.owner}
	for _, key := range r.keys {
		if !key.Retired.IsZero() && now.Sub(key.Retired) > KeptAfterRotation {
			if err := manager.Delete(key.ID); err != nil {
				return nil, ring{}, fmt.Errorf("cannot remove the retired key %d of %s: %w; nothing was changed", key.ID, r.owner, err)
			}
			continue
		}
		if key.Retired.IsZero() {
			key.Retired = now.UTC()
		}
		kept.keys = append(kept.keys, key)
	}
	return manager, kept, nil
}

// add makes a new primary key in manager, and notes it.
func (r *ring) add(manager *keyset.Manager, template *tinkpb.KeyTemplate, now time.Time) error {
	id, err := manager.Add(template)
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err == nil {
		r.handle, err = manager.Handle()
	}
	if err != nil {
		return fmt.Errorf("cannot make a key for %s: %w", r.owner, err)
	}
	r.keys = append(r.keys, Key{ID: id, Created: now.UTC()})
	return nil
}

// extend adds a new primary key to a location's keyset and writes both files.
func (r ring) extend(dir string, manager *keyset.Manager, now time.Time) error {
	if err := r.add(manager, hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template(), now); err != nil {
		return err
	}
	location := r.owner.Location
	public, err := r.handle.Public()
	if err != nil {
		return fmt.Errorf("cannot make a public keyset for location %q: %w", location, err)
	}
	secret, err := r.encode(func(w keyset.Writer) error { return insecurecleartextkeyset.Write(r.handle, w) })
	if err != nil {
		return err
	}
	open, err := r.encode(public.WriteWithNoSecrets)
	if err != nil {
		return err
	}
	if err := replace(privatePath(dir, location), secret, 0o600); err != nil {
		return fmt.Errorf("cannot write the private keyset of location %q: %w; the public one is as it was, so what it seals can still be opened", location, err)
	}
	if err := replace(publicPath(dir, location), open, 0o644); err != nil {
		return fmt.Errorf("the private keyset of location %q was written, but not the public one: %w; mend that and run `keywave keyring rotate %s`, until then sealing goes on as before", location, err, location)
	}
	return nil
}

// Info is what may be known of a keyset; never a key. It is a location's or an
// account's.
type Info struct {
	Location rotation.Location `json:"location,omitempty"`
	Account  rotation.Account  `json:"account,omitempty"`
	// Primary is the ID of the key that seals; 0 when it cannot be read.
	Primary uint32 `json:"primary"`
	// Keys are oldest first.
	Keys []Key `json:"keys"`
	// Fingerprint is the same on every machine that has the same keyset, public
	// or private: 16 hex digits.
	Fingerprint string `json:"fingerprint"`
	// Public and Private say which files are here. An account's one file is
	// private.
	Public  bool `json:"public"`
	Private bool `json:"private"`
	// Problem is what is wrong with the files and what to do; empty when they
	// are in order.
	Problem string `json:"problem,omitempty"`
}

// Show describes every keyset in dir, locations' by name and then accounts'. A
// keyset that cannot be read is described by its Problem. A dir that does not
// exist has none.
func Show(dir string) ([]Info, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the keyring: %w", err)
	}
	var infos []Info
	for _, file := range files {
		found, is := named(file.Name())
		if !is {
			continue
		}
		i := slices.IndexFunc(infos, func(in Info) bool { return in.Location == found.Location && in.Account == found.Account })
		if i < 0 {
			infos = append(infos, found)
			continue
		}
		infos[i].Public = infos[i].Public || found.Public
		infos[i].Private = infos[i].Private || found.Private
	}
	for i := range infos {
		infos[i].look(dir)
	}
	slices.SortFunc(infos, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Location, b.Location))
	})
	return infos, nil
}

// named is what the name of a file says.
func named(file string) (Info, bool) {
	for suffix, of := range map[string]func(string) Info{
		publicSuffix:  func(name string) Info { return Info{Location: rotation.Location(name), Public: true} },
		privateSuffix: func(name string) Info { return Info{Location: rotation.Location(name), Private: true} },
		accountSuffix: func(name string) Info { return Info{Account: rotation.Account(name), Private: true} },
	} {
		if name, is := strings.CutSuffix(file, suffix); is {
			return of(name), rotation.CheckName(name) == nil
		}
	}
	return Info{}, false
}

// look fills in what the files say. Where both are here and differ, the private
// one is described, and the difference is the problem.
func (in *Info) look(dir string) {
	if in.Account != "" {
		in.lookAtAccount(dir)
		return
	}
	if in.Public {
		public, err := readPublic(publicPath(dir, in.Location))
		if err != nil {
			in.Problem = err.Error()
		} else {
			in.describe(public, fingerprint(string(in.Location), public.handle, publicPart))
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
	in.describe(private, fingerprint(string(in.Location), derived, publicPart))
	if before != "" && before != in.Fingerprint {
		in.Problem = fmt.Sprintf("%s and %s are not of one keyset; copy both from where they were made, or run `keywave keyring rotate %s`", publicName(in.Location), privateName(in.Location), in.Location)
	}
}

func (in *Info) describe(r ring, fingerprint string) {
	in.Keys, in.Fingerprint = r.keys, fingerprint
	if primary, err := r.handle.Primary(); err == nil {
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
