package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"keywave/internal/private"
	"keywave/internal/rotation"
)

// An account's keyset is symmetric (AES-256-GCM by Tink), and the account's
// edgeone workers alone hold it. With a public keyset, anybody who can write to
// Temporal could seal a key of his own and have EdgeOne take it.

const accountSuffix = ".account.json"

func accountName(a rotation.Account) string { return string(a) + accountSuffix }

func accountPath(dir string, a rotation.Account) string {
	return filepath.Join(dir, accountName(a))
}

// readAccount reads the keyset of an account, which nobody but us may read.
func readAccount(path string) (ring, error) {
	return readRing(path, form{private.Check, readClear, isSymmetric})
}

// isSymmetric says that a key is as those of an account.
func isSymmetric(k key.Parameters) bool {
	p, is := k.(*aesgcm.Parameters)
	return is && p.KeySizeInBytes() == 32 && p.IVSizeInBytes() == 12 && p.TagSizeInBytes() == 16 && p.Variant() == aesgcm.VariantTink
}

// CreateAccount makes the keyset of an account: one file (mode 0600) in dir,
// which it makes with mode 0700. If the account has one already nothing changes
// and the error is fs.ErrExist.
func CreateAccount(dir string, account rotation.Account) error {
	whose := owner{Account: account}
	return change(dir, whose, func() error {
		instead := fmt.Sprintf("`keywave keyring rotate --account %s`", account)
		if err := vacant(fmt.Sprintf("account %q", account), instead, accountPath(dir, account)); err != nil {
			return err
		}
		return ring{owner: whose}.extendAccount(dir, keyset.NewManager(), time.Now())
	})
}

// RotateAccount gives an account's keyset a new primary key as of now. The keys
// before it still open what was sealed with them for KeptAfterRotation. A worker
// that does not have the new file yet cannot open what others seal from now on.
func RotateAccount(dir string, account rotation.Account, now time.Time) error {
	return change(dir, owner{Account: account}, func() error {
		old, err := readAccount(accountPath(dir, account))
		if err != nil {
			return explainAccount(dir, account, err)
		}
		manager, kept, err := old.retire(now)
		if err != nil {
			return err
		}
		return kept.extendAccount(dir, manager, now)
	})
}

// extendAccount adds a new primary key and writes the file.
func (r ring) extendAccount(dir string, manager *keyset.Manager, now time.Time) error {
	if err := r.add(manager, aead.AES256GCMKeyTemplate(), now); err != nil {
		return err
	}
	secret, err := r.encode(func(w keyset.Writer) error { return insecurecleartextkeyset.Write(r.handle, w) })
	if err != nil {
		return err
	}
	if err := replace(accountPath(dir, r.owner.Account), secret, 0o600); err != nil {
		return fmt.Errorf("cannot write the keyset of %s: %w; it is as it was", r.owner, err)
	}
	return nil
}

// lookAtAccount fills in what the file says.
func (in *Info) lookAtAccount(dir string) {
	ring, err := readAccount(accountPath(dir, in.Account))
	if err != nil {
		in.Problem = err.Error()
		return
	}
	in.describe(ring, accountFingerprint(ring))
}

// accountFingerprint says nothing of the keys: each has 256 random bits.
func accountFingerprint(r ring) string {
	return fingerprint("account "+string(r.owner.Account), r.handle, func(k key.Key) []byte {
		if symmetric, is := k.(*aesgcm.Key); is {
			return symmetric.KeyBytes().Data(insecuresecretdataaccess.Token{})
		}
		return nil
	})
}

func explainAccount(dir string, account rotation.Account, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keyset of account %q: %w", account, err)
	}
	return fmt.Errorf("account %q has no keyset in %s; run `keywave keyring create --account %s`, or copy the keyset that its other edgeone workers have: %w", account, dir, account, fs.ErrNotExist)
}

// Keeper seals keys to the edgeone workers of one account, and opens them there.
// It may be used by many goroutines at once.
type Keeper struct {
	dir     string
	account rotation.Account

	mu   sync.Mutex
	ring *watched[keeping] // nil until it was read
}

var _ rotation.Keeper = (*Keeper)(nil)

type keeping struct {
	aead        tink.AEAD
	ids         []uint32
	fingerprint string
}

// NewKeeper uses an account's keyset in the keyring dir. Most accounts need none,
// so the file is read when it is first needed, and again when it changes; while
// it is missing, damaged or too widely readable, the keyset that was read last
// stays in use.
func NewKeeper(dir string, account rotation.Account) *Keeper {
	return &Keeper{dir: dir, account: account}
}

// Fingerprint reads the file as it is now, and names the keyset. If there is
// none, the error is fs.ErrNotExist.
func (k *Keeper) Fingerprint() (string, error) {
	now, err := k.read()
	if err != nil {
		return "", explainAccount(k.dir, k.account, err)
	}
	return now.fingerprint, nil
}

