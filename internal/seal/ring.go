package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/hybrid/hpke"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/key"
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

// owner is whose keyset it is: a location's or an account's.
type owner struct {
	Location rotation.Location `json:"location,omitempty"`
	Account  rotation.Account  `json:"account,omitempty"`
}

func (o owner) String() string {
	if o.Account != "" {
		return fmt.Sprintf("account %q", o.Account)
	}
	return fmt.Sprintf("location %q", o.Location)
}

// files are the names that its files may have.
func (o owner) files() []string {
	if o.Account != "" {
		return []string{accountName(o.Account)}
	}
	return []string{publicName(o.Location), privateName(o.Location)}
}

// check refuses a name that would not stay inside the keyring.
func (o owner) check() error {
	if o.Account != "" {
		return checked("an account's name", string(o.Account))
	}
	return checkName(o.Location)
}

func checkName(l rotation.Location) error { return checked("a location's name", string(l)) }

func checked(what, name string) error {
	if err := rotation.CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", what, err)
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

// ringFile is the form of every file of the keyring.
type ringFile struct {
	Version int `json:"version"`
	owner
	Keys []Key `json:"keys"`
	// Keyset is Tink's JSON keyset; in clear in a private file and in an account's.
	Keyset json.RawMessage `json:"keyset"`
}

// ring is a file of the keyring, read.
type ring struct {
	owner  owner
	keys   []Key
	handle *keyset.Handle
}

// form is what a kind of file must be like.
type form struct {
	guarded func(string, fs.FileInfo) error
	parse   func(keyset.Reader) (*keyset.Handle, error)
	// ours says that a key is of the one kind that keywave makes for such a file.
	ours func(key.Parameters) bool
}

// readPublic reads a public keyset, which others may read but not write: who
// writes it reads what is sealed.
func readPublic(path string) (ring, error) {
	return readRing(path, form{written, keyset.ReadWithNoSecrets, isHybrid})
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
	return readRing(path, form{private.Check, readClear, isHybrid})
}

func readClear(r keyset.Reader) (*keyset.Handle, error) { return insecurecleartextkeyset.Read(r) }

// readRing reads a file that is guarded as it must be. No error wraps a parser's:
// those quote what they stumble over, which may be a key.
func readRing(path string, form form) (ring, error) {
	file, err := os.Open(path)
	if err != nil {
		return ring{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ring{}, err
	}
	if err := form.guarded(path, info); err != nil {
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
	case !slices.Contains(in.owner.files(), filepath.Base(path)):
		return ring{}, fmt.Errorf("%s is the keyset of %s; put the right file there", path, in.owner)
	}
	handle, err := form.parse(keyset.NewJSONReader(bytes.NewReader(in.Keyset)))
	if err != nil || !isOurs(handle, in.Keys, form.ours) {
		return ring{}, fmt.Errorf("%s is damaged: its keyset is not one that keywave makes; copy it again from where it was made", path)
	}
	return ring{in.owner, in.Keys, handle}, nil
}

// isOurs says that every key is in use and of our kind, and that keys tells of the
// same ones.
func isOurs(h *keyset.Handle, keys []Key, ours func(key.Parameters) bool) bool {
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
		if err != nil || entry.KeyStatus() != keyset.Enabled || !ours(entry.Key().Parameters()) {
			return false
		}
	}
	return true
}

// isHybrid says that a key is as those of a location.
func isHybrid(k key.Parameters) bool {
	p, is := k.(*hpke.Parameters)
	return is && p.KEMID() == hpke.DHKEM_X25519_HKDF_SHA256 && p.KDFID() == hpke.HKDFSHA256 && p.AEADID() == hpke.AES256GCM && p.Variant() == hpke.VariantTink
}

// encode is the bytes of a file; write puts the keyset's own JSON.
func (r ring) encode(write func(keyset.Writer) error) ([]byte, error) {
	var inner bytes.Buffer
	if err := write(keyset.NewJSONWriter(&inner)); err != nil {
		return nil, fmt.Errorf("the keyset of %s cannot be written as JSON", r.owner)
	}
	body, err := json.MarshalIndent(ringFile{1, r.owner, r.keys, inner.Bytes()}, "", "  ")
	return append(body, '\n'), err
}

// fingerprint names a keyset: the first 16 hex digits of SHA-256 over its owner
// and every key's ID and what part says of the key, the primary first.
func fingerprint(name string, h *keyset.Handle, part func(key.Key) []byte) string {
	type keyPart struct {
		id   uint32
		part []byte
	}
	var parts []keyPart
	for i := range h.Len() {
		entry, err := h.Entry(i)
		if err != nil {
			continue
		}
		p := keyPart{entry.KeyID(), part(entry.Key())}
		if entry.IsPrimary() {
			parts = slices.Insert(parts, 0, p)
		} else {
			parts = append(parts, p)
		}
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "keywave/v1 keyset\x00%s\x00", name)
	for _, p := range parts {
		_ = binary.Write(sum, binary.BigEndian, p.id)
		sum.Write(p.part)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// publicPart is a location's public key.
func publicPart(k key.Key) []byte {
	if public, is := k.(*hpke.PublicKey); is {
		return public.PublicKeyBytes()
	}
	return nil
}
