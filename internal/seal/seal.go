// Package seal encrypts keys to a location, so that between the worker that got
// a key from EdgeOne and the worker that hands it to a host nobody can read it:
// not Temporal, its database, its UI or who backs them up. It is hybrid
// encryption (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) by Tink; a
// sealed key opens only as the key of the zone, at the location, for which it
// was sealed, and says to which hosts it may be given, and until when. Base-mode HPKE has no sender: whoever has the public keyset can
// seal, so a seal proves nothing about who made it.
//
// What EdgeOne is to be given must prove just that. It is sealed under a keyset
// of the account (AES-256-GCM), which the account's edgeone workers alone hold.
package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keywave/internal/rotation"
)

// Sealer seals to the locations whose public keysets it read. It may be used by
// many goroutines at once.
type Sealer struct {
	rings map[rotation.Location]*watched[tink.HybridEncrypt]
}

var _ rotation.Sealer = (*Sealer)(nil)

// OpenSealer reads the public keyset of each location in the keyring dir. The
// files are read again when they change; while one is missing or damaged, the
// keyset that was read last stays in use.
func OpenSealer(dir string, locations []rotation.Location) (*Sealer, error) {
	rings, err := openRings(dir, locations, publicPath, func(path string) (tink.HybridEncrypt, error) {
		ring, err := readPublic(path)
		if err != nil {
			return nil, err
		}
		return hybrid.NewHybridEncrypt(ring.handle)
	})
	if err != nil {
		return nil, err
	}
	return &Sealer{rings}, nil
}

// Seal encrypts key and grant so that only location's workers can open them, and
// only as the key of zone.
func (s *Sealer) Seal(location rotation.Location, zone rotation.ZoneID, key rotation.Secret, grant rotation.Grant) ([]byte, error) {
	ring, known := s.rings[location]
	if !known {
		return nil, fmt.Errorf("cannot seal a key of zone %q to location %q: this worker's fleet file has no such location; give it the fleet file of the plan and restart it", zone, location)
	}
	if key.IsZero() {
		return nil, fmt.Errorf("cannot seal to location %q: zone %q has no key", location, zone)
	}
	sealed, err := ring.latest().Encrypt(plain(zone, key, grant), contextInfo(location, zone))
	if err != nil {
		return nil, fmt.Errorf("cannot seal the key of zone %q to location %q: the public keyset does not work; check it with `keywave keyring show`", zone, location)
	}
	return sealed, nil
}

// contextInfo is what a sealed key is bound to: version, location and zone, each
// behind its length.
func contextInfo(location rotation.Location, zone rotation.ZoneID) []byte {
	var info []byte
	for _, part := range []string{"keywave/v1 seal", string(location), string(zone)} {
		info = binary.BigEndian.AppendUint64(info, uint64(len(part)))
		info = append(info, part...)
	}
	return info
}

// Opener opens what was sealed to the locations whose private keysets it read.
// It may be used by many goroutines at once.
type Opener struct {
	rings map[rotation.Location]*watched[opening]
}

var _ rotation.Opener = (*Opener)(nil)

type opening struct {
	decrypt tink.HybridDecrypt
	ids     []uint32
}

