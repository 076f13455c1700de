package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/hybrid/hpke"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"keywave/internal/private"
	"keywave/internal/rotation"
)

const (
	publicSuffix  = ".public.json"
	privateSuffix = ".private.json"
)

func publicName(l rotation.Location) string  { return string(l) + publicSuffix }
func privateName(l rotation.Location) string { return string(l) + privateSuffix }

func publicPath(dir string, l rotation.Location) string {
	return filepath.Join(dir, publicName(l))
}

func privatePath(dir string, l rotation.Location) string {
	return filepath.Join(dir, privateName(l))
}

// checkName refuses a location that would not stay inside the keyring.
func checkName(l rotation.Location) error {
	if err := rotation.CheckName(string(l)); err != nil {
		return fmt.Errorf("a location's name: %w", err)
	}
	return nil
}

// Key is one key of a keyset, without the key.
type Key struct {
	// ID is what a seal names it by.
	ID uint32 `json:"id"`
	// Created is when it was made.
	Created time.Time `json:"created"`
	// Retired is when a rotation put another in its place; zero for the primary.
	Retired time.Time `json:"retired,omitzero"`
}

// ringFile is the form of both files of a location.
type ringFile struct {
	Version  int               `json:"version"`
	Location rotation.Location `json:"location"`
	Keys     []Key             `json:"keys"`
	// Keyset is Tink's JSON keyset; in clear in the private file.
	Keyset json.RawMessage `json:"keyset"`
}

// ring is a file of a location, read.
type ring struct {
	location rotation.Location
	keys     []Key
	handle   *keyset.Handle
}

// readPublic reads a public keyset, which others may read but not write: who
// writes it reads what is sealed.
func readPublic(path string) (ring, error) {
	return readRing(path, written, keyset.ReadWithNoSecrets)
}

// written refuses a file that others than its owner may write.
func written(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, open to others than its owner; run `chmod go-w %s`", path, mode, path)
	}
	return nil
}

// readPrivate reads a private keyset, which nobody but us may read.
func readPrivate(path string) (ring, error) {
	return readRing(path, private.Check, func(r keyset.Reader) (*keyset.Handle, error) {
		return insecurecleartextkeyset.Read(r)
	})
}

// readRing reads a file that is guarded as it must be. No error wraps a parser's:
// those quote what they stumble over, which may be a key.
func readRing(path string, guarded func(string, fs.FileInfo) error, parse func(keyset.Reader) (*keyset.Handle, error)) (ring, error) {
	file, err := os.Open(path)
	if err != nil {
		return ring{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ring{}, err
	}
	if err := guarded(path, info); err != nil {
		return ring{}, fmt.Errorf("%w, and if somebody may have used it, `keywave keyring rotate` then", err)
	}
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return ring{}, err
	}
	var in ringFile
	if json.Unmarshal(data, &in) != nil {
		return ring{}, fmt.Errorf("%s is damaged: it is not the JSON of a keyset; copy it again from where it was made", path)
	}
	switch {
	case in.Version != 1:
		return ring{}, fmt.Errorf("%s has version %d; this keywave reads version 1", path, in.Version)
	case filepath.Base(path) != publicName(in.Location) && filepath.Base(path) != privateName(in.Location):
		return ring{}, fmt.Errorf("%s is the keyset of location %q; put the right file there", path, in.Location)
	}
	handle, err := parse(keyset.NewJSONReader(bytes.NewReader(in.Keyset)))
	if err != nil || !isOurs(handle, in.Keys) {
		return ring{}, fmt.Errorf("%s is damaged: its keyset is not one that keywave makes; copy it again from where it was made", path)
	}
	return ring{in.Location, in.Keys, handle}, nil
}

// isOurs says that every key is of the one kind that Create makes, and that keys
// tells of the same ones.
func isOurs(h *keyset.Handle, keys []Key) bool {
	told := make([]uint32, len(keys))
	for i, key := range keys {
		told[i] = key.ID
	}
	held := ids(h)
	slices.Sort(told)
	slices.Sort(held)
	if !slices.Equal(told, held) {
		return false
	}
	for i := range h.Len() {
		entry, err := h.Entry(i)
		if err != nil || entry.KeyStatus() != keyset.Enabled {
			return false
		}
		p, is := entry.Key().Parameters().(*hpke.Parameters)
		if !is || p.KEMID() != hpke.DHKEM_X25519_HKDF_SHA256 || p.KDFID() != hpke.HKDFSHA256 || p.AEADID() != hpke.AES256GCM || p.Variant() != hpke.VariantTink {
			return false
		}
	}
	return true
}

// encode is the bytes of a file of a location; write puts the keyset's own JSON.
func (r ring) encode(write func(keyset.Writer) error) ([]byte, error) {
	var inner bytes.Buffer
	if err := write(keyset.NewJSONWriter(&inner)); err != nil {
		return nil, errors.New("the keyset of location " + string(r.location) + " cannot be written as JSON")
	}
	body, err := json.MarshalIndent(ringFile{1, r.location, r.keys, inner.Bytes()}, "", "  ")
	return append(body, '\n'), err
}

// fingerprint names a public keyset: the first 16 hex digits of SHA-256 over the
// location and every key's ID and public key, the primary first.
func fingerprint(location rotation.Location, public *keyset.Handle) string {
	type part struct {
		id  uint32
		key []byte
	}
	var parts []part
	for i := range public.Len() {
		entry, err := public.Entry(i)
		if err != nil {
			continue
		}
		key, is := entry.Key().(*hpke.PublicKey)
		if !is {
			continue
		}
		p := part{entry.KeyID(), key.PublicKeyBytes()}
		if entry.IsPrimary() {
			parts = slices.Insert(parts, 0, p)
		} else {
			parts = append(parts, p)
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "keywave/v1 keyset\x00%s\x00", location)
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, p.id)
		h.Write(p.key)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