func (k *Keeper) read() (keeping, error) {
	if err := (owner{Account: k.account}).check(); err != nil {
		return keeping{}, err
	}
	path := accountPath(k.dir, k.account)
	ring, err := readAccount(path)
	if err != nil {
		return keeping{}, err
	}
	opens, err := aead.New(ring.handle)
	if err != nil {
		return keeping{}, fmt.Errorf("%s does not work; copy it again from where it was made", path)
	}
	return keeping{opens, ids(ring.handle), accountFingerprint(ring)}, nil
}

// file is the keyset's file, read at least once.
func (k *Keeper) file() (*watched[keeping], error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring != nil {
		return k.ring, nil
	}
	ring, err := watch(accountPath(k.dir, k.account), k.read)
	if err != nil {
		return nil, explainAccount(k.dir, k.account, err)
	}
	k.ring = ring
	return ring, nil
}

// Seal implements rotation.Keeper.
func (k *Keeper) Seal(bound rotation.Bound, key rotation.Secret) ([]byte, error) {
	if why := bound.Lacks(); why != "" {
		return nil, fmt.Errorf("cannot seal a key of zone %q under the keyset of account %q: it is not bound to %s", bound.Zone, k.account, why)
	}
	if key.IsZero() {
		return nil, fmt.Errorf("cannot seal under the keyset of account %q: zone %q has no key", k.account, bound.Zone)
	}
	ring, err := k.file()
	if err != nil {
		return nil, err
	}
	sealed, err := ring.latest().aead.Encrypt([]byte(key.Expose()), k.context(bound))
	if err != nil {
		return nil, fmt.Errorf("cannot seal the key of zone %q: the keyset of account %q does not work; check it with `keywave keyring show`", bound.Zone, k.account)
	}
	return sealed, nil
}

// Open implements rotation.Keeper. Every error is a *CannotUseError.
func (k *Keeper) Open(bound rotation.Bound, sealed []byte) (rotation.Secret, error) {
	failed := &CannotUseError{Account: k.account, Bound: bound, Wanted: keyID(sealed)}
	ring, err := k.file()
	if err != nil {
		failed.Keyset = err
		return rotation.Secret{}, failed
	}
	held := ring.latest()
	if failed.Wanted != 0 && !slices.Contains(held.ids, failed.Wanted) {
		held = ring.again()
	}
	failed.Held = held.ids
	inside, err := held.aead.Decrypt(sealed, k.context(bound))
	if err != nil || len(inside) == 0 {
		return rotation.Secret{}, failed
	}
	return rotation.NewSecret(string(inside)), nil
}

// context is what a key is bound to, as associated data: version, account and
// every part of bound, each behind its length.
func (k *Keeper) context(bound rotation.Bound) []byte {
	var data []byte
	parts := []string{
		"keywave/v1 account", string(k.account), string(bound.Zone), string(bound.Purpose), bound.Minted.UTC().Format(time.RFC3339Nano), string(bound.Baseline),
	}
	if !bound.Until.IsZero() {
		parts = append(parts, bound.Until.UTC().Format(time.RFC3339Nano))
	}
	for _, part := range parts {
		data = binary.BigEndian.AppendUint64(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}

// CannotUseError says that what was sealed under an account's keyset cannot be
// opened here: none of our workers sealed it, or not for this.
type CannotUseError struct {
	Account rotation.Account
	// Bound is for what it was to be used.
	Bound rotation.Bound
	// Wanted is the ID of the key it was sealed with; 0 if it does not say.
	Wanted uint32
	// Held are the key IDs of this worker's keyset.
	Held []uint32
	// Keyset is why there is no keyset; nil if there is one.
	Keyset error
}

// Unwrap is why there is no keyset.
func (e *CannotUseError) Unwrap() error { return e.Keyset }

// Error says what was wanted, and what to do.
func (e *CannotUseError) Error() string {
	opening := fmt.Sprintf("cannot open the key that was kept for zone %q (%s)", e.Bound.Zone, e.Bound.Purpose)
	switch {
	case e.Keyset != nil:
		return opening + ": " + e.Keyset.Error()
	case e.Wanted == 0:
		return opening + ": it is not a sealed key"
	case slices.Contains(e.Held, e.Wanted):
		return opening + fmt.Sprintf(": this worker holds key %d of account %q, but what it sealed is damaged, or was sealed for another zone, purpose, time or baseline", e.Wanted, e.Account)
	}
	return opening + fmt.Sprintf(": it is sealed with key %d, this worker's keyset of account %q has %s; compare `keywave keyring show` on the account's edgeone workers, and copy %s so that they match",
		e.Wanted, e.Account, joined(e.Held), accountName(e.Account))
}