// OpenOpener reads the private keyset of each location in the keyring dir. The
// files are read again when they change; while one is missing, damaged or too
// widely readable, the keyset that was read last stays in use.
func OpenOpener(dir string, locations []rotation.Location) (*Opener, error) {
	rings, err := openRings(dir, locations, privatePath, func(path string) (opening, error) {
		ring, err := readPrivate(path)
		if err != nil {
			return opening{}, err
		}
		decrypt, err := hybrid.NewHybridDecrypt(ring.handle)
		if err != nil {
			return opening{}, fmt.Errorf("%s holds no private keys; copy it again from where it was made", path)
		}
		return opening{decrypt, ids(ring.handle)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Opener{rings}, nil
}

// Open gives back what Seal sealed for the same location and zone. Every error
// is a *CannotOpenError.
func (o *Opener) Open(location rotation.Location, zone rotation.ZoneID, sealed []byte) (rotation.Secret, rotation.Grant, error) {
	failed := &CannotOpenError{Location: location, Zone: zone, Wanted: keyID(sealed)}
	ring, known := o.rings[location]
	if !known {
		return rotation.Secret{}, rotation.Grant{}, failed
	}
	held := ring.latest()
	if failed.Wanted != 0 && !slices.Contains(held.ids, failed.Wanted) {
		held = ring.again()
	}
	failed.Held = held.ids
	inside, err := held.decrypt.Decrypt(sealed, contextInfo(location, zone))
	if err != nil {
		return rotation.Secret{}, rotation.Grant{}, failed
	}
	key, grant, ok := readPlain(zone, inside)
	if !ok {
		failed.Foreign = true
		return rotation.Secret{}, rotation.Grant{}, failed
	}
	return key, grant, nil
}

// keyID is the ID of the key that sealed was made with, 0 if it does not say: a
// Tink ciphertext opens with the byte 1 and the ID, big-endian.
func keyID(sealed []byte) uint32 {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0
	}
	return binary.BigEndian.Uint32(sealed[1:])
}

// ids are the key IDs of a keyset.
func ids(h *keyset.Handle) []uint32 {
	list := make([]uint32, 0, h.Len())
	for i := range h.Len() {
		if entry, err := h.Entry(i); err == nil {
			list = append(list, entry.KeyID())
		}
	}
	return list
}

// CannotOpenError says that a sealed key cannot be opened here. Nothing is lost
// by it: EdgeOne still holds the key, which can be read back and sealed again.
type CannotOpenError struct {
	Location rotation.Location
	Zone     rotation.ZoneID
	// Wanted is the ID of the key it was sealed with; 0 if it does not say.
	Wanted uint32
	// Held are the key IDs of this worker's keyset; none if it has no keyset of
	// the location.
	Held []uint32
	// Foreign says that it opened, and that what is in it has not the form that
	// this worker reads.
	Foreign bool
}

// Error says which key was wanted, which are held, and what to do.
func (e *CannotOpenError) Error() string {
	opening := fmt.Sprintf("cannot open what was sealed to location %q for zone %q", e.Location, e.Zone)
	const after = "; nothing was lost, the live key is read back and sealed anew"
	switch {
	case len(e.Held) == 0:
		return opening + ": this worker has no private keyset of that location; start it with the location's keyset, or take it off the location's queue" + after
	case e.Wanted == 0:
		return opening + ": it is not a sealed key" + after
	case e.Foreign:
		return opening + ": what is in it is not what this keywave seals; give all workers the same version" + after
	case slices.Contains(e.Held, e.Wanted):
		return opening + fmt.Sprintf(": this worker holds key %d, but what it sealed is damaged, or belongs to another zone or location", e.Wanted) + after
	}
	return opening + fmt.Sprintf(": it is sealed with key %d, this worker holds %s; compare `keywave keyring show` here and on the edgeone worker, and copy %s here, or %s there, so that they match%s",
		e.Wanted, joined(e.Held), privateName(e.Location), publicName(e.Location), after)
}

func joined(ids []uint32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatUint(uint64(id), 10)
	}
	return strings.Join(words, ", ")
}

// openRings reads one file of each location, and joins all that is wrong.
func openRings[T any](dir string, locations []rotation.Location, path func(string, rotation.Location) string, read func(string) (T, error)) (map[rotation.Location]*watched[T], error) {
	rings := make(map[rotation.Location]*watched[T], len(locations))
	var errs []error
	for _, location := range locations {
		if err := checkName(location); err != nil {
			errs = append(errs, err)
			continue
		}
		file := path(dir, location)
		ring, err := watch(file, func() (T, error) { return read(file) })
		if err != nil {
			errs = append(errs, explain(dir, location, err))
			continue
		}
		rings[location] = ring
	}
	return rings, errors.Join(errs...)
}
